// What a shopper sees of the waiting room, from early arrival to the receipt, and when things go wrong.

const fs = require("node:fs");
const http = require("node:http");
const { test, expect } = require("@playwright/test");
const { findings } = require("./axe");
const { ROOM, another, buys, link, open, sale, session, watch } = require("./room");

const says = (page, name) => expect(page.getByRole("heading", { level: 1, name })).toBeVisible({ timeout: 60_000 });
const shot = (page, name) => page.screenshot({ path: `shots/room-${name}.png`, fullPage: true });
const many = (count, product) => Promise.all(Array.from({ length: count }, () => another(product)));

test("early, drawn, let in, bought: and the receipt stays after a reload", async ({ page }) => {
  const faults = watch(page);
  const product = await sale(100, 3_600_000);
  const others = await many(4, product);
  await page.goto(link(product, await session()));
  await says(page, "You are early");
  expect(page.url()).toBe(`${ROOM}/waiting-room?product=${product}`);
  await expect(page.locator("#big")).toHaveText(/^(1:00:00|59:\d\d)$/);
  await expect(page.locator("#stock")).toHaveText("Not open yet");
  await expect(page.locator("#ticket")).toHaveText("Your ticket: 5");
  await shot(page, "early");
  await open(product);
  await says(page, "It is your turn");
  await expect(page.getByRole("button", { name: "Buy now" })).toBeFocused();
  await shot(page, "turn");
  await page.keyboard.press("Enter");
  await says(page, "It is yours");
  await expect(page.locator("dd").first()).toHaveText(/^[0-9a-f-]{36}$/);
  const receipt = await page.locator("dd").nth(1).textContent();
  expect(receipt.length).toBeGreaterThan(50);
  await shot(page, "bought");
  await page.reload();
  await says(page, "It is yours");
  await expect(page.locator("dd").nth(1)).toHaveText(receipt);
  expect(others).toHaveLength(4);
  expect(faults).toEqual([]);
});

test("the place moves while one looks, and the page is told of it", async ({ page }) => {
  const faults = watch(page);
  const product = await sale(100);
  await many(40, product);
  const seen = new Set();
  await page.goto(link(product, await session()));
  await says(page, "You are in the queue");
  await expect(page.locator("#sub")).toHaveText(/^(about \d+ seconds|You are next)$/);
  await shot(page, "place");
  while (await page.locator("#big").isVisible()) {
    seen.add(Number(await page.locator("#big").textContent()));
    await page.waitForTimeout(250);
  }
  await says(page, "It is your turn");
  const places = [...seen];
  expect(places.length).toBeGreaterThan(3);
  expect(places).toEqual([...places].sort((one, other) => other - one));
  expect(faults).toEqual([]);
});

test("sold out ends the waiting at once", async ({ page }) => {
  const faults = watch(page);
  const product = await sale(1);
  const first = await another(product);
  await page.goto(link(product, await session()));
  await says(page, "You are in the queue");
  await expect(page.locator("#sub")).toHaveText("You are next");
  expect((await buys(first, product)).json.status).toBe("success");
  const sold = Date.now();
  await says(page, "Sold out");
  console.log(`told that it is sold out after ${Date.now() - sold} ms`);
  await expect(page.locator("#stock")).toHaveText("Sold out");
  await shot(page, "sold-out");
  expect(faults).toEqual([]);
});

test("a lost connection is said, the place is kept, and the page goes on by itself", async ({ page, context }) => {
  const product = await sale(100);
  await many(40, product);
  await page.goto(link(product, await session()));
  await says(page, "You are in the queue");
  const before = Number(await page.locator("#big").textContent());
  const number = await page.locator("#ticket").textContent();
  await context.setOffline(true);
  await expect(page.getByText("Connection lost.")).toBeVisible({ timeout: 60_000 });
  await shot(page, "lost");
  await context.setOffline(false);
  await expect(page.getByText("Connection lost.")).toBeHidden({ timeout: 60_000 });
  await expect(async () => {
    const big = page.locator("#big");
    const turn = !(await big.isVisible());
    expect(turn || Number(await big.textContent()) < before).toBe(true);
  }).toPass();
  await expect(page.locator("#ticket")).toHaveText(number);
  await says(page, "It is your turn");
});

test.describe("an order that is under way", () => {
  /** At its turn, at a page that asks each second how it stands; `said` is what it is told then, and what its order is answered. */
  async function turn(page, said) {
    const faults = watch(page);
    const product = await sale(5);
    await page.route(/\/waiting-room\/state\?/, async (route) => {
      const response = await route.fetch();
      said.polls += 1;
      const json = { ...(await response.json()), ...said.state, pollSeconds: 1 };
      return route.fulfill({ response, json });
    });
    await page.route(`${ROOM}/order`, (route) => (said.order ? route.fulfill(said.order) : route.continue()));
    await page.goto(link(product, await session()));
    await says(page, "It is your turn");
    said.order = { status: 202, json: { status: "pending", orderId: "81ac5ba9-b91c-8984-b6af-7577bb642adc" } };
    await page.getByRole("button", { name: "Buy now" }).click();
    await says(page, "Almost done");
    return faults;
  }

  test("is carried to its end, though its turn ends meanwhile", async ({ page }) => {
    const said = { polls: 0, state: {}, order: null };
    const faults = await turn(page, said);
    said.state = { ticket: "lapsed", place: null };
    const before = said.polls;
    await expect(async () => expect(said.polls).toBeGreaterThan(before + 1)).toPass();
    // Nothing has taken the place of what it says.
    await says(page, "Almost done");
    said.order = null;
    await says(page, "It is yours");
    expect(faults).toEqual([]);
  });

  test("and of which nobody told what became of it, is not said to be lost", async ({ page }) => {
    const said = { polls: 0, state: {}, order: null };
    const faults = await turn(page, said);
    said.order = { status: 403, json: { code: "not_admitted", status: 403 } };
    await says(page, "Your turn was used");
    await expect(page.locator("#body")).toContainText("If you have ordered, your order stands");
    await expect(page.getByRole("button", { name: "Queue again" })).toBeVisible();
    expect(faults).toEqual([]);
  });
});

test("a reload, and a second tab of the same shopper, keep the same place", async ({ page, context }) => {
  const product = await sale(5, 3_600_000);
  const shopper = await session();
  await another(product);
  await page.goto(link(product, shopper));
  await expect(page.locator("#ticket")).toHaveText("Your ticket: 2");
  await page.reload();
  await expect(page.locator("#ticket")).toHaveText("Your ticket: 2");
  const second = await context.newPage();
  await second.goto(link(product, shopper));
  await expect(second.locator("#ticket")).toHaveText("Your ticket: 2");
});

test("nobody who did not come from the shop gets a place", async ({ page }) => {
  const product = await sale(5);
  await page.goto(`${ROOM}/waiting-room?product=${product}`);
  await says(page, "Please come from the shop");
  await shot(page, "session");
  await page.goto(`${ROOM}/waiting-room?product=none`);
  await says(page, "There is no waiting room");
  await expect(page.locator("#stock")).toBeHidden();
  const { key } = await session();
  await page.goto(link(product, { pass: "v1.forged.pass", key }));
  await says(page, "Please come from the shop");
});

test.describe("in German", () => {
  test.use({ locale: "de-AT" });
  test("the page speaks the browser's language, or the one that is chosen", async ({ page }) => {
    const product = await sale(5, 3_600_000);
    await page.goto(link(product, await session()));
    await says(page, "Sie sind früh da");
    await shot(page, "german");
    await page.getByRole("link", { name: "English" }).click();
    await says(page, "You are early");
    await expect(page.locator("html")).toHaveAttribute("lang", "en");
  });
});

test.describe("without a script", () => {
  test.use({ javaScriptEnabled: false });
  let shop;
  let form = "";
  test.beforeAll(async () => {
    shop = http.createServer((_, response) => response.setHeader("content-type", "text/html").end(form));
    await new Promise((resolve) => shop.listen(0, "127.0.0.1", resolve));
  });
  test.afterAll(() => shop.close());

  test("the queue is seen by loading the page again, and a form buys", async ({ page }) => {
    const product = await sale(5, 3_600_000);
    const { pass } = await session();
    form = `<!doctype html><title>shop</title><form method="post" action="${ROOM}/waiting-room/enter">
      <input type="hidden" name="product" value="${product}"><input type="hidden" name="pass" value="${pass}"><button>To the sale</button></form>`;
    await page.goto(`http://localhost:${shop.address().port}`);
    await page.getByRole("button", { name: "To the sale" }).click();
    await says(page, "You are early");
    await expect(page.getByText("This page loads itself again every 5 seconds.")).toBeVisible();
    await shot(page, "form-early");
    await open(product);
    // By itself.
    await says(page, "It is your turn");
    await shot(page, "form-turn");
    await page.getByRole("button", { name: "Buy now" }).click();
    await says(page, "It is yours");
    await expect(page.locator("dd").nth(1)).toBeVisible();
    await shot(page, "form-bought");
  });
});

test("a saved ticket and the data of the draw are what the program checks", async ({ page }) => {
  const product = await sale(5, 3_600_000);
  await page.goto(link(product, await session()));
  await says(page, "You are early");
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByText("Save my ticket").click()]);
  const saved = JSON.parse(fs.readFileSync(await download.path(), "utf8"));
  expect(saved.ticket).toMatch(/^t1\./);
  expect(saved.draw.commitment).toMatch(/^[0-9a-f]{64}$/);
  await page.getByText("How the places are drawn").click();
  await page.getByRole("link", { name: "The data of the draw" }).click();
  expect(JSON.parse(await page.locator("body").textContent()).commitment).toBe(saved.draw.commitment);
});

const SCREENS = [
  { name: "desk", viewport: { width: 1_280, height: 900 } },
  { name: "phone", viewport: { width: 360, height: 740 } },
];
for (const { name, viewport } of SCREENS) {
  for (const colorScheme of ["light", "dark"]) {
    test.describe(() => {
      test.use({ viewport, colorScheme });
      test(`axe finds nothing in any state: ${name}, ${colorScheme}`, async ({ page }) => {
        const faults = watch(page);
        const fits = async (state) => {
          expect(await findings(page), state).toEqual([]);
          const wide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
          expect(wide, "the page is no wider than the screen").toBe(false);
          await shot(page, `${state}-${name}-${colorScheme}`);
        };
        const product = await sale(6, 3_600_000, "a-lamp-with-a-rather-long-name");
        await page.goto(link(product, await session()));
        await says(page, "You are early");
        await page.getByText("How the places are drawn").click();
        await fits("early");
        await open(product);
        await says(page, "It is your turn");
        await fits("turn");
        await page.getByRole("button", { name: "Buy now" }).click();
        await says(page, "It is yours");
        await fits("bought");
        const queue = await sale(100);
        await many(40, queue);
        await page.goto(link(queue, await session()));
        await says(page, "You are in the queue");
        await fits("place");
        const rare = await sale(1);
        const first = await another(rare);
        await page.goto(link(rare, await session()));
        await says(page, "You are in the queue");
        await buys(first, rare);
        await says(page, "Sold out");
        await fits("sold-out");
        expect(faults).toEqual([]);
      });
    });
  }
}
