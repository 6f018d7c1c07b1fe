// Calls to the listener that served this page, and nobody else. The cookie goes along by itself.

export const gone = new EventTarget();

/** A name for one change, so that sending it again does nothing more. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return "console-" + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** One call. Never throws: what went wrong is in `problem`, in words. */
export async function call(method, path, body, key) {
  const headers = { accept: "application/json" };
  if (body !== undefined || method === "POST") headers["content-type"] = "application/json";
  if (key) headers["idempotency-key"] = key;
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
    });
  } catch {
    return { ok: false, status: 0, json: {}, problem: "The node cannot be reached. It is not known whether anything was done; sending it again is safe." };
  }
  const json = await response.json().catch(() => ({}));
  if (response.status === 401 && path !== "/admin/login") gone.dispatchEvent(new Event("gone"));
  const problem = response.ok ? null : json.detail || json.title || `The node answers ${response.status}.`;
  return { ok: response.ok, status: response.status, json, problem };
}
