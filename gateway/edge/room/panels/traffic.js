// What flows where, how fast it was answered, how much of it has its truth yet, and how right it was.
import { Chart, steps } from "../charts.js";
import { html, useEffect, useMemo, useState } from "../html.js";
import { useFeed } from "../feed.js";
import { colourOf } from "../theme.js";
import { count, lasting, percent } from "../words.js";

const RANGES = [["15 min", 0.25, 60], ["1 h", 1, 60], ["6 h", 6, 72], ["24 h", 24, 96], ["7 d", 168, 84], ["30 d", 720, 90], ["12 wk", 2016, 84]];
const ENOUGH = 200;
const LEAST = 12;

/** Follow the pulse of a deployment; without a chosen range, the shortest that shows something and the whole rollout. */
export function usePulse(name, least_s) {
  const [chosen, choose] = useState(null);
  const [found, widen] = useState(0);
  useEffect(() => (choose(null), widen(0)), [name]);
  const index = chosen ?? found;
  const [, hours, spans] = RANGES[index];
  const { said } = useFeed(`admin/deployments/${encodeURIComponent(name)}/pulse?hours=${hours}&spans=${spans}`, 2);
  const total = (said?.spans || []).reduce((sum, span) => sum + span.variants.reduce((n, one) => n + one.predictions, 0), 0);
  useEffect(() => {
    if (chosen != null || !said) return;
    const needed = Math.max(least_s, shown(said));
    if ((total < ENOUGH || hours * 3600 < least_s) && found < RANGES.length - 2) widen(found + 1);
    else if (total >= ENOUGH && found > 0 && needed < 3600 * RANGES[found - 1][1]) widen(found - 1);
  }, [said, least_s]);
  return { pulse: said, index, chosen, choose, hours };
}

/** For how long there has been anything to see, in seconds of data time. */
function shown(pulse) {
  const first = pulse.spans.find((span) => span.variants.length > 0);
  return first ? pulse.spans[pulse.spans.length - 1].until - first.after : 0;
}

export function Traffic({ pulse, index, chosen, choose, marks, deployment }) {
  const drawn = useMemo(() => columns(pulse), [pulse]);
  const candidates = deployment.variants.filter((one) => one.role === "candidate").map((one) => one.name);
  const hue = (name) => colourOf(name, candidates);
  return html`<section id="traffic" aria-label="Live traffic">
    <h2 class="section">Live <span class="quiet">by variant, in data time (UTC)</span>
      <span class="ranges" role="group" aria-label="How far back">
        ${RANGES.map(([label], i) => html`<button key=${label} class="range" aria-pressed=${i === index} onClick=${() => choose(i)}>${label}</button>`)}
        <button class="range" aria-pressed=${chosen == null} onClick=${() => choose(null)}>auto</button>
      </span></h2>
    ${drawn.names.length === 0
      ? html`<div class="panel"><p class="empty">${pulse ? "No request in this time." : "…"}</p></div>`
      : html`<div class="lives">
          <${Flow} drawn=${drawn} marks=${marks} hue=${hue} />
          <${Lines} id="accuracy" title="Right" what="accuracy" drawn=${drawn} marks=${marks} hue=${hue} pick=${(one) => one.accuracy} tell=${percent} range=${share} empty="No label yet." />
          <${Lines} id="latency" title="Latency" what="p50 solid, p95 dashed" drawn=${drawn} marks=${marks} hue=${hue} pick=${(one) => one.latency_s?.p50} second=${(one) => one.latency_s?.p95} tell=${lasting} empty="No latency yet." />
          <${Lines} id="coverage" title="Labels" what="share of requests whose truth is known" drawn=${drawn} marks=${marks} hue=${hue} pick=${(one) => (one.predictions ? one.labelled / one.predictions : null)} tell=${percent} range=${share} empty="No label yet." />
        </div>
        <${Table} drawn=${drawn} hue=${hue} />`}
  </section>`;
}

/** Turn spans into columns by variant name, from the first request on: rows of several generations are added up. */
function columns(pulse) {
  const all = pulse?.spans || [], first = all.findIndex((span) => span.variants.length > 0);
  const spans = first < 0 ? [] : all.slice(Math.max(0, Math.min(first - 1, all.length - LEAST)));
  const names = [...new Set(spans.flatMap((span) => span.variants.map((one) => one.variant)))];
  names.sort((one, other) => (other === "stable") - (one === "stable") || one.localeCompare(other));
  const cells = Object.fromEntries(names.map((name) => [name, spans.map((span) => cell(span.variants.filter((one) => one.variant === name)))]));
  return { spans, names, cells, at: spans.map((span) => span.after) };
}

function cell(rows) {
  if (!rows.length) return null;
  if (rows.length === 1) return rows[0];
  const sum = (member) => rows.reduce((total, one) => total + one[member], 0);
  const right = rows.reduce((total, one) => total + (one.accuracy || 0) * one.labelled, 0);
  const newest = rows.reduce((most, one) => (one.predictions > most.predictions ? one : most));
  const [predictions, failed, labelled] = ["predictions", "failed", "labelled"].map(sum);
  return { ...newest, predictions, failed, labelled, accuracy: labelled ? right / labelled : null, error_rate: predictions ? failed / predictions : null };
}

function Flow({ drawn, marks, hue }) {
  const { names, cells, at } = drawn;
  const data = useMemo(() => {
    let below = at.map(() => 0);
    const stacked = names.map((name) => (below = below.map((n, i) => n + (cells[name][i]?.predictions || 0))));
    return [at, ...stacked.reverse()];
  }, [drawn]);
  const series = [...names].reverse().map((name) => ({ label: name, colour: hue(name), width: 1, fill: 0.55, paths: steps,
    of: cells[name].map((one) => one?.predictions || 0) }));
  const width = drawn.spans.length ? drawn.spans[0].until - drawn.spans[0].after : 0;
  return html`<figure class="panel plot"><figcaption><h3>Requests</h3><span class="quiet">each ${lasting(width)}</span></figcaption>
    <${Chart} id="live-traffic" label="Requests by variant" data=${data} series=${series} tell=${count} marks=${marks} range=${fromZero} /></figure>`;
}

const fromZero = (_, low, high) => [0, high * 1.08 || 1];

function Lines({ id, title, what, drawn, marks, hue, pick, second, tell, empty, range = snug }) {
  const { names, cells, at } = drawn;
  const data = useMemo(() => [at, ...names.map((name) => cells[name].map((one) => (one ? pick(one) ?? null : null))),
    ...(second ? names.map((name) => cells[name].map((one) => (one ? second(one) ?? null : null))) : [])], [drawn]);
  const series = [...names.map((name) => ({ label: name, colour: hue(name), width: 1.75, gaps: true })),
    ...(second ? names.map((name) => ({ label: `${name} p95`, colour: hue(name), width: 1, dash: [4, 3], gaps: true })) : [])];
  const any = data.slice(1).some((column) => column.some((value) => value != null));
  return html`<figure class="panel plot"><figcaption><h3>${title}</h3><span class="quiet">${what}</span></figcaption>
    ${any ? html`<${Chart} id=${`live-${id}`} label=${`${title} by variant`} data=${data} series=${series} tell=${tell} marks=${marks} range=${range} />`
      : html`<p class="empty">${empty}</p>`}</figure>`;
}

const snug = (_, low, high) => {
  const room = 0.1 * (high - low || Math.abs(high) || 0.1);
  return [Math.max(0, low - room), high + room];
};
const share = (made, low, high) => snug(made, low, high).map((end) => Math.min(1, end));

/** The same in numbers, over the whole time shown; quantiles of the newest span that has any. */
function Table({ drawn, hue }) {
  return html`<div class="panel scroll"><table id="variants" class="numbers">
    <thead><tr><th>variant</th><th>version</th><th>requests</th><th>failed</th><th>right</th><th>labels</th><th>label delay<small>p50 / p95</small></th><th>latency<small>p50 / p95 / p99</small></th></tr></thead>
    <tbody>${drawn.names.map((name) => html`<${Row} key=${name} name=${name} cells=${drawn.cells[name].filter(Boolean)} hue=${hue} />`)}</tbody>
  </table></div>`;
}

function Row({ name, cells, hue }) {
  const sum = (member) => cells.reduce((total, one) => total + one[member], 0);
  const right = cells.reduce((total, one) => total + (one.accuracy || 0) * one.labelled, 0);
  const newest = (member) => cells.reduce((last, one) => one[member] || last, null);
  const [n, failed, labelled, delay, latency] = [sum("predictions"), sum("failed"), sum("labelled"), newest("label_delay_s"), newest("latency_s")];
  const versions = [...new Set(cells.map((one) => one.model_version || "earlier"))].join(", ");
  return html`<tr data-variant=${name}><th scope="row"><i class="dot" style=${{ background: `var(--${hue(name)})` }} /> ${name}</th>
    <td>${versions}</td><td data-cell="predictions">${count(n)}</td><td data-cell="failed">${percent(n ? failed / n : null)}</td>
    <td data-cell="accuracy">${percent(labelled ? right / labelled : null)}</td><td data-cell="coverage">${percent(n ? labelled / n : null)}</td>
    <td data-cell="delay">${delay ? `${lasting(delay.p50)} / ${lasting(delay.p95)}` : "–"}</td>
    <td data-cell="latency">${latency ? `${lasting(latency.p50)} / ${lasting(latency.p95)} / ${lasting(latency.p99)}` : "–"}</td></tr>`;
}
