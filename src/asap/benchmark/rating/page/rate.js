// The page of `asap judge rate`: one image, one answer. An answer is shown as saved once it is on disk.

const TOKEN = document.querySelector('meta[name="asap-token"]').content;
const $ = (id) => document.getElementById(id);
const state = { images: [], ratings: {}, at: 0, since: 0, busy: false };
const parts = [...document.querySelectorAll("[data-part]")];
const answers = [...document.querySelectorAll("[data-answer]")];

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
    throw new Error("the server does not answer; start the command again");
  }
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

function press(button, on) {
  button.setAttribute("aria-pressed", String(on));
}

function show() {
  const digest = state.images[state.at];
  const rating = state.ratings[digest];
  $("image").src = digest ? `/images/${digest}` : "";
  for (const button of parts) press(button, Boolean(rating?.parts.includes(button.dataset.part)));
  for (const button of answers) press(button, rating?.answer === button.dataset.answer);
  const done = Object.keys(state.ratings).length;
  $("progress").max = state.images.length;
  $("progress").value = done;
  $("counts").textContent = `${done} of ${state.images.length}`;
  $("place").textContent = `${state.at + 1}`;
  state.since = performance.now();
  const ahead = state.images[state.at + 1];
  if (ahead) new Image().src = `/images/${ahead}`;
}

function move(step) {
  state.at = Math.min(state.images.length - 1, Math.max(0, state.at + step));
  show();
}

async function rate(answer) {
  if (state.busy || !state.images.length) return;
  state.busy = true;
  $("saved").textContent = "";
  const digest = state.images[state.at];
  const wrong = parts.filter((b) => b.getAttribute("aria-pressed") === "true").map((b) => b.dataset.part);
  const seconds = (performance.now() - state.since) / 1000;
  const row = { digest, answer, parts: answer === "wrong" ? wrong : [], seconds };
  try {
    await ask("/api/ratings", row);
    state.ratings[digest] = row;
    $("fault").hidden = true;
    $("saved").textContent = "saved";
    const open = state.images.findIndex((name, index) => index > state.at && !(name in state.ratings));
    state.at = open < 0 ? Math.min(state.at + 1, state.images.length - 1) : open;
    show();
  } catch (error) {
    $("fault").textContent = error.message;
    $("fault").hidden = false;
  }
  state.busy = false;
}

for (const button of parts) {
  button.addEventListener("click", () => press(button, button.getAttribute("aria-pressed") !== "true"));
}
for (const button of answers) button.addEventListener("click", () => rate(button.dataset.answer));
$("previous").addEventListener("click", () => move(-1));
$("next").addEventListener("click", () => move(1));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const button = answers.find((b) => b.dataset.answer[0] === event.key.toLowerCase());
  if (button) rate(button.dataset.answer);
  else if (parts[Number(event.key) - 1]) parts[Number(event.key) - 1].click();
  else if (event.key === "ArrowLeft") move(-1);
  else if (event.key === "ArrowRight") move(1);
});

try {
  Object.assign(state, await ask("/api/session"));
  const open = state.images.findIndex((name) => !(name in state.ratings));
  state.at = Math.max(0, open);
  show();
  document.body.dataset.ready = "";
} catch (error) {
  $("fault").textContent = error.message;
  $("fault").hidden = false;
}
