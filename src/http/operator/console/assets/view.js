// Puts an overview on the page. Whatever comes from outside becomes text, never markup.

import { duration, short } from "/console/charts.js";

const $ = (id) => document.getElementById(id);
const STATES = { open: "open", not_open: "not open yet", closed: "closed", paused: "paused", sold_out: "sold out", archived: "archived" };
const HEALTH = { up: "✓ up", down: "✗ down", unused: "– not used", unknown: "? not known" };
const WHAT = {
  sale_opened: "opened the sale", sale_paused: "paused the sale", sale_resumed: "resumed the sale", sale_archived: "archived the sale",
  capacity_changed: "changed the units", schedule_changed: "changed opening or closing", order_reversed: "reversed an order",
  block_set: "blocked somebody", block_lifted: "lifted a block", limit_set: "changed a limit", limit_cleared: "went back to the configured limit",
  allow_set: "excused somebody from the bot score", allow_lifted: "no longer excuses somebody",
  score_off: "turned the bot score off", score_on: "turned the bot score on",
  token_added: "made a token", token_revoked: "revoked a token", approval_asked: "asked for an approval",
  approval_given: "approved a change", approval_rejected: "rejected a change",
  subject_erased: "erased a person", waiting_room: "changed the waiting room",
};

function text(element, value) {
  const words = String(value);
  if (element.textContent !== words) element.textContent = words;
}

function element(name, className, words) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (words !== undefined) made.textContent = words;
  return made;
}

/** Keeps one child for each item, in their order; a child stays as it is, so that focus does too. */
function keep(parent, items, key, make, fill) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, index) => {
    const name = key(item);
    let child = known.get(name);
    if (child) known.delete(name);
    else {
      child = make(item);
      child.dataset.key = name;
    }
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
    fill(child, item);
  });
  for (const child of known.values()) child.remove();
}

const number = (value) => value.toLocaleString("en");
const clock = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export function show(overview, mayChange) {
  tiles(overview);
  products(overview, mayChange);
  health(overview);
  refusals(overview.refusals);
  actions(overview.actions);
  offenders(overview.offenders);
  const { blocks, liveLimits, approvalsWaiting } = overview;
  const counted = (count, one, many) => `${count} ${count === 1 ? one : many}`;
  let standing = `${counted(blocks, "block stands", "blocks stand")}; ${counted(liveLimits, "limit is", "limits are")} changed for a time.`;
  if (approvalsWaiting) standing += ` ${counted(approvalsWaiting, "change waits", "changes wait")} for a second operator.`;
  text($("defences"), standing);
  const build = `Flux-Gate ${overview.version}, ${overview.profile === "one_node" ? "one node" : "one of many nodes"}.`;
  const missing = overview.auditNotRecorded ? ` ${overview.auditNotRecorded} audit events could not be written!` : "";
  text($("build"), build + missing);
}

function tiles(overview) {
  text($("t-sold"), short(overview.soldPerSecond));
  text($("t-refused"), short(overview.refusedPerSecond));
  const selling = overview.products.filter((product) => !product.archived);
  const sum = (of) => selling.reduce((all, product) => all + of(product), 0);
  text($("t-left"), number(sum((product) => product.remaining)));
  text($("t-left-of"), `of ${number(sum((product) => product.capacity))}`);
  text($("t-queue"), number(overview.queue));
  const { p50Us, p99Us } = overview.latency;
  text($("t-p99"), p99Us === null ? "–" : duration(p99Us));
  text($("t-p50"), p50Us === null ? "p99; nothing accepted in 10 s" : `p99; p50 ${duration(p50Us)}`);
  const alone = overview.profile === "one_node";
  text($("t-lag"), overview.workerLag === null ? "–" : number(overview.workerLag));
  text($("t-lag-of"), alone ? "one node needs no worker" : overview.workerLag === null ? "not known" : "records not in the ledger");
}

function products(overview, mayChange) {
  $("products-none").hidden = overview.products.length > 0;
  const more = overview.productsLeftOut;
  $("products-more").hidden = more === 0;
  text($("products-more"), `${more} more are not shown.`);
  keep($("products"), overview.products, (product) => product.productId, productRow, (row, product) => {
    const [, state, sold, left, undecided, change] = row.children;
    text(state.firstChild, STATES[product.status] ?? product.status);
    state.firstChild.className = `state ${product.status}`;
    text(sold.firstChild, `${number(product.sold)} of ${number(product.capacity)}`);
    sold.lastChild.max = Math.max(product.capacity, 1);
    sold.lastChild.value = product.sold;
    text(left, number(product.remaining));
    text(undecided, number(product.pending));
    change.hidden = !mayChange;
    const button = change.firstChild;
    button.hidden = product.archived;
    button.dataset.action = product.paused ? "resume" : "pause";
    text(button, product.paused ? "Resume…" : "Pause…");
    button.setAttribute("aria-label", `${product.paused ? "Resume" : "Pause"} ${product.productId}`);
  });
}

function productRow(product) {
  const row = element("tr");
  const name = element("th", "", product.productId);
  name.scope = "row";
  const state = element("td");
  state.append(element("span"));
  const sold = element("td");
  const bar = element("progress");
  bar.setAttribute("aria-label", `Sold of ${product.productId}`);
  sold.append(element("span"), bar);
  const change = element("td");
  const button = element("button");
  button.type = "button";
  button.dataset.product = product.productId;
  change.append(button);
  row.append(name, state, sold, element("td", "number wide"), element("td", "number wide"), change);
  return row;
}

function health(overview) {
  const item = () => {
    const made = element("li");
    made.append(element("span"), element("b"), element("small"));
    return made;
  };
  const fill = (made, name, state, more) => {
    const [label, mark, small] = made.children;
    text(label, name);
    text(mark, HEALTH[state] ?? state);
    mark.className = state;
    text(small, more);
  };
  const names = { store: "Embedded store", redis: "Redis", kafka: "Kafka", postgresql: "PostgreSQL" };
  keep($("stores"), overview.stores, (store) => store.name, item, (made, store) => fill(made, names[store.name], store.state, store.means));
  keep($("nodes"), overview.nodes, (node) => node.name, item, (made, node) => {
    const answered = node.answeredMs === null ? "" : `answered in ${node.answeredMs} ms`;
    fill(made, node.name === "this node" ? "This node" : node.name, node.state, [node.why, answered].filter(Boolean).join("; ") || "ready");
  });
}

function refusals(all) {
  $("refusals-none").hidden = all.length > 0;
  $("refusals").closest("table").hidden = all.length === 0;
  keep($("refusals"), all, (reason) => reason.code, () => {
    const row = element("tr");
    const name = element("th");
    name.scope = "row";
    row.append(name, element("td", "number"), element("td", "number"));
    return row;
  }, (row, reason) => {
    text(row.children[0], `${reason.phrase} (${reason.code})`);
    text(row.children[1], short(reason.perSecond));
    text(row.children[2], number(reason.total));
  });
}

function actions(all) {
  $("actions-none").hidden = all.length > 0;
  keep($("actions"), all, (action) => `${action.at} ${action.who} ${action.what} ${action.product} ${action.why}`, () => {
    const item = element("li");
    item.append(element("span"), element("small"));
    return item;
  }, (item, action) => {
    const of = action.product ? ` of ${action.product}` : "";
    text(item.children[0], `${action.who} ${action.count > 1 ? `reversed ${number(action.count)} orders` : WHAT[action.what] ?? action.what}${of}`);
    const parts = [clock(action.at), action.outcome ?? "outcome not known"];
    if (action.why) parts.push(`“${action.why}”`);
    text(item.children[1], parts.join(" · "));
  });
}

function offenders(all) {
  $("offenders-table").hidden = !all?.length;
  $("offenders-none").hidden = Boolean(all?.length);
  text($("offenders-none"), all === null ? "This node keeps no evidence of orders." : "Nobody stands out.");
  keep($("offenders"), all ?? [], (who) => who.key, () => {
    const row = element("tr");
    const name = element("th");
    name.scope = "row";
    name.append(element("code"));
    row.append(name, element("td", "number"), element("td", "number"), element("td"));
    return row;
  }, (row, who) => {
    text(row.children[0].firstChild, who.key);
    text(row.children[1], number(who.orders));
    text(row.children[2], number(who.refusals));
    text(row.children[3], clock(who.lastAt));
  });
}
