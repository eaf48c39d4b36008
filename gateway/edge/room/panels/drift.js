// Drift by feature: what comes in now beside what the model was trained on, as small histograms.
import { useFeed } from "../feed.js";
import { html } from "../html.js";
import { count, moment, percent } from "../words.js";

/**
 * Follows `GET /admin/deployments/{d}/drift`: {reference: {name, rows} | null, window: {after, until, rows},
 * features: [{name, scope, finding, psi, js, ks, sentence, cells: [{label, reference, live}]}]}, shares in [0, 1].
 */
export function Drift({ name }) {
  const { said, problem } = useFeed(`admin/deployments/${encodeURIComponent(name)}/drift`, 15);
  const none = problem?.status === 404 || (said && !said.reference);
  return html`<section id="drift" aria-label="Drift">
    <h2 class="section">Drift ${said?.reference && html`<span class="quiet">${count(said.window?.rows)} requests until ${moment(said.window?.until)}, against ${said.reference.name || "the reference"}</span>`}</h2>
    ${none ? html`<div class="panel"><p class="empty">No reference profile: nothing to compare live traffic with.</p></div>`
      : problem && !said ? html`<div class="panel"><p class="empty">${problem.message}</p></div>`
      : html`<div class="drifts">${(said?.features || []).map((one) => html`<${Feature} key=${`${one.scope}/${one.name}`} feature=${one} />`)}</div>`}
  </section>`;
}

function Feature({ feature }) {
  const cells = feature.cells || [], width = cells.length ? 120 / cells.length : 0;
  const most = Math.max(1e-9, ...cells.flatMap((one) => [one.reference, one.live]));
  const tall = (share) => (46 * share) / most;
  return html`<figure class="panel drift drift-${feature.finding}" data-feature=${feature.name} title=${feature.sentence || ""}>
    <figcaption><h3>${feature.name}</h3><span class="finding finding-${feature.finding === "drift" ? "fail" : "pass"}">${feature.finding}</span></figcaption>
    <svg viewBox="0 0 120 48" preserveAspectRatio="none" role="img" aria-label=${`${feature.name}: ${cells.map((one) => `${one.label} ${percent(one.live)} (reference ${percent(one.reference)})`).join(", ")}`}>
      ${cells.map((one, i) => html`<g key=${i}><rect class="was" x=${i * width} width=${width * 0.92} y=${48 - tall(one.reference)} height=${tall(one.reference)} />
        <rect class="is" x=${i * width + width * 0.2} width=${width * 0.52} y=${48 - tall(one.live)} height=${tall(one.live)} /></g>`)}
    </svg>
    <p class="quiet">PSI ${feature.psi == null ? "–" : feature.psi.toFixed(3)} · JS ${feature.js == null ? "–" : feature.js.toFixed(3)} · KS ${feature.ks == null ? "–" : feature.ks.toFixed(3)}</p>
  </figure>`;
}
