// The little that the page needs to make and change elements cheaply.

/** make('td.num', {title: 'x'}, 'text', child…): an element with classes, attributes and children. */
export function make(name, attributes, ...children) {
  const [tag, ...classes] = name.split('.');
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(' ');
  for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Writes only what differs: that spares the browser most of its work. */
export function set_text(element, text) {
  const now = element.firstChild;
  if (!now) element.append(text);
  else if (now.data !== text) now.data = text;
}
export function set(element, attribute, value) {
  if (element.getAttribute(attribute) !== value) element.setAttribute(attribute, value);
}
export function show(element, visible) { if (element.hidden === visible) element.hidden = !visible; }

const SVG = 'http://www.w3.org/2000/svg';

/** A small line of a Series, with its area filled; scaled by its greatest value, or by `floor` if that is greater. */
export class Spark {
  constructor(floor) {
    this.floor = floor;
    this.element = document.createElementNS(SVG, 'svg');
    this.element.setAttribute('viewBox', '0 0 100 24');
    this.element.setAttribute('preserveAspectRatio', 'none');
    this.element.setAttribute('class', 'spark');
    this.element.setAttribute('aria-hidden', 'true');
    this.area = document.createElementNS(SVG, 'path');
    this.line = document.createElementNS(SVG, 'path');
    this.area.setAttribute('class', 'area');
    this.line.setAttribute('class', 'line');
    this.element.append(this.area, this.line);
  }

  draw(series) {
    const length = series.values.length, most = Math.max(series.max(), this.floor);
    let line = '', area = '', start = -1;
    for (let i = 0; i <= length; ++i) {
      const value = i < length ? series.at(i) : NaN;
      const x = (i * 100 / (length - 1)).toFixed(1);
      if (Number.isNaN(value)) {
        if (start >= 0) area += `L${((i - 1) * 100 / (length - 1)).toFixed(1)} 24L${start} 24Z`;
        start = -1;
        continue;
      }
      const point = `${x} ${(22.5 - 21 * value / most).toFixed(1)}`;
      line += (start < 0 ? 'M' : 'L') + point;
      area += (start < 0 ? 'M' : 'L') + point;
      if (start < 0) start = x;
    }
    set(this.line, 'd', line);
    set(this.area, 'd', area);
  }
}
