/** What lies on the cutting table: parts of clips in the order in which they are joined. Kept in this browser for each key. */
import { keptForKey } from "./kept.js";
import { keyId } from "./store.js";
import { title } from "./format.js";

/** What the server joins at most. */
export const MOST_PARTS = 100;
/** Shorter parts would hold no frame. */
const SHORTEST_S = 0.01;

/** @typedef {{key: string, id: string, name: string, seconds: number, fps: number, size: string, from: number, to: number}} Part */

/** @type {{value: Part[]}} */
export const table = keptForKey("cutting", [], keyId);

const newKey = () => `${Date.now()}-${Math.random().toString(36).slice(2, 8)}`;

/** All of a clip as a part. @param {import("./api.js").Video} clip @returns {Part} */
export function partOf(clip) {
  const seconds = Number(clip.seconds);
  return { key: newKey(), id: clip.id, name: title(clip), seconds, fps: clip.kinema.fps || 16, size: clip.size, from: 0, to: seconds };
}

/** Adds clips at the end. @param {import("./api.js").Video[]} clips */
export function putOnTable(clips) {
  table.value = [...table.value, ...clips.map(partOf)].slice(0, MOST_PARTS);
}

export const lengthOf = (parts) => parts.reduce((sum, part) => sum + part.to - part.from, 0);

/** Where each part begins in the film. @param {Part[]} parts @returns {number[]} */
export function startsOf(parts) {
  let at = 0;
  return parts.map((part) => (at += part.to - part.from) - (part.to - part.from));
}

/** The part at a second of the film, and the second of its clip. @returns {{index: number, at: number}|null} */
export function partAt(parts, second) {
  const starts = startsOf(parts);
  const index = parts.findLastIndex((_, i) => starts[i] <= second + 1e-9);
  return index < 0 ? null : { index, at: Math.min(parts[index].from + second - starts[index], parts[index].to) };
}

/** The parts with one cut in two at a second of the film; the same parts where that is at an edge. */
export function split(parts, second) {
  const found = partAt(parts, second);
  if (!found) return parts;
  const { index, at } = found;
  const part = parts[index];
  const cut = Math.round(at * part.fps) / part.fps;
  if (cut - part.from < SHORTEST_S || part.to - cut < SHORTEST_S) return parts;
  return [...parts.slice(0, index), { ...part, to: cut }, { ...part, key: newKey(), from: cut }, ...parts.slice(index + 1)];
}

/** The parts with one moved to another place. */
export function moved(parts, from, to) {
  const next = [...parts];
  const [part] = next.splice(from, 1);
  next.splice(to, 0, part);
  return next;
}

/** What POST /v1/videos/joins is told. */
export function joinRequest(parts, { size, title: name }) {
  const cut = parts.map((part) => ({ video: part.id, start: Number(part.from.toFixed(4)), ...(part.to < part.seconds ? { end: Number(part.to.toFixed(4)) } : {}) }));
  return { parts: cut, ...(size && size !== parts[0]?.size ? { size } : {}), ...(name.trim() ? { title: name.trim() } : {}) };
}
