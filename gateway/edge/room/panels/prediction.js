// One prediction, opened by its id: what was asked, who was drawn, what it answered, and what became of it.
import { useFeed } from "../feed.js";
import { html } from "../html.js";
import { instant, lasting, percent, quantity, scalar, spelt } from "../words.js";
import { Dialog } from "./dialog.js";

export function Prediction({ id, close }) {
  const { said, problem } = useFeed(`admin/predictions/${encodeURIComponent(id)}`, 5);
  return html`<${Dialog} id="prediction" title="Prediction" close=${close}>
    <p class="id"><code>${id}</code></p>
    ${said ? html`<${Facts} said=${said} />` : html`<p class="empty">${problem ? (problem.status === 404 ? "Never issued here, or not stored yet." : problem.message) : "…"}</p>`}
  </${Dialog}>`;
}

const Facts = ({ said }) => html`
  <dl class="facts">
    <${Fact} name="deployment">${said.deployment}, revision ${said.revision}</${Fact}>
    <${Fact} name="asked">${instant(said.at)} UTC${said.attempts > 1 ? `, ${said.attempts} times with the same request id` : ""}</${Fact}>
    <${Fact} name="drawn">${said.assigned}${said.randomised ? "" : " (forced: no evidence)"}${said.degraded ? " (features degraded: no evidence)" : ""}</${Fact}>
    <${Fact} name="answered">${said.served} with ${said.status}${said.error ? `; ${said.assigned} failed: ${said.error}` : ""}</${Fact}>
    <${Fact} name="prediction"><b data-fact="prediction">${scalar(said.prediction)}</b>${said.score != null ? `, score ${quantity(said.score)}` : ""}</${Fact}>
    <${Fact} name="outcomes">${said.outcomes.length ? said.outcomes.map((one) => html`<span class="line">${one.metric} <b>${scalar(one.value)}</b> <span class="quiet">${lasting(one.observed_at - said.at)} later${one.source ? `, says ${one.source}` : ""}</span></span>`) : "none yet"}</${Fact}>
    <${Fact} name="chances">${said.arms.map((one) => `${one.name} ${percent(one.propensity)}`).join(" · ")}</${Fact}>
    <${Fact} name="took">${Object.entries(said.latency_s).map(([part, seconds]) => `${spelt(part)} ${lasting(seconds)}`).join(" · ") || "–"}</${Fact}>
    ${said.shadows.length > 0 && html`<${Fact} name="shadows">${said.shadows.map((one) => html`<span class="line">${one.name}: ${one.dropped ? `not asked (${spelt(one.dropped)})` : one.error ? `failed (${one.error})` : html`<b>${scalar(one.prediction)}</b>${one.score != null ? `, score ${quantity(one.score)}` : ""}`}</span>`)}</${Fact}>`}
  </dl>
  <table class="numbers features"><thead><tr><th>feature</th><th>value</th><th>status</th><th>age</th></tr></thead>
    <tbody>${Object.entries(said.features).map(([name, one]) => html`<tr key=${name} data-feature=${name}><th scope="row">${name}</th><td>${scalar(one.value)}</td>
      <td class=${one.status === "present" ? "quiet" : "warn"}>${spelt(one.status)}</td><td>${one.event_time == null ? "–" : lasting(said.at - one.event_time)}</td></tr>`)}</tbody></table>`;

const Fact = ({ name, children }) => html`<div><dt>${name}</dt><dd>${children}</dd></div>`;
