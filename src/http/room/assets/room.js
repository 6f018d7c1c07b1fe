// The waiting room's page. It knows its shopper by what the shop put behind the `#` of its link (pass, key), which no
// server and no log sees; it is kept for this tab alone. No text from outside becomes markup.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const { product, mode } = document.body.dataset;
  const texts = JSON.parse($("texts").textContent);
  const lang = document.documentElement.lang;
  const store = `flux-gate-room ${product}`;
  const say = (name, values = {}) => (texts[name] ?? "").replace(/\{(\w+)\}/g, (_, key) => values[key] ?? "");
  const count = (n) => n.toLocaleString(lang);
  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
  const spread = (ms) => ms * (0.85 + 0.3 * Math.random());

  // --- what is known -------------------------------------------------------------------------------------------
  const load = () => { try { return JSON.parse(sessionStorage.getItem(store)) ?? {}; } catch { return {}; } };
  let me = load();
  const keep = (more) => {
    me = { ...me, ...more };
    try { sessionStorage.setItem(store, JSON.stringify(me)); } catch { /* then for this page alone */ }
  };
  const fragment = new URLSearchParams(location.hash.slice(1));
  if (fragment.get("pass") && fragment.get("key")) {
    const fresh = fragment.get("pass") !== me.pass;
    keep({ pass: fragment.get("pass"), key: fragment.get("key"), ...(fresh ? { ticket: null, had: null, done: null, admission: null } : {}) });
    history.replaceState(null, "", location.pathname + location.search);
  }
  let room = null; // how the room stands, as last heard
  let clock = 0; // the server's clock less ours, in milliseconds
  let over = false; // nothing is waited for any more
  let ordering = false;
  let shown = ""; // what the card says
  const now = () => Date.now() + clock;

  // --- calls ---------------------------------------------------------------------------------------------------
  const hex = (bytes) => Array.from(new Uint8Array(bytes), (b) => b.toString(16).padStart(2, "0")).join("");
  async function sign(key, text) {
    const bytes = new TextEncoder();
    const secret = await crypto.subtle.importKey("raw", bytes.encode(key), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    return hex(await crypto.subtle.sign("HMAC", secret, bytes.encode(text)));
  }
  async function call(path, options = {}) {
    const response = await fetch(path, { cache: "no-store", credentials: "omit", ...options });
    const json = await response.json().catch(() => ({}));
    if (json.serverTime) clock = json.serverTime - Date.now();
    return { status: response.status, json, retryMs: 1000 * Number(response.headers.get("retry-after") ?? 0) };
  }
  async function signed(method, path, value, by = me, idempotency = "", more = {}) {
    const body = value === null ? "" : JSON.stringify(value);
    const send = async () => {
      const time = String(Math.round(now()));
      const signature = await sign(by.key, [method, path, body, time, idempotency].join(":"));
      const headers = { authorization: `Bearer ${by.pass}`, "x-request-time": time, "x-signature": signature, ...more };
      if (idempotency) headers["idempotency-key"] = idempotency;
      if (body) headers["content-type"] = "application/json";
      return call(path, { method, headers, body: body || undefined });
    };
    const first = await send();
    // Our clock was wrong; the answer has set it right.
    return first.json.code === "request_expired" ? send() : first;
  }

  // --- what is shown -------------------------------------------------------------------------------------------
  function duration(seconds) {
    if (seconds < 60) return say("seconds", { n: count(seconds) });
    if (seconds < 90) return say("minute");
    if (seconds < 7200) return say("minutes", { n: count(Math.ceil(seconds / 60)) });
    return say("hours", { n: count(Math.ceil(seconds / 3600)) });
  }
  function countdown(seconds) {
    const two = (n) => String(n).padStart(2, "0");
    const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
    return h > 48 ? duration(seconds) : h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
  }
  const put = (id, text) => { if ($(id).textContent !== text) $(id).textContent = text; };
  function card(about, { kind = "", big = null, bigName = "", sub = "", progress = null, button = null, facts = [] } = {}) {
    $("card").className = `card ${kind}`;
    put("title", say(`${about}_title`));
    put("body", say(`${about}_body`));
    $("bigbox").hidden = big === null;
    put("big", big ?? "");
    put("bigname", bigName);
    put("sub", sub);
    $("progress").hidden = progress === null;
    if (progress !== null) $("progress").value = progress;
    $("act").hidden = !button;
    $("act").disabled = ordering;
    if (button) put("act", say(button));
    if (facts.length || about !== shown) {
      $("facts").replaceChildren(...facts.flatMap(([name, value]) => {
        const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
        [dt.textContent, dd.textContent] = [say(name), value];
        return [dt, dd];
      }));
    }
    if (about !== shown) {
      shown = about;
      const title = say(`${about}_title`);
      put("said", `${title}. ${sub}`);
      document.title = `${title} – ${say("title")}`;
      if (about === "turn") $("act").focus();
    }
  }
  function stock() {
    $("stock").className = `pill ${room.stock}`;
    put("stock", say(`stock_${room.stock}`));
  }
  function end(about, more = {}) {
    over = true;
    events?.close();
    lost(false);
    card(about, { kind: "over", ...more });
  }
  const lost = (is) => { $("lost").hidden = !is; };
  function ticket() {
    const known = Boolean(me.ticket) && !me.done;
    put("ticket", known ? say("ticket", { n: count(me.number + 1) }) : "");
    $("save").hidden = !known;
  }

  // --- the place -----------------------------------------------------------------------------------------------
  const ahead = () => (me.place === undefined || me.place === null ? null : Math.max(0, me.place - room.head));
  function draw() {
    if (over || !room) return;
    stock();
    ticket();
    if (ordering) return; // the order's answers say how it goes
    if (me.admission && me.admission.expiresAt > now()) return turn();
    if (room.stock === "sold_out") return end("sold");
    if (room.stock === "closed") return end("closed");
    if (!me.ticket) return;
    if (me.place === undefined || me.place === null) {
      if (room.phase === "arriving") {
        const seconds = Math.max(0, Math.ceil((room.opensAt - now()) / 1000));
        return card("early", seconds ? { big: countdown(seconds), bigName: say("opens_in") } : { sub: say("opening") });
      }
      return room.phase === "drawing" ? card("drawing") : card("early", { sub: say("opening") });
    }
    const left = ahead();
    const wait = me.waitSeconds ?? null;
    const sub = room.stock === "paused" ? say("paused_note")
      : left === 0 ? say("next")
      : wait === null ? say("wait_unknown") : say("wait", { time: duration(Math.max(1, wait)) });
    me.first ??= Math.max(1, left);
    card("place", { big: count(left + 1), bigName: say("place"), sub, progress: 1 - left / Math.max(me.first, left, 1) });
  }
  function turn() {
    const seconds = Math.max(0, Math.ceil((me.admission.expiresAt - now()) / 1000));
    const sub = ordering ? say("buying") : say("time_left", { time: duration(seconds) });
    card("turn", { sub, progress: seconds / me.admission.seconds, button: "buy" });
  }
  function again(about) {
    keep({ ticket: null, place: null, first: undefined, admission: null });
    over = true;
    events?.close();
    ticket();
    card(about, { kind: "over", button: "again" });
  }

  async function enter() {
    const { status, json, retryMs } = await signed("POST", "/waiting-room/ticket", { productId: product, ...(me.had ? { ticket: me.had } : {}) });
    if (status === 200) {
      keep({ ticket: json.ticket, had: json.ticket, number: json.number, commitment: json.commitment, source: json.publicValueSource, place: null, first: undefined });
      return true;
    }
    if (json.code === "room_full") card("full");
    else if (status === 401) end("session");
    else if (status === 404) end("none");
    else if (status === 403) end("blocked");
    else if (status < 500 && status !== 429) card("error");
    await sleep(spread(Math.max(retryMs, 2000)));
    return false;
  }

  /** A sign of life, and how it stands. */
  async function poll() {
    const headers = me.ticket ? { "x-queue-ticket": me.ticket } : {};
    const { status, json, retryMs } = await call(`/waiting-room/state?product=${encodeURIComponent(product)}`, { headers });
    if (ordering || over) return; // a turn that has ended does not end an order under way
    if (status === 404) return end("none");
    if (json.code === "ticket_invalid") { keep({ ticket: null }); return; }
    if (status !== 200) { await sleep(spread(Math.max(retryMs, 1000))); return; }
    lost(false);
    room = { ...room, ...json };
    keep({ place: json.place ?? (json.ticket === "waiting" ? me.place : null), waitSeconds: json.waitSeconds ?? null });
    if (["open", "low", "paused"].includes(json.stock)) {
      if (json.ticket === "passed" || json.ticket === "lapsed") return again(json.ticket);
      if (json.ticket === "unknown") keep({ ticket: null });
      if (json.ticket === "spent") return end("spent");
    }
    if (json.ticket === "admitted" && !(me.admission?.expiresAt > now())) await admit(json);
    draw();
  }
  async function admit() {
    const { status, json } = await signed("POST", "/waiting-room/admission", { ticket: me.ticket });
    if (status === 200) {
      const seconds = Math.max(1, (json.expiresAt - now()) / 1000);
      keep({ admission: { pass: json.pass, key: json.sessionKey, userId: json.userId, expiresAt: json.expiresAt, seconds }, order: me.order ?? crypto.randomUUID() });
    } else if (status === 401 || json.code === "ticket_invalid") {
      end("session");
    }
  }

  // --- the order: one press, whatever the network does -----------------------------------------------------------
  const used = { began: Date.now(), p: 0, k: 0, s: 0 };
  const tally = (events, name) => events.forEach((event) => addEventListener(event, () => { used[name] += 1; }, { passive: true }));
  tally(["pointermove"], "p");
  tally(["keydown"], "k");
  tally(["scroll", "touchstart"], "s");
  const signals = () => `t=${Date.now() - used.began};p=${used.p};k=${used.k};s=${used.s}`;

  async function buy() {
    if (ordering) return;
    ordering = true;
    const [by, key] = [me.admission, me.order];
    const more = {};
    let challenges = 0;
    let unknown = false; // whether an attempt may have become an order
    turn();
    for (let attempt = 1; ; attempt += 1) {
      let answer;
      try {
        more["x-page-signals"] = signals();
        answer = await signed("POST", "/order", { productId: product, userId: by.userId }, by, key, more);
      } catch {
        unknown = true;
        lost(true);
        await sleep(spread(Math.min(1000 * attempt, 5000)));
        continue;
      }
      lost(false);
      const { status, json, retryMs } = answer;
      const { status: word, code } = json;
      if (status === 200) return settle("bought", { kind: "good", facts: facts(json) }, json);
      unknown ||= Boolean(json.orderId) || (status >= 500 && !code);
      if (status === 202) { card("pending"); await sleep(1500); continue; }
      if (word === "sold_out") return settle("sold");
      if (word === "limit_reached") return settle("limit");
      if (word === "closed") return settle("closed");
      // One may have expired while the server was busy, or have become too easy; who is asked on and on gets nowhere.
      if (code === "challenge_required" && window.fluxChallenge && (challenges += 1) <= 3) {
        try {
          more["x-challenge"] = await window.fluxChallenge(json);
          continue;
        } catch { /* one that this page cannot solve */ }
      }
      if (code === "not_admitted" || status === 401) { ordering = false; return again(unknown ? "spent" : "lapsed"); }
      if (status === 403 && word !== "paused" && word !== "not_open") return settle("blocked");
      // Busy, paused, too fast, or unknown: the same key settles it.
      await sleep(spread(Math.max(retryMs, 1000)));
    }
  }
  const facts = ({ orderId, receipt }) => [["order", orderId], ...(receipt ? [["receipt", receipt]] : [])];
  function settle(about, more = {}, order = null) {
    ordering = false;
    keep({ admission: null, ticket: null, done: { about, order } });
    ticket();
    end(about, more);
  }

  // --- live ----------------------------------------------------------------------------------------------------
  let events = null;
  let streamless = 0; // when a stream is tried again, if there was no place
  function listen() {
    if (events || over || Date.now() < streamless) return;
    events = new EventSource(`/waiting-room/events?product=${encodeURIComponent(product)}`);
    events.addEventListener("room", (event) => {
      lost(false);
      const before = room;
      room = { ...room, ...JSON.parse(event.data) };
      const opened = before && before.phase !== room.phase;
      if (opened || (me.ticket && ahead() !== null && room.head > me.place)) nudge();
      draw();
    });
    events.onerror = () => {
      // Closed for good: no place for a stream. Then polls alone tell.
      if (events?.readyState === EventSource.CLOSED) { events = null; streamless = Date.now() + 30_000; }
      nudge();
    };
  }
  let wake = () => {};
  let nudged = false;
  /** Asks how it stands now instead of later, but not all pages in one moment. */
  function nudge() {
    if (nudged) return;
    nudged = true;
    setTimeout(() => { nudged = false; wake(); }, 150 + Math.random() * 850);
  }

  async function live() {
    while (!over) {
      listen();
      try {
        if (!room) await poll();
        if (over) break;
        if (!me.pass) { stock(); end("session"); break; }
        if (!me.ticket && !["sold_out", "closed"].includes(room.stock) && !(await enter())) continue;
        await poll();
      } catch {
        lost(true);
        await sleep(spread(2000));
        continue;
      }
      if (!me.ticket && !over) continue;
      const seconds = room.pollSeconds ?? 15;
      await Promise.race([new Promise((done) => { wake = done; }), sleep(spread(1000 * seconds))]);
    }
  }

  $("act").addEventListener("click", () => {
    if (me.admission) return buy();
    over = false;
    shown = "";
    room = null;
    return live();
  });
  $("save").addEventListener("click", () => {
    const { ticket, number, place, commitment, source } = me;
    const draw = { productId: product, commitment, publicValueSource: source };
    const file = new Blob([JSON.stringify({ ticket, place, number, draw }, null, 2)], { type: "application/json" });
    $("save").href = URL.createObjectURL(file);
    $("save").download = `ticket-${product}.json`;
  });
  $("save").href = "#";

  if (mode === "form" && me.pass) {
    // An older cookie's page, which loads itself again: the shop's link counts.
    const here = new URL(location.href);
    here.searchParams.set("mode", "script");
    location.replace(here);
  } else if (mode === "script") {
    if (me.done) {
      const { about, order } = me.done;
      end(about, order ? { kind: "good", facts: facts(order) } : {});
    } else {
      setInterval(draw, 1000);
      live();
    }
  }
})();
