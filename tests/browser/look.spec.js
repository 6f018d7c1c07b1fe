// Whether everybody can use it: axe on each view, in light and dark, on a desk and on a phone; and pictures.

const { test, expect } = require("@playwright/test");
const { findings } = require("./axe");
const { load, login, order, sale, watch } = require("./gate");

const SCREENS = [
  { name: "desk", viewport: { width: 1_280, height: 900 } },
  { name: "phone", viewport: { width: 390, height: 844 } },
];

for (const { name, viewport } of SCREENS) {
  for (const colorScheme of ["light", "dark"]) {
    test.describe(() => {
      test.use({ viewport, colorScheme });
      test(`axe finds nothing: ${name}, ${colorScheme}`, async ({ page }) => {
        const faults = watch(page);
        await page.goto("/");
        await expect(page.getByRole("heading", { name: "Log in" })).toBeVisible();
        expect(await findings(page)).toEqual([]);
        const product = await sale(150, "sneaker-limited-edition");
        const orders = load(product, 5);
        await login(page);
        await expect(page.locator(".chart .one").first()).toBeVisible({ timeout: 15_000 });
        await page.waitForTimeout(3_000);
        await orders.stop();
        expect((await order(product)).json.status).toBe("sold_out");
        await expect(page.locator("#refusals")).toContainText("sold_out");
        expect(await findings(page)).toEqual([]);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
        expect(wide, "the page is no wider than the screen").toBe(false);
        await page.screenshot({ path: `shots/board-${name}-${colorScheme}.png`, fullPage: true });
        await page.getByRole("button", { name: "Block somebody…" }).click();
        expect(await findings(page)).toEqual([]);
        await page.screenshot({ path: `shots/dialog-${name}-${colorScheme}.png` });
        expect(faults).toEqual([]);
      });
    });
  }
}

test("everything can be reached and done by the keyboard", async ({ page }) => {
  const product = await sale(10);
  await login(page);
  const button = page.getByRole("button", { name: `Pause ${product}` });
  await expect(button).toBeVisible();
  for (let n = 0; n < 40 && !(await button.evaluate((it) => it === document.activeElement)); n += 1) {
    await page.keyboard.press("Tab");
  }
  await expect(button).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("textbox", { name: "Reason" })).toBeFocused();
  await page.keyboard.type("by keyboard");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("dialog").getByRole("status")).toHaveText(/^Paused/);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("dialog")).toBeHidden();
  expect((await order(product)).json.status).toBe("paused");
});
