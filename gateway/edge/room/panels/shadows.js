// Shadows: who watches, what pairs with stable have shown of it, and its promotion on that evidence.
import { useFeed } from "../feed.js";
import { html, useState } from "../html.js";
import { count, lasting, percent } from "../words.js";
import { Confirm } from "./confirm.js";
import { Guardrail } from "./guardrails.js";
import { alive, candidatesOf, shadowsOf, stableOf } from "./overview.js";

export function Shadows({ deployment, decisions, marks }) {
  const shadows = shadowsOf(deployment);
  return shadows.length > 0 && html`<section id="shadows" aria-label="Shadows">
    <h2 class="section">Shadows <span class="quiet">they answer nobody · one label scores stable and a shadow alike, so they are judged on pairs</span></h2>
    ${shadows.map((one) => html`<${Shadow} key=${one.name} shadow=${one} deployment=${deployment} decisions=${decisions} marks=${marks} />`)}
  </section>`;
}

function Shadow({ shadow, deployment, decisions, marks }) {
  const [open, set] = useState(false);
  const about = shadow.verdict && `admin/deployments/${encodeURIComponent(deployment.deployment)}`;
  const named = `?candidate=${encodeURIComponent(shadow.name)}`;
  const { said: verdict } = useFeed(about && `${about}/verdict${named}`, 2);
  const { said: course } = useFeed(about && `${about}/course${named}`, 2);
  const told = verdict || shadow.verdict;
  const why = told && barred(told, deployment);
  return html`<article class="shadow" data-shadow=${shadow.name}>
    <div class="panel rollout">
      <div class="rollout-head"><h2>${shadow.name} <span class="quiet">${shadow.model} v${shadow.model_version} · watches ${percent(shadow.shadow, 0)}</span></h2>
        ${told && html`<span class="finding finding-${told.finding}">${told.finding}</span>
          <button class="good" data-promote=${shadow.name} disabled=${Boolean(why)} title=${why} onClick=${() => set(true)}>Promote …</button>`}</div>
      <p class="lead">${told ? told.sentence : unjudged(deployment)}</p>
      ${(why || verdict?.still_needed) && html`<p class="until">${why && html`<span class="quiet">${why}</span> `}<${Pace} still=${verdict?.still_needed} /></p>`}
    </div>
    ${verdict && html`<div class="guardrails">${verdict.guardrails.map((one) => html`<${Guardrail} key=${one.metric} found=${one} at=${verdict.at} course=${course} marks=${marks}
      colour="shadow" sides=${["stable", shadow.name]} harms="fails" about=${`${shadow.name}-`} />`)}</div>`}
    ${open && html`<${Promotion} shadow=${shadow} verdict=${told} deployment=${deployment} decisions=${decisions} close=${() => set(false)} />`}
  </article>`;
}

/** Why a shadow may not be promoted now, or null. */
function barred(verdict, deployment) {
  if (verdict.finding !== "pass") return "It can be promoted once every guardrail that counts has passed on pairs.";
  return deployment.labels_independent ? null : "Pairs promote nobody here: labels_independent is not declared, so labels may follow from what stable answered. Start it as a canary instead.";
}

/** Why there is no verdict: it is the former stable under a watch, or nothing that it is held to can be seen on pairs. */
const unjudged = (deployment) => (candidatesOf(deployment).some((one) => one.phase === "watched")
  ? `The former stable: the watch of v${stableOf(deployment).model_version} compares with it.`
  : "None of this deployment's guardrails can be judged on pairs.");

const Pace = ({ still }) => still && html`<strong>Decides in about ${lasting(still.seconds)}</strong> <span class="quiet">(${count(still.observations)} more pairs, towards ${still.towards})</span>`;

/** Ask what it is to become: the canary, by a plan, or stable at once. */
function Promotion({ shadow, verdict, deployment, decisions, close }) {
  const [to, become] = useState("canary");
  const [plan, follow] = useState(deployment.plans[0]);
  const busy = to === "canary" && candidatesOf(deployment).some((one) => one.name === "canary" && alive(one));
  const say = (reason) => ["POST", `shadows/${encodeURIComponent(shadow.name)}/promote`, { to, plan, reason }];
  const choice = (value, words) => html`<label class="choice"><input type="radio" name="to" value=${value} checked=${to === value} onChange=${() => become(value)} /> <span>${words}</span></label>`;
  return html`<${Confirm} id="shadow" title="Promote" deployment=${deployment} decisions=${decisions} close=${close} say=${say} valid=${!busy}>
    <p>${verdict.sentence}</p>
    <fieldset><legend>${shadow.name} v${shadow.model_version} becomes</legend>
      ${choice("canary", "the canary, on the first step of its plan that takes traffic")}
      ${choice("stable", "stable, at once; it answers everything")}</fieldset>
    <label class="field">Plan <select name="plan" value=${plan} onChange=${(event) => follow(event.target.value)}>${deployment.plans.map((one) => html`<option key=${one} value=${one}>${one}</option>`)}</select></label>
    ${busy && html`<p class="warn">There is a canary already; it has to end first.</p>`}
  </${Confirm}>`;
}
