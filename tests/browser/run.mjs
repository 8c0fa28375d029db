// The dashboard in a real browser. The last line is `browser: N passed, N failed`.
//   node run.mjs [PATTERN]      WEIR_BIN: the daemon; CHROMIUM: the browser; WEIR_SCREENSHOTS: a folder for pictures
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { backend, browser, open, row, sleep, TOKEN, traffic, until, weir } from './harness.mjs';

const tests = [];
const test = (name, run) => tests.push({ name, run });
const pool = (backends, more = {}) => ({ pools: { app: {
  health: { path: '/healthz', interval: '250ms', timeout: '200ms', fall: 2, rise: 2 },
  backends: Object.fromEntries(backends.map((b, i) => [`b${i + 1}`, b.url])), ...more } } });
const pictures = process.env.WEIR_SCREENSHOTS;

async function picture(page, name) {
  if (!pictures) return;
  fs.mkdirSync(pictures, { recursive: true });
  for (const [width, height] of [[390, 844], [1440, 900]])
    for (const colorScheme of ['light', 'dark']) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      await sleep(400);
      await page.screenshot({ path: path.join(pictures, `${name}-${width}-${colorScheme}.png`) });
    }
  await page.setViewportSize({ width: 1440, height: 900 });
}

/** Gives `use` a daemon before `count` backends and the browser's context. */
async function with_daemon(count, use, { options, more } = {}) {
  const backends = await Promise.all(Array.from({ length: count }, backend));
  const daemon = await weir(pool(backends, more), options);
  const chrome = await browser();
  try {
    await use({ backends, daemon, context: chrome.context });
  } finally {
    await chrome.close();
    await daemon.stop();
    await Promise.all(backends.map(b => b.kill()));
  }
}

async function log_in(page, token = TOKEN) {
  await page.fill('dialog input', token);
  await page.click('#dialog-ok');
}

test('it loads, and nothing complains', () => with_daemon(3, async ({ daemon, context }) => {
  const answer = await fetch(daemon.admin + '/');
  assert.match(answer.headers.get('content-security-policy'), /^default-src 'none'; script-src 'self'; style-src 'self';/);
  const page = await open(context, daemon);
  for (const key of ['app/b1', 'app/b2', 'app/b3']) await row(page, key).and(page.locator('[data-status=up]')).waitFor();
  assert.equal(await page.title(), 'Weir');
  assert.match(await page.textContent('[data-tile=Backends]'), /3 of 3/);
  assert.match(await page.textContent('#configuration'), /Generation 1/);
  assert.deepEqual(page.complaints, []);
}));

test('figures and charts follow the traffic', () => with_daemon(3, async ({ daemon, context }) => {
  const page = await open(context, daemon);
  const stop = traffic(daemon.web);
  try {
    await until('a rate', async () => parseFloat(await page.textContent('[data-tile=Requests] strong')) > 0);
    await until('a latency', async () => / m?s/.test(await row(page, 'app/b1').locator('.cell').nth(7).textContent()));
    const seen = Number(await page.getAttribute('html', 'data-snapshots'));
    await until('more snapshots', async () => Number(await page.getAttribute('html', 'data-snapshots')) >= seen + 3);
    assert.match(await page.getAttribute('[data-tile=Requests] .line', 'd'), /^M.+L/);
  } finally {
    await stop();
  }
  assert.deepEqual(page.complaints, []);
}));

test('a killed backend turns red within 3 s, and its errors have a cause', () => with_daemon(3, async ({ backends, daemon, context }) => {
  const page = await open(context, daemon);
  await row(page, 'app/b2').and(page.locator('[data-status=up]')).waitFor();
  const green = await row(page, 'app/b2').locator('.state b').evaluate(e => getComputedStyle(e).color);
  await backends[1].kill();
  const killed = Date.now();
  await row(page, 'app/b2').and(page.locator('[data-status=down]')).waitFor({ timeout: 3000 });
  console.log(`  red after ${Date.now() - killed} ms`);
  assert.notEqual(await row(page, 'app/b2').locator('.state b').evaluate(e => getComputedStyle(e).color), green);
  assert.equal(await page.title(), '(1) Weir');
  await page.click('[data-show=trouble]');
  assert.equal(await page.locator('[data-backend]:visible').count(), 1);
  await page.click('[data-show=all]');
  await Promise.all([backends[0].kill(), backends[2].kill()]);
  await row(page, 'app/b3').and(page.locator('[data-status=down]')).waitFor();
  await fetch(daemon.web + '/lost');
  await page.locator('[data-cause]').first().waitFor();
  await page.locator('.failures li', { hasText: '/lost' }).first().waitFor();
  assert.deepEqual(page.complaints, []);
}));

test('the token, a click that drains, logging out', () => with_daemon(2, async ({ daemon, context }) => {
  const page = await open(context, daemon, { expected: /status of 401/ });
  await row(page, 'app/b1').locator('[data-order=drain]').click();
  await picture(page, 'token');
  await log_in(page, 'not-the-token-at-all');
  await page.locator('#dialog-error', { hasText: 'That is not the token.' }).waitFor();
  await log_in(page);
  await row(page, 'app/b1').and(page.locator('[data-status=draining]')).waitFor();
  assert.equal((await daemon.api('/api/v1/pools/app/backends/b1')).status, 'draining');
  const [cookie] = await context.cookies(daemon.admin + '/api/v1/session');
  assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.path], [true, 'Strict', '/api/v1/']);
  assert.equal(await page.evaluate(() => document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)), '{}{}');

  await row(page, 'app/b2').locator('[data-order=disable]').click();
  await page.locator('#dialog-title', { hasText: 'b2 is the last one that serves app' }).waitFor();
  await page.click('#dialog-cancel');
  assert.equal((await daemon.api('/api/v1/pools/app/backends/b2')).status, 'up');
  await row(page, 'app/b1').locator('[data-order=enable]').click();
  await row(page, 'app/b1').and(page.locator('[data-status=up]')).waitFor();

  await page.reload();
  await page.locator('#access', { hasText: 'Log out' }).click();
  await page.locator('#access', { hasText: 'Allow changes' }).waitFor();
  assert.equal((await context.cookies(daemon.admin + '/api/v1/session')).length, 0);
  const old = await fetch(daemon.admin + '/api/v1/pools/app/backends/b1/drain', { method: 'POST',
    headers: { Cookie: `${cookie.name}=${cookie.value}`, Origin: daemon.admin } });
  assert.equal(old.status, 401);
  assert.deepEqual(page.complaints, []);
}));

test('without a token the buttons say how to allow changes', () => with_daemon(1, async ({ daemon, context }) => {
  const page = await open(context, daemon);
  await row(page, 'app/b1').locator('[data-order=drain]').click();
  await page.locator('dialog pre', { hasText: 'weir drain app/b1' }).waitFor();
  await picture(page, 'read-only');
  await page.click('#dialog-ok');
  assert.equal((await daemon.api('/api/v1/pools/app/backends/b1')).status, 'up');
  assert.deepEqual(page.complaints, []);
}, { options: { token: false } }));

test('a reload shows what it changed, a bad one why not', () => with_daemon(2, async ({ backends, daemon, context }) => {
  const page = await open(context, daemon);
  daemon.write(pool(backends, { balance: 'power_of_two', limits: { inflight: 100 } }));
  await daemon.reload();
  await page.locator('#configuration', { hasText: 'Generation 2' }).waitFor();
  await page.locator('.changes', { hasText: 'power_of_two' }).waitFor();
  await fetch(daemon.admin + '/api/v1/reload?dry_run=true', { method: 'POST', headers: { Authorization: 'Bearer ' + TOKEN } });
  await page.locator('[data-pool=app] header', { hasText: 'power of two' }).waitFor();
  daemon.write({ ...pool(backends), routes: [{ pool: 'ap' }] });
  await daemon.reload();
  await page.locator('#configuration .problem', { hasText: 'weir.yaml:' }).waitFor();
  await page.locator('.changes', { hasText: 'power_of_two' }).waitFor();  // what runs is still that
  await picture(page, 'reload');
  assert.deepEqual(page.complaints, []);
}));

test('nothing but its own scripts runs', () => with_daemon(1, async ({ daemon, context }) => {
  const page = await open(context, daemon, { expected: /Content Security Policy|CSP|TrustedScript|Trusted Types/i });
  const blocked = await page.evaluate(async () => {
    const seen = [];
    document.addEventListener('securitypolicyviolation', event => seen.push(event.effectiveDirective));
    try { document.body.innerHTML += '<b>x</b>'; } catch (error) { seen.push(error.name); }
    document.body.append(Object.assign(document.createElement('style'), { textContent: 'body{display:none}' }));
    document.body.setAttribute('style', 'display:none');
    await fetch('http://127.0.0.1:1/').catch(() => {});
    await new Promise(resolve => setTimeout(resolve, 200));  // the events come later
    return seen;
  });
  for (const directive of ['TypeError', 'style-src-elem', 'style-src-attr', 'connect-src']) assert.ok(blocked.includes(directive), `${directive} in ${blocked}`);
}));

test('500 backends without stutter', async () => {
  const one = await backend(), chrome = await browser();
  const many = n => Object.fromEntries(Array.from({ length: n }, (_, i) => [`web-${String(i + 1).padStart(3, '0')}`, one.url]));
  const daemon = await weir({ pools: { app: { balance: 'least_connections', backends: many(400) }, images: { backends: many(100) } },
    routes: [{ match: { path: '/images/*' }, pool: 'images' }, { pool: 'app' }] });
  const stop = traffic(daemon.web, 8);
  try {
    for (const order of ['app/backends/web-003/drain', 'app/backends/web-007/disable'])
      await fetch(`${daemon.admin}/api/v1/pools/${order}`, { method: 'POST', headers: { Authorization: 'Bearer ' + TOKEN } });
    const page = await open(chrome.context, daemon);
    assert.equal(await page.locator('[data-backend]').count(), 500);
    const work = [];
    for (let i = 0; i < 5; ++i) {
      const seen = await page.getAttribute('html', 'data-snapshots');
      await until('a snapshot', async () => await page.getAttribute('html', 'data-snapshots') !== seen);
      work.push(Number(await page.getAttribute('html', 'data-work')));
      await page.mouse.wheel(0, 2500);
    }
    work.sort((a, b) => a - b);
    console.log(`  script a snapshot: median ${work[2]} ms, worst ${work[4]} ms`);
    assert.ok(work[2] < 100, `${work} ms`);  // a frame has 16 ms; the rest is for slow and busy machines
    const built = await page.locator('[data-backend] .name').count();
    assert.ok(built > 20 && built < 250, `${built} rows are made`);
    await page.evaluate(() => scrollTo(0, 0));
    await page.fill('#filter', 'web-007');
    assert.equal(await page.locator('[data-backend]:visible').count(), 2);
    await page.fill('#filter', '');
    if (pictures) await sleep(20000);
    await picture(page, 'many');
    assert.deepEqual(page.complaints, []);
  } finally {
    await stop();
    await chrome.close();
    await daemon.stop();
    await one.kill();
  }
});

test('on a phone it fits, and has its sections', () => with_daemon(3, async ({ backends, daemon, context }) => {
  const page = await open(context, daemon, { viewport: { width: 390, height: 844 } });
  const stop = traffic(daemon.web);
  backends[1].delay = 30;
  try {
    if (pictures) {
      backends[0].delay = 8;
      await sleep(9000);
      backends[2].status = 503;
      await sleep(9000);
    }
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    await page.click('nav [data-section=errors]');
    assert.ok(await page.isVisible('#causes') && !await page.isVisible('#pools'));
    if (pictures) await page.screenshot({ path: path.join(pictures, 'phone-errors.png') });
    await page.click('nav [data-section=backends]');
    assert.ok(await page.isVisible('#pools') && !await page.isVisible('#causes'));
    await picture(page, 'three');
  } finally {
    await stop();
  }
  assert.deepEqual(page.complaints, []);
}));

let passed = 0, failed = 0;
for (const { name, run } of tests) {
  if (process.argv[2] && !name.includes(process.argv[2])) continue;
  const began = Date.now();
  const timer = setTimeout(() => { console.log(`FAIL ${name}: over 2 minutes`); process.exit(1); }, 120000);
  try {
    await run();
    ++passed;
    console.log(`ok   ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    ++failed;
    console.log(`FAIL ${name}\n${error.stack}`);
  }
  clearTimeout(timer);
}
console.log(`browser: ${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
