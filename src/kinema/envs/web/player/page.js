/** The page: asks the worker for frames at the world's rate, shows them, and says which actions the keys and buttons are. */

const $ = (id) => document.getElementById(id);
const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
const context = $("picture").getContext("2d");
const seed = Number.parseInt(new URLSearchParams(location.search).get("seed") ?? "1", 10) || 1;
const CAPS = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Space: "space" };
const MEGABYTE = 2 ** 20;

let about = null;
let playing = false;
let ended = false;
let which = 0;
let sum = 0;
let first = 0;
let turn = 0; // a beginning or a restart makes frames that are still under way those of an earlier turn
const held = new Set(); // numbers of the actions whose key or button is down, in the order in which they went down
const tapped = new Set(); // those that were pressed since the last frame: a tap shorter than a frame counts for one
const shownAt = [];

// The worker

let asked = 0;
const waiting = new Map();
worker.addEventListener("message", ({ data }) => {
  const { resolve, reject } = waiting.get(data.id);
  waiting.delete(data.id);
  if (data.error) reject(new Error(data.error));
  else resolve(data);
});
worker.addEventListener("error", (event) => fail(event.message || "the worker could not be started"));

function ask(what, given = {}) {
  asked += 1;
  const id = asked;
  worker.postMessage({ id, do: what, ...given });
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

// What is shown

function cover(text, { still = false, failed = false } = {}) {
  $("cover").hidden = !text;
  $("cover").classList.toggle("still", still);
  $("cover-text").textContent = text;
  $("cover-text").classList.toggle("failed", failed);
}

function fail(reason) {
  playing = false;
  cover(`This world cannot be played here: ${reason}`, { failed: true });
  $("status").textContent = `This world cannot be played here: ${reason}`;
}

function show(frame) {
  context.putImageData(new ImageData(frame.picture, about.width, about.height), 0, 0);
  sum += frame.reward;
  $("reward").textContent = number(frame.reward);
  $("sum").textContent = number(sum);
  $("time").textContent = `${((frame.index - first) / about.fps).toFixed(1)} s`;
  $("end").textContent = `${Math.round(100 * frame.probability)}%`;
  if (frame.numbers) {
    const cells = $("numbers").querySelectorAll("dd");
    frame.numbers.forEach(([, value], i) => (cells[i].textContent = number(value, 1)));
  }
  document.body.dataset.frame = frame.index;
}

/** So many decimals, and no minus before a zero. */
function number(value, decimals = 2) {
  return value.toFixed(decimals).replace(/^-(?=[0.]+$)/, "");
}

function rate(ms) {
  const now = performance.now();
  shownAt.push(now);
  while (shownAt[0] < now - 1000) shownAt.shift();
  const frames = shownAt.length > 1 ? (1000 * (shownAt.length - 1)) / (now - shownAt[0]) : 0;
  $("rate").textContent = `${frames.toFixed(0)} fps, ${ms.toFixed(0)} ms each`;
  document.body.dataset.rate = frames.toFixed(1);
}

// Playing

/** The encoded action of what is held or was tapped. */
function action() {
  const { idle, combine, actions } = about.controls;
  const made = [...idle];
  const pressed = [...new Set([...held, ...tapped])];
  tapped.clear();
  for (const i of combine ? pressed : pressed.slice(-1)) for (const [at, value] of actions[i].set) made[at] = value;
  return made;
}

function setPlaying(value) {
  playing = value && !ended;
  $("play").textContent = playing ? "Pause" : "Play";
  if (playing) {
    cover("");
    shownAt.length = 0;
    run(turn);
  }
}

let running = false;
async function run(mine) {
  if (running) return;
  running = true;
  let due = performance.now();
  try {
    while (playing && mine === turn) {
      const frame = await ask("step", { action: action() });
      if (mine !== turn) break;
      show(frame);
      rate(frame.ms);
      if (frame.terminated) {
        ended = true;
        setPlaying(false);
        const text = `The episode has ended after ${$("time").textContent}, sum of rewards ${number(sum)}. Restart plays it again.`;
        cover(text);
        $("status").textContent = text;
      }
      due = Math.max(due + 1000 / Number($("speed").value), performance.now() - 100);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
    }
  } catch (error) {
    fail(error.message);
  } finally {
    running = false;
    if (playing && mine !== turn) run(turn);
  }
}

async function begin(number) {
  turn += 1;
  which = number;
  playing = false;
  $("play").textContent = "Play";
  for (const [i, button] of [...$("beginnings").children].entries()) button.setAttribute("aria-pressed", i === which);
  delete document.body.dataset.ready;
  const mine = turn;
  try {
    const frame = await ask("begin", { which });
    if (mine !== turn) return;
    [ended, sum, first] = [false, 0, frame.index];
    tapped.clear();
    show(frame);
    const task = about.tasks[about.beginnings.task[which]];
    $("task").textContent = about.scored ? `Task: ${task}` : `Begun as: ${task}`;
    $("task").hidden = !task;
    cover(matchMedia("(pointer: coarse)").matches ? "Touch an action to play" : "Press a key to play", { still: true });
    document.body.dataset.ready = which;
  } catch (error) {
    fail(error.message);
  }
}

// Keys and buttons

function press(i) {
  held.delete(i);
  held.add(i);
  tapped.add(i);
  $("buttons").children[i].setAttribute("aria-pressed", "true");
  if (!playing && !ended && document.body.dataset.ready) setPlaying(true);
}

function release(i) {
  held.delete(i);
  $("buttons").children[i].setAttribute("aria-pressed", "false");
}

function releaseAll() {
  for (const i of [...held]) release(i);
}

function buttonOf({ label, keys }, i) {
  const button = document.createElement("button");
  button.className = "button act";
  button.setAttribute("aria-pressed", "false");
  const name = button.appendChild(document.createElement("span"));
  name.textContent = label;
  const caps = button.appendChild(document.createElement("span"));
  caps.className = "caps";
  const key = keys[keys.length - 1];
  caps.appendChild(document.createElement("kbd")).textContent = CAPS[key] ?? key.replace(/^(Digit|Key)/, "");
  button.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    button.setPointerCapture(event.pointerId);
    press(i);
  });
  for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) button.addEventListener(kind, () => release(i));
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  button.addEventListener("keydown", (event) => {
    if ((event.code === "Enter" || event.code === "Space") && !event.repeat) press(i);
    if (event.code === "Enter" || event.code === "Space") event.stopPropagation();
  });
  button.addEventListener("keyup", (event) => (event.code === "Enter" || event.code === "Space") && release(i));
  button.addEventListener("blur", () => release(i));
  return button;
}

function listen() {
  const byKey = new Map(about.controls.actions.flatMap(({ keys }, i) => keys.map((key) => [key, i])));
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select")) return;
    if (event.target.closest("button") && (event.code === "Space" || event.code === "Enter")) return;
    if (byKey.has(event.code)) {
      event.preventDefault();
      if (!event.repeat) press(byKey.get(event.code));
    } else if (event.code === "Backspace") {
      event.preventDefault();
      begin(which);
    } else if (event.code === "Escape" && playing) setPlaying(false);
  });
  addEventListener("keyup", (event) => byKey.has(event.code) && release(byKey.get(event.code)));
  addEventListener("blur", releaseAll);
  document.addEventListener("visibilitychange", () => document.hidden && setPlaying(false));
  const toPicture = (then) => () => {
    $("picture").focus({ preventScroll: true });
    then();
  };
  $("play").addEventListener("click", toPicture(() => setPlaying(!playing)));
  $("restart").addEventListener("click", toPicture(() => begin(which)));
}

// The beginning of it all

function describe() {
  document.title = `${about.name} · Kinema`;
  $("name").textContent = about.name;
  $("subtitle").textContent = about.subtitle;
  $("begun-by").textContent = about.begun_by;
  for (const part of document.querySelectorAll(".scored")) part.hidden = !about.scored;
  $("about").textContent = about.about;
  $("about").hidden = !about.about;
  const shape = `${about.width} / ${about.height}`;
  document.documentElement.style.setProperty("--shape", about.width / about.height);
  $("picture").style.aspectRatio = shape;
  [$("picture").width, $("picture").height] = [about.width, about.height];
  $("buttons").append(...about.controls.actions.map(buttonOf));
  const numbered = about.controls.actions.some(({ keys }) => keys.length > 1);
  $("keys-hint").textContent = `${numbered ? "Actions also have the keys 0, 1, 2 and so on. " : ""}Escape pauses, Backspace restarts.`;
  const speeds = [about.fps / 4, about.fps / 2, about.fps];
  $("speed").append(...speeds.map((fps) => new Option(`${fps} fps`, fps)));
  $("speed").value = String(about.fps);
  if (about.numbers) {
    for (const name of about.numbers.name) {
      $("numbers").append(Object.assign(document.createElement("dt"), { textContent: name.replace(".", " ") }));
      $("numbers").append(document.createElement("dd"));
    }
    $("numbers-part").hidden = false;
  }
  const { task, columns } = about.beginnings;
  const rows = Math.ceil(task.length / columns);
  document.documentElement.style.setProperty("--columns", columns);
  task.forEach((_, i) => {
    const button = document.createElement("button");
    button.className = "beginning";
    button.setAttribute("aria-label", `Beginning ${i + 1}`);
    button.setAttribute("aria-pressed", "false");
    button.style.setProperty("--x", `${columns > 1 ? (100 * (i % columns)) / (columns - 1) : 0}%`);
    button.style.setProperty("--y", `${rows > 1 ? (100 * Math.floor(i / columns)) / (rows - 1) : 0}%`);
    button.addEventListener("click", () => {
      $("picture").focus({ preventScroll: true });
      begin(i);
    });
    $("beginnings").append(button);
  });
}

async function start() {
  try {
    cover("Loading the world");
    about = await (await fetch("world.json")).json();
    describe();
    cover(`Loading the world, ${Math.round(about.load_bytes / MEGABYTE)} MB`);
    await ask("load", { seed });
    listen();
    for (const id of ["play", "restart", "speed"]) $(id).disabled = false;
    await begin(0);
  } catch (error) {
    fail(error.message);
  }
}

start();
