/**
 * The state of a clip as something to take hold of: what is where in each frame. A thing can be dragged (all of its path
 * comes along) or given a new path with the motion brush, and the background changed; then the state is filmed again.
 */
import { html, classes, useEffect, useRef, useState } from "../../ui.js";
import { videos } from "../../api.js";
import { pick, stateModels } from "../../capabilities.js";
import { sceneFacts } from "../../store.js";
import { aspect, colorOf, pointerShare, thingAt, toPicture, toRoom } from "../../room.js";
import { href } from "../../router.js";
import { trim } from "../../format.js";
import { Button, Choice, Note, NumberField, Select, Skeleton } from "../../components/basics.js";
import { Send } from "./longer.js";

const NUDGE = 0.25;
const FEW_POINTS = 3;
/** Percent of the picture's height between a thing and its ring. */
const RING = 2;

/** The clip's state, loaded when a tool needs it, with changes that can be undone. */
export function useScene(clip, wanted) {
  const [past, setPast] = useState([]);
  const [error, setError] = useState(null);
  const [slot, setSlot] = useState(null);
  const [mode, setMode] = useState("drag");
  const [span, setSpan] = useState("all");
  const asked = useRef(false);
  const load = () => {
    setError(null);
    videos.state(clip.id).then((state) => {
      setPast([state]);
      setSlot(state.entities[0]?.slot ?? null);
    }, setError);
  };
  useEffect(() => {
    if (!wanted || asked.current || !clip.kinema.has_state) return;
    asked.current = true;
    load();
  }, [wanted]);
  const state = past[past.length - 1] ?? null;
  const change = (next) => setPast((before) => [...before.slice(0, 1), ...before.slice(1).slice(-40), next]);
  const changeThing = (which, update) => change({ ...state, entities: state.entities.map((thing) => (thing.slot === which ? { ...thing, ...update(thing) } : thing)) });
  return {
    state, first: past[0] ?? null, changed: past.length > 1 && state !== past[0], undoable: past.length > 1, error, load, slot, setSlot, mode, setMode, span, setSpan, change, changeThing,
    undo: () => setPast((before) => (before.length > 1 ? before.slice(0, -1) : before)),
    /** To how it was filmed; the undo takes this back too. */
    reset: () => change(past[0]),
    /** The whole path of a thing moved. */
    shift: (which, dx, dy) => changeThing(which, (thing) => ({ x: thing.x.map((x) => x + dx), y: thing.y.map((y) => y + dy) })),
    /** The path of a thing from a frame on, drawn as points in room units. */
    lead: (which, points, from) => changeThing(which, (thing) => follow(thing, points, from, state.fps)),
  };
}

/** A thing that follows a drawn line at an even pace from a frame to the end, with the speeds that this means. */
export function follow(thing, points, from, fps) {
  const lengths = [0];
  for (let i = 1; i < points.length; i++) lengths.push(lengths[i - 1] + Math.hypot(points[i][0] - points[i - 1][0], points[i][1] - points[i - 1][1]));
  const whole = lengths[lengths.length - 1];
  const frames = thing.x.length;
  const [x, y, vx, vy] = [[...thing.x], [...thing.y], [...thing.vx], [...thing.vy]];
  let segment = 1;
  for (let t = from; t < frames; t++) {
    const along = frames - 1 > from ? (whole * (t - from)) / (frames - 1 - from) : 0;
    while (segment < points.length - 1 && lengths[segment] < along) segment++;
    const [a, b] = [points[segment - 1], points[segment]];
    const stretch = lengths[segment] - lengths[segment - 1];
    const share = stretch > 0 ? (along - lengths[segment - 1]) / stretch : 0;
    x[t] = a[0] + (b[0] - a[0]) * share;
    y[t] = a[1] + (b[1] - a[1]) * share;
  }
  for (let t = from; t < frames; t++) {
    const [now, then] = t + 1 < frames ? [t + 1, t] : [t, Math.max(t - 1, 0)];
    vx[t] = (x[now] - x[then]) * fps;
    vy[t] = (y[now] - y[then]) * fps;
  }
  return { x, y, vx, vy, visible: thing.visible.map((seen, t) => (t >= from ? 1 : seen)) };
}

const nameOf = (thing) => `${thing.color} ${thing.kind}`;

/** Rings around things, their paths, and what is being drawn. */
export function SceneOverlay({ scene, frame, clip, onStart }) {
  const layer = useRef(null);
  const [line, setLine] = useState(null);
  const [grip, setGrip] = useState(null);
  const { state, slot, mode } = scene;
  const at = Math.min(frame, state.num_frames - 1);
  const ratio = aspect(clip.size);
  const camera = state.camera[at];
  // What is no longer where the picture shows it is filled with its color.
  const shown = new Map(scene.first.entities.map((thing) => [thing.slot, thing]));
  const strays = (thing) => Math.hypot(thing.x[at] - shown.get(thing.slot).x[at], thing.y[at] - shown.get(thing.slot).y[at]) > 0.05;
  const here = state.entities.map((thing) => ({ ...thing, x: thing.x[at], y: thing.y[at], moved: strays(thing) }));
  const spot = (event) => toRoom(...pointerShare(event, layer.current), camera, ratio);
  const down = (event) => {
    onStart();
    layer.current.setPointerCapture(event.pointerId);
    const [x, y] = spot(event);
    if (mode === "draw" && slot !== null) setLine([[x, y]]);
    else {
      const thing = thingAt(here, x, y);
      if (!thing) return;
      scene.setSlot(thing.slot);
      setGrip({ slot: thing.slot, from: [x, y], by: [0, 0] });
    }
  };
  const move = (event) => {
    const [x, y] = spot(event);
    if (line) setLine([...line, [x, y]]);
    if (grip) setGrip({ ...grip, by: [x - grip.from[0], y - grip.from[1]] });
  };
  const up = () => {
    if (line && line.length >= FEW_POINTS) scene.lead(slot, line, scene.span === "all" ? 0 : at);
    if (grip && Math.hypot(...grip.by) > 0.05) scene.shift(grip.slot, ...grip.by);
    setLine(null);
    setGrip(null);
  };
  const keys = (event, thing) => {
    const moves = { ArrowLeft: [-NUDGE, 0], ArrowRight: [NUDGE, 0], ArrowUp: [0, NUDGE], ArrowDown: [0, -NUDGE] };
    if (!(event.key in moves)) return;
    event.preventDefault();
    event.stopPropagation();
    onStart();
    scene.setSlot(thing.slot);
    scene.shift(thing.slot, ...moves[event.key]);
  };
  const trace = (points) => points.map(([x, y]) => toPicture(x, y, camera, ratio).map((share) => trim(share * 100)).join(",")).join(" ");
  const path = (thing) => thing.x.map((x, t) => [x, thing.y[t]]);
  /** Percent of the picture's height that a unit is. */
  const unit = (100 * (camera[2] || 1)) / sceneFacts.value.room_height;
  return html`<svg ref=${layer} class="overlay" viewBox="0 0 100 100" preserveAspectRatio="none"
    style=${{ cursor: mode === "draw" ? "crosshair" : "default" }} data-testid="scene-overlay"
      onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${up}>
    ${state.entities.filter((thing) => thing.slot === slot).map((thing) => html`<polyline key="path"
      class="thing-path" points=${trace(path(thing))} />`)}
    ${line && html`<polyline class="thing-path new" points=${trace(line)} />`}
    ${here.map((thing) => {
      const by = grip?.slot === thing.slot ? grip.by : [0, 0];
      const [u, v] = toPicture(thing.x + by[0], thing.y + by[1], camera, ratio);
      const { across, above, below } = sceneFacts.value.outlines[thing.kind];
      const [rx, ry] = [(across * thing.size * unit + RING) / ratio, ((above + below) / 2) * thing.size * unit + RING];
      const middle = v * 100 - ((above - below) / 2) * thing.size * unit;
      const shape = { x: u * 100 - rx, y: middle - ry, width: rx * 2, height: ry * 2, ...(thing.kind === "ball" ? { rx, ry } : {}) };
      return html`<g key=${thing.slot}><rect class="thing-ring shade" ...${shape} />
        <rect class=${classes("thing-ring", { on: thing.slot === slot, moved: thing.moved })}
          style=${thing.moved ? { fill: colorOf(thing.color) } : {}} ...${shape} tabindex="0" role="button"
          aria-label=${`${nameOf(thing)}: arrow keys move it`} data-testid="entity" data-slot=${thing.slot}
            onKeyDown=${(event) => keys(event, thing)} onFocus=${() => mode !== "draw" && scene.setSlot(thing.slot)} /></g>`;
    })}
  </svg>`;
}

function Ready({ scene, clip, children }) {
  if (!clip.kinema.has_state) {
    return html`<${Note} kind="info" testid="no-state">No state is kept for this clip, so there is nothing to take hold of.
      ${clip.kinema.sources?.length > 0 && html` It was made from ${clip.kinema.sources.map((id, i) => html`${i > 0 && ", "}
        <a href=${href("edit", id)}>this clip</a>`)}.`}<//>`;
  }
  if (scene.error) return html`<${Note} error=${scene.error} retry=${scene.load} />`;
  if (!scene.state) return html`<${Skeleton} kind="line" count=${3} />`;
  return children;
}

function Film({ clip, send, scene, children, testid }) {
  const run = () => send(() => videos.render({ state: scene.state, size: clip.size, seed: clip.kinema.seed, model: pick(stateModels(), clip.model)?.id }));
  return html`<div class="row between"><${Send} onSend=${run} disabled=${!scene.changed} testid=${testid}>${children}<//>
    <span class="row"><${Button} onClick=${scene.undo} disabled=${!scene.undoable} testid="scene-undo">Undo<//><${Button}
      kind="quiet" onClick=${scene.reset} disabled=${!scene.changed} testid="scene-reset">Reset<//></span></div>`;
}

export function Background({ clip, send, scene }) {
  return html`<p>The same things on the same paths, in another place.</p>
    <${Ready} scene=${scene} clip=${clip}>
      <div class="places" role="group" aria-label="Background">
        ${sceneFacts.value.backgrounds.map((name) => html`<button type="button" key=${name} class=${`place place-${name}`}
          aria-pressed=${scene.state?.background === name ? "true" : "false"}
          onClick=${() => scene.change({ ...scene.state, background: name })} data-testid=${`place-${name}`}><i></i>${name}
          </button>`)}
      </div>
      ${scene.first && scene.state && html`<p class="quiet"
        aria-live="polite">${scene.first.background === scene.state.background ? `It is set in the ${scene.first.background} now.` : `From ${scene.first.background} to ${scene.state.background}.`}
        </p>`}
      <${Film} clip=${clip} send=${send} scene=${scene} testid="render-background">Film it there<//>
    <//>`;
}

export function Motion({ clip, send, scene, frame }) {
  const { state, slot, mode } = scene;
  const thing = state?.entities.find((one) => one.slot === slot);
  const at = state ? Math.min(frame, state.num_frames - 1) : 0;
  const put = (axis) => (value) => value !== null && scene.shift(slot, axis === "x" ? value - thing.x[at] : 0, axis === "y" ? value - thing.y[at] : 0);
  const straight = (dx, dy) => scene.lead(slot, [[thing.x[0], thing.y[0]], [thing.x[0] + dx, thing.y[0] + dy]], 0);
  return html`<p>What the model says is in the clip. Drag a thing in the picture to move its path, or draw a new one for it.</p>
    <${Ready} scene=${scene} clip=${clip}>
      <div class="things" role="group" aria-label="Things in the clip">
        ${state?.entities.map((one) => html`<button type="button" class="thing" key=${one.slot}
          aria-pressed=${one.slot === slot ? "true" : "false"} onClick=${() => scene.setSlot(one.slot)} data-testid="thing">
          <i class="swatch" style=${{ background: colorOf(one.color) }}></i>${nameOf(one)}<span
            class="mono">${trim(one.x[at], 1)}, ${trim(one.y[at], 1)}</span></button>`)}
      </div>
      ${state && !state.entities.length && html`<p class="quiet">The model sees nothing here.</p>`}
      <${Choice} label="The pointer" value=${mode} options=${[["drag", "Drags things"], ["draw", "Draws a path"]]}
        onChange=${scene.setMode} testid="motion-mode" />
      ${mode === "draw" && html`<${Choice} label="The path holds" value=${scene.span}
        options=${[["all", "From the first frame"], ["here", "From this frame on"]]} onChange=${scene.setSpan}
        testid="motion-span" />`}
      ${thing && html`<div class="inline-form">
        <${NumberField} label="x at this frame" value=${trim(thing.x[at])} step=${NUDGE} onChange=${put("x")} testid="thing-x" />
        <${NumberField} label="y at this frame" value=${trim(thing.y[at])} step=${NUDGE} onChange=${put("y")} testid="thing-y" />
        <${Select} label="Color" value=${thing.color} options=${Object.keys(sceneFacts.value.palette)}
          onChange=${(color) => scene.changeThing(slot, () => ({ color }))} testid="thing-color" />
        <${Select} label="Kind" value=${thing.kind} options=${Object.keys(sceneFacts.value.outlines)}
          onChange=${(kind) => scene.changeThing(slot, () => ({ kind }))} testid="thing-kind" />
      </div>
      <div class="row" role="group" aria-label="Straight paths"><span class="label">Straight path</span>
        ${[["left", -5, 0], ["right", 5, 0], ["up", 0, 5], ["down", 0, -5]].map(([way, dx, dy]) => html`<${Button}
          kind="small" key=${way} icon=${way} label=${`Move ${way} over the clip`} onClick=${() => straight(dx, dy)}
          testid=${`straight-${way}`} />`)}
        <${Button} kind="small" onClick=${() => straight(0, 0)} testid="straight-still">Stand still<//></div>`}
      <${Film} clip=${clip} send=${send} scene=${scene} testid="render-motion">Film it so<//>
    <//>`;
}
