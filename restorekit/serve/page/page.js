// The page's order of work: items (what was dropped), the line (who is restored when), the list, the viewer.
import { Viewer, seconds } from "./viewer.js";
import { restore, unless, upload } from "./work.js";

const $ = (id) => document.getElementById(id);
const ENDED = new Set(["done", "failed", "cancelled"]);
const items = new Map(); // key -> item; the key stays while the server's id comes after the upload
let settings, running = 0, chosen = null, keys = 0;
let line = Promise.resolve(); // fulfilled when all that were handled so far are in the server's queue, or have ended

function random() {
  const bytes = crypto.getRandomValues(new Uint8Array(18));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
}

const session = sessionStorage.getItem("session") || random();
sessionStorage.setItem("session", session);

function say(text) {
  $("status").textContent = text;
}

// the line

function add(files) {
  const model = $("model").value;
  for (const file of files) {
    const item = { key: ++keys, name: file.name, file, model, state: "waiting", share: 0, left: null, notes: [], strength: 1 };
    items.set(item.key, item);
    show(item);
  }
  if (files.length) say(files.length === 1 ? `${files[0].name} was added` : `${files.length} files were added`);
  pump();
}

function waiting() {
  return [...items.values()].filter((item) => item.state === "waiting" && !item.busy);
}

// One more than are restored at once, so that the next file is uploaded meanwhile.
function pump() {
  for (const item of waiting()) {
    if (running > settings.limits.jobs) return;
    running += 1;
    item.busy = true;
    handle(item).finally(() => {
      running -= 1;
      item.busy = false;
      pump();
      summary();
    });
  }
}

async function handle(item) {
  item.abort = new AbortController();
  const before = line;
  let joined;
  line = Promise.all([before, new Promise((resolve) => { joined = resolve; })]);
  const tick = (facts) => {
    if (item.abort.signal.aborted && facts.state !== "cancelled") return;
    Object.assign(item, facts);
    show(item);
  };
  try {
    if (!item.id) {
      tick({ state: "uploading", share: 0 });
      Object.assign(item, await upload(session, item.file, item.abort.signal, (share) => tick({ share })), { model: item.model });
      item.file = null;
    }
    tick({ state: "waiting", share: 0, left: null });
    await unless(item.abort.signal, before); // the order is that of the files, not of their uploads' ends
    await restore(item.id, item.model, settings.work, item.abort.signal, joined, tick);
  } catch (error) {
    if (item.abort.signal.aborted) item.state = "cancelled";
    else Object.assign(item, { state: "failed", message: error.message });
    show(item);
  } finally {
    joined();
  }
  if (!items.has(item.key)) return;
  if (item.state === "done") say(`${item.name} is restored`);
  if (item.state === "failed") say(`${item.name} could not be restored`);
  if (item.state === "done" && (chosen === null || chosen === item)) choose(item);
}

function cancel(item) {
  if (ENDED.has(item.state)) return;
  if (item.id) fetch(`items/${item.id}/cancel`, { method: "POST" });
  item.state = "cancelled";
  item.abort?.abort();
  show(item);
  say(`${item.name} was cancelled`);
}

function again(item) {
  if (!item.id && !item.file) return;
  Object.assign(item, { state: "waiting", message: "", share: 0, left: null, model: $("model").value, notes: [] });
  show(item);
  pump();
}

function remove(item) {
  item.abort?.abort();
  if (item.id) fetch(`items/${item.id}`, { method: "DELETE" });
  items.delete(item.key);
  item.row?.remove();
  if (chosen === item) choose([...items.values()].find((other) => other.state === "done") || null);
  summary();
}

// the list

const WORDS = { waiting: "waiting", uploading: "uploading", working: "restoring", done: "restored", failed: "failed", cancelled: "cancelled" };

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function rowOf(item) {
  if (item.row) return item.row;
  const parts = {
    picture: element("span", { className: "blank", ariaHidden: "true" }),
    name: element("span", { className: "name", textContent: item.name, title: item.name }),
    state: element("span", { className: "state" }),
    bar: element("progress", { max: 1 }),
    message: element("p", { className: "message" }),
    action: element("button", { type: "button" }),
    remove: element("button", { type: "button", textContent: "Remove", onclick: () => remove(item) }),
  };
  parts.open = element("button", { type: "button", className: "open", onclick: () => choose(item) },
    parts.picture, element("span", { className: "what" }, parts.name, parts.state));
  parts.bar.setAttribute("aria-label", `Progress of ${item.name}`);
  parts.remove.setAttribute("aria-label", `Remove ${item.name}`);
  item.parts = parts;
  item.row = element("li", {}, parts.open, parts.action, parts.remove, parts.bar, parts.message);
  $("list").append(item.row);
  return item.row;
}

function stateText(item) {
  if (item.state === "waiting" && item.rank > 0) return `waiting, ${item.rank} before it`;
  if (item.state === "working" && item.left !== null) return `restoring, about ${seconds(item.left)} left`;
  if (item.state === "working" && !item.share) return "starting";
  if (item.state === "uploading") return `uploading, ${Math.round(100 * item.share)} %`;
  return WORDS[item.state];
}

function show(item) {
  if (!items.has(item.key)) return;
  const row = rowOf(item), parts = item.parts, ended = ENDED.has(item.state);
  row.className = item.state + (chosen === item ? " chosen" : "");
  parts.open.disabled = item.state !== "done";
  parts.state.textContent = stateText(item);
  parts.bar.hidden = ended;
  parts.bar.value = item.share ?? 0;
  parts.message.hidden = item.state !== "failed";
  parts.message.textContent = item.message || "";
  parts.remove.hidden = !ended;
  parts.action.hidden = item.state === "done";
  parts.action.textContent = ended ? "Retry" : "Cancel";
  parts.action.setAttribute("aria-label", `${parts.action.textContent}: ${item.name}`);
  parts.action.onclick = () => (ended ? again(item) : cancel(item));
  if (item.state === "done" && item.kind === "image" && item.shown !== item.round) {
    item.shown = item.round;
    const picture = element("img", { src: `items/${item.id}/thumb.jpg?round=${item.round}`, alt: "", width: 56, height: 42 });
    parts.picture.replaceWith(picture);
    parts.picture = picture;
  }
  if (item.state === "done" && item.kind !== "image") parts.picture.textContent = "▶";
  summary();
}

function summary() {
  const all = [...items.values()], open = all.filter((item) => !ENDED.has(item.state));
  const done = all.filter((item) => item.state === "done").length;
  document.body.classList.toggle("empty", !all.length);
  $("history").hidden = !all.length;
  $("zip").hidden = done < 2;
  $("overall").hidden = open.length === 0 || all.length < 2;
  const shares = all.map((item) => (ENDED.has(item.state) ? 1 : item.state === "working" ? item.share : 0));
  $("overall-bar").value = all.length ? shares.reduce((sum, share) => sum + share, 0) / all.length : 0;
  const ended = all.length - open.length, left = timeLeft(all, open);
  $("overall-text").textContent = `${ended} of ${all.length} finished${left ? `, about ${left} left` : ""}`;
}

// What is left: of the files in work as the server says, of the others as long as the mean of the finished ones.
function timeLeft(all, open) {
  const done = all.filter((item) => item.state === "done" && item.seconds);
  const now = open.reduce((sum, item) => sum + (item.state === "working" ? item.left ?? 0 : 0), 0);
  const rest = open.filter((item) => item.state !== "working").length;
  if (rest && !done.length) return "";
  const mean = done.length ? done.reduce((sum, item) => sum + item.seconds, 0) / done.length : 0;
  return now + rest * mean ? seconds((now + rest * mean) / settings.limits.jobs) : "";
}

// the viewer

const viewer = new Viewer((item) =>
  fetch(`items/${item.id}/strength`, { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify(item.strength) }));

function choose(item) {
  const before = chosen;
  chosen = item;
  if (before) show(before);
  $("viewer").hidden = !item;
  if (!item) return;
  show(item);
  viewer.open(item);
  offerAgain();
}

function offerAgain() {
  if (!chosen) return;
  const other = $("model").value;
  $("again").textContent = `Restore again with ${other}`;
  $("again").hidden = other === chosen.model;
}

function describeModel() {
  const model = settings.models.find((one) => one.name === $("model").value);
  $("purpose").textContent = model.purpose;
  offerAgain();
}

// dropping, pasting, choosing

function listen() {
  let depth = 0;
  const carries = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  addEventListener("dragenter", (event) => { if (carries(event)) { depth += 1; document.body.classList.add("dragging"); } });
  addEventListener("dragleave", () => { depth = Math.max(0, depth - 1); if (!depth) document.body.classList.remove("dragging"); });
  addEventListener("dragover", (event) => { if (carries(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    depth = 0;
    document.body.classList.remove("dragging");
    add([...event.dataTransfer.files]);
  });
  addEventListener("paste", (event) => add([...(event.clipboardData?.files || [])]));
  $("files").addEventListener("change", () => { add([...$("files").files]); $("files").value = ""; });
  $("model").addEventListener("change", describeModel);
  $("again").addEventListener("click", () => again(chosen));
  $("cancel-all").addEventListener("click", () => [...items.values()].forEach(cancel));
  $("clear").addEventListener("click", () => [...items.values()].forEach(remove));
  $("zip").href = `sessions/${session}/restored.zip`;
}

async function recall() {
  const answer = await fetch(`sessions/${session}`);
  for (const facts of answer.ok ? await answer.json() : []) {
    const item = { key: ++keys, share: 0, left: null, ...facts };
    if (!ENDED.has(item.state)) Object.assign(item, { state: "cancelled" }); // leaving the page ended it
    items.set(item.key, item);
    show(item);
  }
  const last = [...items.values()].findLast((item) => item.state === "done");
  if (last) choose(last);
}

async function start() {
  settings = await (await fetch("settings")).json();
  $("version").textContent = settings.version;
  for (const model of settings.models) $("model").append(new Option(model.default ? `${model.name} (chosen for you)` : model.name, model.name));
  const limits = settings.limits;
  $("kinds").textContent = `${settings.kinds}; up to ${Math.round(limits.bytes / 1e6)} MB each.`;
  $("kept").textContent = `Files are deleted when you remove them, ${limits.minutes} minutes after you last looked, and when the program ends.`;
  listen();
  describeModel();
  setInterval(() => fetch(`sessions/${session}`), 20000 * limits.minutes); // an open page still needs its files
  await recall();
  summary();
}

start().catch((error) => say(`The page cannot reach its server (${error.message}); load it again.`));
