// The one place that knows how elements are made: Preact, with templates by htm. No build step.
import { h, render } from "./vendor/preact.js";
import htm from "./vendor/htm.js";

export const html = htm.bind(h);
export { render };
export { useCallback, useEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
