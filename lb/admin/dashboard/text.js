// Numbers and times as people read them.

export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  if (value >= 1e6) return (value / 1e6).toFixed(value >= 1e7 ? 0 : 1) + ' M';
  if (value >= 1e4) return (value / 1e3).toFixed(value >= 1e5 ? 0 : 1) + ' k';
  if (value >= 100 || Number.isInteger(value)) return String(Math.round(value));
  return value.toFixed(value >= 10 ? 0 : 1);
}

export function milliseconds(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  if (value >= 9950) return (value / 1000).toFixed(0) + ' s';
  if (value >= 995) return (value / 1000).toFixed(1) + ' s';
  if (value >= 9.95) return value.toFixed(0) + ' ms';
  return value.toFixed(value >= 0.95 ? 1 : 2) + ' ms';
}

/** Of a quantile, which is estimated from the buckets of a histogram; beyond the last bound nothing is known. */
export function estimate(value) {
  if (value >= 60000) return '> 60 s';
  const text = milliseconds(value);
  return text === '–' ? text : '~' + text;
}

export function age(seconds) {
  if (seconds === null) return '';
  if (seconds < 90) return Math.floor(seconds) + ' s';
  if (seconds < 5400) return Math.floor(seconds / 60) + ' min';
  if (seconds < 172800) return Math.floor(seconds / 3600) + ' h';
  return Math.floor(seconds / 86400) + ' days';
}

export function bytes(value) {
  if (value >= 1 << 30) return (value / (1 << 30)).toFixed(1) + ' GiB';
  return (value / (1 << 20)).toFixed(0) + ' MiB';
}

export const plural = (n, word) => number(n) + ' ' + word + (n === 1 ? '' : 's');
