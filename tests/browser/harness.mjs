// The real daemon, backends and a browser for the dashboard's tests; each cleans up after itself.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const BINARY = process.env.WEIR_BIN || path.join(ROOT, 'build/test/weir');
export const TOKEN = 'a-token-for-the-tests';

export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

/** Waits until `look` gives something true, and returns it. */
export async function until(what, look, ms = 20000) {
  for (const end = Date.now() + ms; ;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await sleep(25);
  }
}

/** A backend that answers 200, or `state.status`, after `state.delay` ms. */
export async function backend() {
  const state = { status: 200, delay: 0 };
  const server = http.createServer((request, response) => {
    const answer = () => { response.statusCode = request.url === '/healthz' ? 200 : state.status; response.end('ok\n'); };
    state.delay && request.url !== '/healthz' ? setTimeout(answer, state.delay * (0.5 + Math.random())) : answer();
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  const port = server.address().port;
  return Object.assign(state, {
    url: `http://127.0.0.1:${port}`,
    kill: () => new Promise(resolve => { server.close(resolve); server.closeAllConnections(); }),
  });
}

/** A daemon on a configuration (an object; JSON is YAML). `token: false`: none is configured. */
export async function weir(configuration, { token = true } = {}) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'weir-browser-'));
  const file = path.join(folder, 'weir.yaml'), token_file = path.join(folder, 'token');
  fs.writeFileSync(token_file, TOKEN + '\n');
  const write = next => fs.writeFileSync(file, JSON.stringify({
    workers: 1, listeners: { web: { bind: '127.0.0.1:0' } }, routes: [{ pool: 'app' }], ...next,
    admin: { bind: '127.0.0.1:0', socket: path.join(folder, 'admin.sock'), ...(token ? { token_file } : {}) } }, null, 1));
  write(configuration);
  const child = spawn(BINARY, ['run', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  const daemon = { write, child, log: '', addresses: {}, pid: child.pid, exited: new Promise(resolve => child.on('exit', resolve)) };
  child.stderr.on('data', data => {
    daemon.log += data;
    for (const [, name, address] of daemon.log.matchAll(/listening listener=(\S+) address=(\S+)/g)) daemon.addresses[name] = address;
  });
  daemon.stop = async () => {
    child.kill('SIGTERM');
    await sleep(20);
    child.kill('SIGTERM');
    await daemon.exited;
    fs.rmSync(folder, { recursive: true, force: true });
  };
  await until('the daemon is ready\n' + daemon.log, () => / info ready /.test(daemon.log) || (child.exitCode !== null && Promise.reject(new Error(daemon.log))));
  daemon.admin = `http://${daemon.addresses.admin}`;
  daemon.web = `http://${daemon.addresses.web}`;
  daemon.api = async where => (await fetch(daemon.admin + where)).json();
  daemon.reload = async () => fetch(daemon.admin + '/api/v1/reload', { method: 'POST', headers: { Authorization: 'Bearer ' + TOKEN } });
  return daemon;
}

/** Requests one after the other in `clients` lines, until the function that it returns is called. */
export function traffic(url, clients = 4, pause = 2) {
  let going = true;
  const lines = Array.from({ length: clients }, async (_, i) => {
    for (let n = 0; going; ++n) {
      await fetch(`${url}/orders/${i}${n}`).then(answer => answer.text()).catch(() => {});
      await sleep(pause * (0.5 + Math.random()));
    }
  });
  return () => { going = false; return Promise.all(lines); };
}

/** A browser with a new, empty profile. */
export async function browser(options = {}) {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'weir-chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium', headless: true, viewport: { width: 1440, height: 900 },
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'], ...options });
  return { context, close: async () => { await context.close(); fs.rmSync(profile, { recursive: true, force: true }); } };
}

/**
 * The dashboard in a new page, once it shows a snapshot. `page.complaints`: what the console, the content security policy
 * and requests to elsewhere say; `expected` of them (a regular expression) are left out.
 */
export async function open(context, daemon, { expected = /^$/, ...view } = {}) {
  const page = await context.newPage();
  page.complaints = [];
  const complain = text => { if (!expected.test(text)) page.complaints.push(text); };
  page.on('console', message => { if (['error', 'warning'].includes(message.type())) complain(message.text()); });
  page.on('pageerror', error => complain(String(error)));
  page.on('request', request => { if (!request.url().startsWith(daemon.admin + '/')) complain('asks elsewhere: ' + request.url()); });
  await page.addInitScript(() => document.addEventListener('securitypolicyviolation', event => console.error('CSP: ' + event.violatedDirective)));
  if (view.viewport) await page.setViewportSize(view.viewport);
  if (view.colorScheme) await page.emulateMedia({ colorScheme: view.colorScheme });
  await page.goto(daemon.admin + '/');
  await page.waitForSelector('html[data-snapshots]');
  return page;
}

export const row = (page, key) => page.locator(`[data-backend="${key}"]`);
