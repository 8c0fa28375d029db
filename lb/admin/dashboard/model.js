// What the snapshots of /api/v1/events say, as rates and charts. Nothing here touches the page.

export const HISTORY = 60;  // samples of a chart, one a second
const WINDOW = 10;          // seconds that a latency is taken over
// Upper bounds of the latency buckets in milliseconds (docs/metrics.md); a last bucket takes the rest.
const BOUNDS = [0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000];

/** The last HISTORY values, NaN where there was nothing to tell. */
export class Series {
  constructor() { this.values = new Float32Array(HISTORY).fill(NaN); this.next = 0; }
  push(value) { this.values[this.next] = value === null ? NaN : value; this.next = (this.next + 1) % HISTORY; }
  at(i) { return this.values[(this.next + i) % HISTORY]; }
  max() { let most = 0; for (const v of this.values) if (v > most) most = v; return most; }
  sum(last) { let s = 0; for (let i = HISTORY - last; i < HISTORY; ++i) s += this.at(i) || 0; return s; }
}

/** Milliseconds, linear within the bucket as Prometheus has it; null without observations. */
export function quantile(buckets, q) {
  let count = 0;
  for (const n of buckets) count += n;
  if (count <= 0) return null;
  let below = 0;
  for (let i = 0; i < BOUNDS.length; ++i) {
    if (buckets[i] > 0 && below + buckets[i] >= q * count) {
      const low = i ? BOUNDS[i - 1] : 0;
      return low + (BOUNDS[i] - low) * (q * count - below) / buckets[i];
    }
    below += buckets[i];
  }
  return BOUNDS[BOUNDS.length - 1];
}

/** The growth of a histogram over the last WINDOW samples. */
class Latencies {
  constructor() { this.kept = []; }
  push(buckets) {
    this.kept.push(buckets);
    if (this.kept.length > WINDOW + 1) this.kept.shift();
    const old = this.kept[0];
    const grown = buckets.map((n, i) => Math.max(0, n - old[i]));
    this.p50 = quantile(grown, 0.5);
    this.p99 = quantile(grown, 0.99);
    return grown;
  }
}

const per_second = (now, before, seconds) => seconds > 0 ? Math.max(0, now - before) / seconds : 0;
const serves = b => b.weight > 0 && (b.status === 'up' || b.status === 'unknown');

class Backend {
  constructor() { this.rates = new Series(); this.slow = new Series(); this.latency = new Latencies(); this.now = null; }
  take(now, seconds) {
    const before = this.now || now;
    this.answered_5xx = Math.max(0, now.responses['5xx'] - before.responses['5xx']);
    this.rate = per_second(now.requests, before.requests, seconds);
    this.errors = per_second(now.errors, before.errors, seconds);
    this.grown = this.latency.push(now.latency_buckets);
    this.now = now;
    this.serves = serves(now);
    this.rates.push(this.rate);
    this.slow.push(this.latency.p99);
  }
}

export class Model {
  constructor() { this.reset(); }

  reset() {
    this.backends = new Map();  // by "POOL/BACKEND"
    this.causes = new Map();    // name → {total, recent: Series}
    this.charts = { rate: new Series(), errors: new Series(), own_errors: new Series(), p99: new Series(), inflight: new Series(), connections: new Series() };
    this.last = null;
  }

  /** One snapshot. Returns true if pools or backends came, went or moved. */
  take(event) {
    const same = this.last && this.last.status.pid === event.status.pid && this.last.status.started === event.status.started &&
      event.at_ms >= this.last.at_ms;
    if (!same) this.reset();
    const seconds = same ? (event.at_ms - this.last.at_ms) / 1000 : 0;
    const shape = event.pools.map(p => p.name + ':' + p.backends.map(b => b.name).join(',')).join(';');
    const changed = !same || shape !== this.shape;
    this.shape = shape;
    this.take_pools(event, seconds);
    this.take_causes(event.causes, seconds > 0);
    this.rate = same ? per_second(event.status.requests, this.last.status.requests, seconds) : 0;
    this.charts.rate.push(this.rate);
    this.charts.connections.push(event.status.connections);
    this.last = event;
    this.clock_skew = Date.parse(event.time) - Date.now();
    return changed;
  }

  take_pools(event, seconds) {
    const seen = new Set();
    const all = new Array(BOUNDS.length + 1).fill(0);
    Object.assign(this, { total: 0, usable: 0, inflight: 0, waiting: 0, retrying: 0, backend_errors: 0, by_status: {} });
    for (const pool of event.pools) {
      pool.by_status = {};
      pool.rate = 0;
      pool.usable = 0;
      for (const now of pool.backends) {
        const key = pool.name + '/' + now.name;
        let backend = this.backends.get(key);
        if (!backend) this.backends.set(key, backend = new Backend());
        backend.take(now, seconds);
        seen.add(key);
        pool.by_status[now.status] = (pool.by_status[now.status] || 0) + 1;
        pool.rate += backend.rate;
        pool.usable += backend.serves;
        this.backend_errors += backend.answered_5xx;
        for (let i = 0; i < all.length; ++i) all[i] += backend.grown[i];
      }
      this.total += pool.backends.length;
      for (const [status, n] of Object.entries(pool.by_status)) this.by_status[status] = (this.by_status[status] || 0) + n;
      for (const sum of ['usable', 'inflight', 'waiting', 'retrying']) this[sum] += pool[sum];
    }
    for (const key of this.backends.keys()) if (!seen.has(key)) this.backends.delete(key);
    this.p50 = quantile(all, 0.5);
    this.p99 = quantile(all, 0.99);
    this.charts.p99.push(this.p99);
    this.charts.inflight.push(this.inflight);
  }

  take_causes(causes, counts) {
    let grown = 0;
    for (const [name, total] of Object.entries(causes)) {
      let cause = this.causes.get(name);
      // A cause that shows up while we look has grown from nothing.
      if (!cause) this.causes.set(name, cause = { total: counts ? 0 : total, recent: new Series() });
      const more = Math.max(0, total - cause.total);
      cause.recent.push(more);
      cause.total = total;
      grown += more;
    }
    this.charts.own_errors.push(grown);
    this.errors = grown + this.backend_errors;
    this.charts.errors.push(this.errors);
  }

  /** Seconds since a time of the server's clock. */
  age(time) { return time ? Math.max(0, (Date.now() + this.clock_skew - Date.parse(time)) / 1000) : null; }
}
