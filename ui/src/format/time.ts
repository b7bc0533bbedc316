/** Times as people read them, and as the API writes them. Milliseconds since 1970 inside. */

const two = (n: number) => String(n).padStart(2, "0");

/** 14:05:09, in the reader's zone. */
export function clock(ms: number): string {
  const d = new Date(ms);
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

/** 2026-01-31 14:05:09, in the reader's zone. */
export function dateTime(ms: number): string {
  const d = new Date(ms);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${clock(ms)}`;
}

/** A length of time in its two largest units at most: 45 s, 3 min 20 s, 5 h 10 min, 12 d. */
export function duration(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  const min = Math.floor(s / 60);
  if (min < 10 && s % 60 !== 0) return `${min} min ${s % 60} s`;
  if (min < 60) return `${min} min`;
  const h = Math.floor(min / 60);
  if (h < 10 && min % 60 !== 0) return `${h} h ${min % 60} min`;
  if (h < 48) return `${h} h`;
  return `${Math.floor(h / 24)} d`;
}

/** How long ago something was: now, or 45 s ago. */
export function ago(ms: number): string {
  return ms < 2000 ? "now" : `${duration(ms)} ago`;
}

/** RFC 3339 with any number of digits, as milliseconds with their fraction; NaN if it is none. */
export function parseTime(text: string): number {
  const whole = Date.parse(text.replace(/\.\d+/u, ""));
  const fraction = /\.\d+/u.exec(text);
  return fraction ? whole + Number(fraction[0]) * 1000 : whole;
}
