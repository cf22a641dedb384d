/**
 * The room's geometry and paints, as the renderer has them: 10 units high, x to the right, y up; the camera (x, y, zoom)
 * looks at 10 / zoom units of height around its place.
 */

export const PALETTE = {
  red: "#e22028", orange: "#ff7e0a", yellow: "#fad818", green: "#22ac3a",
  cyan: "#14c8d6", blue: "#2454e6", purple: "#8834cc", pink: "#ff68b8",
};
export const BACKGROUNDS = ["field", "desert", "night", "snow", "lab"];

/** Half width, reach up and reach down of each kind, in multiples of its size. */
export const OUTLINES = {
  ball: [1, 1, 1], box: [0.88, 0.88, 0.88], triangle: [1, 1.15, 0.575], star: [1.14, 1.2, 0.97],
  car: [1.1, 0.66, 0.66], robot: [0.82, 1.2, 0.96], screen: [0.9, 2.2, 2.2], flag: [1.12, 1.72, 1],
};

/** "96x64" -> 1.5 */
export function aspect(size) {
  const [width, height] = String(size).split("x").map(Number);
  return width && height ? width / height : 1;
}

/** The window that a camera sees. @returns {{left: number, top: number, width: number, height: number}} top in room units, y up */
export function windowOf(camera, ratio) {
  const [panX, panY, zoom] = camera ?? [5, 5, 1];
  const height = 10 / (zoom || 1);
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
      const [across, up, down] = OUTLINES[thing.kind] ?? [1, 1, 1];
      const reach = Math.max(across, up, down) * thing.size + 0.25;
      return { thing, distance: Math.hypot(thing.x - x, thing.y - y) / reach };
    })
    .filter(({ distance }) => distance <= 1);
  return near.sort((a, b) => a.distance - b.distance)[0]?.thing ?? null;
}
