// The page: which deployment, what is asked for, and how it is laid out. Panels draw; nothing is decided here.
import { unlock } from "./api.js";
import { nudge, useFeed, useLine } from "./feed.js";
import { html, render, useEffect, useMemo, useState } from "./html.js";
import { Actions } from "./panels/actions.js";
import { Dialog } from "./panels/dialog.js";
import { Drift } from "./panels/drift.js";
import { Guardrails } from "./panels/guardrails.js";
import { Kpis } from "./panels/kpis.js";
import { leading, Overview, candidatesOf, stableOf } from "./panels/overview.js";
import { Prediction } from "./panels/prediction.js";
import { Rollout } from "./panels/rollout.js";
import { Shadows } from "./panels/shadows.js";
import { Timeline } from "./panels/timeline.js";
import { Traffic, usePulse } from "./panels/traffic.js";
import { colourOf, turn, useTheme } from "./theme.js";
import { count, lasting } from "./words.js";

const NONE = [];
const MARKED = { promote: "pass", demote: "fail", rollback: "fail", advance: "ink-3", traffic: "ink-3" };

function Room() {
  const { said, problem } = useFeed("admin/deployments", 2);
  const { place, id } = useRoute();
  const deployments = said?.deployments || [];
  const [last, remember] = useState(null);
  const wanted = place === "d" ? id : last;
  const chosen = deployments.find((one) => one.deployment === wanted) || deployments.find((one) => one.default) || deployments[0];
  useEffect(() => chosen && remember(chosen.deployment), [chosen?.deployment]);
  useKeys(deployments, chosen);
  const back = () => (location.hash = chosen ? `#/d/${encodeURIComponent(chosen.deployment)}` : "#/");
  return html`<a class="skip" href="#main">To the deployment</a>
    <${Bar} />
    <div class="house">
      ${deployments.length > 0 && html`<${Overview} deployments=${deployments} chosen=${chosen?.deployment} />`}
      <main id="main" tabindex="-1">${chosen ? html`<${Deployment} key=${chosen.deployment} deployment=${chosen} />` : html`<${Nothing} said=${said} problem=${problem} />`}</main>
    </div>
    <${Books} />
    ${place === "p" && id && html`<${Prediction} key=${id} id=${id} close=${back} />`}
    ${[401, 403].includes(problem?.status) && html`<${Key} />`}`;
}

function Deployment({ deployment }) {
  const about = `admin/deployments/${encodeURIComponent(deployment.deployment)}`;
  const [picked, pick] = useState(null);
  const candidate = candidatesOf(deployment).find((one) => one.name === picked) || leading(deployment);
  const named = candidate ? `?candidate=${encodeURIComponent(candidate.name)}` : null;
  const { said: verdict } = useFeed(named && `${about}/verdict${named}`, 2);
  const { said: course } = useFeed(named && `${about}/course${named}`, 2);
  const { said: timeline } = useFeed(`${about}/timeline?limit=50`, 2);
  const { said: kpis } = useFeed(`${about}/kpis`, 10);
  const points = course?.points || [];
  const { pulse, ...range } = usePulse(deployment.deployment, points.length ? points[points.length - 1].at - points[0].at : 0);
  const decisions = timeline?.decisions || NONE;
  const marks = useMemo(() => decisions.filter((one) => MARKED[one.action]).map((one) => ({ at: one.data_at, name: MARKED[one.action] })), [timeline]);
  const colour = candidate ? colourOf(candidate.name, candidatesOf(deployment).map((one) => one.name)) : "candidate";
  return html`<header class="title"><div><h1>${deployment.deployment}</h1>
      <p class="quiet">stable <b>v${stableOf(deployment).model_version}</b>${kpis?.model_age_s != null ? ` for ${lasting(kpis.model_age_s)}` : ""} · revision <span id="revision">${deployment.revision}</span>${deployment.config_drift ? html` · <span class="warn">the file on this host declares something else</span>` : ""}</p></div>
      <${Actions} deployment=${deployment} candidate=${candidate} decisions=${decisions} /></header>
    <${Rollout} deployment=${deployment} candidate=${candidate} verdict=${named && verdict} decisions=${decisions} choose=${pick} />
    ${named && verdict && verdict.guardrails.length > 0 && html`<${Guardrails} verdict=${verdict} course=${course} marks=${marks} colour=${colour} deployment=${deployment} />`}
    <${Shadows} deployment=${deployment} decisions=${decisions} marks=${marks} />
    <${Traffic} pulse=${pulse} ...${range} marks=${marks} deployment=${deployment} />
    <${Drift} name=${deployment.deployment} />
    <div class="ends"><${Timeline} decisions=${timeline?.decisions} /><${Kpis} kpis=${kpis} /></div>`;
}

function Bar() {
  const { heard, trouble } = useLine();
  const now = useTheme(), away = heard ? (Date.now() - heard) / 1000 : 0;
  const fine = !trouble && away < 10;
  const find = (event) => {
    event.preventDefault();
    const id = new FormData(event.target).get("id").trim();
    if (id) location.hash = `#/p/${encodeURIComponent(id)}`;
  };
  return html`<header class="bar"><a class="brand" href="#/"><img src="room/icon.svg" alt="" width="22" height="22" /> gateway <span class="quiet">control room</span></a>
    <form role="search" onSubmit=${find}><input id="find" name="id" type="search" autocomplete="off" spellcheck="false" placeholder="Open a prediction by its id   /" aria-label="Prediction id" /></form>
    <span id="live" class=${fine ? "live" : "live live-away"} role="status">${fine ? "live" : trouble && trouble.status !== 0 ? trouble.title : `no answer for ${lasting(Math.round(away))}`}</span>
    <button class="plain" id="theme" onClick=${turn} aria-label=${now === "dark" ? "Light theme" : "Dark theme"}>${now === "dark" ? "☀" : "☾"}</button></header>
    ${!fine && heard > 0 && html`<p class="trouble" role="alert">${trouble?.message || "The control plane does not answer."} What you see was true ${lasting(Math.round(away))} ago.</p>`}`;
}

function Nothing({ said, problem }) {
  if (problem && !said) return html`<div class="panel" id="trouble"><p class="lead">${problem.title}</p><p class="quiet">${problem.message}</p></div>`;
  if (!said) return html`<p class="waiting">Reading …</p>`;
  return html`<div class="panel" id="nothing"><p class="lead">No deployment yet.</p><p class="quiet">Name one in <code>gateway.yaml</code> and start again, or run <code>gateway apply</code>.</p></div>`;
}

/** The books in a line: received, stored, joined, and what still lies in the spool. */
function Books() {
  const { said } = useFeed("admin/ledger", 5);
  const spooled = (said?.spooled || []).reduce((sum, host) => sum + host.predictions + host.outcomes + host.shadows, 0);
  return html`<footer class="books">${said && html`<span id="books"><b>${count(said.predictions.received)}</b> predictions received, <b>${count(said.predictions.stored)}</b> stored · <b>${count(said.outcomes.accepted)}</b> outcomes accepted, <b>${count(said.outcomes.joined)}</b> joined · <b>${count(spooled)}</b> in the spool</span>`}
    <span class="quiet"><kbd>/</kbd> prediction <kbd>j</kbd> <kbd>k</kbd> deployments <kbd>t</kbd> theme · <a href="docs">API</a> · <a href="metrics">metrics</a></span></footer>`;
}

/** Asks for an API key, which stays in this tab. */
function Key() {
  const take = (event) => {
    event.preventDefault();
    unlock(new FormData(event.target).get("key"));
    nudge();
  };
  return html`<${Dialog} id="key" title="This control plane asks for a key" close=${() => {}}><form onSubmit=${take}>
    <label class="field">API key with the scope read (operate for signals) <input name="key" type="password" required autocomplete="off" /></label>
    <footer><button type="submit" class="good">Enter</button></footer></form></${Dialog}>`;
}

function useRoute() {
  const [hash, set] = useState(location.hash);
  useEffect(() => {
    const tell = () => set(location.hash);
    addEventListener("hashchange", tell);
    return () => removeEventListener("hashchange", tell);
  }, []);
  const [, place, ...rest] = hash.split("/");
  return { place, id: rest.length ? decodeURIComponent(rest.join("/")) : null };
}

function useKeys(deployments, chosen) {
  useEffect(() => {
    const press = (event) => {
      if (event.target.closest("input, textarea, select, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
      const at = deployments.findIndex((one) => one.deployment === chosen?.deployment);
      const go = (place) => deployments[place] && (location.hash = `#/d/${encodeURIComponent(deployments[place].deployment)}`);
      const keys = { "/": () => document.getElementById("find").focus(), j: () => go(at + 1), k: () => go(at - 1), t: turn };
      if (!keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [deployments, chosen]);
}

const root = document.getElementById("room");
root.replaceChildren();
render(html`<${Room} />`, root);
