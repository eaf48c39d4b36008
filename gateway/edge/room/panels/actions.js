// What an operator may say, each with a confirmation, a reason, and the revision that was before their eyes.
import { html, useState } from "../html.js";
import { percent } from "../words.js";
import { Confirm } from "./confirm.js";
import { alive, candidatesOf, shadowsOf, stableOf } from "./overview.js";

const SIGNALS = {
  promote: { title: "Promote", of: "candidate", when: ["running", "waiting", "paused"], says: (c) => `${c.name} v${c.model_version} becomes stable and answers everything.` },
  settle: { title: "End the watch", tells: "promote", of: "candidate", when: ["watched"], says: (c) => `v${c.model_version} stays stable, and the stable before it watches no longer.` },
  resume: { title: "Resume", of: "candidate", when: ["waiting", "paused"], says: (c) => `${c.name} goes on with its plan${c.phase === "waiting" ? ": the next step is approved" : ""}.` },
  pause: { title: "Pause", of: "candidate", when: ["running", "waiting"], says: (c) => `${c.name} keeps its share and goes no further. The judge goes on and may still demote it.` },
  demote: { title: "Demote", of: "candidate", when: ["preparing", "running", "waiting", "paused"], grave: true, says: (c) => `${c.name} v${c.model_version} loses all traffic, for good.` },
  rollback: { title: "Roll back", of: "stable", grave: true, says: (_, d) => `Stable returns to ${d.previous[0].model} v${d.previous[0].model_version}.` },
};

export function Actions({ deployment, candidate, decisions }) {
  const [open, set] = useState(null);
  const possible = Object.entries(SIGNALS).filter(([, signal]) => (signal.of === "stable" ? deployment.previous.length > 0 : candidate && signal.when.includes(candidate.phase)));
  const close = () => set(null);
  return html`<div class="actions" role="group" aria-label="Signals">
    ${possible.map(([name, signal]) => html`<button key=${name} id=${`do-${name}`} class=${signal.grave ? "grave" : name === "promote" ? "good" : ""} onClick=${() => set(name)}>${signal.title}</button>`)}
    ${deployment.variants.length > 1 && html`<button id="do-traffic" onClick=${() => set("traffic")}>Traffic …</button>`}
    ${open === "traffic" && html`<${Weights} deployment=${deployment} decisions=${decisions} close=${close} />`}
    ${open && open !== "traffic" && html`<${Confirm} id=${open} title=${SIGNALS[open].title} grave=${SIGNALS[open].grave} deployment=${deployment} decisions=${decisions} close=${close}
      say=${(reason) => ["POST", SIGNALS[open].tells || open, { reason, ...(SIGNALS[open].of === "candidate" ? { candidate: candidate.name } : {}) }]}>
      <p>${SIGNALS[open].says(candidate, deployment)}</p></${Confirm}>`}
  </div>`;
}

/** Put a whole split in force; stable takes the rest. */
function Weights({ deployment, decisions, close }) {
  const candidates = candidatesOf(deployment).filter(alive), shadows = shadowsOf(deployment);
  const [weights, weigh] = useState(Object.fromEntries(candidates.map((one) => [one.name, one.weight])));
  const [rates, rate] = useState(Object.fromEntries(shadows.map((one) => [one.name, one.shadow])));
  const rest = 1 - Object.values(weights).reduce((sum, one) => sum + one, 0);
  const say = (reason) => ["PUT", "traffic", { weights, shadows: rates, reason }];
  return html`<${Confirm} id="traffic" title="Set traffic" deployment=${deployment} decisions=${decisions} close=${close} say=${say} valid=${rest > -1e-9}>
    ${candidates.map((one) => html`<${Share} key=${one.name} name=${one.name} label=${`${one.name} v${one.model_version}`} value=${weights[one.name]} set=${(share) => weigh({ ...weights, [one.name]: share })} />`)}
    ${shadows.map((one) => html`<${Share} key=${one.name} name=${one.name} label=${`${one.name} v${one.model_version} watches`} value=${rates[one.name]} set=${(share) => rate({ ...rates, [one.name]: share })} />`)}
    <p>${rest > -1e-9 ? html`stable v${stableOf(deployment).model_version} takes the rest: <b id="rest">${percent(Math.max(0, rest))}</b>.` : html`<span class="warn">Together more than 100 %.</span>`}
      ${candidates.some((one) => one.phase === "running") && html` A running plan is paused by it; resume returns to its step.`}</p>
  </${Confirm}>`;
}

const Share = ({ name, label, value, set }) => {
  const take = (event) => set(Math.min(1, Math.max(0, Number(event.target.value) / 100 || 0)));
  return html`<label class="field share"><span>${label}</span>
    <input type="range" min="0" max="100" step="1" value=${100 * value} onInput=${take} aria-label=${`${label}, per cent`} />
    <input type="number" name=${`share-${name}`} min="0" max="100" step="0.1" value=${Number((100 * value).toFixed(2))} onInput=${take} /> %</label>`;
};
