/** How numbers, times and names are written, the same everywhere. */

/** 3.5 -> "3.5 s"; 95 -> "1 min 35 s". */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  if (seconds < 0.95) return `${Math.max(seconds, 0).toFixed(1)} s`;
  if (seconds < 60) return `${trim(seconds, seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes >= 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  const rest = Math.round(seconds % 60);
  return rest ? `${minutes} min ${rest} s` : `${minutes} min`;
}

/** Without needless zeros. */
export function trim(value, digits = 2) {
  return String(Number(Number(value).toFixed(digits)));
}

/** 65536 -> "65.5 k" */
export function count(value) {
  if (value === null || value === undefined) return "–";
  const [scale, unit] = value >= 1e9 ? [1e9, " G"] : value >= 1e6 ? [1e6, " M"] : value >= 1e4 ? [1e3, " k"] : [1, ""];
  return `${trim(value / scale, scale === 1 ? 0 : 1)}${unit}`;
}

export function bytes(value) {
  if (!value) return "–";
  return value >= 1e6 ? `${trim(value / 1e6, 1)} MB` : `${Math.max(Math.round(value / 1e3), 1)} kB`;
}

/** Seconds since 1970 -> "just now", "12 min ago", "Mar 3". */
export function ago(at) {
  if (!at) return "–";
  const since = Date.now() / 1000 - at;
  if (since < 45) return "just now";
  if (since < 3600) return `${Math.round(since / 60)} min ago`;
  if (since < 86400) return `${Math.round(since / 3600)} h ago`;
  return new Date(at * 1000).toLocaleDateString(undefined, { month: "short", day: "numeric" });
}

export function date(at) {
  return at ? new Date(at * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }) : "–";
}

/** "00:03.25" */
export function timecode(seconds) {
  const safe = Math.max(seconds || 0, 0);
  const minutes = Math.floor(safe / 60);
  return `${String(minutes).padStart(2, "0")}:${(safe % 60).toFixed(2).padStart(5, "0")}`;
}

const KIND_NAMES = {
  generate: "Filmed", edit: "Repainted", extend: "Extended", blend: "Blend", loop: "Loop", trim: "Re-cut", join: "Joined", render: "Rendered", restyle: "Restyled", upscale: "Upscaled", remix: "Remix", record: "Played", take: "Take", cut: "Film",
};
export const kindName = (kind) => KIND_NAMES[kind] ?? kind;

const STAGES = {
  waiting: "Waiting", plan: "Planning the motion", film: "Filming", write: "Developing", perceive: "Reading the picture", render: "Rendering", starting: "Starting", completed: "Done",
};
export const stageName = (stage) => STAGES[stage] ?? (stage ? stage[0].toUpperCase() + stage.slice(1) : "Waiting");

/** What to call a clip: its title, else its prompt, or what it is. @param {import("./api.js").Video} video */
export function title(video) {
  return video.kinema.title || video.prompt?.trim() || `${kindName(video.kinema.kind)} clip`;
}

/** "4 s · 16 fps · 64x64 · seed 7" */
export function slate(video) {
  const { fps, seed } = video.kinema;
  return [`${trim(video.seconds)} s`, fps && `${trim(fps)} fps`, video.size?.replace("x", "×"), seed !== null && seed !== undefined && `seed ${seed}`]
    .filter(Boolean)
    .join(" · ");
}

export const plural = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
