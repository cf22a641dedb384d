/** Where the camera is in a film: a move by name, or stops of one's own; and a small map of what it sees. */
import { html } from "../ui.js";
import { MOVES, stopsOf } from "../camera.js";
import { windowOf } from "../room.js";
import { sceneFacts } from "../store.js";
import { trim } from "../format.js";
import { Button, NumberField, Select } from "./basics.js";

/** What the server takes. */
const LIMITS = { x: [-15, 25], y: [-15, 25], zoom: [0.25, 8] };
const STEP_S = 0.25;

/**
 * @param {Object} props
 * @param {{move: string, stops: number[][]}|null} props.camera null: the model decides
 * @param {number} props.seconds @param {number} props.ratio width by height of the film
 * @param {(camera: Object|null) => void} props.onChange
 */
export function CameraField({ camera, seconds, ratio, onChange }) {
  const stops = stopsOf(camera, seconds);
  const choose = (move) => {
    if (move === "free") onChange(null);
    // Own stops begin with those of the move that was chosen before.
    else onChange({ move, stops: move === "own" ? (stops ?? [[0, ...sceneFacts.value.default_camera]]) : [] });
  };
  return html`<div class="camera-field" role="group" aria-label="Camera">
    <${Select} label="Camera" value=${camera?.move ?? "free"} options=${MOVES} onChange=${choose} testid="camera" />
    ${stops && html`<${CameraMap} stops=${stops} ratio=${ratio} />`}
    ${camera?.move === "own" && html`<${Stops} stops=${camera.stops} seconds=${seconds} onChange=${(next) => onChange({ ...camera, stops: next })} />`}
  </div>`;
}

function Stops({ stops, seconds, onChange }) {
  const put = (at, place) => (value) => value !== null && onChange(stops.map((stop, i) => (i === at ? stop.map((one, j) => (j === place ? value : one)) : stop)));
  const last = stops[stops.length - 1];
  const add = () => onChange([...stops, [Math.min(last[0] + 1, Math.max(seconds, last[0] + STEP_S)), ...last.slice(1)]]);
  return html`<ol class="stops" aria-label="Stops of the camera">${stops.map((stop, i) => html`<li key=${i} class="inline-form" data-testid="camera-stop">
      <${NumberField} label="At" suffix="s" value=${stop[0]} min=${0} step=${STEP_S} onChange=${put(i, 0)} testid="stop-at" />
      <${NumberField} label="x" value=${stop[1]} min=${LIMITS.x[0]} max=${LIMITS.x[1]} step=${0.5} onChange=${put(i, 1)} testid="stop-x" />
      <${NumberField} label="y" value=${trim(stop[2])} min=${LIMITS.y[0]} max=${LIMITS.y[1]} step=${0.5} onChange=${put(i, 2)} testid="stop-y" />
      <${NumberField} label="Zoom" value=${stop[3]} min=${LIMITS.zoom[0]} max=${LIMITS.zoom[1]} step=${0.1} onChange=${put(i, 3)} testid="stop-zoom" />
      <${Button} icon="close" kind="quiet" label=${`Take stop ${i + 1} out`} disabled=${stops.length < 2} onClick=${() => onChange(stops.filter((_, j) => j !== i))} testid="stop-remove" />
    </li>`)}</ol>
    <div><${Button} icon="plus" kind="small" onClick=${add} testid="add-stop">Add a stop<//></div>`;
}

/** The room from the front, and in it what the camera sees at each stop. */
function CameraMap({ stops, ratio }) {
  const boxes = stops.map((stop) => windowOf(stop.slice(1), ratio));
  const height = sceneFacts.value.room_height;
  const edges = { left: Math.min(0, ...boxes.map((box) => box.left)), right: Math.max(height, ...boxes.map((box) => box.left + box.width)),
    top: Math.max(height, ...boxes.map((box) => box.top)), bottom: Math.min(0, ...boxes.map((box) => box.top - box.height)) };
  const pad = height / 20;
  const view = [edges.left - pad, -edges.top - pad, edges.right - edges.left + 2 * pad, edges.top - edges.bottom + 2 * pad];
  const middles = stops.map(([, x, y]) => `${x},${-y}`).join(" ");
  const says = stops.map(([second, x, y, zoom]) => `at ${trim(second)} seconds ${trim(x)}, ${trim(y)}, zoom ${trim(zoom)}`).join("; ");
  return html`<svg class="camera-map" viewBox=${view.join(" ")} role="img" aria-label=${`The camera is ${says}`}>
    <line class="ground" x1=${view[0]} x2=${view[0] + view[2]} y1="0" y2="0" />
    ${boxes.map((box, i) => html`<rect key=${i} class=${i === boxes.length - 1 && i ? "to" : ""} x=${box.left} y=${-box.top} width=${box.width} height=${box.height} />`)}
    ${stops.length > 1 && html`<polyline points=${middles} />`}
    ${stops.map(([, x, y], i) => html`<circle key=${i} cx=${x} cy=${-y} r=${height / 40} />`)}
  </svg>`;
}
