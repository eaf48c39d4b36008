// Documents that keep themselves fresh: asked for again and again while the page can be seen, drawn when they changed.
import { read } from "./api.js";
import { useEffect, useState } from "./html.js";

const SLOWEST_S = 15;
const NOT_THERE_S = 60;
const askers = new Set();
const listeners = new Set();

/** How the conversation with the control plane goes: when it last answered (ms), and what is wrong now. */
export const line = { heard: 0, trouble: null };

/** Ask everything again at once: something was just changed. */
export const nudge = () => askers.forEach((ask) => ask());

document.addEventListener("visibilitychange", () => document.hidden || nudge());

/** Follow a document (null: none), asked for every so many seconds; `said` stays while it cannot be had. */
export function useFeed(path, seconds) {
  const [state, set] = useState({ path, said: undefined, problem: null });
  useEffect(() => (path ? follow(path, seconds, set) : undefined), [path, seconds]);
  return state.path === path ? state : { path, said: undefined, problem: null };
}

/** Follow how the conversation goes. */
export function useLine() {
  const [, set] = useState(0);
  useEffect(() => {
    const tell = () => set((n) => n + 1);
    listeners.add(tell);
    const timer = setInterval(tell, 1000);
    return () => (listeners.delete(tell), clearInterval(timer));
  }, []);
  return line;
}

function follow(path, seconds, set) {
  let timer, failures = 0, ended = false, asking = false, missing = false;
  async function ask() {
    if (asking || document.hidden) return;
    clearTimeout(timer);
    asking = true;
    try {
      const said = await read(path);
      failures = 0;
      missing = false;
      heard(null);
      if (!ended) set((old) => (old.path === path && old.said === said && !old.problem ? old : { path, said, problem: null }));
    } catch (problem) {
      failures += 1;
      missing = problem.status === 404;
      heard(problem);
      if (!ended) set((old) => ({ path, said: old.path === path ? old.said : undefined, problem }));
    }
    asking = false;
    if (!ended) timer = setTimeout(ask, 1000 * pause(seconds, failures, missing));
  }
  askers.add(ask);
  ask();
  return () => {
    ended = true;
    clearTimeout(timer);
    askers.delete(ask);
  };
}

/** What is not there is hardly looked for; who does not answer is asked less and less often, up to a point. */
const pause = (seconds, failures, missing) => (missing ? NOT_THERE_S : failures ? Math.min(SLOWEST_S, seconds * 2 ** failures) : seconds);

function heard(problem) {
  const grave = problem && ![404, 409].includes(problem.status);
  if (!problem || problem.status !== 0) line.heard = Date.now();
  line.trouble = grave ? problem : null;
  listeners.forEach((tell) => tell());
}
