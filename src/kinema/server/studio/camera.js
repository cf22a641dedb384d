/** Camera moves as the stops that a film is asked for with: [second, x, y, zoom]. Units and the usual place are the server's. */
import { sceneFacts } from "./store.js";
import { windowOf } from "./room.js";

/** Units a second, and the farthest that a move goes: about what the model was trained with. */
const PAN_SPEED = 0.8;
const LONGEST_PAN = 3;
const CLOSE = 1.5;

export const MOVES = [
  ["free", "As the model likes"], ["still", "Stands still"], ["left", "Pans left"], ["right", "Pans right"], ["in", "Zooms in"], ["out", "Zooms out"],
  ["close", "Close up"], ["own", "Own stops"],
];

/** A close view keeps the ground in sight: things stand there. */
function closeUp([x, y]) {
  const { height } = windowOf([x, y, CLOSE], 1);
  return [x, height / 2, CLOSE];
}

/**
 * The stops of a move over a film; null: the model decides.
 * @param {{move: string, stops: number[][]}|null} camera the form's @param {number} seconds
 */
export function stopsOf(camera, seconds) {
  const usual = sceneFacts.value.default_camera;
  const [x, y, zoom] = usual;
  const far = Math.min(PAN_SPEED * seconds, LONGEST_PAN) / 2;
  const [from, to] = {
    still: [usual, null], left: [[x + far, y, zoom], [x - far, y, zoom]], right: [[x - far, y, zoom], [x + far, y, zoom]],
    in: [usual, closeUp(usual)], out: [closeUp(usual), usual], close: [closeUp(usual), null],
  }[camera?.move] ?? [null, null];
  if (camera?.move === "own") return camera.stops.length ? [...camera.stops].sort((a, b) => a[0] - b[0]) : null;
  if (!from) return null;
  return to ? [[0, ...from], [seconds, ...to]] : [[0, ...from]];
}
