// A shop's signed orders and an operator's calls, by HTTP alone; and the page, watched.

const crypto = require("node:crypto");
const { expect } = require("@playwright/test");

const { CONSOLE, PUBLIC, ADMIN_TOKEN, OPERATOR_TOKEN, VIEWER_TOKEN, CLIENT, CLIENT_SECRET } = process.env;
const TOKENS = { admin: ADMIN_TOKEN, operator: OPERATOR_TOKEN, viewer: VIEWER_TOKEN };
let next = 0;

/** A name that was not used before. */
function unique(prefix) {
  next += 1;
  return `${prefix}-${Date.now().toString(36)}-${next}`;
}

/** An operator's call with a bearer token. */
async function operator(method, path, body, token = ADMIN_TOKEN) {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json", "idempotency-key": unique("op") };
  const response = await fetch(CONSOLE + path, { method, headers, body: body && JSON.stringify(body) });
  return { status: response.status, json: await response.json().catch(() => ({})) };
}

/** Opens a sale. */
async function sale(quantity, prefix = "phone") {
  const productId = unique(prefix);
  const made = await operator("POST", "/init", { productId, quantity });
  expect(made.status).toBe(200);
  return productId;
}

/** A shop's order for a user. */
async function order(productId, userId = unique("u"), headers = {}) {
  const body = JSON.stringify({ productId, userId });
  const [time, key] = [String(Date.now()), unique("k")];
  const signature = crypto.createHmac("sha256", CLIENT_SECRET).update(`POST:/order:${body}:${time}:${key}`).digest("hex");
  const response = await fetch(`${PUBLIC}/order`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-api-key": CLIENT, "x-request-time": time, "x-idempotency-key": key, "x-signature": signature, ...headers },
    body,
  });
  return { status: response.status, json: await response.json() };
}

/** Orders, some at a time, until it is stopped. At most 2,000 and for at most 20 s. */
function load(productId, paceMs = 20) {
  let going = true;
  const until = Date.now() + 20_000;
  const done = (async () => {
    for (let n = 0; n < 2_000 && going && Date.now() < until; n += 1) {
      await order(productId).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, paceMs));
    }
  })();
  return { stop: () => ((going = false), done) };
}

/** Notes whatever a page should not do: leave the origin, fail, break its policy. */
function watch(page) {
  const faults = [];
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== CONSOLE) faults.push(`request to ${request.url()}`);
  });
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error" || /Content Security Policy/i.test(message.text())) faults.push(`console: ${message.text()}`);
  });
  return faults;
}

async function login(page, role = "operator") {
  await page.goto("/");
  await page.getByLabel("Operator's token").fill(TOKENS[role]);
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByRole("status").filter({ hasText: "live" })).toBeVisible();
}

module.exports = { CONSOLE, PUBLIC, TOKENS, load, login, operator, order, sale, unique, watch };
