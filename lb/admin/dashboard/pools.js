// Pools and their backends. A row is drawn only while it is near the window: 500 backends cost what fits on the screen.
import { make, set, set_text, show, Spark } from './dom.js';
import { age, estimate, number, plural } from './text.js';
import { draw_bar, STATUSES } from './tiles.js';

/** What is spoken to the backends, unless it is HTTP/1.1. */
const PROTOCOLS = { tcp: 'tcp sessions, ', h2: 'HTTP/2, ', h2c: 'HTTP/2 without TLS, ' };

const HEADINGS = ['Backend', 'State', 'Weight', 'In flight', 'Requests', 'Errors', 'p50', 'p99', 'Ejected', ''];

/** What is wrong with the names that DNS resolves for a pool; empty: nothing. */
const names_note = pool => (pool.names || []).filter(n => n.state !== 'ok').map(n =>
  `${n.name}: ${n.reason || n.state}` + (n.age_seconds === null ? '' : `, last answered ${age(n.age_seconds)} ago`)).join(' · ');

/** What a backend that drains still has of its sessions. */
const sessions_note = now => now.sessions_left === null || now.sessions_left === undefined ? '' :
  now.sessions_over_in_ms === 0 ? '; its sessions are over' : now.sessions_left ? `; about ${plural(now.sessions_left, 'session')} left` : '; no session seen yet';

class Row {
  constructor(pool, name, model, order) {
    this.pool = pool;
    this.name = name;
    this.key = pool + '/' + name;
    this.model = model;
    this.order = order;
    this.shown = false;
    this.element = make('div.row', { role: 'row', 'data-backend': this.key });
  }

  /** The inside is made when the row is first seen. */
  build() {
    const cell = (name, label, ...children) => make('div.cell.' + name, { role: 'cell', 'data-label': label }, ...children);
    const text = tag => make(tag, {});
    Object.assign(this, { title: text('strong'), where: make('span.muted', {}), state: text('b'), since: make('span.muted', {}), reason: make('span.muted.reason', {}),
      weight: text('span'), inflight: text('span'), rate: text('span'), errors: text('span'), p50: text('span'), p99: text('span'),
      ejections: text('span'), rates: new Spark(1), slow: new Spark(1) });
    const button = what => {
      const element = make('button.button.small', { 'data-order': what, 'aria-label': `${what} ${this.key}` }, what[0].toUpperCase() + what.slice(1));
      element.addEventListener('click', () => this.order(this, what));
      return element;
    };
    this.buttons = { enable: button('enable'), drain: button('drain'), disable: button('disable') };
    this.element.append(
      cell('name', '', this.title, this.where),
      cell('state', '', make('i.dot', { 'aria-hidden': 'true' }), this.state, this.since, this.reason),
      cell('num.weight', 'Weight', this.weight), cell('num', 'In flight', this.inflight),
      cell('num.charted', 'Requests', this.rates.element, this.rate), cell('num', 'Errors', this.errors),
      cell('num.p50', 'p50', this.p50), cell('num.charted', 'p99', this.slow.element, this.p99),
      cell('num.ejections', 'Ejected', this.ejections), cell('orders', '', ...Object.values(this.buttons)));
    set_text(this.title, this.name);
    this.built = true;
  }

  draw() {
    const backend = this.model.backends.get(this.key);
    if (!backend || !this.shown) return;
    if (!this.built) this.build();
    const now = backend.now, since = this.model.age(now.since);
    set(this.element, 'data-status', now.status);
    set_text(this.where, now.address + (now.zone ? ' · ' + now.zone : '') + (now.backup ? ' · backup' : '') + (now.source === 'api' ? ' · not in the file' : ''));
    set_text(this.state, now.status);
    set_text(this.since, age(since));
    const reason = now.reason + sessions_note(now);
    set_text(this.reason, reason);
    set(this.reason, 'title', reason);
    set_text(this.weight, number(Math.round(now.effective_weight * 10) / 10) + (now.effective_weight < now.weight ? ` of ${now.weight}` : ''));
    set_text(this.inflight, number(now.inflight));
    set_text(this.rate, number(backend.rate) + ' /s');
    set_text(this.errors, number(backend.errors) + ' /s');
    set(this.errors, 'class', backend.errors > 0 ? 'bad' : now.errors ? '' : 'faint');
    set(this.errors, 'title', `${now.errors} since the start: attempts that failed, and answers with 5xx`);
    set_text(this.p50, estimate(backend.latency.p50));
    set_text(this.p99, estimate(backend.latency.p99));
    set_text(this.ejections, number(now.ejections));
    set(this.ejections, 'class', now.ejections ? '' : 'faint');
    this.rates.draw(backend.rates);
    this.slow.draw(backend.slow);
    show(this.buttons.drain, now.status !== 'draining' && now.status !== 'disabled');
    show(this.buttons.disable, now.status !== 'disabled');
    show(this.buttons.enable, now.status === 'draining' || now.status === 'disabled');
  }
}

export class Pools {
  /** `order(row, what)` is called for a click on drain, disable or enable. */
  constructor(parent, model, order) {
    Object.assign(this, { parent, model, order, pools: [], rows: new Map(), wanted: '', trouble: false });
    this.watcher = new IntersectionObserver(entries => {
      for (const entry of entries) {
        const row = this.rows.get(entry.target.dataset.backend);
        if (!row) continue;
        row.shown = entry.isIntersecting;
        row.draw();
      }
    }, { rootMargin: '150px 0px' });
  }

  /** Makes the elements anew: after a reload that moved something, and at the start. */
  build() {
    this.watcher.disconnect();
    this.rows.clear();
    this.pools = this.model.last.pools.map(pool => {
      const parts = { name: pool.name, algorithm: make('span.algorithm', {}), figures: make('span.muted', {}), counts: make('span.counts', {}), names: make('p.names', {}), bar: make('div.bar', { 'aria-hidden': 'true' }) };
      for (const status of STATUSES) parts.counts.append(make('span', { 'data-status': status }));
      parts.rows = pool.backends.map(b => new Row(pool.name, b.name, this.model, this.order));
      const head = make('div.row.head', { role: 'row' }, ...HEADINGS.map((h, i) => make(i > 1 && h ? 'div.num' : 'div', { role: 'columnheader' }, h)));
      const table = make('div.table', { role: 'table', 'aria-label': 'Backends of ' + pool.name }, head, ...parts.rows.map(r => r.element));
      parts.element = make('section.card.pool', { 'data-pool': pool.name },
        make('header', {}, make('h2', {}, pool.name), parts.algorithm, parts.counts, parts.figures), parts.names, parts.bar, table);
      for (const row of parts.rows) this.rows.set(row.key, row);
      return parts;
    });
    this.parent.replaceChildren(...this.pools.map(p => p.element));
    for (const row of this.rows.values()) this.watcher.observe(row.element);
  }

  draw() {
    let found = 0;
    this.model.last.pools.forEach((pool, i) => {
      const parts = this.pools[i];
      let rows = 0;
      const named = pool.name.toLowerCase().includes(this.wanted);
      for (const row of parts.rows) {
        const backend = this.model.backends.get(row.key), now = backend.now;
        const fits = (!this.trouble || !backend.serves) &&
          (named || row.name.toLowerCase().includes(this.wanted) || now.address.includes(this.wanted));
        show(row.element, fits);
        rows += fits;
        row.draw();
      }
      const note = names_note(pool);
      set_text(parts.names, note);
      show(parts.names, note !== '');
      show(parts.element, rows > 0 || (named && note !== ''));
      found += rows;
      this.draw_head(parts, pool);
    });
    return found;
  }

  draw_head(parts, pool) {
    STATUSES.forEach((status, i) => {
      const n = pool.by_status[status] || 0;
      show(parts.counts.children[i], n > 0);
      set_text(parts.counts.children[i], `${number(n)} ${status}`);
    });
    const limit = pool.limits.inflight ? ` of ${number(pool.limits.inflight)}` : '';
    set_text(parts.algorithm, (PROTOCOLS[pool.protocol] ?? '') + pool.algorithm.replaceAll('_', ' '));
    set_text(parts.figures, `${number(pool.rate)} /s · ${number(pool.inflight)}${limit} in flight` +
      (pool.waiting ? ` · ${number(pool.waiting)} waiting` : '') + (pool.retrying ? ` · ${number(pool.retrying)} retrying` : ''));
    set(parts.element, 'data-tone', pool.usable ? 'quiet' : 'bad');
    draw_bar(parts.bar, pool.by_status);
  }
}
