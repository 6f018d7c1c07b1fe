// What an operator does on the console, by its buttons.

const { test, expect } = require("@playwright/test");
const { TOKENS, load, login, operator, order, sale, unique, watch } = require("./gate");

const row = (page, product) => page.getByRole("row").filter({ hasText: product });
const dialog = (page) => page.getByRole("dialog");

/** Fills in why, confirms, and waits for what came of it. */
async function confirm(page, button, outcome) {
  await dialog(page).getByRole("textbox", { name: "Reason" }).fill("a drill");
  await dialog(page).getByRole("button", { name: button, exact: true }).click();
  await expect(dialog(page).getByRole("status")).toHaveText(outcome);
  await dialog(page).getByRole("button", { name: "Close" }).click();
  await expect(dialog(page)).toBeHidden();
}

test("a wrong token does not log in, the right one does", async ({ page }) => {
  const faults = watch(page);
  await page.goto("/");
  await expect(page.getByRole("heading", { name: "Log in" })).toBeVisible();
  await page.screenshot({ path: "shots/login.png" });
  await page.getByLabel("Operator's token").fill("wrong-token-0123456789abcdef");
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByRole("alert")).toHaveText("this token is not valid");
  await page.getByLabel("Operator's token").fill(TOKENS.operator);
  await page.keyboard.press("Enter");
  await expect(page.getByText("operator (operator)")).toBeVisible();
  await expect(page.getByText("live", { exact: true })).toBeVisible();
  // The browser itself tells of the answer 401.
  expect(faults.filter((fault) => !fault.includes("401"))).toEqual([]);
});

test("the cookie is one that pages cannot read and other sites cannot send", async ({ page, context }) => {
  await login(page);
  const cookies = await context.cookies();
  expect(cookies).toHaveLength(1);
  const [cookie] = cookies;
  expect(cookie).toMatchObject({ name: "__Host-flux-gate", secure: true, httpOnly: true, sameSite: "Strict", path: "/", expires: -1 });
  expect(cookie.value).toMatch(/^[0-9a-f]{64}$/);
  expect(await page.evaluate(() => document.cookie)).toBe("");
  expect(await page.evaluate(() => ({ ...localStorage, ...sessionStorage }))).toEqual({});
});

test("numbers move while orders come in, and stay after a reload", async ({ page }) => {
  const faults = watch(page);
  const product = await sale(10_000);
  await login(page);
  const cells = row(page, product).getByRole("cell");
  await expect(cells.nth(1)).toContainText("0 of 10,000");
  const orders = load(product);
  await expect(async () => {
    expect(Number(await page.locator("#t-sold").textContent())).toBeGreaterThan(5);
  }).toPass();
  await expect(cells.nth(1)).not.toContainText(/^0 of/);
  await expect(page.locator("#t-p99")).toContainText("ms");
  await expect(page.locator(".chart .one").first()).toBeVisible({ timeout: 15_000 });
  await page.waitForTimeout(11_000);
  await orders.stop();
  await page.reload();
  await expect(page.locator(".chart .one").first()).toBeVisible();
  const samples = await page.evaluate(() => fetch("/admin/history").then((r) => r.json()));
  expect(samples.samples.some((sample) => sample.sold > 5 && sample.p99Us > 0)).toBe(true);
  await page.locator("summary").first().click();
  await expect(page.getByRole("region", { name: /by minute/ }).first().getByRole("row").nth(1)).toBeVisible();
  expect(faults).toEqual([]);
});

test("pause and resume by the buttons", async ({ page }) => {
  const faults = watch(page);
  const product = await sale(100);
  expect((await order(product)).status).toBe(200);
  await login(page);
  await page.getByRole("button", { name: `Pause ${product}` }).click();
  await expect(dialog(page)).toContainText("The count stays as it is: 1 of 100 sold");
  await page.screenshot({ path: "shots/pause.png" });
  // Without a reason nothing happens.
  await dialog(page).getByRole("button", { name: `Pause ${product}` }).click();
  await expect(dialog(page).getByRole("status")).toHaveText("Say why: it goes into the audit trail.");
  expect((await order(product)).status).toBe(200);
  await confirm(page, `Pause ${product}`, new RegExp(`^Paused in \\d+ ms: ${product} \\(2 sold\\)\\.$`));
  expect((await order(product)).json.status).toBe("paused");
  await expect(row(page, product)).toContainText("paused");
  await expect(page.getByRole("list").filter({ hasText: "paused the sale" })).toContainText(product);
  await page.getByRole("button", { name: `Resume ${product}` }).click();
  await confirm(page, `Resume ${product}`, /Resumed/);
  expect((await order(product)).status).toBe(200);
  await expect(row(page, product)).toContainText("open");
  expect(faults).toEqual([]);
});

test("a cancelled dialog changes nothing", async ({ page }) => {
  const product = await sale(100);
  await login(page);
  await page.getByRole("button", { name: `Pause ${product}` }).click();
  await dialog(page).getByRole("textbox", { name: "Reason" }).fill("a slip");
  await page.keyboard.press("Escape");
  await expect(dialog(page)).toBeHidden();
  await expect(page.getByRole("button", { name: `Pause ${product}` })).toBeFocused();
  expect((await order(product)).status).toBe(200);
});

test("all sales are paused at once, and resumed", async ({ page }) => {
  const products = [await sale(10), await sale(10)];
  await login(page);
  await expect(row(page, products[1])).toBeVisible();
  await page.getByRole("button", { name: "Pause all sales" }).click();
  await expect(dialog(page)).toContainText(/no order of the \d+ sales that are not paused is confirmed/);
  await confirm(page, "Pause all sales", /Paused/);
  for (const product of products) expect((await order(product)).json.status).toBe("paused");
  await expect(row(page, products[1])).toContainText("paused");
  await page.getByRole("button", { name: "Resume all" }).click();
  for (const product of products) await expect(dialog(page)).toContainText(product);
  await expect(dialog(page)).toContainText("also those that somebody else paused");
  await confirm(page, "Resume all sales", /Resumed/);
  for (const product of products) expect((await order(product)).status).toBe(200);
});

test("a limit is tightened for a time", async ({ page }) => {
  await login(page);
  await page.getByRole("button", { name: "Tighten a limit…" }).click();
  await dialog(page).getByLabel("Limit").selectOption("buyer_per_second");
  await dialog(page).getByLabel("New value").fill("3");
  await dialog(page).getByLabel("For", { exact: true }).selectOption("1 hour");
  await expect(dialog(page)).toContainText("Sets buyer per second from 5 to 3 a second, on all nodes, for 1 hour.");
  await page.screenshot({ path: "shots/tighten.png" });
  await confirm(page, "Set the limit", "Set: buyer_per_second is 3 now.");
  await expect(page.locator("#defences")).toContainText("1 limit is changed for a time");
  const { limits } = (await operator("GET", "/admin/limits")).json;
  const set = limits.find(({ limit }) => limit === "buyer_per_second");
  expect(set).toMatchObject({ effective: 3, live: { reason: "a drill", by: "operator" } });
  expect((await operator("DELETE", "/admin/limits/buyer_per_second")).status).toBe(200);
});

test("somebody is blocked for a time, and only a pseudonym is kept", async ({ page }) => {
  const product = await sale(100);
  const user = unique("mallory");
  await login(page);
  await page.getByRole("button", { name: "Block somebody…" }).click();
  await dialog(page).getByLabel("What").selectOption("user");
  await dialog(page).getByLabel("Whom").fill(user);
  await expect(dialog(page)).toContainText(`Refuses every request of the user ${user} on all nodes for 1 hour.`);
  await confirm(page, "Block", /^Blocked: user-[0-9a-f]+\.$/);
  expect((await order(product, user)).status).toBe(403);
  expect((await order(product)).status).toBe(200);
  await expect(page.locator("#defences")).toContainText("1 block stands");
  const listed = await operator("GET", "/admin/blocks");
  expect(JSON.stringify(listed.json)).not.toContain(user);
  expect((await operator("DELETE", `/admin/blocks/${listed.json.blocks[0].id}`)).status).toBe(200);
});

test("orders are reversed, each once", async ({ page }) => {
  const product = await sale(100);
  const ids = [];
  for (let n = 0; n < 3; n += 1) ids.push((await order(product)).json.orderId);
  await login(page);
  await expect(row(page, product)).toContainText("3 of 100");
  await page.getByRole("button", { name: "Reverse orders…" }).click();
  await dialog(page).getByLabel("Product").selectOption(product);
  const stranger = (await order(await sale(1))).json.orderId;
  await dialog(page).getByLabel(/Order ids/).fill(`${ids[0]}\n${ids[1]}\n${ids[0]}\n${stranger}`);
  await dialog(page).getByLabel("Their units go on sale again").check();
  await expect(dialog(page)).toContainText(`Takes 3 orders of ${product} back, each exactly once. This cannot be undone.`);
  await dialog(page).getByRole("textbox", { name: "Reason" }).fill("a drill");
  await dialog(page).getByRole("button", { name: "Look first" }).click();
  await expect(dialog(page)).toContainText(`Takes 2 orders of ${product} back`);
  await expect(dialog(page)).toContainText("1 are no orders of this sale");
  await expect(dialog(page).getByRole("status")).toHaveText("This is what will be done. Nothing has been changed yet.");
  expect((await operator("GET", `/admin/products/${product}`)).json.sold).toBe(3);
  await page.screenshot({ path: "shots/reverse.png" });
  await confirm(page, "Reverse 2", /^Reversed 2; 0 were reversed before; 1 are no orders of this sale. Sold now: 1\.$/);
  await expect(row(page, product)).toContainText("1 of 100");
});

test("orders that show a pattern are looked at, then reversed: those that were looked at", async ({ page }) => {
  const faults = watch(page);
  const product = await sale(100);
  const device = unique("farm-device");
  const farm = async (count) => {
    for (let n = 0; n < count; n += 1) await order(product, unique("bot"), { "x-device-fingerprint": device });
  };
  await farm(12);
  expect((await order(product)).status).toBe(200);
  await login(page);
  await expect(row(page, product)).toContainText("13 of 100");
  await page.getByRole("button", { name: "Reverse orders…" }).click();
  await dialog(page).getByLabel("Product").selectOption(product);
  await dialog(page).getByLabel("Which orders").selectOption("many buyers with one fingerprint");
  await expect(dialog(page).getByLabel(/Order ids/)).toBeHidden();
  await dialog(page).getByRole("textbox", { name: "Reason" }).fill("a drill");
  // What was accepted is in the evidence a moment later.
  const shared = `/admin/incident/orders?product=${product}&pattern=shared_fingerprint`;
  await expect(async () => expect((await operator("GET", shared)).json.matched).toBe(12)).toPass({ timeout: 60_000 });
  await dialog(page).getByRole("button", { name: "Look first" }).click();
  await expect(dialog(page)).toContainText(`Takes 12 orders of ${product} back`);
  await farm(3);
  await page.screenshot({ path: "shots/reverse-pattern.png" });
  await confirm(page, "Reverse 12", /^Reversed 12; 0 were reversed before; 0 are no orders of this sale. Sold now: 4\.$/);
  expect(faults).toEqual([]);
});

test("offenders appear as pseudonyms after an attack", async ({ page }) => {
  const faults = watch(page);
  const product = await sale(1_000);
  await login(page, "viewer");
  const device = unique("farm-device");
  for (let n = 0; n < 13; n += 1) {
    expect((await order(product, unique("bot"), { "x-device-fingerprint": device })).status).toBe(200);
  }
  const panel = page.getByRole("region", { name: /Top offenders/ });
  const farm = panel.getByRole("row").filter({ hasText: /^fingerprint-[0-9a-f]{16}130/ });
  await expect(farm).toBeVisible({ timeout: 20_000 });
  await expect(panel).not.toContainText(device);
  await expect(panel).not.toContainText("bot-");
  await panel.screenshot({ path: "shots/offenders.png" });
  expect(faults).toEqual([]);
});

test("a viewer sees everything and has no buttons", async ({ page }) => {
  const product = await sale(10);
  await login(page, "viewer");
  await expect(row(page, product)).toBeVisible();
  await expect(page.getByRole("button")).toHaveText(["Log out"]);
  const answer = await page.evaluate(async (id) => {
    const headers = { "content-type": "application/json", "idempotency-key": "viewer-tries" };
    return (await fetch(`/admin/products/${id}/pause`, { method: "POST", headers, body: "{}" })).status;
  }, product);
  expect(answer).toBe(403);
  expect((await order(product)).status).toBe(200);
});

test("logging out ends the session, wherever its cookie is", async ({ page, context, playwright }) => {
  await login(page);
  const cookie = (await context.cookies())[0];
  const thief = await playwright.request.newContext({ extraHTTPHeaders: { cookie: `${cookie.name}=${cookie.value}` } });
  const url = `${process.env.CONSOLE}/admin/overview`;
  expect((await thief.get(url)).status()).toBe(200);
  await page.getByRole("button", { name: "Log out" }).click();
  await expect(page.getByRole("heading", { name: "Log in" })).toBeVisible();
  expect(await context.cookies()).toEqual([]);
  expect((await thief.get(url)).status()).toBe(401);
  await page.reload();
  await expect(page.getByRole("heading", { name: "Log in" })).toBeVisible();
  await thief.dispose();
});

test("revoking a token ends its sessions and their streams at once", async ({ page }) => {
  const name = unique("temp");
  const { token } = (await operator("POST", "/admin/tokens", { name, role: "viewer" })).json;
  await page.goto("/");
  await page.getByLabel("Operator's token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByText("live", { exact: true })).toBeVisible();
  expect((await operator("DELETE", `/admin/tokens/${name}`)).status).toBe(200);
  await expect(page.getByRole("alert")).toHaveText("Your session has ended. Log in again.");
});

test("what shoppers and operators write stays text", async ({ page }) => {
  const faults = watch(page);
  const product = await sale(10);
  const markup = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>`;
  await order(product, unique("u"), { "x-device-fingerprint": markup });
  await login(page);
  await page.getByRole("button", { name: "Block somebody…" }).click();
  await dialog(page).getByLabel("What").selectOption("fingerprint");
  await dialog(page).getByLabel("Whom").fill(markup);
  await dialog(page).getByRole("textbox", { name: "Reason" }).fill(`"><svg onload=alert(1)>${markup}`.slice(0, 60));
  await dialog(page).getByRole("button", { name: "Block", exact: true }).click();
  await expect(dialog(page).getByRole("status")).toHaveText(/^Blocked/);
  await dialog(page).getByRole("button", { name: "Close" }).click();
  await expect(page.locator("#actions")).toContainText(`"><svg onload=alert(1)>`);
  expect(await page.locator("#actions svg, #actions img, #actions script").count()).toBe(0);
  expect(await page.evaluate(() => window.hacked)).toBeUndefined();
  expect(faults).toEqual([]);
});
