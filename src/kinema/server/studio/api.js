/**
 * The server's API, one function a call. The contract: JSON over HTTP below this origin, the session cookie as the key.
 *
 * @typedef {Object} VideoDetails
 * @property {"generate"|"edit"|"extend"|"blend"|"loop"|"trim"|"join"|"render"|"restyle"|"upscale"|"remix"|"record"} kind
 * @property {number} fps
 * @property {number} seed
 * @property {number|null} steps
 * @property {number|null} guidance
 * @property {number} priority
 * @property {boolean} paused
 * @property {boolean} cancelled
 * @property {string} stage
 * @property {number|null} position place in the queue, 0 next
 * @property {number|null} eta_s
 * @property {number|null} started_at
 * @property {number} pixel_seconds
 * @property {number|null} frames
 * @property {string[]} sources ids of the videos that it was made from
 * @property {{field: string, file_id: string, at: number|null}[]} files uploaded files that it was made from
 * @property {string|null} negative_prompt
 * @property {{name: string, scale: number}[]} loras
 * @property {boolean} has_preview
 * @property {boolean} has_state
 * @property {boolean} deleted
 * @property {number|null} bytes
 * @property {number|null} took_s
 * @property {Object|null} settings
 * @property {string|null} watermark
 * @property {string|null} title
 * @property {boolean} favorite
 * @property {string[]} tags
 * @property {string|null} project id of the project that it is in
 * @property {boolean} has_sound
 *
 * @typedef {Object} Video
 * @property {string} id
 * @property {number} created_at
 * @property {number|null} completed_at
 * @property {number|null} expires_at
 * @property {{code: string, message: string}|null} error
 * @property {string} model
 * @property {number} progress 0 to 100
 * @property {string} prompt
 * @property {string|null} remixed_from_video_id
 * @property {string} seconds
 * @property {string} size WIDTHxHEIGHT
 * @property {"queued"|"in_progress"|"completed"|"failed"} status
 * @property {VideoDetails} kinema
 *
 * @typedef {string|{file_id: string}|{image_url: string}|{id: string}} Reference a file, a picture or a video
 *
 * @typedef {Object} Thing
 * @property {number} slot
 * @property {string} name
 * @property {string} kind
 * @property {string} color
 * @property {string} material
 * @property {number} size radius in units of the room
 * @property {number} x
 * @property {number} y
 * @property {number} vx
 * @property {number} vy
 * @property {number} angle
 * @property {number} visible
 *
 * @typedef {Object} SceneFacts what scenes are made of
 * @property {number} room_height units that a camera with zoom 1 shows from top to bottom
 * @property {number[]} default_camera x, y, zoom
 * @property {string[]} views
 * @property {string[]} backgrounds
 * @property {string[]} materials
 * @property {Object<string, number>} sizes radius in units of each size name
 * @property {Object<string, string>} palette #rrggbb of each color
 * @property {Object<string, {across: number, above: number, below: number}>} outlines reach of each kind, in multiples of its size
 *
 * @typedef {{time_s: number, view: string, background: string, camera: number[], things: Thing[]}} WorldState
 *
 * @typedef {{space: Object, idle: any, keys: Object<string, any>}} WorldControls the action space, the action of no key, and those of keys
 *
 * @typedef {Object} World
 * @property {string} id
 * @property {string} name
 * @property {number} created_at
 * @property {string} model
 * @property {string} size
 * @property {number} fps
 * @property {number} seed
 * @property {string|null} task
 * @property {number} time_s
 * @property {number} past_frames
 * @property {string|null} parent
 * @property {number|null} branched_at_s
 * @property {WorldState|null} state null: a recorded world, in which nothing can be asked, told or moved
 * @property {number} reward
 * @property {boolean} terminated
 * @property {WorldControls} controls
 *
 * @typedef {Object} Estimate
 * @property {number} pixel_seconds
 * @property {number|null} run_s null until the server has filmed something to go by
 * @property {number|null} wait_s
 * @property {string[]} unknown_words
 * @property {string|null} hint
 * @property {string[]} notes
 * @property {string[]} fitting what the model films, and what is then cut or fitted
 * @property {{limit: number|null, used: number, reserved: number}} quota
 */

/** What the server answered instead of a result, in its own words. */
export class ApiError extends Error {
  constructor(status, error, requestId) {
    super(error.message);
    this.name = "ApiError";
    this.status = status;
    this.type = error.type;
    this.param = error.param ?? null;
    this.code = error.code ?? null;
    this.requestId = requestId;
  }
}

/** Set by the store: called when a call is refused for want of a session. */
export const hooks = { signedOut: () => {} };

/** Below which path the server is: "" or "/kinema", by where this file was loaded from. */
const ROOT = new URL(".", import.meta.url).pathname.replace(/\/$/, "");

/**
 * @param {string} method
 * @param {string} path
 * @param {Object|FormData} [body]
 * @param {{signal?: AbortSignal, quiet?: boolean}} [options] quiet: a 401 is an answer, not a sign-out
 */
async function call(method, path, body, options = {}) {
  const init = { method, credentials: "same-origin", signal: options.signal, headers: {} };
  if (body instanceof FormData) init.body = body;
  else if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers["content-type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(ROOT + path, init);
  } catch (wrong) {
    if (wrong.name === "AbortError") throw wrong;
    throw new ApiError(0, { message: "The server does not answer. Is `kinema serve` still running?", type: "network" }, null);
  }
  if (!response.ok) {
    if (response.status === 401 && !options.quiet) hooks.signedOut();
    throw await readError(response);
  }
  if (response.status === 204) return null;
  return (response.headers.get("content-type") ?? "").includes("json") ? response.json() : response;
}

async function readError(response) {
  const text = await response.text();
  const requestId = response.headers.get("x-request-id");
  try {
    const { error } = JSON.parse(text);
    if (error?.message) return new ApiError(response.status, error, requestId);
  } catch {
    // Not JSON: a proxy's page or nothing at all. The status says what can be said.
  }
  return new ApiError(response.status, { message: `The server answered ${response.status} ${response.statusText}`.trim(), type: "server_error" }, requestId);
}

/** A query string; a list stands several times. */
function query(values) {
  const pairs = Object.entries(values)
    .flatMap(([name, value]) => [value].flat().map((one) => [name, one]))
    .filter(([, value]) => value !== undefined && value !== null && value !== "");
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}

/** Without the fields that were left open, so that the server's own defaults hold. */
export function compact(values) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== ""));
}

/** Fetches a file and hands it to the browser to keep, under the name that the server gives it. */
export async function saveFile(path) {
  const response = await call("GET", path);
  const name = (response.headers.get("content-disposition") ?? "").match(/filename\*=utf-8''([^;]+)/i)?.[1];
  const plain = (response.headers.get("content-disposition") ?? "").match(/filename="([^"]+)"/)?.[1];
  const url = URL.createObjectURL(await response.blob());
  Object.assign(document.createElement("a"), { href: url, download: name ? decodeURIComponent(name) : (plain ?? "kinema") }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

function form(blob, name) {
  const data = new FormData();
  data.append("file", blob, name);
  return data;
}

const at = (path, id, rest = "") => `/v1/${path}/${encodeURIComponent(id)}${rest}`;

export const session = {
  get: () => call("GET", "/v1/session", undefined, { quiet: true }),
  start: (key) => call("POST", "/v1/session", { key }, { quiet: true }),
  end: () => call("DELETE", "/v1/session", undefined, { quiet: true }),
};

export const sessions = {
  /** @returns {Promise<{data: {id: string, key_id: string, created_at: number, expires_at: number, agent: string, current: boolean}[]}>} */
  list: () => call("GET", "/v1/sessions"),
  end: (id) => call("DELETE", at("sessions", id)),
};

export const videos = {
  /** @returns {Promise<{data: Video[], last_id: string|null, has_more: boolean}>} */
  list: (values = {}, options) => call("GET", `/v1/videos${query(values)}`, undefined, options),
  /** @returns {Promise<Video>} */
  get: (id) => call("GET", at("videos", id)),
  /** @returns {Promise<Video>} */
  create: (body) => call("POST", "/v1/videos", body),
  /** @returns {Promise<Estimate>} */
  estimate: (body, options) => call("POST", "/v1/estimate", body, options),
  remove: (id) => call("DELETE", at("videos", id, "?restorable=true")),
  restore: (id) => call("POST", at("videos", id, "/restore")),
  /** @param {{prompt: string, model?: string}} body */
  remix: (id, body) => call("POST", at("videos", id, "/remix"), body),
  /** @param {{prompt: string, video: Reference, strength?: number, mask?: Reference}} body */
  edit: (body) => call("POST", "/v1/videos/edits", body),
  /** @param {{video: Reference, seconds: string, prompt?: string, before?: boolean}} body */
  extend: (body) => call("POST", "/v1/videos/extensions", body),
  /** @param {{a: Reference, b: Reference, prompt?: string, seconds?: string}} body */
  blend: (body) => call("POST", "/v1/videos/blends", body),
  /** @param {{video: Reference, seconds?: string, prompt?: string}} body */
  loop: (body) => call("POST", "/v1/videos/loops", body),
  /** @param {{video: Reference, cuts: number[][]}} body */
  trim: (body) => call("POST", "/v1/videos/trims", body),
  /** @param {{parts: {video: Reference, start?: number, end?: number}[], size?: string, fps?: number, title?: string}} body */
  join: (body) => call("POST", "/v1/videos/joins", body),
  /** @param {{video: Reference, prompt: string, model: string, control?: string, strength?: number, negative_prompt?: string, loras?: {name: string, scale: number}[]}} body */
  restyle: (body) => call("POST", "/v1/videos/restyles", body),
  /** @param {{video: Reference, model: string, size?: string, prompt?: string, strength?: number}} body */
  upscale: (body) => call("POST", "/v1/videos/upscales", body),
  /** @param {{state: Object, size?: string, seed?: number}} body */
  render: (body) => call("POST", "/v1/videos/renders", body),
  /** @param {{title?: string, tags?: string[], favorite?: boolean, project?: string}} changes "" is no title and no project */
  label: (id, changes) => call("POST", at("videos", id), changes),
  cancel: (id) => call("POST", at("videos", id, "/cancel")),
  pause: (id) => call("POST", at("videos", id, "/pause")),
  resume: (id) => call("POST", at("videos", id, "/resume")),
  retry: (id) => call("POST", at("videos", id, "/retry")),
  /** Before another in the queue; null: to the end. */
  move: (id, before) => call("POST", at("videos", id, "/move"), { before }),
  /** @returns {Promise<{data: Video[], paused: boolean}>} */
  queue: () => call("GET", "/v1/queue"),
  /** Begin nothing more, or go on (admin). */
  holdQueue: (held) => call("POST", `/v1/queue/${held ? "pause" : "resume"}`),
  characters: () => call("GET", "/v1/videos/characters"),
  makeCharacter: (name, video) => call("POST", "/v1/videos/characters", { name, video }),
  /** Where a variant of a video lies; `stamp` makes a changing picture a new address. */
  url: (id, variant = "video", stamp) =>
    ROOT + at("videos", id, `/content${query({ variant: variant === "video" ? "" : variant, t: stamp })}`),
  /** Where a video is downloaded as a file of a format: mp4, webm, gif or frames (a zip file of PNG). */
  fileUrl: (id, format = "mp4") => ROOT + at("videos", id, `/content?format=${format}`),
  /** Where many are downloaded as one zip file. @param {string[]} ids */
  archiveUrl: (ids) => `${ROOT}/v1/videos/archive${query({ ids: ids.join(",") })}`,
  state: (id) => call("GET", at("videos", id, "/content?variant=state")),
  blob: async (id, variant = "download") => (await call("GET", at("videos", id, `/content?variant=${variant}`))).blob(),
  sheet: async (id) => {
    const response = await call("GET", at("videos", id, "/content?variant=spritesheet"));
    const told = new URLSearchParams((response.headers.get("x-kinema-spritesheet") ?? "").replaceAll(";", "&"));
    const [columns, rows, frames] = ["columns", "rows", "frames"].map((name) => Number(told.get(name)) || 1);
    return { columns, rows, frames, blob: await response.blob() };
  },
};

/** Folders of videos. */
export const projects = {
  /** @returns {Promise<{data: {id: string, name: string, created_at: number, videos: number}[]}>} */
  list: () => call("GET", "/v1/projects"),
  create: (name) => call("POST", "/v1/projects", { name }),
  rename: (id, name) => call("POST", at("projects", id), { name }),
  remove: (id) => call("DELETE", at("projects", id)),
};

/** Films of stories, in shots. Each change answers with the whole production. */
const shotAt = (id, shot, rest) => at("productions", id, `/shots/${encodeURIComponent(shot)}/${rest}`);
export const productions = {
  list: (values = {}) => call("GET", `/v1/productions${query(values)}`),
  get: (id) => call("GET", at("productions", id)),
  create: (body) => call("POST", "/v1/productions", body),
  events: (id, after) => call("GET", at("productions", id, `/events${query({ after, limit: 500 })}`)),
  /** @param {string} id @param {"script"|"stills"|"shots"|null} stopAfter */
  resume: (id, stopAfter) => call("POST", at("productions", id, "/resume"), compact({ stop_after: stopAfter })),
  stop: (id) => call("POST", at("productions", id, "/stop")),
  order: (id, order) => call("POST", at("productions", id, "/order"), { order }),
  retake: (id, shot) => call("POST", shotAt(id, shot, "retake"), {}),
  accept: (id, shot, take) => call("POST", shotAt(id, shot, "accept"), { take }),
  lock: (id, shot, locked) => call("POST", shotAt(id, shot, "lock"), { locked }),
  reword: (id, shot, prompt) => call("POST", shotAt(id, shot, "reword"), { prompt }),
  /** @param {string} id @param {string} member @param {string[]} pictures ids of files, all that it has from now on */
  picture: (id, member, pictures) => call("POST", at("productions", id, `/cast/${encodeURIComponent(member)}/pictures`), { pictures }),
  compareLooks: (id, look) => call("POST", at("productions", id, "/look"), { look }),
  remove: (id) => call("DELETE", at("productions", id)),
  stillUrl: (id, shot, stamp) => ROOT + shotAt(id, shot, `still${query({ t: stamp })}`),
  filmUrl: (id, format) => ROOT + at("productions", id, `/film?format=${format}`),
};

export const files = {
  /** @returns {Promise<{id: string, filename: string, width: number, height: number, frames: number, fps: number}>} */
  upload: (blob, name) => call("POST", "/v1/files", form(blob, name)),
  url: (id) => ROOT + at("files", id, "/content"),
};

export const models = {
  /** @returns {Promise<{data: Object[], kinema: {scene: SceneFacts}}>} */
  list: () => call("GET", "/v1/models"),
  arenaUrl: (id) => ROOT + at("models", id, "/arena"),
  acceptLicense: (id) => call("POST", at("models", id, "/license"), { accept: true }),
};

/** Complaints about videos. */
export const reports = {
  /** @param {{video: string, reason: string, text: string}} body */
  make: (body) => call("POST", "/v1/reports", body),
  /** @returns {Promise<{data: {id: string, created_at: number, video: string, reason: string, text: string, key_id: string, closed_at: number|null}[]}>} */
  list: (state) => call("GET", `/v1/reports${query({ state, limit: 100 })}`),
  close: (id) => call("POST", at("reports", id, "/close")),
};

export const worlds = {
  /** @returns {Promise<{data: World[]}>} */
  list: () => call("GET", "/v1/worlds"),
  /** @returns {Promise<World>} */
  get: (id) => call("GET", at("worlds", id)),
  /** @returns {Promise<World>} */
  create: (body) => call("POST", "/v1/worlds", body),
  remove: (id) => call("DELETE", at("worlds", id)),
  rename: (id, name) => call("POST", at("worlds", id, "/rename"), { name }),
  frameUrl: (id, scale, stamp) => ROOT + at("worlds", id, `/frame${query({ scale, t: stamp })}`),
  clipUrl: (id, frames) => ROOT + at("worlds", id, `/clip${query({ frames })}`),
  fileUrl: (id) => ROOT + at("worlds", id, "/file"),
  open: (file) => call("POST", "/v1/worlds/open", form(file, file.name)),
  step: (id, action, frames = 1) => call("POST", at("worlds", id, "/step"), { action, frames }),
  ask: (id, question) => call("POST", at("worlds", id, "/ask"), { question }),
  edit: (id, text) => call("POST", at("worlds", id, "/edit"), { text }),
  move: (id, slot, x, y) => call("POST", at("worlds", id, "/move"), { slot, x, y }),
  whatIf: (id, cause, since) => call("POST", at("worlds", id, "/what_if"), compact({ cause, since })),
  branch: (id, name) => call("POST", at("worlds", id, "/branch"), compact({ name })),
  /** The last frames as a video of the gallery. @returns {Promise<Video>} */
  record: (id, frames, name) => call("POST", at("worlds", id, "/videos"), compact({ frames, name })),
  rewind: (id, frames) => call("POST", at("worlds", id, "/rewind"), { frames }),
  liveUrl: (id, size, client) => {
    const url = new URL(ROOT + at("worlds", id, `/live${query({ size, paused: 1, client })}`), location.href);
    url.protocol = url.protocol.replace("http", "ws");
    return url.href;
  },
};

export const account = {
  usage: () => call("GET", "/v1/usage"),
  keys: () => call("GET", "/v1/keys"),
  createKey: (body) => call("POST", "/v1/keys", body),
  revokeKey: (id) => call("DELETE", at("keys", id)),
  webhooks: () => call("GET", "/v1/webhooks"),
  createWebhook: (url, events) => call("POST", "/v1/webhooks", { url, events }),
  removeWebhook: (id) => call("DELETE", at("webhooks", id)),
  /** A new secret; the former one signs as well for a day. */
  rotateWebhook: (id) => call("POST", at("webhooks", id, "/rotate"), {}),
  testWebhook: (id) => call("POST", at("webhooks", id, "/test")),
  deliveries: (id) => call("GET", at("webhooks", id, "/deliveries?limit=50")),
  replay: (id, delivery) => call("POST", at("webhooks", id, `/deliveries/${encodeURIComponent(delivery)}/replay`)),
};

/** Needs no key. @param {Blob} blob @param {string} name */
export const verify = (blob, name) => call("POST", "/v1/verify", form(blob, name), { quiet: true });
