// Every decision: who or which rule, why, and from what evidence.
import { html } from "../html.js";
import { count, moment, spelt } from "../words.js";

const GRAVE = { demote: "fail", rollback: "fail", promote: "pass", settle: "pass", pause: "wait", await: "wait" };

export function Timeline({ decisions }) {
  return html`<section class="panel timeline" id="timeline" aria-label="Timeline"><h2>Timeline</h2>
    ${!decisions ? html`<p class="empty">…</p>` : decisions.length === 0 ? html`<p class="empty">Nothing has been decided yet.</p>`
      : html`<ol>${decisions.map((one) => html`<${Decision} key=${one.revision} decision=${one} />`)}</ol>`}</section>`;
}

function Decision({ decision }) {
  const { evidence } = decision, keys = Object.keys(evidence || {});
  return html`<li data-revision=${decision.revision} class="decision decision-${GRAVE[decision.action] || "plain"}">
    <div class="decision-head"><b class="action">${spelt(decision.action)}</b> ${decision.candidate && html`<span>${decision.candidate}</span>`}
      <span class="quiet">by <b>${decision.actor}</b> · <time>${moment(decision.data_at)}</time> · revision ${decision.revision}</span></div>
    <p>${decision.reason}</p>
    ${keys.length > 0 && html`<details><summary>Evidence${evidence.n_candidate != null ? `: ${count(evidence.n_candidate)} of the candidate's own, ${count(evidence.n_pairs)} pairs` : ""}</summary>
      <pre>${JSON.stringify(evidence, null, 1)}</pre></details>`}
  </li>`;
}
