// The buttons that change something. Each opens a dialog that says in words what will be done, asks why, and
// shows what came of it.

import { call, newKey } from "/console/api.js";

const $ = (id) => document.getElementById(id);
const MINUTE_MS = 60_000;
const PERIODS = [["15 minutes", 15], ["1 hour", 60], ["4 hours", 240], ["1 day", 1_440]];

const WHICH = [
  ["those that are named", ""],
  ["many buyers with one fingerprint", "shared_fingerprint"],
  ["many buyers of one address", "shared_address"],
  ["many buyers of one network", "one_network"],
  ["user ids in a row", "sequential_users"],
  ["bursts", "bursts"],
];

let current = null;

function element(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}

/** A labelled field; `input` has its id already. */
function field(label, input) {
  const row = element("div");
  row.append(element("label", { htmlFor: input.id, textContent: label }), input);
  return row;
}

function select(id, options) {
  const made = element("select", { id });
  for (const [words, value] of options) made.append(element("option", { textContent: words, value }));
  return made;
}

function check(id, words) {
  const input = element("input", { id, type: "checkbox" });
  const label = element("label", { htmlFor: id, className: "check" });
  label.append(input, words);
  return { input, label };
}

function open({ title, confirm, danger, fields, says, run, reason = true }) {
  current = { key: newKey(), run, says, done: false };
  $("dialog-title").textContent = title;
  $("dialog-fields").replaceChildren(...(fields ?? []));
  $("dialog-reason").value = "";
  $("dialog-reason-row").hidden = !reason;
  outcome("", "");
  const button = $("dialog-confirm");
  button.textContent = confirm;
  button.className = danger ? "danger" : "main";
  button.hidden = button.disabled = false;
  $("dialog-cancel").textContent = "Cancel";
  for (const marked of $("dialog").querySelectorAll("[aria-invalid]")) marked.removeAttribute("aria-invalid");
  say();
  $("dialog").showModal();
  $("dialog").querySelector("#dialog-fields input, #dialog-fields select, #dialog-fields textarea, #dialog-reason")?.focus();
}

function say() {
  if (current) $("dialog-says").textContent = typeof current.says === "function" ? current.says() : current.says;
}

function outcome(words, kind) {
  $("dialog-outcome").textContent = words;
  $("dialog-outcome").className = kind;
}

function finish(words) {
  outcome(words, "good");
  current.done = true;
  $("dialog-confirm").hidden = true;
  $("dialog-cancel").textContent = "Close";
  $("dialog-cancel").focus();
}

/** Marks a field as wrong, says why and goes there. */
function wrong(input, words) {
  input.setAttribute("aria-invalid", "true");
  input.setAttribute("aria-describedby", "dialog-outcome");
  outcome(words, "bad");
  input.focus();
  return false;
}

async function submit(event) {
  event.preventDefault();
  if (!current || current.done) return;
  for (const marked of $("dialog").querySelectorAll("[aria-invalid]")) marked.removeAttribute("aria-invalid");
  const reason = $("dialog-reason").value.trim();
  if (!$("dialog-reason-row").hidden && !reason) {
    wrong($("dialog-reason"), "Say why: it goes into the audit trail.");
    return;
  }
  const button = $("dialog-confirm");
  const mine = current;
  button.disabled = true;
  outcome("Sending…", "");
  try {
    await mine.run(reason, mine.key);
  } finally {
    if (current === mine) button.disabled = false;
  }
}

/** Shows what a call came to; `true` if it went well. */
function shown(answer, words) {
  if (answer.status === 202 && answer.json.status === "approval_required") {
    finish(`Not done yet: another operator has to approve it (${answer.json.approval}).`);
  } else if (answer.ok) {
    finish(answer.json.status === "ignored" ? `Nothing changed: ${answer.json.reason ?? "it was so already"}.` : words(answer.json));
  } else {
    outcome(answer.problem, "bad");
  }
  return answer.ok;
}

/** Says that it is also about products which the page does not show. */
const more = ({ productsLeftOut: out }) => (out ? `, and of any of the ${out} that are not shown here,` : "");

function pause(product, overview) {
  const shown = product && overview.products.find((known) => known.productId === product);
  const running = overview.products.filter((known) => !known.archived && !known.paused).length;
  const which = product ?? `${running === 1 ? "the 1 sale" : `the ${running} sales`} that ${running === 1 ? "is" : "are"} not paused${more(overview)}`;
  const counts = shown ? ` The count stays as it is: ${shown.sold} of ${shown.capacity} sold.` : " All counts stay as they are.";
  open({
    title: product ? `Pause ${product}` : "Pause all sales",
    confirm: product ? `Pause ${product}` : "Pause all sales",
    danger: true,
    says: `From the moment the log has this, no order of ${which} is confirmed, on any node, until somebody resumes.${counts} Shoppers are told that the sale is paused.`,
    run: (reason, key) => stopOrGo("stop", product, overview, reason, key),
  });
}

function resume(product, overview) {
  const paused = overview.products.filter((known) => !known.archived && known.paused).map(({ productId }) => productId);
  const all = `${paused.join(", ") || "no sale"} (all that are paused, also those that somebody else paused)${more(overview)}`;
  open({
    title: product ? `Resume ${product}` : "Resume all sales",
    confirm: product ? `Resume ${product}` : "Resume all sales",
    says: `Orders of ${product ?? all} are confirmed again, on all nodes, at once. Blocks and changed limits stay.`,
    run: (reason, key) => stopOrGo("resume", product, overview, reason, key),
  });
}

async function stopOrGo(verb, product, overview, reason, key) {
  const answer = await call("POST", `/admin/incident/${verb}`, { product: product ?? null, reason }, key);
  const done = answer.json.stopped ?? answer.json.resumed ?? [];
  const sales = done.map(({ productId, sold }) => `${productId} (${sold} sold)`).join(", ");
  const word = verb === "stop" ? "Paused" : "Resumed";
  shown(answer, ({ ms }) => (sales ? `${word} in ${ms} ms: ${sales}.` : "There was nothing to do."));
}

async function tighten() {
  const { ok, json, problem } = await call("GET", "/admin/limits");
  const limits = ok ? json.limits : [];
  const which = select("f-limit", limits.map(({ limit }) => [limit.replaceAll("_", " "), limit]));
  which.value = "ip_per_second";
  const value = element("input", { id: "f-value", type: "number", min: 1, max: 1_000_000, inputMode: "numeric", value: 2 });
  const period = select("f-period", PERIODS);
  const row = element("div", { className: "row" });
  row.append(field("New value", value), field("For", period));
  const chosen = () => limits.find(({ limit }) => limit === which.value);
  open({
    title: "Tighten a limit",
    confirm: "Set the limit",
    fields: [field("Limit", which), row],
    says: () => {
      if (!ok) return problem;
      const { limit, effective } = chosen();
      const unit = limit === "min_interval_ms" ? "ms between two requests of a buyer" : "a second";
      return `Sets ${limit.replaceAll("_", " ")} from ${effective || "off"} to ${value.value || "…"} ${unit}, on all nodes, for ${period.selectedOptions[0].textContent}. After that the configured value holds again. Whoever is over it is refused, honest shoppers too.`;
    },
    run: async (reason, key) => {
      if (!(value.valueAsNumber >= 1)) return wrong(value, "The value must be 1 or more; to stop a sale, pause it.");
      const until = Date.now() + Number(period.value) * MINUTE_MS;
      const body = { limit: which.value, value: value.valueAsNumber, until, reason };
      return shown(await call("POST", "/admin/limits", body, key), (done) => `Set: ${done.limit.limit} is ${done.limit.effective} now.`);
    },
  });
}

function block() {
  const kinds = [["Address or prefix", "address"], ["Device fingerprint", "fingerprint"], ["User", "user"], ["Pseudonym of a block", "id"]];
  const kind = select("f-kind", kinds);
  const whom = element("input", { id: "f-whom", autocomplete: "off", spellcheck: false, placeholder: "203.0.113.0/24" });
  const period = select("f-period", PERIODS);
  period.value = "60";
  kind.addEventListener("change", () => (whom.placeholder = kind.value === "address" ? "203.0.113.0/24" : ""));
  const row = element("div", { className: "row" });
  row.append(field("What", kind), field("For", period));
  open({
    title: "Block somebody",
    confirm: "Block",
    danger: true,
    fields: [row, field("Whom", whom)],
    says: () => {
      const name = kind.selectedOptions[0].textContent.toLowerCase();
      return `Refuses every request of the ${name} ${whom.value || "…"} on all nodes for ${period.selectedOptions[0].textContent}. Orders that were accepted stand. Only a pseudonym is kept.`;
    },
    run: async (reason, key) => {
      if (!whom.value.trim()) return wrong(whom, "Say whom.");
      const until = Date.now() + Number(period.value) * MINUTE_MS;
      const body = { [kind.value]: whom.value.trim(), until, reason };
      return shown(await call("POST", "/admin/blocks", body, key), (done) => `Blocked: ${done.id}.`);
    },
  });
}

function reverse(_, overview) {
  const product = select("f-product", overview.products.filter((known) => !known.archived).map(({ productId }) => [productId, productId]));
  const which = select("f-which", WHICH);
  const ids = element("textarea", { id: "f-orders", autocomplete: "off", spellcheck: false });
  const period = select("f-period", PERIODS);
  const [idsRow, periodRow] = [field("Order ids, one a line", ids), field("Of the last", period)];
  const restock = check("f-restock", "Their units go on sale again");
  const frees = check("f-frees", "The buyers may buy again");
  const list = () => [...new Set(ids.value.split(/[\s,;]+/).filter(Boolean))];
  const since = () => Date.now() - Number(period.value) * MINUTE_MS;
  const orders = () => (which.value ? { query: looked?.query ?? `pattern=${which.value}&since=${since()}` } : { orders: list() });
  const ask = (reason, key, dryRun) =>
    call("POST", "/admin/incident/reverse", { product: product.value, ...orders(), restock: restock.input.checked, freesLimit: frees.input.checked, reason, dryRun }, key);
  const asked = () => JSON.stringify([product.value, which.value, which.value ? period.value : list(), restock.input.checked, frees.input.checked]);
  let looked = null;
  open({
    title: "Reverse orders",
    confirm: "Look first",
    danger: true,
    fields: [field("Product", product), field("Which orders", which), idsRow, periodRow, restock.label, frees.label],
    says: () => {
      idsRow.hidden = Boolean(which.value);
      periodRow.hidden = !which.value;
      // What was looked at is what is done: another list is looked at anew.
      if (looked?.asked !== asked()) {
        looked = null;
        $("dialog-confirm").textContent = "Look first";
      }
      const count = looked ? looked.reversed : which.value ? 0 : list().length;
      const units = restock.input.checked ? "Their units go on sale again." : "Their units are taken out of the sale.";
      const buyers = frees.input.checked ? "Their buyers may buy again." : "Their buyers stay at their limit.";
      const rest = looked ? ` ${looked.already} were reversed before; ${looked.unknown} are no orders of this sale.` : "";
      return `Takes ${count === 1 ? "1 order" : `${count || "…"} orders`} of ${product.value} back, each exactly once. This cannot be undone. ${units} ${buyers}${rest}`;
    },
    run: async (reason, key) => {
      if (!which.value && !list().length) return wrong(ids, "Give at least one order id.");
      if (!looked) {
        const answer = await ask(reason, key, true);
        if (!answer.ok) return outcome(answer.problem, "bad");
        looked = { ...answer.json, asked: asked() };
        $("dialog-confirm").textContent = `Reverse ${looked.reversed}`;
        outcome(looked.reversed ? "This is what will be done. Nothing has been changed yet." : "There is nothing to reverse.", "");
        return say();
      }
      const answer = await ask(reason, key, false);
      if (!answer.ok) return outcome(answer.problem, "bad");
      const { reversed, already, unknown, sold, approval } = answer.json;
      const units = approval ? ` Their units wait until another operator approves ${approval}.` : "";
      return finish(`Reversed ${reversed}; ${already} were reversed before; ${unknown} are no orders of this sale. Sold now: ${sold[1]}.${units}`);
    },
  });
}

const ACTIONS = {
  pause, resume, tighten, block, reverse,
  "pause-all": (_, overview) => pause(null, overview),
  "resume-all": (_, overview) => resume(null, overview),
};

/** Ties buttons to dialogs. `overview` gives what was shown last. */
export function start(overview) {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-action]");
    if (button && overview()) ACTIONS[button.dataset.action](button.dataset.product, overview());
  });
  $("dialog-form").addEventListener("submit", submit);
  $("dialog-form").addEventListener("input", say);
  $("dialog-cancel").addEventListener("click", () => $("dialog").close());
  $("dialog").addEventListener("close", () => (current = null));
}

export function closeDialog() {
  if ($("dialog").open) $("dialog").close();
}
