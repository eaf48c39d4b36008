// Drift by feature: what comes in now beside what the model was trained on, as small histograms, and whose doing it is.
import { useFeed } from "../feed.js";
import { html } from "../html.js";
import { count, moment, percent, quantity } from "../words.js";

const CAUSES = { none: "nothing has moved", data: "the data moved, for every arm alike", candidate: "a candidate's answers alone moved", output: "stable's answers alone moved" };

/**
 * Follows `GET /admin/deployments/{d}/drift`: {cause, watches: [{variant, version, reference, trouble, until, rows,
 * findings: [{feature, scope, finding, evidence, needed, distances: {psi, js, ks}, alarm: {sentence} | null,
 * cells: [{label, reference, live}]}]}], skew: {at, rows, trouble, features: [{feature, compared, share}]}}. `cells` are
 * shares in [0, 1]; without them the figures stand alone. `?report=html` is a page of its own, by Evidently.
 */
export function Drift({ name }) {
  const about = `admin/deployments/${encodeURIComponent(name)}/drift`;
  const { said, problem } = useFeed(about, 15);
  const watches = (said?.watches || []).filter((one) => one.findings.length > 0);
  const trouble = said?.watches?.find((one) => one.trouble)?.trouble;
  const none = problem?.status === 404 || (said && watches.length === 0);
  return html`<section id="drift" aria-label="Drift">
    <h2 class="section">Drift ${watches.length > 0 && html`<span class="quiet">${CAUSES[said.cause] || said.cause} · <a href=${`${about}?report=html`} target="_blank" rel="noopener">report</a></span>`}</h2>
    ${none ? html`<div class="panel"><p class="empty">No reference profile: nothing to compare live traffic with.${trouble ? ` ${trouble}` : ""}</p></div>`
      : problem && !said ? html`<div class="panel"><p class="empty">${problem.message}</p></div>`
      : watches.map((watch) => html`<${Watch} key=${`${watch.variant}/${watch.generation}`} watch=${watch} />`)}
    <${Skew} skew=${said?.skew} />
  </section>`;
}

/** How much of what was served differs from what the offline store says it was, feature by feature, the worst first. */
function Skew({ skew }) {
  if (!skew || (skew.at == null && !skew.trouble)) return null;
  const worst = [...skew.features].sort((a, b) => b.share - a.share);
  return html`<div class="panel" id="skew"><h3>Served and offline</h3>
    <p class="quiet">${skew.at == null ? "" : `${count(skew.rows)} served vectors compared at ${moment(skew.at)}`}${skew.trouble && html` <span class="warn">${skew.trouble}</span>`}</p>
    ${worst.length > 0 && html`<dl>${worst.map((one) => html`<div key=${one.feature} data-skew=${one.feature}><dt>${one.feature}</dt><dd class=${one.share > 0 ? "warn" : ""}>${percent(one.share)} of ${count(one.compared)} differ</dd></div>`)}</dl>`}
  </div>`;
}

const Watch = ({ watch }) => html`<div class="watch" data-watch=${watch.variant}>
  <p class="quiet">${watch.variant} v${watch.version} · ${count(watch.rows)} requests${watch.until == null ? "" : ` until ${moment(watch.until)}`}, against ${watch.reference}${watch.trouble ? html` <span class="warn">${watch.trouble}</span>` : ""}</p>
  <div class="drifts">${watch.findings.map((one) => html`<${Feature} key=${`${one.scope}/${one.feature}`} found=${one} />`)}</div>
</div>`;

function Feature({ found }) {
  const { psi, js, ks } = found.distances, far = (name, value) => `${name} ${value == null ? "–" : value.toFixed(3)}`;
  const drifted = found.finding === "drifted", compared = [psi, js, ks].some((one) => one != null);
  const way = Math.max(0, Math.min(1, (found.evidence ?? 0) / found.needed));
  return html`<figure class="panel drift drift-${found.finding}" data-feature=${found.feature} data-scope=${found.scope} title=${found.alarm?.sentence || ""}>
    <figcaption><h3 title=${found.feature}>${found.feature}</h3><span class="finding finding-${drifted ? "fail" : "pass"}">${found.finding}</span></figcaption>
    ${found.cells?.length > 0 && html`<${Cells} name=${found.feature} cells=${found.cells} />`}
    <span class="meter meter-fail" role="meter" aria-label="evidence of drift" aria-valuemin="0" aria-valuemax="1" aria-valuenow=${way.toFixed(3)}><i style=${{ width: `${100 * way}%` }} /></span>
    <p class="quiet">${compared ? `${far("PSI", psi)} · ${far("JS", js)} · ${far("KS", ks)}` : "too few requests to compare yet"}</p>
    ${found.alarm && html`<p class="warn">${quantity(found.alarm.live)} now, ${quantity(found.alarm.reference)} then, since ${moment(found.alarm.began)}</p>`}
  </figure>`;
}

/** What was, wide and pale; what is, narrow before it. */
function Cells({ name, cells }) {
  const width = 120 / cells.length, most = Math.max(1e-9, ...cells.flatMap((one) => [one.reference, one.live]));
  const tall = (share) => (46 * share) / most;
  const said = cells.map((one) => `${one.label} ${percent(one.live)} (reference ${percent(one.reference)})`).join(", ");
  return html`<svg viewBox="0 0 120 48" preserveAspectRatio="none" role="img" aria-label=${`${name}: ${said}`}>
    ${cells.map((one, i) => html`<g key=${i}><rect class="was" x=${i * width} width=${width * 0.92} y=${48 - tall(one.reference)} height=${tall(one.reference)} />
      <rect class="is" x=${i * width + width * 0.2} width=${width * 0.52} y=${48 - tall(one.live)} height=${tall(one.live)} /></g>`)}
  </svg>`;
}
