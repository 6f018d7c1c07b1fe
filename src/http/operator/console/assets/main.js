// The console: who is logged in, the live stream, and what it shows.

import { call, gone } from "/console/api.js";
import { Charts } from "/console/charts.js";
import { closeDialog, start as startActions } from "/console/actions.js";
import { show } from "/console/view.js";

const $ = (id) => document.getElementById(id);
/** A hidden page lets its place at the node go after this time. */
const HIDDEN_MS = 30_000;
/** Between two signs that somebody is there. */
const USE_EVERY_MS = 300_000;
const RETRY_MS = 3_000;

let me = null;
let latest = null;
let stream = null;
let seen = 0;
let hiddenTimer = 0;
let retryTimer = 0;
let usedAt = 0;
const charts = new Charts($("charts"));

function link(words, kind) {
  const pill = $("link");
  pill.hidden = !words;
  if (pill.textContent !== words) pill.textContent = words;
  pill.className = `pill ${kind}`;
}

function mayChange() {
  return me !== null && me.role !== "viewer";
}

function enter(session) {
  me = session;
  $("login").hidden = true;
  $("board").hidden = false;
  $("who").hidden = false;
  $("name").textContent = `${session.name} (${session.role})`;
  for (const part of document.querySelectorAll("[data-role]")) part.hidden = !mayChange();
  connect();
}

function leave(why) {
  disconnect();
  closeDialog();
  me = latest = null;
  $("board").hidden = $("who").hidden = true;
  $("login").hidden = false;
  $("login-error").textContent = why;
  link("", "");
  $("token").value = "";
  $("token").focus();
}

function disconnect() {
  clearTimeout(retryTimer);
  stream?.close();
  stream = null;
}

function connect() {
  disconnect();
  link("connecting…", "");
  stream = new EventSource(`/admin/events?after=${seen}`);
  stream.addEventListener("open", () => link("live", "good"));
  stream.addEventListener("history", (event) => take(JSON.parse(event.data).samples));
  stream.addEventListener("sample", (event) => take([JSON.parse(event.data)]));
  stream.addEventListener("overview", (event) => {
    latest = JSON.parse(event.data);
    show(latest, mayChange());
  });
  stream.addEventListener("error", lost);
}

function take(samples) {
  charts.add(samples);
  seen = samples.at(-1)?.seq ?? seen;
}

/** The browser comes back by itself unless it was refused. */
async function lost() {
  link("no connection: numbers are old", "bad");
  if (stream?.readyState !== EventSource.CLOSED) return;
  disconnect();
  const { ok, json } = await call("GET", "/admin/session");
  if (me === null) return;
  if (ok && json.name === null) leave("Your session has ended. Log in again.");
  else retryTimer = setTimeout(() => document.visibilityState === "visible" && connect(), RETRY_MS);
}

function visibility() {
  clearTimeout(hiddenTimer);
  if (me === null) return;
  if (document.visibilityState === "hidden") {
    hiddenTimer = setTimeout(disconnect, HIDDEN_MS);
  } else if (stream === null) {
    connect();
  }
}

function used() {
  const now = Date.now();
  if (me === null || now - usedAt < USE_EVERY_MS) return;
  usedAt = now;
  call("GET", "/admin/session").then(({ ok, json }) => {
    if (me !== null && ok && json.name === null) leave("Your session has ended. Log in again.");
  });
}

$("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("login-error").textContent = "";
  const token = $("token").value.trim();
  const answer = await call("POST", "/admin/login", { token });
  if (answer.ok) {
    $("token").value = "";
    usedAt = Date.now();
    enter(answer.json);
    $("content").focus({ preventScroll: true });
  } else {
    $("login-error").textContent = answer.problem;
    $("token").select();
  }
});

$("logout").addEventListener("click", async () => {
  await call("POST", "/admin/logout", {});
  leave("");
});

gone.addEventListener("gone", () => me !== null && leave("Your session has ended. Log in again."));
document.addEventListener("visibilitychange", visibility);
document.addEventListener("pointerdown", used);
document.addEventListener("keydown", used);
startActions(() => latest);

const { ok, json } = await call("GET", "/admin/session");
if (ok && json.name !== null) enter(json);
else leave(ok ? "" : "The node cannot be reached.");
