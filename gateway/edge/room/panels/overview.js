// Every deployment at a glance: who serves, who tries, what flows, what the judge says.
import { useFeed } from "../feed.js";
import { html } from "../html.js";
import { colourOf } from "../theme.js";
import { percent } from "../words.js";

export const alive = (variant) => ["preparing", "running", "waiting", "paused", "watched"].includes(variant.phase);
export const candidatesOf = (deployment) => deployment.variants.filter((one) => one.role === "candidate");
export const shadowsOf = (deployment) => deployment.variants.filter((one) => one.role === "shadow");
export const stableOf = (deployment) => deployment.variants.find((one) => one.role === "stable");

/** The candidate that matters: the first alive, else the last there was. */
export function leading(deployment) {
  const candidates = candidatesOf(deployment);
  return candidates.find(alive) || candidates[candidates.length - 1] || null;
}

export function Overview({ deployments, chosen }) {
  return html`<nav class="overview" aria-label="Deployments">
    ${deployments.map((one) => html`<${Card} key=${one.deployment} deployment=${one} chosen=${one.deployment === chosen} />`)}
  </nav>`;
}

function Card({ deployment, chosen }) {
  const candidate = leading(deployment), stable = stableOf(deployment);
  return html`<a class="card" href=${`#/d/${encodeURIComponent(deployment.deployment)}`} aria-current=${chosen ? "page" : null}
      data-deployment=${deployment.deployment}>
    <span class="card-head"><strong>${deployment.deployment}</strong>${candidate && html`<${Phase} variant=${candidate} />`}</span>
    <${Split} deployment=${deployment} />
    <span class="card-foot">
      <span class="standing">${[`stable v${stable.model_version}`, ...standings(deployment)].join(" · ")}</span>
      <${Spark} name=${deployment.deployment} />
    </span>
  </a>`;
}

/** What everybody but stable does now, each in a few words. */
export function standings(deployment) {
  const told = candidatesOf(deployment).filter(alive).map((one) => {
    if (one.phase === "watched") return "under watch";
    const who = `${one.name} v${one.model_version}`;
    if (one.phase === "preparing") return `${who} in preparation`;
    return one.weight > 0 || !one.shadow ? `${who} ${percent(one.weight, 0)}` : `${who} watches ${percent(one.shadow, 0)}`;
  });
  return [...told, ...shadowsOf(deployment).map((one) => `${one.name} v${one.model_version} watches${one.shadow < 1 ? ` ${percent(one.shadow, 0)}` : ""}`)];
}

export function Phase({ variant }) {
  const finding = variant.phase === "running" && variant.verdict?.finding === "fail" ? "demoted" : variant.phase;
  return html`<span class="phase phase-${finding}">${variant.phase}</span>`;
}

/** The split in force as one bar. */
export function Split({ deployment }) {
  const candidates = candidatesOf(deployment).map((one) => one.name);
  const parts = deployment.variants.filter((one) => one.weight > 0);
  const said = parts.map((one) => `${one.name} ${percent(one.weight)}`).join(", ");
  return html`<span class="split" role="img" aria-label=${`Traffic: ${said}`}>
    ${parts.map((one) => html`<i key=${one.name} style=${{ flexGrow: one.weight, background: `var(--${colourOf(one.name, candidates)})` }} />`)}
  </span>`;
}

/** Requests of the last hour of data time, without axes: is it alive? */
function Spark({ name }) {
  const { said } = useFeed(`admin/deployments/${encodeURIComponent(name)}/pulse?hours=1&spans=30`, 6);
  const counts = (said?.spans || []).map((span) => span.variants.reduce((sum, one) => sum + one.predictions, 0));
  const most = Math.max(1, ...counts);
  const points = counts.map((n, i) => `${(60 * i) / 29},${15 - (14 * n) / most}`).join(" ");
  return html`<svg class="spark" viewBox="0 0 60 16" aria-hidden="true">${points && html`<polyline points=${points} />`}</svg>`;
}
