// Charts by uPlot, in the page's own colours and words. A chart's element carries its plot (`.plot`) for whoever asks.
import uPlot from "./vendor/uPlot.esm.js";
import { html, useEffect, useRef } from "./html.js";
import { colour, tint, useTheme } from "./theme.js";
import { moment, percent, percentMark } from "./words.js";

const utc = (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC");
const FONT = "11px Inter, system-ui, sans-serif";

/**
 * Draw series over data time.
 *
 * `data` is uPlot's: times, then a list per series. `series` says for each: {label, colour, dash, width, fill, paths, gaps}; with `gaps` nothing is drawn where nothing is known.
 * `tell` turns a value into words; `bands` fills between series; `marks` are moments to draw a line at.
 */
export function Chart({ id, label, data, series, tell, bands = [], range, marks = [], height = 150 }) {
  const box = useRef(null), plot = useRef(null), said = useRef(null), newest = useRef({});
  const theme = useTheme();
  newest.current = { marks, series, tell };
  const shape = JSON.stringify([theme, height, series.map((one) => [one.label, one.colour, one.dash])]);
  useEffect(() => {
    const options = optionsOf({ series, tell, bands, range, height, newest, said, width: box.current.clientWidth || 300 });
    const made = new uPlot(options, data, box.current);
    plot.current = box.current.plot = made;
    const held = box.current;
    const watch = new ResizeObserver(() => made.setSize({ width: held.clientWidth || 300, height }));
    watch.observe(held);
    return () => (watch.disconnect(), made.destroy());
  }, [shape]);
  useEffect(() => plot.current.setData(data), [data]);
  return html`<div class="plotted">
    <div id=${id} class="chart" ref=${box} role="img" aria-label=${label}></div>
    <p class="readout" ref=${said} aria-hidden="true"></p>
  </div>`;
}

function optionsOf({ series, tell, bands, range, height, newest, said, width }) {
  const quiet = colour("ink-3"), rule = colour("rule");
  const axis = { stroke: quiet, font: FONT, ticks: { show: false }, grid: { stroke: rule, width: 1 }, gap: 4 };
  return {
    width,
    height,
    tzDate: utc,
    legend: { show: false },
    padding: [8, 16, 0, 0],
    cursor: { points: { size: 5 }, drag: { x: false, y: false }, y: false },
    scales: { x: { time: true }, y: range ? { range } : {} },
    axes: [
      { ...axis, grid: { show: false }, size: 22, space: 70, values: ticks },
      { ...axis, size: 50, space: 34, values: (_, splits) => splits.map((one) => (tell === percent ? percentMark(one, splits[1] - splits[0]) : tell(one))) },
    ],
    series: [{}, ...series.map(lineOf)],
    bands: bands.map(([high, low, name, share]) => ({ series: [high, low], fill: tint(name, share) })),
    hooks: { draw: [(made) => drawMarks(made, newest.current.marks)], setCursor: [(made) => readOut(made, newest.current, said.current)] },
  };
}

function lineOf({ label, colour: name, dash, width = 1.5, fill, paths, gaps = false }) {
  const stroke = width ? colour(name) : "transparent";
  return { label, stroke, dash, width, paths, fill: fill ? tint(name, fill) : undefined, spanGaps: !gaps, points: { show: gaps, size: 4.5, fill: stroke } };
}

/** A stepped area: what was counted in each span. */
export const steps = uPlot.paths.stepped({ align: 1 });

const clock = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", hour: "2-digit", minute: "2-digit" });
const seconds = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", hour: "2-digit", minute: "2-digit", second: "2-digit" });
const days = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", day: "numeric", month: "short" });

function ticks(_, splits) {
  const apart = splits.length > 1 ? splits[1] - splits[0] : 60;
  return splits.map((at) => (apart >= 86400 || at % 86400 === 0 ? days : apart < 60 ? seconds : clock).format(at * 1000));
}

function drawMarks(made, marks) {
  const { ctx, bbox } = made;
  ctx.save();
  ctx.lineWidth = devicePixelRatio;
  for (const { at, name } of marks) {
    if (at < made.scales.x.min || at > made.scales.x.max) continue;
    const x = Math.round(made.valToPos(at, "x", true)) + 0.5;
    ctx.strokeStyle = colour(name);
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

function readOut(made, { series, tell }, said) {
  const at = made.cursor.idx;
  if (!said) return;
  const told = series.flatMap((one, i) => (one.silent || at == null ? [] : [`${one.label} ${(one.tell || tell)((one.of || made.data[i + 1])[at])}`]));
  said.textContent = at == null ? "" : `${moment(made.data[0][at])} · ${told.join(" · ")}`;
}
