// Each guardrail: both arms' estimates with their any-time intervals as they narrow, and evidence against its threshold.
import { Chart } from "../charts.js";
import { html, useMemo } from "../html.js";
import { count, evidence, percent, quantity } from "../words.js";

const SIDES = ["stable", "candidate"];

/** Show every guardrail of a verdict; `course` is how it came to that. Under watch the stable of now is measured by the one before. */
export function Guardrails({ verdict, course, marks, colour, deployment }) {
  const former = deployment.previous[0] ? `former v${deployment.previous[0].model_version}` : "former";
  const told = verdict.phase === "watched" ? { sides: [former, `stable v${verdict.model_version}`], harms: "returns" } : {};
  const shown = verdict.guardrails.filter((one) => one.role !== "signal");
  const checks = verdict.guardrails.filter((one) => one.role === "signal");
  return html`<section id="guardrails" aria-label="Guardrails">
    <h2 class="section">Guardrails <span class="quiet">badness: higher is worse · bands hold at 95 %, at all times</span></h2>
    <div class="guardrails">
      ${shown.map((one) => html`<${Guardrail} key=${one.metric} found=${one} at=${verdict.at} course=${course} marks=${marks} colour=${colour} ...${told} />`)}
    </div>
    ${checks.length > 0 && html`<ul class="checks">${checks.map((one) => html`<${Check} key=${one.metric} found=${one} />`)}</ul>`}
  </section>`;
}

/** Show one guardrail. `sides` says who is compared, the yardstick first; `about` sets its chart's id apart where several stand on a page; `harms` says what follows from harm. */
export function Guardrail({ found, at, course, marks, colour, sides = SIDES, about = "", harms = "demotes" }) {
  const say = found.amount ? quantity : percent, paired = found.metric.startsWith("paired_");
  const data = useMemo(() => dataOf(found, at, course), [found, at, course]);
  const series = [
    { label: `${sides[0]} high`, colour: "stable", width: 0, silent: true },
    { label: `${sides[0]} low`, colour: "stable", width: 0, silent: true },
    { label: sides[0], colour: "stable", width: 1.75 },
    { label: `${sides[1]} high`, colour, width: 0, silent: true },
    { label: `${sides[1]} low`, colour, width: 0, silent: true },
    { label: sides[1], colour, width: 1.75 },
  ];
  return html`<article class="panel guardrail" data-metric=${found.metric}>
    <header><h3>${found.metric}</h3>${found.dry_run && html`<span class="phase">dry run</span>`}
      <span class="finding finding-${found.finding}">${found.finding}</span></header>
    <dl class="arms">
      <${Arm} name="stable" said=${sides[0]} colour="stable" estimate=${say(found.stable)} low=${say(found.stable_low)} high=${say(found.stable_high)} n=${found.n_stable} pairs=${paired} bad=${found.amount ? null : found.bad_stable} />
      <${Arm} name="candidate" said=${sides[1]} colour=${colour} estimate=${say(found.candidate)} low=${say(found.candidate_low)} high=${say(found.candidate_high)} n=${found.n_candidate} pairs=${paired} bad=${found.amount ? null : found.bad_candidate} />
    </dl>
    ${data[0].length > 1
      ? html`<${Chart} id=${`chart-${about}${found.metric}`} label=${`${found.metric}: ${found.sentence}`} data=${data} series=${series} marks=${marks}
          tell=${say} bands=${[[1, 2, "stable", 0.16], [4, 5, colour, 0.16]]} range=${ranged(found.amount)} height=${150} />`
      : html`<p class="empty">No evidence yet: the first comparison appears with the first outcomes.</p>`}
    <${Meter} name="harm" value=${found.evidence_now} peak=${found.evidence} threshold=${found.threshold} tone="fail" says=${harms} />
    ${found.promote_threshold != null && html`<${Meter} name="safety" value=${found.promote_evidence} threshold=${found.promote_threshold} tone="pass" says="passes" />`}
    <p class="sentence">${found.sentence}</p>
  </article>`;
}

const Arm = ({ name, said, colour, estimate, low, high, n, bad, pairs }) => html`<div class="arm" data-arm=${name}>
  <dt><i class="dot" style=${{ background: `var(--${colour})` }} /> ${said}</dt>
  <dd><b class="estimate">${estimate}</b> <span class="interval">${low} – ${high}</span>
    <span class="quiet n">${bad == null ? "" : `${count(bad)} of `}${count(n)}${pairs ? " pairs" : ""}</span></dd>
</div>`;

/** An e-value on its way to a threshold; the way is logarithmic, as evidence multiplies. */
function Meter({ name, value, peak, threshold, tone, says }) {
  const way = (e) => Math.max(0, Math.min(1, e > 1 ? Math.log(e) / Math.log(threshold) : 0));
  return html`<div class="evidence" data-evidence=${name}>
    <span class="evidence-name">${name}</span>
    <span class="meter meter-${tone}" role="meter" aria-label=${`evidence of ${name}`} aria-valuemin="0" aria-valuemax="1" aria-valuenow=${way(value ?? 0).toFixed(3)}>
      <i style=${{ width: `${100 * way(value ?? 0)}%` }} />${peak > 1 && html`<b style=${{ left: `${100 * way(peak)}%` }} />`}</span>
    <span class="evidence-value">${evidence(value)} <span class="quiet">of ${evidence(threshold)} ${says}</span></span>
  </div>`;
}

const Check = ({ found }) => html`<li class="check check-${found.finding}" data-metric=${found.metric}>
  <i class="light" aria-hidden="true" /> ${found.sentence} <span class="quiet">evidence ${evidence(found.evidence)} of ${evidence(found.threshold)}</span></li>`;

/** Put the course of one metric, and where it stands now, into columns. */
function dataOf(found, at, course) {
  const points = (course?.points || []).flatMap((point) => {
    const one = point.metrics.find((each) => each.metric === found.metric);
    return one && one.n_stable + one.n_candidate > 0 ? [{ ...one, at: point.at }] : [];
  });
  const last = points[points.length - 1];
  if (found.n_stable + found.n_candidate > 0 && (!last || at > last.at)) points.push({ ...found, at });
  const column = (name) => points.map((one) => one[name]);
  return [column("at"), column("stable_high"), column("stable_low"), column("stable"),
    column("candidate_high"), column("candidate_low"), column("candidate")];
}

/** Leave out of the picture how wide the first intervals were: the last three quarters of the points fill it. */
function ranged(amount) {
  return (made) => {
    const from = Math.floor(made.data[0].length / 4);
    const seen = made.data.slice(1).flatMap((column) => column.slice(from)).filter((v) => v != null && Math.abs(v) < 1e100);
    const low = Math.min(...seen), high = Math.max(...seen), room = 0.06 * (high - low || 0.1);
    if (!seen.length) return [0, 1];
    return amount ? [low - room, high + room] : [Math.max(0, low - room), Math.min(1, high + room)];
  };
}
