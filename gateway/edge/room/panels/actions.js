// What an operator may say, each with a confirmation, a reason, and the revision that was before their eyes.
import { tell } from "../api.js";
import { nudge } from "../feed.js";
import { html, useState } from "../html.js";
import { percent } from "../words.js";
import { alive, candidatesOf, stableOf } from "./overview.js";
import { Dialog } from "./dialog.js";

const SIGNALS = {
  promote: { title: "Promote", of: "candidate", when: ["running", "waiting", "paused", "watched"], says: (c) => `${c.name} v${c.model_version} becomes stable and answers everything.` },
  resume: { title: "Resume", of: "candidate", when: ["waiting", "paused"], says: (c) => `${c.name} goes on with its plan${c.phase === "waiting" ? ": the next step is approved" : ""}.` },
  pause: { title: "Pause", of: "candidate", when: ["running", "waiting"], says: (c) => `${c.name} keeps its share and goes no further. The judge goes on and may still demote it.` },
  demote: { title: "Demote", of: "candidate", when: ["preparing", "running", "waiting", "paused", "watched"], grave: true, says: (c) => `${c.name} v${c.model_version} loses all traffic, for good.` },
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
      say=${(reason) => ["POST", open, { reason, ...(SIGNALS[open].of === "candidate" ? { candidate: candidate.name } : {}) }]}>
      <p>${SIGNALS[open].says(candidate, deployment)}</p></${Confirm}>`}
  </div>`;
}

/** Ask for a reason, and for the word again when the deployment has moved on meanwhile. */
function Confirm({ id, title, grave, deployment, decisions, close, say, valid = true, children }) {
  const [seen, see] = useState(deployment.revision);
  const [reason, write] = useState("");
  const [trouble, set] = useState(null);
  const [busy, work] = useState(false);
  const moved = deployment.revision !== seen;
  async function send(event) {
    event.preventDefault();
    const [method, what, body] = say(reason.trim());
    work(true);
    try {
      await tell(method, `admin/deployments/${encodeURIComponent(deployment.deployment)}/${what}`, body, seen);
      nudge();
      close();
    } catch (problem) {
      set(problem);
      work(false);
      nudge();
    }
  }
  return html`<${Dialog} id=${`confirm-${id}`} title=${`${title}: ${deployment.deployment}`} close=${close}><form onSubmit=${send}>
    ${children}
    <label class="field">Reason <textarea name="reason" required maxlength="500" rows="2" value=${reason} onInput=${(event) => write(event.target.value)}
      placeholder="It goes into the timeline." /></label>
    ${moved && html`<p class="warn" role="alert">Meanwhile revision ${deployment.revision}: ${decisions[0] ? `${decisions[0].action} by ${decisions[0].actor}, ${decisions[0].reason}` : "something was changed"}.
      <button type="button" onClick=${() => (see(deployment.revision), set(null))}>I have seen it</button></p>`}
    ${trouble && html`<p class="warn" role="alert">${trouble.status === 412 ? "Somebody was faster; nothing has been changed." : trouble.message}</p>`}
    <footer><span class="quiet">made for revision ${seen}</span><button type="button" onClick=${close}>Cancel</button>
      <button type="submit" class=${grave ? "grave" : "good"} disabled=${busy || !valid || !reason.trim()}>${title}</button></footer>
  </form></${Dialog}>`;
}

/** Put a whole split in force; stable takes the rest. */
function Weights({ deployment, decisions, close }) {
  const candidates = candidatesOf(deployment).filter(alive), shadows = deployment.variants.filter((one) => one.role === "shadow");
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
