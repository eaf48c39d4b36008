// How numbers, durations and moments are said. Pure; all moments are data time, shown in UTC.

const counts = new Intl.NumberFormat("en");

/** Tell a count: 12,345. */
export const count = (n) => (n == null ? "–" : counts.format(n));

/** Tell a share: 5.1 %, 0.021 %, 0 %; null is a dash. */
export function percent(share, digits = 1) {
  if (share == null) return "–";
  const value = 100 * share;
  if (value === 0) return "0 %";
  return Math.abs(value) >= 1 ? `${value.toFixed(digits)} %` : `${Number(value.toPrecision(2))} %`;
}

/** Tell a plain quantity to four digits. */
export function quantity(value) {
  if (value == null) return "–";
  return Math.abs(value) >= 1000 ? counts.format(Math.round(value)) : String(Number(value.toPrecision(4)));
}

/** Tell an e-value: 0.03, 19.9, 12,345, 3.2e17. */
export function evidence(value) {
  if (value == null) return "–";
  if (value < 10) return value.toFixed(2);
  if (value < 1e3) return value.toFixed(1);
  return value < 1e6 ? counts.format(Math.round(value)) : value.toExponential(1).replace("+", "");
}

/** Tell a share on an axis whose marks are so far apart: no more digits than tell them apart. */
export function percentMark(share, apart) {
  const digits = Math.max(0, Math.min(4, Math.ceil(-Math.log10(100 * apart) - 1e-9)));
  return `${(100 * share).toFixed(digits)} %`;
}

const UNITS = [["s", 1, 90], ["min", 60, 5400], ["h", 3600, 172800], ["d", 86400, Infinity]];

/** Tell a duration: 850 ms, 4.3 s, 42 min, 2.5 h, 4.6 d. */
export function lasting(seconds) {
  if (seconds == null) return "–";
  if (seconds < 1 && seconds > 0) return `${Number((1000 * seconds).toPrecision(3))} ms`;
  const [unit, length] = UNITS.find(([, , most]) => seconds < most);
  return `${Number((seconds / length).toPrecision(seconds / length >= 100 ? 3 : 2))} ${unit}`;
}

const day = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", day: "numeric", month: "short", year: "numeric" });
const hour = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", hour: "2-digit", minute: "2-digit" });
const second = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** Tell a moment: 5 Mar 2013, 14:02. */
export const moment = (at) => (at == null ? "–" : `${day.format(at * 1000)}, ${hour.format(at * 1000)}`);

/** Tell a moment to the second. */
export const instant = (at) => (at == null ? "–" : `${day.format(at * 1000)}, ${second.format(at * 1000)}`);

/** Tell a day. */
export const date = (at) => (at == null ? "–" : day.format(at * 1000));

/** Tell a member of a document as words: rolled_back -> rolled back. */
export const spelt = (word) => String(word).replaceAll("_", " ");

/** Tell any scalar. */
export const scalar = (value) => (value == null ? "none" : typeof value === "number" ? quantity(value) : String(value));
