// Pages of other origins, with a browser that holds a session of the console.

const http = require("node:http");
const { test, expect } = require("@playwright/test");
const { CONSOLE, PUBLIC, login, operator, order, sale } = require("./gate");

let evil;
test.beforeAll(async () => {
  evil = http.createServer((_, response) => response.setHeader("content-type", "text/html").end("<!doctype html><title>evil</title>"));
  await new Promise((resolve) => evil.listen(0, "127.0.0.1", resolve));
});
test.afterAll(() => evil.close());

/** The same site on another port, where SameSite does not help, and another site. */
const sites = () => [`http://127.0.0.1:${evil.address().port}`, `http://localhost:${evil.address().port}`];

test("another origin's form, fetch and frame get nowhere", async ({ page, context }) => {
  const product = await sale(10);
  await login(page);
  for (const site of sites()) {
    const attacker = await context.newPage();
    const said = [];
    attacker.on("console", (message) => said.push(message.text()));
    await attacker.goto(site);
    // A form can send this as text/plain, and it is JSON all the same.
    const [answer] = await Promise.all([
      attacker.waitForResponse((response) => response.url().endsWith("/pause")),
      attacker.evaluate(([url]) => {
        const form = document.createElement("form");
        Object.assign(form, { method: "post", action: url, enctype: "text/plain" });
        document.body.append(form);
        form.submit();
      }, [`${CONSOLE}/admin/products/${product}/pause`]),
    ]);
    expect([401, 403]).toContain(answer.status());
    await attacker.waitForURL(/\/pause$/);
    await attacker.goto(site);
    const read = await attacker.evaluate(async (url) => {
      const tries = [
        fetch(url, { credentials: "include" }),
        fetch(url, { credentials: "include", method: "POST", headers: { "content-type": "application/json" }, body: "{}" }),
      ];
      return (await Promise.allSettled(tries)).map((done) => done.status);
    }, `${CONSOLE}/admin/overview`);
    expect(read).toEqual(["rejected", "rejected"]);
    const blind = await attacker.evaluate((url) => fetch(url, { credentials: "include", mode: "no-cors", method: "POST", body: "{}" }).then((it) => it.type).catch(() => "refused"), `${CONSOLE}/admin/products/${product}/pause`);
    expect(["opaque", "refused"]).toContain(blind);
    const stream = await attacker.evaluate((url) => new Promise((resolve) => {
      const source = new EventSource(url, { withCredentials: true });
      source.onerror = () => (source.close(), resolve("refused"));
      source.addEventListener("overview", () => resolve("read"));
    }), `${CONSOLE}/admin/events`);
    expect(stream).toBe("refused");
    await attacker.evaluate((url) => {
      const frame = document.createElement("iframe");
      frame.src = url;
      document.body.append(frame);
    }, `${CONSOLE}/`);
    await expect(() => expect(said.join("\n")).toMatch(/Framing.*frame-ancestors/)).toPass();
    for (const frame of attacker.frames()) expect(await frame.getByText("Log in").count()).toBe(0);
    await attacker.close();
  }
  expect((await order(product)).status).toBe(200);
  // The session itself goes on.
  await page.reload();
  await expect(page.getByText("live", { exact: true })).toBeVisible();
});

test("the public listener's origin is another one", async ({ page, context }) => {
  await login(page);
  const attacker = await context.newPage();
  await attacker.goto(`${PUBLIC}/livez`);
  const done = await attacker.evaluate((url) => fetch(url, { credentials: "include", method: "POST", mode: "no-cors", body: "{}" }).then((it) => it.type).catch(() => "refused"), `${CONSOLE}/admin/logout`);
  expect(["opaque", "refused"]).toContain(done);
  await page.reload();
  await expect(page.getByText("live", { exact: true })).toBeVisible();
});

test("a session id that the browser came with is not taken over", async ({ page, context }) => {
  const planted = "0".repeat(64);
  await context.addCookies([{ name: "__Host-flux-gate", value: planted, url: CONSOLE, secure: true, httpOnly: true, sameSite: "Strict" }]).catch(() => {});
  await login(page);
  const first = (await context.cookies())[0].value;
  expect(first).not.toBe(planted);
  await page.evaluate((token) => fetch("/admin/login", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ token }) }), process.env.OPERATOR_TOKEN);
  const second = (await context.cookies())[0].value;
  expect(second).not.toBe(first);
  const old = await fetch(`${CONSOLE}/admin/overview`, { headers: { cookie: `__Host-flux-gate=${first}` } });
  expect(old.status).toBe(401);
});

test("logins, failed ones and logouts are in the audit trail", async ({ page }) => {
  await login(page);
  await page.getByRole("button", { name: "Log out" }).click();
  await expect(page.getByRole("heading", { name: "Log in" })).toBeVisible();
  await expect(async () => {
    for (const kind of ["login", "logout", "bad_login", "cross_site"]) {
      const { json } = await operator("GET", `/admin/audit?kind=${kind}`);
      expect(json.events.length, kind).toBeGreaterThan(0);
    }
  }).toPass();
});
