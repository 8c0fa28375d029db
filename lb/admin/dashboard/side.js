// Errors by cause, the latest failures, and the configuration.
import { make, set_text, show, Spark } from './dom.js';
import { age, milliseconds, number } from './text.js';

export class Causes {
  constructor(parent) {
    Object.assign(this, { parent, rows: new Map(), help: new Map() });
    this.empty = make('p.empty', {}, '…');  // nothing is known yet
    this.list = make('ul.causes', {});
    parent.append(this.empty, this.list);
  }

  /** The answer of /api/v1/causes. */
  learn(causes) { for (const cause of causes) this.help.set(cause.name, cause.help); }

  draw(model) {
    set_text(this.empty, 'No errors since the start.');
    show(this.empty, model.causes.size === 0);
    const ordered = [...model.causes].map(([name, cause]) => ({ name, cause, minute: cause.recent.sum(60) }))
      .sort((a, b) => b.minute - a.minute || b.cause.total - a.cause.total);
    for (const { name, cause, minute } of ordered) {
      let row = this.rows.get(name);
      if (!row) {
        row = { chart: new Spark(3), minute: make('b', {}), total: make('span.muted', {}) };
        row.element = make('li', { 'data-cause': name }, make('code', {}, name), row.minute, row.chart.element, row.total,
          make('p.muted', {}, this.help.get(name) || ''));
        this.rows.set(name, row);
      }
      set_text(row.minute, minute ? `${number(minute)} in a minute` : '');
      set_text(row.total, number(cause.total) + ' so far');
      row.chart.draw(cause.recent);
    }
    for (const [name, row] of this.rows) if (!model.causes.has(name)) { row.element.remove(); this.rows.delete(name); }
    const elements = ordered.map(o => this.rows.get(o.name).element);
    if (elements.some((element, i) => this.list.children[i] !== element)) this.list.replaceChildren(...elements);
  }
}

/** The answer of /api/v1/requests. */
export function draw_failures(parent, requests) {
  if (!requests.length) return parent.replaceChildren(make('p.empty', {}, 'None.'));
  parent.replaceChildren(make('ol.failures', {}, ...requests.slice(0, 8).map(r => {
    const session = r.kind === 'tcp', what = session ? `tcp, ${r.host || r.client}` : `${r.method} ${r.target}`;
    const took = r.attempts > 1 ? `${r.attempts} attempts, ${milliseconds(r.duration_ms)}` : milliseconds(r.duration_ms);
    const answered = r.cause === 'none', bad = session ? !answered : !r.status || r.status >= 500;
    const became = !answered ? r.cause : bad ? "the backend's answer" : r.attempts > 1 ? 'a retry helped' : 'slow';
    return make('li', { title: session ? 'weir why' : `weir why ${r.id}` },
      make('span.line', {}, make(bad ? 'b.bad' : 'b', {}, String(r.status || '–')), make('span.target', {}, what),
        make('time.muted', {}, new Date(r.time).toLocaleTimeString([], { hour12: false }))),
      make('span.muted', {}, [became, r.pool, took].filter(Boolean).join(' · ')));
  })));
}

const RESULTS = { applied: ['good', 'applied'], bad_configuration: ['bad', 'bad file, not applied'], refused: ['bad', 'refused'], failed: ['bad', 'failed'] };

/** "pools.app.limits.inflight: 10 → 20", with the path in the ink of a label. */
function change_line(change) {
  const colon = change.indexOf(': ');
  const [path, rest] = colon < 0 ? ['', change] : [change.slice(0, colon), change.slice(colon + 2)];
  return make('li', {}, make('span.path', {}, path), make('span', {}, rest));
}

export class Configuration {
  constructor(parent) { this.parent = parent; this.shown = null; }

  draw(model) {
    const { status } = model.last, last = status.last_reload;
    const key = JSON.stringify([status.generation, status.loaded, last]);
    if (this.shown !== key) this.build(status, last);
    this.shown = key;
    set_text(this.loaded, `loaded ${age(model.age(status.loaded))} ago`);
    if (last) set_text(this.when, `${age(model.age(last.time))} ago`);
  }

  build(status, last) {
    this.loaded = make('span.muted', {});
    this.when = make('span.muted', {});
    const parts = [make('p.generation', {}, make('strong', {}, `Generation ${status.generation}`), this.loaded), make('p.muted.file', {}, status.file)];
    if (!last) parts.push(make('p.empty', {}, 'Not reloaded since the start.'));
    else {
      const [tone, words] = RESULTS[last.result] || ['quiet', last.result];
      parts.push(make('h3', {}, 'Last reload ', make('span.chip', { 'data-tone': tone }, words), this.when));
      if (last.reason) parts.push(make('p', {}, last.reason));
      for (const e of [...last.errors, ...last.warnings])
        parts.push(make('p.problem', {}, make('code', {}, `${e.file}:${e.line}:${e.column}`), ' ' + e.message));
      if (last.changes.length) parts.push(make('h3', {}, `What generation ${status.generation} changed`));
      if (last.changes.length) parts.push(make('ul.changes', {}, ...last.changes.slice(0, 50).map(change_line)));
      if (last.changes.length > 50) parts.push(make('p.muted', {}, `and ${last.changes.length - 50} more; the event log has them all`));
      if (last.result === 'applied' && !last.changes.length) parts.push(make('p.empty', {}, 'It changed nothing.'));
    }
    this.parent.replaceChildren(...parts);
  }
}
