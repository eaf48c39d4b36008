// Asks the admin routes, conditionally; what was asked for before is given back as the same object while it is unchanged.

const kept = new Map();
const KEY = "gateway.key";

/** What the control plane said instead of an answer (RFC 9457), or that it said nothing (status 0). */
export class Problem extends Error {
  constructor(status, title, detail) {
    super(detail || title);
    this.status = status;
    this.title = title;
  }
}

/** Keep an API key for this tab only. */
export const unlock = (key) => sessionStorage.setItem(KEY, key);

/** Read a document. The same object again means that nothing has changed. Throws Problem. */
export async function read(path) {
  const known = kept.get(path);
  const response = await ask(path, { headers: known ? { "If-None-Match": known.tag } : {} });
  if (response.status === 304) return known.said;
  const said = await response.json();
  const tag = response.headers.get("etag");
  if (tag) kept.set(path, { tag, said });
  return said;
}

/** Tell an operator's word for a revision. Throws Problem. */
export async function tell(method, path, body, revision) {
  const headers = { "Content-Type": "application/json", "If-Match": `"${revision}"` };
  const response = await ask(path, { method, headers, body: JSON.stringify(body) });
  return response.json();
}

async function ask(path, options) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch {
    throw new Problem(0, "No answer", "The control plane does not answer.");
  }
  if (response.ok || response.status === 304) return response;
  const said = await response.json().catch(() => ({}));
  throw new Problem(response.status, said.title || `HTTP ${response.status}`, said.detail || "");
}
