// The pictures of the documentation, taken on a server that shows nothing else: target/browser/pictures/.
// CONTRIBUTING.md says how they become those in docs/pictures/.

const fs = require("node:fs");
const { test, expect } = require("@playwright/test");
const { at } = require("./room");

const { PICTURES, PICTURES_OPERATOR, OPERATOR_TOKEN } = process.env;
const gate = at(PICTURES, PICTURES_OPERATOR);
/** What a picture may weigh in the repository. */
const BYTES_MAX = 200_000;

async function take(page, name, options = {}) {
  const path = `pictures/${name}.png`;
  await page.screenshot({ path, animations: "disabled", ...options });
  expect(fs.statSync(path).size).toBeLessThan(BYTES_MAX);
}

/** A sale of this very name. */
const named = (productId, quantity, more = {}) => gate.operator("POST", "/admin/products", { productId, quantity, ...more });

test.use({ viewport: { width: 1_280, height: 860 }, colorScheme: "light" });

test("the waiting room", async ({ page }) => {
  const product = "brass-lamp";
  await named(product, 100);
  for (let n = 0; n < 40; n += 1) await gate.another(product);
  await page.setViewportSize({ width: 760, height: 690 });
  await page.goto(gate.link(product, await gate.session()));
  await expect(page.getByRole("heading", { level: 1, name: "You are in the queue" })).toBeVisible();
  // Somewhat on the way, so that there is progress to be seen.
  await expect(async () => {
    expect(Number(await page.locator("#big").textContent())).toBeLessThan(30);
  }).toPass({ timeout: 60_000 });
  await take(page, "waiting-room");
  await page.setViewportSize({ width: 360, height: 640 });
  await take(page, "waiting-room-phone");
});

test("the console", async ({ page }) => {
  test.setTimeout(300_000);
  await named("brass-lamp-green", 400);
  await named("reading-lamp", 60);
  await named("storm-lantern", 250, { opensAt: Date.now() + 45 * 60_000 });
  await page.goto(PICTURES_OPERATOR);
  await page.getByLabel("Operator's token").fill(OPERATOR_TOKEN);
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByText("live", { exact: true })).toBeVisible();
  // A crowd that grows, and then more of it than there are units.
  for (let second = 0; second < 25; second += 1) {
    const began = Date.now();
    const size = 4 + Math.round(10 * Math.sin(second / 5) ** 2);
    const wanted = Array.from({ length: size }, (_, n) => (n % 3 === 0 ? "reading-lamp" : "brass-lamp-green"));
    await Promise.all(wanted.map((product) => gate.ordered(product)));
    await page.waitForTimeout(Math.max(0, 1_000 - (Date.now() - began)));
  }
  await expect(page.getByRole("row").filter({ hasText: "reading-lamp" })).toContainText("sold out");
  await take(page, "console", { fullPage: true });
});
