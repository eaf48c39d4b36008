// A candidate's way: the steps of its plan, where it stands, and what the judge says in a sentence.
import { html } from "../html.js";
import { colourOf } from "../theme.js";
import { count, lasting, moment, percent } from "../words.js";
import { alive, candidatesOf, Phase, stableOf } from "./overview.js";

const ENDS = ["promote", "demote", "rollback", "settle"];

export function Rollout({ deployment, candidate, verdict, decisions, choose }) {
  const candidates = candidatesOf(deployment);
  const last = candidate && decisions.find((one) => one.generation === candidate.generation && ENDS.includes(one.action));
  if (!candidate) return html`<section class="panel rollout" id="rollout" aria-label="Rollout">
    <p class="lead">No candidate. ${stableOf(deployment).model} version ${stableOf(deployment).model_version} answers everything.</p>
    <p class="quiet">A rollout begins with <code>POST /admin/deployments/${deployment.deployment}/canary</code>.</p>
  </section>`;
  return html`<section class="panel rollout" id="rollout" aria-label="Rollout">
    ${candidates.length > 1 && html`<div class="tabs" role="tablist" aria-label="Candidates">
      ${candidates.map((one) => html`<button key=${one.name} role="tab" aria-selected=${one.name === candidate.name}
        onClick=${() => choose(one.name)}><i class="dot" style=${{ background: `var(--${colourOf(one.name, candidates.map((c) => c.name))})` }} /> ${one.name} v${one.model_version}</button>`)}
    </div>`}
    <div class="rollout-head">
      <h2><span class="candidate-name">${candidate.name}</span> <span class="quiet">${candidate.model} v${candidate.model_version}</span></h2>
      <${Phase} variant=${candidate} />
      ${verdict && html`<span id="finding" class="finding finding-${verdict.finding}">${verdict.finding}</span>`}
    </div>
    <${Track} candidate=${candidate} at=${verdict?.at} fell=${candidate.phase === "demoted" ? last?.evidence?.step ?? -1 : -1} />
    <p class="lead" id="sentence">${verdict ? verdict.sentence : candidate.verdict?.sentence || "Nothing has been judged yet."}</p>
    <${Until} candidate=${candidate} verdict=${verdict} last=${last} />
  </section>`;
}

function Until({ candidate, verdict, last }) {
  if (!alive(candidate)) return html`<p class="quiet" id="until"><b>${candidate.phase}</b>${last ? ` by ${last.actor}, ${moment(last.data_at)}` : ""}${candidate.reason && candidate.reason !== verdict?.sentence ? `: ${candidate.reason}` : ""}</p>`;
  if (candidate.phase === "preparing") return html`<p class="quiet" id="until">Its model is being fetched, checked and loaded; no request has reached it.</p>`;
  const still = verdict?.still_needed;
  const notes = [
    candidate.phase === "paused" ? `Paused: ${candidate.reason}` : "",
    candidate.phase === "waiting" ? "Waits for an operator to approve the next step." : "",
    verdict?.degraded_share > 0 ? `${percent(verdict.degraded_share)} of its requests are no evidence, since features were degraded.` : "",
    (verdict?.paused_by || []).length ? `Held by ${verdict.paused_by.join(", ")}.` : "",
  ].filter(Boolean);
  return html`<p class="until" id="until">
    ${candidate.phase === "watched" && html`It answers everything; the stable before it scores the same requests, and comes back should this one be shown to be worse. `}
    ${still ? html`<strong>Decides in about ${lasting(still.seconds)}</strong> <span class="quiet">(${count(still.observations)} more observations, towards ${still.towards})</span>`
      : candidate.phase !== "watched" && html`<span class="quiet">When it will be decided cannot be said yet.</span>`}
    ${notes.map((note) => html` <span class="note">${note}</span>`)}
  </p>`;
}

/** The plan's steps on a line, stable at its end. */
function Track({ candidate, at, fell }) {
  const steps = candidate.plan?.steps || [];
  const failed = candidate.phase === "demoted";
  const now = candidate.step ? candidate.step.number - 1 : failed ? fell : steps.length;
  return html`<ol class="track ${failed ? "track-failed" : ""}" id="track" aria-label=${`Plan ${candidate.plan?.name}`}>
    ${steps.map((step, i) => html`<li key=${i} class=${i < now ? "done" : i === now ? (failed ? "fell" : "now") : ""} aria-current=${i === now && !failed ? "step" : null}>
      <span class="stop" />
      <span class="stop-name">${step.weight > 0 ? percent(step.weight, 0) : `shadow ${percent(step.shadow, 0)}`}${step.approval ? " · approval" : ""}</span>
      <span class="stop-note">${i !== now ? needs(step) : failed ? "demoted" : html`<${Progress} step=${candidate.step} at=${at} />`}</span>
    </li>`)}
    <li class=${now === steps.length ? "done" : ""}><span class="stop stop-last" /><span class="stop-name">stable</span>
      <span class="stop-note">${candidate.phase === "watched" ? "under watch" : candidate.phase === "promoted" ? "promoted" : ""}</span></li>
  </ol>`;
}

const needs = (step) => [step.events ? count(step.events) : "", step.at_least_s ? lasting(step.at_least_s) : ""].filter(Boolean).join(" · ");

function Progress({ step, at }) {
  const age = Math.max(0, (at || step.since) - step.since);
  const told = [
    step.events ? `${count(step.seen)} of ${count(step.events)}` : `${count(step.seen)} seen`,
    step.at_least_s ? `${lasting(age)} of ${lasting(step.at_least_s)}` : "",
  ];
  const share = Math.min(1, step.events ? step.seen / step.events : 1, step.at_least_s ? age / step.at_least_s : 1);
  return html`${told.filter(Boolean).join(" · ")}<span class="meter" role="progressbar" aria-valuemin="0" aria-valuemax="100"
    aria-valuenow=${Math.round(100 * share)}><i style=${{ width: `${100 * share}%` }} /></span>`;
}
