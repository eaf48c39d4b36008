// How often the deployment changes, how fast it recovers, how old its model is.
import { html } from "../html.js";
import { count, date, lasting } from "../words.js";

export function Kpis({ kpis }) {
  if (!kpis) return html`<section class="panel kpis" id="kpis" aria-label="Key figures"><h2>Key figures</h2><p class="empty">…</p></section>`;
  return html`<section class="panel kpis" id="kpis" aria-label="Key figures"><h2>Key figures</h2>
    <dl>
      <div><dt>Deployments per week</dt><dd id="kpi-per-week">${kpis.per_week.toFixed(1)}</dd><dd class="quiet">promotions; ${count(sum(kpis.weeks, "started"))} candidates tried in 12 weeks</dd></div>
      <div><dt>Time to recovery</dt><dd id="kpi-recovery">${lasting(kpis.recovery_machine_s)}</dd><dd class="quiet">${kpis.recoveries ? `median of ${count(kpis.recoveries)}, from first request to demoted${told(kpis)}` : "nothing had to be taken back"}</dd></div>
      <div><dt>Model age</dt><dd id="kpi-age">${lasting(kpis.model_age_s)}</dd><dd class="quiet">${kpis.model_since == null ? "since before its timeline" : `stable since ${date(kpis.model_since)}`}</dd></div>
    </dl>
    <${Weeks} weeks=${kpis.weeks} />
  </section>`;
}

const sum = (weeks, member) => weeks.reduce((total, week) => total + week[member], 0);
/** A replay recovers in seconds what took days of data time: then both are told. */
const told = (kpis) => (Math.abs(kpis.recovery_s - kpis.recovery_machine_s) > 0.1 * kpis.recovery_s + 1 ? ` (${lasting(kpis.recovery_s)} of data time)` : "");

function Weeks({ weeks }) {
  const most = Math.max(1, ...weeks.flatMap((week) => [week.promoted, week.demoted + week.rolled_back]));
  const said = weeks.map((week) => `${date(week.after)}: ${week.promoted} promoted, ${week.demoted + week.rolled_back} taken back`).join("; ");
  return html`<svg class="weeks" viewBox="0 0 240 56" role="img" aria-label=${said}>
    <line x1="0" x2="240" y1="28" y2="28" />
    ${weeks.map((week, i) => html`<g key=${week.after}><title>${date(week.after)}: ${week.promoted} promoted, ${week.demoted + week.rolled_back} taken back</title>
      <rect class="up" x=${i * 20 + 4} width="12" y=${28 - (26 * week.promoted) / most} height=${(26 * week.promoted) / most} rx="1" />
      <rect class="down" x=${i * 20 + 4} width="12" y="28" height=${(26 * (week.demoted + week.rolled_back)) / most} rx="1" /></g>`)}
  </svg><p class="quiet weeks-note"><span>12 weeks</span><span>promoted above, taken back below</span></p>`;
}
