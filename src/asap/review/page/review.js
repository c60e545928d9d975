// The page of `asap pairs review`. The server knows what is decided; this file shows pairs and passes on decisions.

const TOKEN = document.querySelector('meta[name="asap-token"]').content;
const VERSION = Date.now().toString(36); // another server may have other sides; its images stay out of our cache
const FLICKER = 400; // milliseconds per image: 2.5 changes a second, under the three at which flashes may harm
const AHEAD = 4; // pairs fetched before they are wanted
const MARGIN = 0.3; // of the box's larger side, shown around it
const LEAST = 32; // pixels of the image that a zoom shows at least
const DECISIONS = ["accept", "reject", "unsure"];
const FILTERS = ["part", "operation", "severity", "category", "kind", "split"];
const BLIND = "blind" in document.body.dataset;
const NAMES = BLIND ? { left: "left", right: "right" } : { left: "chosen", right: "rejected" };

const $ = (id) => document.getElementById(id);
const views = $("views");
const figures = [...views.querySelectorAll("figure")];
const state = {
  pairs: [], decisions: {}, others: {}, errors: [], last: null,
  list: [], at: 0, // positions in `pairs` that pass the filters, and where in that list we are
  error: "", ready: false, busy: false, show: 0, timer: 0, mask: null,
  zoom: false, since: null, spent: 0,
};

const words = (name) => name.replaceAll("_", " ");
const pair = () => state.pairs[state.list[state.at]];
const decided = (index) => state.pairs[index].uid in state.decisions;
const address = (uid, side) => `/images/${encodeURIComponent(uid)}/${side}?v=${VERSION}`;

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// ---- server

async function ask(path, body) {
  const options = body && {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Asap-Token": TOKEN },
    body: JSON.stringify(body),
  };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("the server does not answer; start `asap pairs review` again");
  }
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

// Sends one change and shows it as saved only after the server said that it is on disk.
async function save(path, body, said) {
  state.busy = true;
  $("saved").textContent = "";
  try {
    const answer = await ask(path, body);
    if (answer.decision) state.decisions[answer.uid] = answer.decision;
    else delete state.decisions[answer.uid];
    state.last = answer.last;
    $("fault").hidden = true;
    $("saved").textContent = `Saved: ${said} · ${answer.milliseconds.toFixed(1)} ms`;
    return answer;
  } catch (error) {
    $("fault").textContent = `Not saved: ${error.message}`;
    $("fault").hidden = false;
    return null;
  } finally {
    state.busy = false;
  }
}

async function decide(decision) {
  if (state.busy || !state.ready || !pair()) return;
  const { uid } = pair();
  const seconds = Math.min(86400, (state.spent + (state.since === null ? 0 : performance.now() - state.since)) / 1000);
  if (await save("/api/decisions", { uid, decision, error: state.error, seconds }, decision)) advance();
}

async function undo() {
  if (state.busy || state.last === null) return;
  const answer = await save("/api/undo", { undoes: state.last }, "undo");
  if (!answer) return;
  const index = state.pairs.findIndex((item) => item.uid === answer.uid);
  if (!state.list.includes(index)) state.list.splice(state.at, 0, index);
  go(state.list.indexOf(index));
}

// ---- where we are

function go(at) {
  if (!state.list.length) return show();
  state.at = Math.min(Math.max(at, 0), state.list.length - 1);
  show();
}

function advance() {
  const { list, at } = state;
  const rest = [...list.keys()].map((step) => (at + 1 + step) % list.length);
  const next = rest.find((place) => !decided(list[place]));
  if (next === undefined) {
    const others = state.pairs.filter((_, index) => !decided(index)).length;
    $("saved").textContent += others ? " · list done" : " · all decided";
  }
  go(next ?? at);
}

function find(text) {
  const number = /^\d{1,9}$/.test(text) ? Number(text) - 1 : -1;
  if (number >= 0 && number < state.list.length) return number;
  return state.list.findIndex((index) => text && (state.pairs[index].uid.startsWith(text) || state.pairs[index].uid.split("-").pop().startsWith(text)));
}

// ---- filters

function choice(name, values, show = words) {
  const label = element("label", words(name));
  const select = element("select", "", { "data-filter": name });
  select.append(element("option", "all", { value: "" }));
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  for (const value of [...counts.keys()].sort()) select.append(element("option", `${show(value)} (${counts.get(value)})`, { value }));
  select.addEventListener("change", filter);
  label.append(select);
  return label;
}

function offerFilters() {
  const names = BLIND ? [] : FILTERS;
  for (const name of names) $("choices").append(choice(name, state.pairs.map((item) => String(item[name]))));
  const own = choice("decision", []);
  for (const value of ["undecided", ...DECISIONS]) own.lastChild.append(element("option", value, { value }));
  $("choices").append(own);
}

function filter() {
  const wanted = [...$("choices").querySelectorAll("select")].filter((select) => select.value);
  const passes = (item) =>
    wanted.every(({ dataset, value }) => {
      const has = dataset.filter === "decision" ? state.decisions[item.uid]?.decision ?? "undecided" : String(item[dataset.filter]);
      return has === value;
    });
  state.list = [...state.pairs.keys()].filter((index) => passes(state.pairs[index]));
  $("filtered").textContent = wanted.length ? `: ${state.list.length} of ${state.pairs.length} pairs` : "";
  go(Math.max(0, state.list.findIndex((index) => !decided(index))));
}

// ---- showing a pair

const kept = new Map(); // address -> Image, the newest last

function fetched(source) {
  const image = kept.get(source) ?? Object.assign(new Image(), { src: source });
  kept.delete(source);
  kept.set(source, image);
  if (kept.size > 3 * (AHEAD + 6)) kept.delete(kept.keys().next().value);
  return image;
}

const imagesOf = (item) => ["left", "right", "mask"].map((side) => fetched(address(item.uid, side)));

async function show() {
  const number = ++state.show;
  const item = pair();
  state.ready = false;
  state.since = null;
  state.spent = 0;
  state.error = state.decisions[item?.uid]?.error ?? "";
  describe(item);
  for (const figure of figures) figure.hidden = !item;
  $("empty").hidden = Boolean(item);
  $("empty").textContent = state.pairs.length ? "No pair passes these filters." : "";
  if (!item) return;
  document.body.dataset.loading = "";
  const loaded = imagesOf(item);
  try {
    await Promise.all(loaded.map((image) => image.decode()));
  } catch {
    for (const side of ["left", "right", "mask"]) kept.delete(address(item.uid, side));
    if (number === state.show) {
      $("fault").textContent = "An image could not be read; is the server still running?";
      $("fault").hidden = false;
    }
    return;
  }
  if (number !== state.show) return;
  figures.forEach((figure, side) => {
    const image = figure.querySelector("img");
    image.src = loaded[side].src;
    image.alt = `${figure.querySelector("figcaption").textContent} image of pair ${state.at + 1}`;
    outline(figure.querySelector("canvas"), loaded[2]);
  });
  await Promise.all(figures.map((figure) => figure.querySelector("img").decode().catch(() => {})));
  if (number !== state.show) return;
  place();
  delete document.body.dataset.loading;
  state.ready = true;
  state.since = document.hidden ? null : performance.now();
  for (let step = 1; step <= AHEAD; step++) {
    if (state.at + step < state.list.length) imagesOf(state.pairs[state.list[state.at + step]]);
  }
  if (state.at > 0) imagesOf(state.pairs[state.list[state.at - 1]]);
}

// Draws a rim just outside the mask, so that it hides nothing of what changed, and dims the rest.
function outline(canvas, mask) {
  const { naturalWidth: width, naturalHeight: height } = mask;
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(mask, 0, 0);
  const drawn = context.getImageData(0, 0, width, height);
  const inside = new Uint8Array(width * height);
  for (let at = 0; at < inside.length; at++) inside[at] = drawn.data[4 * at] > 127;
  const thick = Math.max(1, Math.round(Math.max(width, height) / 400));
  const near = (x, y) => x >= 0 && y >= 0 && x < width && y < height && inside[y * width + x];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const rim = !inside[at] && (near(x - thick, y) || near(x + thick, y) || near(x, y - thick) || near(x, y + thick));
      drawn.data.set(inside[at] ? [0, 0, 0, 0] : rim ? [255, 64, 160, 255] : [0, 0, 0, 70], 4 * at);
    }
  }
  context.putImageData(drawn, 0, 0);
}

// The part of the image that is shown, in its pixels: all of it, or the box with a margin, inside the image.
function frame(item) {
  const [x0, y0, x1, y1] = item.box;
  if (!state.zoom || x1 <= x0 || y1 <= y0) return { x: 0, y: 0, width: item.width, height: item.height };
  const wanted = Math.max(LEAST, Math.max(x1 - x0, y1 - y0) * (1 + 2 * MARGIN));
  const width = Math.min(wanted, item.width);
  const height = Math.min(wanted, item.height);
  const inside = (centre, size, whole) => Math.min(Math.max(centre - size / 2, 0), whole - size);
  return { x: inside((x0 + x1) / 2, width, item.width), y: inside((y0 + y1) / 2, height, item.height), width, height };
}

function place() {
  const item = pair();
  if (!item) return;
  const seen = frame(item);
  for (const figure of figures) {
    const view = figure.querySelector(".view");
    const scale = Math.min(view.clientWidth / seen.width, view.clientHeight / seen.height);
    const { style } = figure.querySelector(".plane");
    style.width = `${item.width * scale}px`;
    style.height = `${item.height * scale}px`;
    style.left = `${(view.clientWidth - seen.width * scale) / 2 - seen.x * scale}px`;
    style.top = `${(view.clientHeight - seen.height * scale) / 2 - seen.y * scale}px`;
  }
}

function describe(item) {
  const total = state.pairs.length;
  const tally = Object.fromEntries(DECISIONS.map((name) => [name, 0]));
  for (const said of Object.values(state.decisions)) tally[said.decision]++;
  const done = Object.keys(state.decisions).length;
  Object.assign($("progress"), { max: total || 1, value: done });
  $("counts").textContent = `${done} of ${total} · ${tally.accept} accepted · ${tally.reject} rejected · ${tally.unsure} unsure`;
  $("place").textContent = item ? `${state.at + 1} of ${state.list.length}` : "none";
  $("undo").disabled = state.last === null;
  const said = item && state.decisions[item.uid];
  for (const name of DECISIONS) {
    $(name).setAttribute("aria-pressed", String(said?.decision === name));
    $(name).disabled = !item;
  }
  pressErrors();
  $("facts").replaceChildren(...(item ? facts(item, said) : []));
}

function facts(item, said) {
  const parts = [];
  if (item.prompt) parts.push(element("p", item.prompt, { class: "caption" }));
  const list = element("dl");
  const add = (name, text, attributes) => text && list.append(element("dt", name), element("dd", text, attributes));
  if (!BLIND) {
    add("part", item.side === "none" ? item.part : `${item.side} ${item.part}`);
    add("change", item.kind === "defect" ? `${words(item.operation)}, severity ${item.severity}` : words(item.kind));
    add("category", words(item.category));
    add("split", item.split);
    add("source", item.source);
  }
  const spoken = (one) => [words(one.decision), words(one.error)].filter(Boolean).join(" · ");
  if (said) add("decided", spoken(said), { class: `state ${said.decision}` });
  for (const [name, held] of Object.entries(state.others)) {
    if (held[item.uid]) add(name, spoken(held[item.uid]), { class: held[item.uid].decision });
  }
  add("id", item.uid);
  return [...parts, list];
}

// ---- ways of looking

function press(id, on) {
  $(id).setAttribute("aria-pressed", String(on));
}

function sideBySide() {
  clearInterval(state.timer);
  state.timer = 0;
  press("flicker", false);
  views.dataset.mode = "two";
  place();
}

function swap() {
  const first = views.dataset.mode === "two";
  views.dataset.mode = "one";
  views.dataset.shown = !first && views.dataset.shown === "left" ? "right" : "left";
  if (first) place();
}

function flicker() {
  if (state.timer) return sideBySide();
  swap();
  state.timer = setInterval(swap, FLICKER);
  press("flicker", true);
}

function mask() {
  const on = document.body.toggleAttribute("data-masked");
  press("mask", on);
}

function zoom() {
  state.zoom = !state.zoom;
  document.body.toggleAttribute("data-zoomed", state.zoom);
  press("zoom", state.zoom);
  place();
}

function pressErrors() {
  for (const button of $("errors").children) button.setAttribute("aria-pressed", String(button.dataset.error === state.error));
}

function chooseError(name) {
  state.error = state.error === name ? "" : name;
  pressErrors();
}

// ---- keys and buttons

function jump() {
  $("wanted").value = "";
  $("missing").textContent = "";
  $("jump").showModal();
}

const actions = {
  accept: () => decide("accept"), reject: () => decide("reject"), unsure: () => decide("unsure"), undo,
  next: () => go(state.at + 1), previous: () => go(state.at - 1), place: jump,
  flicker, swap, both: sideBySide, mask, zoom, help: () => $("keys").showModal(),
};
const keys = {
  a: actions.accept, r: actions.reject, u: actions.unsure, Backspace: undo,
  ArrowRight: actions.next, ArrowLeft: actions.previous, g: jump,
  f: flicker, " ": swap, Escape: sideBySide, m: mask, z: zoom, h: actions.help, "?": actions.help,
};

function onKey(event) {
  if (document.querySelector("dialog[open]") || event.target.closest("input, select, textarea")) return;
  const undoes = (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z";
  if (!undoes && (event.ctrlKey || event.metaKey || event.altKey)) return;
  if (event.key === " " && event.target.closest("button, summary")) return; // it presses what has the focus
  const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const error = state.errors.find((item) => item.key === name);
  const action = undoes ? undo : keys[name] ?? (error && (() => chooseError(error.name)));
  if (!action) return;
  event.preventDefault();
  if (!event.repeat || name.startsWith("Arrow")) action();
}

function wire() {
  for (const [id, action] of Object.entries(actions)) $(id).addEventListener("click", action);
  for (const view of document.querySelectorAll(".view")) view.addEventListener("click", zoom);
  for (const close of document.querySelectorAll("dialog .close")) close.addEventListener("click", () => close.closest("dialog").close());
  $("jump").querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const at = find($("wanted").value.trim());
    if (at < 0) $("missing").textContent = "No such pair in this list.";
    else $("jump").close();
    if (at >= 0) go(at);
  });
  // a button pressed with the mouse must not be pressed again by the next space
  document.addEventListener("click", (event) => event.detail && event.target.closest("button")?.blur());
  document.addEventListener("keydown", onKey);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && state.since !== null) {
      state.spent += performance.now() - state.since;
      state.since = null;
    } else if (!document.hidden && state.ready) state.since = performance.now();
  });
  new ResizeObserver(place).observe(views);
}

async function begin() {
  history.replaceState(null, "", "/"); // the address with the token does not stay in the bar
  for (const figure of figures) figure.querySelector("figcaption").textContent = NAMES[figure.dataset.side];
  wire();
  try {
    Object.assign(state, await ask("/api/session"));
  } catch (error) {
    $("fault").textContent = error.message;
    $("fault").hidden = false;
    return;
  }
  for (const { name, key } of state.errors) {
    const button = element("button", "", { type: "button", "data-error": name, "aria-keyshortcuts": key, "aria-label": words(name) });
    button.append(element("kbd", key, { "aria-hidden": "true" }), words(name));
    button.addEventListener("click", () => chooseError(name));
    $("errors").append(button);
  }
  offerFilters();
  filter();
  document.body.dataset.begun = "";
}

begin();
