// The figures of the whole process.
import { make, set, set_text, Spark } from './dom.js';
import { bytes, estimate, number, plural } from './text.js';

function tile(parent, name, chart) {
  const value = make('strong', {}), more = make('span.muted', {});
  const element = make('div.tile', { 'data-tile': name }, make('span.label', {}, name), value, more);
  if (chart) element.append(chart.element);
  parent.append(element);
  return { element, value, more, chart };
}

export class Tiles {
  constructor(parent) {
    this.backends = tile(parent, 'Backends');
    this.bar = make('div.bar', { 'aria-hidden': 'true' });
    this.backends.element.append(this.bar);
    this.rate = tile(parent, 'Requests', new Spark(5));
    this.errors = tile(parent, 'Errors', new Spark(5));
    this.p99 = tile(parent, 'Latency p99', new Spark(1));
    this.inflight = tile(parent, 'In flight', new Spark(5));
    this.connections = tile(parent, 'Connections', new Spark(5));
  }

  draw(model) {
    const { charts, last: { status } } = model;
    const put = (one, value, more, tone) => {
      set_text(one.value, value);
      set_text(one.more, more);
      set(one.element, 'data-tone', tone || 'quiet');
    };
    const lost = model.total - model.usable;
    put(this.backends, `${number(model.usable)} of ${number(model.total)}`, lost ? `${number(lost)} not serving` : 'all serving',
      model.total && !model.usable ? 'bad' : lost ? 'warn' : 'good');
    draw_bar(this.bar, model.by_status);
    put(this.rate, number(model.rate) + ' /s', `${number(status.requests)} so far`);
    const minute = charts.errors.sum(60), own = charts.own_errors.sum(60);
    put(this.errors, number(model.errors) + ' /s', minute ? `${number(minute)} in the last minute` : 'none in the last minute',
      model.errors ? 'bad' : 'quiet');
    set(this.errors.element, 'title', `In the last minute ${own} by Weir, ${minute - own} answers of backends with 5xx`);
    put(this.p99, estimate(model.p99), `p50 ${estimate(model.p50)}, last 10 s`);
    put(this.inflight, number(model.inflight), `${number(model.waiting)} waiting, ${plural(model.retrying, 'retry').replace('rys', 'ries')}`,
      model.waiting ? 'warn' : 'quiet');
    put(this.connections, number(status.connections), `${bytes(status.memory_bytes)} of memory`);
    this.rate.chart.draw(charts.rate);
    this.errors.chart.draw(charts.errors);
    this.p99.chart.draw(charts.p99);
    this.inflight.chart.draw(charts.inflight);
    this.connections.chart.draw(charts.connections);
  }
}

export const STATUSES = ['up', 'unknown', 'draining', 'disabled', 'ejected', 'down'];

/** A bar of coloured parts, one a status. */
export function draw_bar(bar, by_status) {
  if (!bar.firstChild) for (const status of STATUSES) bar.append(make('i', { 'data-status': status }));
  STATUSES.forEach((status, i) => {
    const share = String(by_status[status] || 0);
    if (bar.children[i].style.flexGrow !== share) bar.children[i].style.flexGrow = share;
  });
}
