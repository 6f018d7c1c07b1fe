// The waiting room's page under guard: a challenge before its order, and nothing that leaves the server's origin.

const { test, expect } = require("@playwright/test");
const room = require("./room");

const { STRICT_PUBLIC, STRICT_OPERATOR } = process.env;
const strict = room.at(STRICT_PUBLIC, STRICT_OPERATOR);
const says = (page, name) => expect(page.getByRole("heading", { level: 1, name })).toBeVisible({ timeout: 60_000 });
const shot = (page, name) => page.screenshot({ path: `shots/room-${name}.png`, fullPage: true });

/** A page of the strict server's room, at its shopper's turn. */
async function turn(page) {
  const product = await strict.sale(5);
  await strict.withRoom(product);
  await page.goto(strict.link(product, await strict.session()));
  await says(page, "It is your turn");
  return product;
}

/** The longest time for which the page could do nothing from now on, in milliseconds. */
async function watchPulse(page) {
  await page.evaluate(() => {
    let last = performance.now();
    window.longestMs = 0;
    const beat = () => {
      const now = performance.now();
      window.longestMs = Math.max(window.longestMs, now - last);
      last = now;
      setTimeout(beat, 0);
    };
    beat();
  });
  return () => page.evaluate(() => window.longestMs);
}

test("a challenge is solved on the room's page, which does not stand still meanwhile", async ({ page }) => {
  // Some ways of solving take a phone seconds; here each takes ten at least, wherever it is done.
  const SLOW_MS = 10_000;
  const script = await (await fetch(`${STRICT_PUBLIC}/challenge.js`)).text();
  const slow = script.replace(/function solve\(.*\) \{\n/, (head) => `${head} for (const until = Date.now() + ${SLOW_MS}; Date.now() < until;);\n`);
  expect(slow).not.toBe(script);
  await page.context().route(`${STRICT_PUBLIC}/challenge.js`, (route) => route.fulfill({ contentType: "text/javascript", body: slow }));
  const faults = strict.watch(page);
  const orders = [];
  page.on("response", (response) => {
    if (response.url().endsWith("/order")) orders.push([response.status(), response.request().headers()["x-challenge"] !== undefined]);
  });
  const workers = [];
  page.on("worker", (worker) => workers.push(worker.url()));
  const product = await turn(page);
  const longestMs = await watchPulse(page);
  const began = Date.now();
  await page.getByRole("button", { name: "Buy now" }).click();
  await expect(page.locator("#sub")).toHaveText("Placing your order…");
  // What one does to the page meanwhile is done at once.
  await page.getByText("How the places are drawn").click();
  await expect(page.locator("details")).toHaveAttribute("open", "");
  expect(Date.now() - began).toBeLessThan(SLOW_MS);
  await shot(page, "challenge");
  await says(page, "It is yours");
  expect(Date.now() - began).toBeGreaterThan(SLOW_MS);
  expect(await longestMs()).toBeLessThan(SLOW_MS / 2);
  expect(orders).toEqual([[403, false], [200, true]]);
  expect(workers).toEqual([`${STRICT_PUBLIC}/challenge.js`]);
  const { sold } = await strict.operator("GET", `/admin/products/${product}`);
  expect(sold).toBe(1);
  expect(faults).toEqual([]);
});

test("a challenge that the room's page cannot solve is said, and the page does not hang", async ({ page }) => {
  await page.route(`${STRICT_PUBLIC}/order`, async (route) => {
    const answer = await route.fetch();
    const json = { ...(await answer.json()), provider: "turnstile", challenge: null, siteKey: "page-key" };
    await route.fulfill({ response: answer, json });
  });
  const faults = strict.watch(page);
  await turn(page);
  await page.getByRole("button", { name: "Buy now" }).click();
  await says(page, "You cannot take part");
  expect(faults).toEqual([]);
});

test("a challenge that has expired is solved once more", async ({ page }) => {
  let asked = 0;
  await page.route(`${STRICT_PUBLIC}/order`, async (route) => {
    asked += 1;
    const headers = route.request().headers();
    // The first solution does not arrive.
    if (asked === 2) delete headers["x-challenge"];
    await route.continue({ headers });
  });
  await turn(page);
  await page.getByRole("button", { name: "Buy now" }).click();
  await says(page, "It is yours");
  expect(asked).toBe(3);
});

test.describe("nothing leaves the server's origin", () => {
  /** Every request of every page, frame and worker of the context that goes elsewhere, and every policy that was broken. */
  function elsewhere(context, origin) {
    const found = [];
    context.on("request", (request) => {
      const url = new URL(request.url());
      if (url.origin !== origin && !["blob:", "data:"].includes(url.protocol)) found.push(request.url());
    });
    context.on("console", (message) => {
      if (/Content Security Policy/i.test(message.text())) found.push(message.text());
    });
    return found;
  }

  test("with a script: early, in the queue, at one's turn, bought, sold out", async ({ page, context }) => {
    const found = elsewhere(context, room.ROOM);
    const product = await room.sale(2, 3_600_000);
    await page.goto(room.link(product, await room.session()));
    await says(page, "You are early");
    await page.getByRole("link", { name: "Deutsch" }).click();
    await says(page, "Sie sind früh da");
    await page.getByRole("link", { name: "English" }).click();
    const rival = await room.another(product);
    await room.open(product);
    await says(page, "It is your turn");
    await page.getByRole("button", { name: "Buy now" }).click();
    await says(page, "It is yours");
    await room.buys(rival, product);
    await page.goto(room.link(product, await room.session()));
    await says(page, "Sold out");
    await page.goto(`${room.ROOM}/waiting-room?product=none`);
    await says(page, "There is no waiting room");
    expect(found).toEqual([]);
  });

  test("with a challenge, which is solved in a worker", async ({ page, context }) => {
    const found = elsewhere(context, STRICT_PUBLIC);
    await turn(page);
    await page.getByRole("button", { name: "Buy now" }).click();
    await says(page, "It is yours");
    expect(found).toEqual([]);
  });

  test("and the page could not: its policy stops what a script in it would send", async ({ page, context }) => {
    const product = await room.sale(2);
    await page.goto(room.link(product, await room.session()));
    await says(page, "It is your turn");
    const sent = [];
    context.on("requestfinished", (request) => {
      if (new URL(request.url()).origin !== room.ROOM) sent.push(request.url());
    });
    const tried = await page.evaluate(async (url) => {
      const image = new Promise((done) => {
        const it = new Image();
        it.onload = () => done("sent");
        it.onerror = () => done("stopped");
        it.src = `${url}/livez`;
      });
      const call = fetch(`${url}/livez`, { mode: "no-cors" }).then(() => "sent", () => "stopped");
      const socket = new Promise((done) => {
        try {
          const it = new EventSource(`${url}/admin/events`);
          it.onerror = () => done("stopped");
          it.onopen = () => done("sent");
        } catch { done("stopped"); }
      });
      return Promise.all([image, call, socket]);
    }, STRICT_PUBLIC);
    expect(tried).toEqual(["stopped", "stopped", "stopped"]);
    expect(sent).toEqual([]);
  });
});

test("no file of the page names another server", async () => {
  const files = ["waiting-room?product=none", "waiting-room/room.js", "waiting-room/room.css", "waiting-room/brand.css", "waiting-room/icon.svg", "challenge.js"];
  for (const file of files) {
    const text = await (await fetch(`${room.ROOM}/${file}`)).text();
    // The name space of SVG is a name and no address.
    const named = text.replaceAll("http://www.w3.org/2000/svg", "").match(/(https?:)?\/\/[a-z0-9.-]+\.[a-z]{2,}/gi);
    expect(named, file).toBeNull();
  }
});
