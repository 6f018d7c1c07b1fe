// The waiting room on two nodes: early at one, let in and buying at the other.

const { test, expect } = require("@playwright/test");

const { NODE_ONE, NODE_TWO } = process.env;

// Where the program was built for one node alone there is nothing to test.
if (NODE_ONE && NODE_TWO) {
  /** The room's helpers, which take their server from the environment, for one of the nodes. */
  const at = (room, operator) => {
    const file = require.resolve("./room");
    const { ROOM, ROOM_OPERATOR } = process.env;
    delete require.cache[file];
    Object.assign(process.env, { ROOM: room, ROOM_OPERATOR: operator });
    const helpers = require(file);
    delete require.cache[file];
    Object.assign(process.env, { ROOM, ROOM_OPERATOR });
    return helpers;
  };
  const { link, open, sale, session } = at(NODE_ONE, process.env.NODE_ONE_OPERATOR);
  const second = at(NODE_TWO, process.env.NODE_TWO_OPERATOR);

  const says = (page, name) => expect(page.getByRole("heading", { level: 1, name })).toBeVisible({ timeout: 20_000 });
  const shot = (page, name) => page.screenshot({ path: `shots/room-nodes-${name}.png`, fullPage: true });

  test("early at one node, drawn once, let in and bought at the other", async ({ page, context }) => {
    const product = await sale(100, 3_600_000);
    const shopper = await session();
    await page.goto(link(product, shopper));
    await says(page, "You are early");
    await expect(page.locator("#ticket")).toHaveText("Your ticket: 1");
    await shot(page, "early");
    // Others come at the second node, which counts on.
    const others = await Promise.all([1, 2, 3].map(() => second.another(product)));
    expect(others).toHaveLength(3);
    // The balancer sends the same shopper to the second node: the ticket is the same.
    const there = await context.newPage();
    const faults = second.watch(there);
    await there.goto(second.link(product, shopper));
    await says(there, "You are early");
    await expect(there.locator("#ticket")).toHaveText("Your ticket: 1");
    await page.close();
    await open(product);
    await says(there, "It is your turn");
    await shot(there, "turn");
    await there.getByRole("button", { name: "Buy now" }).click();
    await says(there, "It is yours");
    await expect(there.locator("dd").first()).toHaveText(/^[0-9a-f-]{36}$/);
    await shot(there, "bought");
    const draws = await Promise.all([NODE_ONE, NODE_TWO].map(async (node) => (await fetch(`${node}/waiting-room/draw?product=${product}`)).json()));
    expect(draws[0]).toEqual(draws[1]);
    expect(draws[0].entrants).toBe(4);
    expect(faults).toEqual([]);
  });
}
