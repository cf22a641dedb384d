/**
 * Places in the room and in pictures of it. Units of the room: x to the right, y up. A camera (x, y, zoom) shows so many units
 * around its place as the room is high, divided by its zoom. The room's height, the colors and the outlines are the server's.
 */
import { sceneFacts } from "./store.js";

/** The color of things of this name, as CSS has it. */
export const colorOf = (name) => sceneFacts.value.palette[name];

/** "96x64" -> 1.5 */
export function aspect(size) {
  const [width, height] = String(size).split("x").map(Number);
  return width && height ? width / height : 1;
}

/** The window that a camera sees. @returns {{left: number, top: number, width: number, height: number}} top in room units, y up */
export function windowOf(camera, ratio) {
  const { room_height, default_camera } = sceneFacts.value;
  const [panX, panY, zoom] = camera ?? default_camera;
  const height = room_height / (zoom || 1);
  const width = height * ratio;
  return { left: panX - width / 2, top: panY + height / 2, width, height };
}

/** Room units -> 0..1 of the picture, y down. */
export function toPicture(x, y, camera, ratio) {
  const seen = windowOf(camera, ratio);
  return [(x - seen.left) / seen.width, (seen.top - y) / seen.height];
}

/** 0..1 of the picture, y down -> room units. */
export function toRoom(u, v, camera, ratio) {
  const seen = windowOf(camera, ratio);
  return [seen.left + u * seen.width, seen.top - v * seen.height];
}

/** Where a pointer is on an element, as 0..1 both ways. */
export function pointerShare(event, element) {
  const box = element.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

/** The thing under a place, nearest first. @param {import("./api.js").Thing[]} things */
export function thingAt(things, x, y) {
  const near = things
    .map((thing) => {
      const reach = Math.max(...Object.values(sceneFacts.value.outlines[thing.kind])) * thing.size + 0.25;
      return { thing, distance: Math.hypot(thing.x - x, thing.y - y) / reach };
    })
    .filter(({ distance }) => distance <= 1);
  return near.sort((a, b) => a.distance - b.distance)[0]?.thing ?? null;
}
