// The waiting room from its other side: shops that send shoppers, other shoppers, operators.

const crypto = require("node:crypto");
const { expect } = require("@playwright/test");
const { unique } = require("./gate");

const { ADMIN_TOKEN, CLIENT, CLIENT_SECRET } = process.env;

/** The same, of the server with these two listeners. */
function at(ROOM, OPERATOR) {
  async function operator(method, path, body) {
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, "content-type": "application/json", "idempotency-key": unique("op") };
    const send = () => fetch(OPERATOR + path, { method, headers, body: body && JSON.stringify(body) });
    let response = await send();
    // A slow commit is answered 503: the call is made again under its key.
    for (let tries = 0; response.status === 503 && tries < 60; tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 300));
      response = await send();
    }
    expect(response.status, await response.clone().text()).toBeLessThan(300);
    return response.json();
  }

  /** A sale, open now or in so many milliseconds. */
  async function sale(quantity, opensInMs = 0, prefix = "lamp") {
    const productId = unique(prefix);
    const body = { productId, quantity, ...(opensInMs ? { opensAt: Date.now() + opensInMs } : {}) };
    await operator("POST", "/admin/products", body);
    return productId;
  }

  const open = (product) => operator("POST", `/admin/products/${product}/open`, {});

  async function signed(secret, who, method, path, value, key = "") {
    const body = JSON.stringify(value);
    const time = String(Date.now());
    const signature = crypto.createHmac("sha256", secret).update([method, path, body, time, key].join(":")).digest("hex");
    const headers = { "content-type": "application/json", "x-request-time": time, "x-signature": signature, ...who };
    if (key) headers["idempotency-key"] = key;
    const response = await fetch(ROOM + path, { method, headers, body });
    return { status: response.status, json: await response.json() };
  }

  /** A session, as a shop opens it for its user. */
  async function session(userId = unique("u")) {
    const { status, json } = await signed(CLIENT_SECRET, { "x-api-key": CLIENT }, "POST", "/session", { userId });
    expect(status).toBe(200);
    return { userId, pass: json.pass, key: json.sessionKey };
  }

  const by = (shopper) => ({ authorization: `Bearer ${shopper.pass}` });

  /** Another shopper with a place in the queue. */
  async function another(product) {
    const shopper = await session();
    const { status, json } = await signed(shopper.key, by(shopper), "POST", "/waiting-room/ticket", { productId: product });
    expect(status).toBe(200);
    return { ...shopper, ticket: json.ticket };
  }

  /** Waits for their turn and buys. */
  async function buys(shopper, product) {
    for (;;) {
      const { status, json } = await signed(shopper.key, by(shopper), "POST", "/waiting-room/admission", { ticket: shopper.ticket });
      if (status === 200) {
        const admitted = { pass: json.pass };
        const order = { productId: product, userId: shopper.userId };
        return signed(json.sessionKey, by(admitted), "POST", "/order", order, unique("k"));
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** The link by which a shop sends its shopper. */
  const link = (product, { pass, key }, more = "") => `${ROOM}/waiting-room?product=${product}${more}#pass=${pass}&key=${key}`;

  /** Notes whatever the page should not do: leave the origin, fail, break its policy. */
  function watch(page) {
    const faults = [];
    page.on("request", (request) => {
      const { origin, protocol } = new URL(request.url());
      if (origin !== ROOM && protocol !== "blob:") faults.push(`request to ${request.url()}`);
      if (/pass=|v1\./.test(request.url())) faults.push(`a pass in ${request.url()}`);
    });
    page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
    page.on("console", (message) => {
      if (/Content Security Policy/i.test(message.text())) faults.push(`console: ${message.text()}`);
    });
    return faults;
  }

  /** Switches a product's waiting room on. */
  const withRoom = (product) => operator("POST", `/admin/products/${product}/waiting-room`, { active: true });

  /** A shop's order for a user, who needs no room. */
  const ordered = (product, userId = unique("u")) =>
    signed(CLIENT_SECRET, { "x-api-key": CLIENT }, "POST", "/order", { productId: product, userId }, unique("k"));

  return { ROOM, another, buys, link, open, operator, ordered, sale, session, watch, withRoom };
}

module.exports = { ...at(process.env.ROOM, process.env.ROOM_OPERATOR), at };
