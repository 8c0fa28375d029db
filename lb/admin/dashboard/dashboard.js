// The page: one stream of snapshots in, orders out.
import { make, set, set_text, show } from './dom.js';
import { Model } from './model.js';
import { Pools } from './pools.js';
import { Causes, Configuration, draw_failures } from './side.js';
import { age, number, plural } from './text.js';
import { Tiles } from './tiles.js';

const $ = id => document.getElementById(id);
const model = new Model();
const tiles = new Tiles($('tiles'));
const pools = new Pools($('pools'), model, (row, what) => order(row, what));
const causes = new Causes($('causes'));
const configuration = new Configuration($('configuration'));

// ---- the API

/** The answer as JSON. Throws an Error with a sentence for people; 401 in its `status` means that a token is needed. */
async function ask(method, path, headers = {}) {
  const answer = await fetch(path, { method, headers, cache: 'no-store', credentials: 'same-origin' });
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  throw Object.assign(new Error(body.detail || `The answer was ${answer.status}.`), { status: answer.status });
}

// ---- may this browser change anything?

let changes = 'unknown';  // as /api/v1/session has it: yes, session, token, no; locked: it may not even look

function allow(answer) {
  changes = answer;
  const button = $('access');
  show(button, changes !== 'yes');
  set_text(button, { session: 'Log out', token: 'Allow changes', locked: 'Log in' }[changes] || 'Read only');
  document.body.dataset.changes = changes;
}

async function look_at_session() {
  try {
    allow((await ask('GET', '/api/v1/session')).changes);
  } catch (error) {
    if (error.status === 401) allow('locked');
  }
}

/** Resolves to true once changes are allowed, to false if the user thinks better of it. */
async function unlock(why) {
  if (changes === 'yes' || changes === 'session') return true;
  if (changes === 'no') {
    await dialog({ title: 'This dashboard is read only', ok: 'Close', body: [
      make('p', {}, 'Changes over TCP need a token, and none is configured. Either use the command line on the machine itself:'),
      make('pre', {}, why || 'weir drain POOL/BACKEND'),
      make('p', {}, 'or make a token, name it in the configuration and reload:'),
      make('pre', {}, 'head -c 32 /dev/urandom | base64 > /etc/weir/token\nadmin: { bind: …, token_file: /etc/weir/token }')] });
    return false;
  }
  const input = make('input', { type: 'password', autocomplete: 'off', spellcheck: 'false', required: '', 'aria-label': 'Token', placeholder: 'Token' });
  return dialog({ title: changes === 'locked' ? 'Log in' : 'Allow changes', ok: changes === 'locked' ? 'Log in' : 'Allow', body: [
    make('p', {}, 'The token is the line in the file that admin.token_file names. The browser keeps a session of 12 hours, never the token.'), input],
  then: async () => {
    try {
      allow((await ask('POST', '/api/v1/session', { Authorization: 'Bearer ' + input.value.trim() })).changes);
    } catch (error) {
      input.select();
      throw error.status === 401 ? new Error('That is not the token.') : error;
    }
    connect();
  } });
}

async function log_out() {
  try {
    await ask('POST', '/api/v1/session/end');
  } catch (error) {
    if (error.status !== 401) return notify(error.message);
  }
  disconnect();
  await look_at_session();
  connect();
}

// ---- orders

async function order(row, what) {
  if (!await unlock(`weir ${what} ${row.key}`)) return;
  const pool = model.last.pools.find(p => p.name === row.pool), backend = model.backends.get(row.key);
  if (what !== 'enable' && backend.serves && pool.usable === 1 && !await dialog({
    title: `${row.name} is the last one that serves ${row.pool}`, ok: `${what[0].toUpperCase()}${what.slice(1)} it anyway`,
    body: [make('p', {}, 'Without it, requests to this pool get 503 until another backend is up.')] })) return;
  try {
    await ask('POST', `/api/v1/pools/${encodeURIComponent(row.pool)}/backends/${encodeURIComponent(row.name)}/${what}`);
    notify('');
  } catch (error) {
    if (error.status === 401) await look_at_session();
    notify(`${row.key}: ${error.message}`);
  }
}

function notify(text) {
  show($('notice'), text !== '');
  set_text($('notice'), text);
}

/** Resolves to true when it was agreed to and `then` went well, else to false. */
function dialog({ title, body, ok, then }) {
  const box = $('dialog'), form = $('dialog-form'), error = $('dialog-error');
  set_text($('dialog-title'), title);
  $('dialog-body').replaceChildren(...body);
  set_text($('dialog-ok'), ok);
  show(error, false);
  show($('dialog-cancel'), ok !== 'Close');
  return new Promise(resolve => {
    let agreed = false;
    form.onsubmit = async event => {
      event.preventDefault();
      try {
        if (then) await then();
        agreed = true;
        box.close();
      } catch (problem) {
        set_text(error, problem.message);
        show(error, true);
      }
    };
    $('dialog-cancel').onclick = () => box.close();
    box.onclose = () => resolve(agreed);
    box.showModal();
  });
}

// ---- the stream

let source = null, last_seen = 0;

function live(now) {
  const state = $('live');
  set(state, 'data-live', now ? 'yes' : 'no');
  const lost = last_seen ? `lost ${age((Date.now() - last_seen) / 1000)} ago, trying again` : 'connecting';
  set_text(state.lastElementChild, now ? 'live' : changes === 'locked' ? 'locked' : lost);
  document.body.classList.toggle('stale', !now && last_seen > 0);
}

async function connect() {
  disconnect();
  if (!causes.help.size) causes.learn((await ask('GET', '/api/v1/causes').catch(() => ({ causes: [] }))).causes);
  disconnect();
  source = new EventSource('/api/v1/events');
  source.onmessage = message => {
    last_seen = Date.now();
    draw(message.data);
    live(true);
  };
  source.onerror = async () => {
    live(false);
    if (!source || source.readyState !== EventSource.CLOSED) return;
    // Refused rather than broken off: too many streams, or a session that has ended.
    disconnect();
    await look_at_session();
    if (changes === 'locked') return unlock();
    setTimeout(() => { if (!source && !document.hidden) connect(); }, 2000);
  };
}

function disconnect() {
  if (source) source.close();
  source = null;
}

// A browser has six connections to a host: a page that nobody looks at gives its own back.
document.addEventListener('visibilitychange', () => document.hidden ? disconnect() : connect());

// ---- a snapshot

let failures_for = '', failures_at = 0;

function draw(text) {
  const began = performance.now();
  const moved = model.take(JSON.parse(text));
  if (moved) pools.build();
  draw_process(model.last.status);
  tiles.draw(model);
  draw_pools();
  causes.draw(model);
  configuration.draw(model);
  look_for_failures();
  // What a snapshot costs, for tests and for the curious; layout and painting come on top.
  document.documentElement.dataset.work = (performance.now() - began).toFixed(2);
  document.documentElement.dataset.snapshots = 1 + Number(document.documentElement.dataset.snapshots || 0);
}

function draw_process(status) {
  const [tone, words] = status.draining ? ['warn', 'ending'] : status.ready ? ['good', 'ready'] : ['warn', 'not ready'];
  set($('process-state'), 'data-tone', tone);
  set_text($('process-state'), words);
  set_text($('version'), status.version);
  set_text($('facts'), `up ${age(model.age(status.started))} · ${plural(status.workers, 'worker')} · generation ${status.generation}`);
  const title = model.usable < model.total ? `(${model.total - model.usable}) Weir` : 'Weir';
  if (document.title !== title) document.title = title;
}

function draw_pools() {
  const found = pools.draw();
  const trouble = model.total - model.usable;
  set_text($('count-all'), number(model.total));
  set_text($('count-trouble'), number(trouble));
  set($('count-trouble'), 'data-tone', trouble ? 'bad' : 'quiet');
  const minute = model.charts.errors.sum(60);
  show($('errors-badge'), minute > 0);
  set_text($('errors-badge'), number(minute));
  show($('nothing'), found === 0);
  set_text($('nothing'), !model.total ? 'The configuration has no pools.' : pools.trouble && !pools.wanted ? 'Every backend is serving.' : 'No backend fits.');
}

/** The requests behind the causes, when there may be new ones. */
async function look_for_failures() {
  const totals = JSON.stringify(model.last.causes) + model.last.pools.map(p => p.backends.reduce((sum, b) => sum + b.failures, 0));
  if (totals === failures_for || Date.now() - failures_at < 2000) return;
  failures_for = totals;
  failures_at = Date.now();
  try {
    draw_failures($('failures'), (await ask('GET', '/api/v1/requests')).requests);
  } catch {
    failures_for = '';
  }
}

// ---- the controls

$('access').onclick = () => changes === 'session' ? log_out() : unlock();
$('filter').oninput = () => {
  pools.wanted = $('filter').value.trim().toLowerCase();
  if (model.last) draw_pools();
};
function press(buttons, pressed) { for (const b of buttons) set(b, 'aria-pressed', String(b === pressed)); }
const shows = [...document.querySelectorAll('[data-show]')];
for (const button of shows) button.onclick = () => {
  press(shows, button);
  pools.trouble = button.dataset.show === 'trouble';
  if (model.last) draw_pools();
};
const sections = [...document.querySelectorAll('nav [data-section]')];
for (const button of sections) button.onclick = () => {
  press(sections, button);
  document.body.dataset.section = button.dataset.section;
};
setInterval(() => { if (Date.now() - last_seen > 3000) live(false); }, 1000);

await look_at_session();
if (changes === 'locked') {
  live(false);
  unlock();
} else {
  connect();
}
