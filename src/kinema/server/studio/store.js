/**
 * What all rooms share: the session, the models, the queue as the server last told it, and short messages.
 * The server holds the state; only the theme and the last form values are kept in the browser.
 */
import { signal, computed, effect } from "./ui.js";
import { isAway, retryDelay } from "./connection.js";
import { stageName } from "./format.js";
import { reasonOf } from "./reasons.js";
import { remembered } from "./kept.js";
import { hooks, session as sessions, models as modelCalls, videos, account } from "./api.js";

/** undefined while asking, null when signed out, else {key}. */
export const session = signal(undefined);
export const keyId = computed(() => session.value?.key?.id ?? null);
export const models = signal(null);
/** What scenes are made of, told with the models; null until it is known. @type {{value: import("./api.js").SceneFacts|null}} */
export const sceneFacts = signal(null);
/** Why the models are not known. */
export const modelsError = signal(null);
export const usage = signal(null);
/** @type {{value: {data: import("./api.js").Video[], paused: boolean}}} */
export const queue = signal({ data: [], paused: false });
/** The latest clips, newest first; null until they are known. */
export const recent = signal(null);
/** The last job that ended, so that rooms can show it. */
export const ended = signal(null);
/** null while the server answers, else when it is asked again (milliseconds, as Date.now()). */
export const retryAt = signal(null);
/** How often the server came back; what failed without it is loaded anew. */
export const returns = signal(0);
export const toasts = signal([]);
/** Read aloud by screen readers. */
export const spoken = signal("");

export const running = computed(() => queue.value.data.filter((job) => job.status === "in_progress"));
/** Models that film from words, the default one first. */
export const filmers = computed(() =>
  (models.value ?? []).filter((model) => !model.kinema.world).sort((a, b) => Number(b.kinema.default) - Number(a.kinema.default)),
);
export const modelOf = (id) => filmers.value.find((model) => model.id === id) ?? filmers.value[0] ?? null;

/** Screen readers hear each stage once. */
const stage = computed(() => running.value[0]?.kinema.stage ?? "");
effect(() => {
  if (stage.value) spoken.value = stageName(stage.value);
});

// Kept in the browser

export const theme = remembered("theme", "system");
effect(() => {
  if (theme.value === "system") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.dataset.theme = theme.value;
});

/**
 * The form of Create; the gallery's "reuse settings" fills it. null: as the model films usually. keptSeed: null where each film has
 * a seed of its own.
 */
export const draft = remembered("create", {
  prompt: "", negative: "", model: null, seconds: null, size: null, fps: null, keptSeed: null, steps: null, guidance: null, count: 1, label: false, strict: false,
  priority: 0, pictures: [], characters: [], camera: null, loras: {},
});

// Messages

let nextToast = 1;

/** @param {string} text @param {{kind?: "info"|"good"|"bad", action?: {label: string, run: () => void}, seconds?: number}} [options] */
export function toast(text, { kind = "info", action = null, seconds = kind === "bad" ? 14 : action ? 9 : 5 } = {}) {
  const id = nextToast++;
  toasts.value = [...toasts.value.slice(-3), { id, text, kind, action }];
  setTimeout(() => dismiss(id), seconds * 1000);
  return id;
}

export function dismiss(id) {
  toasts.value = toasts.value.filter((one) => one.id !== id);
}

/** Runs a call and shows what the server says when it refuses. @returns the result, or undefined */
export async function attempt(run) {
  try {
    return await run();
  } catch (wrong) {
    if (wrong.name !== "AbortError" && wrong.status !== 401) toast(wrong.message, { kind: "bad" });
    if (!wrong.name?.endsWith("Error")) throw wrong;
    return undefined;
  }
}

// The session

hooks.signedOut = () => {
  session.value = null;
};

/** Reads a key from the address (and takes it out of there), else asks whether the cookie still holds. */
export async function begin() {
  const told = location.hash.match(/^#key=(.+)$/);
  if (told) history.replaceState(null, "", `${location.pathname}#/create`);
  return enter(told && told[1], 0);
}

/** Goes on trying while the server does not answer. */
async function enter(key, tries) {
  try {
    const answer = key ? await signInQuietly(decodeURIComponent(key)) : await sessions.get();
    retryAt.value = null;
    // Without a cookie the answer is {key: null}.
    session.value = answer?.key ? answer : null;
  } catch (error) {
    if (isAway(error)) return askAgain(() => enter(key, tries + 1), retryDelay(tries));
    retryAt.value = null;
    session.value = null;
    if (key || error.status !== 401) toast(error.message, { kind: "bad" });
  }
}

async function signInQuietly(key) {
  const answer = await sessions.start(key);
  return answer?.key ? answer : sessions.get();
}

export async function signIn(key) {
  session.value = await signInQuietly(key);
}

export async function signOut() {
  await attempt(() => sessions.end());
  session.value = null;
}

effect(() => {
  if (!session.value) return;
  loadModels();
  refreshQueue();
  refreshRecent();
  refreshUsage();
});

export async function loadModels() {
  modelsError.value = null;
  try {
    const answer = await modelCalls.list();
    // The rooms are shown once the facts are known, and need the models then.
    models.value = answer.data;
    sceneFacts.value = answer.kinema.scene;
  } catch (wrong) {
    modelsError.value = wrong;
  }
}

effect(() => {
  if (returns.value && modelsError.peek()) loadModels();
});

export async function refreshUsage() {
  try {
    usage.value = await account.usage();
  } catch {
    // Shown in Settings, where it is asked for again and its error is told.
  }
}

// The queue

const BUSY_MS = 700;
const CALM_MS = 5000;
const AWAY_MS = 20000;
let timer = 0;
let asking = false;
let tries = 0;
let retry = null;

/** Shows when the server is asked again, and asks it then. */
function askAgain(run, wait) {
  clearTimeout(timer);
  retry = run;
  retryAt.value = Date.now() + wait;
  timer = setTimeout(run, wait);
}

/** Asks the server at once instead of waiting for the next try. */
export function tryNow() {
  if (retryAt.peek() === null || asking) return;
  clearTimeout(timer);
  retry();
}

addEventListener("online", tryNow);

/** Asks for the queue now and from then on; says which jobs have ended since. */
export async function refreshQueue() {
  clearTimeout(timer);
  if (!session.peek() || asking) return;
  asking = true;
  try {
    const before = queue.peek().data;
    const now = await videos.queue();
    queue.value = now;
    tries = 0;
    if (retryAt.peek() !== null) {
      retryAt.value = null;
      returns.value += 1;
      refreshRecent();
    }
    const left = before.filter((job) => !now.data.some((other) => other.id === job.id));
    if (left.length) await tellEnded(left);
  } catch (error) {
    if (isAway(error)) return askAgain(refreshQueue, retryDelay(tries++));
  } finally {
    asking = false;
  }
  const active = queue.peek().data.some((job) => !job.kinema.paused);
  timer = setTimeout(refreshQueue, document.hidden ? AWAY_MS : active ? BUSY_MS : CALM_MS);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refreshQueue();
});

async function tellEnded(jobs) {
  for (const job of jobs) {
    const video = await videos.get(job.id).catch(() => null);
    if (!video) continue;
    ended.value = video;
    if (video.status === "completed") spoken.value = `Finished: ${video.prompt || "clip"}`;
    else if (video.status === "failed" && !video.kinema.cancelled) {
      const { message, advice } = reasonOf(video);
      toast([message, advice].filter(Boolean).join(". ").replace(/([.!?])\. /, "$1 "), {
        kind: "bad",
        action: { label: "Retry", run: () => attempt(() => videos.retry(video.id)).then(refreshQueue) },
      });
    }
  }
  refreshRecent();
  refreshUsage();
}

export async function refreshRecent() {
  const answer = await attempt(() => videos.list({ limit: 12, order: "desc" }));
  if (answer) recent.value = answer.data.filter((video) => !video.kinema.deleted);
}

/** Sends a job and lets the queue show it. @param {() => Promise<import("./api.js").Video>} run */
export async function submit(run, told = "In the queue") {
  const video = await attempt(run);
  if (!video) return null;
  spoken.value = told;
  await refreshQueue();
  if (!queue.peek().data.some((job) => job.id === video.id) && video.status === "completed") await tellEnded([video]);
  return video;
}

/** Deletes with an undo. @param {import("./api.js").Video[]} clips @param {() => void} [after] */
export async function removeWithUndo(clips, after = () => {}) {
  const gone = [];
  for (const clip of clips) if (await attempt(() => videos.remove(clip.id))) gone.push(clip);
  after();
  refreshRecent();
  if (!gone.length) return;
  toast(gone.length === 1 ? "Clip deleted" : `${gone.length} clips deleted`, {
    action: {
      label: "Undo",
      run: async () => {
        for (const clip of gone) await attempt(() => videos.restore(clip.id));
        after();
        refreshRecent();
      },
    },
  });
}
