// Asks for a reason before a change, and for the word again when the deployment has moved on meanwhile.
import { tell } from "../api.js";
import { nudge } from "../feed.js";
import { html, useState } from "../html.js";
import { Dialog } from "./dialog.js";

/** `say` makes of a reason what is told: method, path below the deployment, body. `valid`: what the children ask for is there. */
export function Confirm({ id, title, grave, deployment, decisions, close, say, valid = true, children }) {
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
