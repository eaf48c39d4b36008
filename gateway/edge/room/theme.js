// Light, dark, or as the machine says; charts are drawn anew when it changes, since they paint colours themselves.
import { useEffect, useState } from "./html.js";

const KEY = "gateway.theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set();

apply(localStorage.getItem(KEY));
system.addEventListener("change", () => listeners.forEach((tell) => tell()));

/** The theme in force, light or dark. */
export const theme = () => document.documentElement.dataset.theme || (system.matches ? "dark" : "light");

/** Turn to the other one. */
export function turn() {
  const next = theme() === "dark" ? "light" : "dark";
  localStorage.setItem(KEY, next);
  apply(next);
  listeners.forEach((tell) => tell());
}

/** Follow the theme. */
export function useTheme() {
  const [now, set] = useState(theme());
  useEffect(() => {
    const tell = () => set(theme());
    listeners.add(tell);
    return () => listeners.delete(tell);
  }, []);
  return now;
}

/** A colour of the style sheet by its name. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** The same, let through by so much. */
export const tint = (name, share) => `color-mix(in srgb, ${colour(name)} ${100 * share}%, transparent)`;

function apply(chosen) {
  if (chosen) document.documentElement.dataset.theme = chosen;
}

const CANDIDATES = ["candidate", "candidate-2", "candidate-3"];

/** Which colour a variant has everywhere on the page. */
export function colourOf(name, candidates) {
  if (name === "stable") return "stable";
  const place = candidates.indexOf(name);
  return place < 0 ? "shadow" : CANDIDATES[place % CANDIDATES.length];
}
