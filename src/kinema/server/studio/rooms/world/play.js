/** Inside a world: its picture, what one does in it, what it holds, and where else it might have gone. */
import { html, classes, useEffect, useRef, useState } from "../../ui.js";
import { worlds } from "../../api.js";
import { attempt, spoken, toast } from "../../store.js";
import { go, place } from "../../router.js";
import { aspect, colorOf, pointerShare, thingAt, toPicture, toRoom } from "../../room.js";
import { timecode, trim } from "../../format.js";
import { Button, Dialog, NumberField, Note, useLoaded } from "../../components/basics.js";
import { Synced } from "../gallery/compare.js";
import { Controls, Live } from "./live.js";
import { Talk, WhatIf } from "./talk.js";
import { Tree } from "./tree.js";

const DRAG_PIXELS = 6;

/** A world on the wire. What changes with every frame is in `now`. */
function useLive(first, canvas) {
  const [now, setNow] = useState({ time_s: first.time_s, state: first.state, reward: first.reward, terminated: first.terminated, frame: 0 });
  const [wire, setWire] = useState("closed");
  const [playing, setPlaying] = useState(false);
  const [action, setAction] = useState(null);
  const [rate, setRate] = useState(first.fps);
  const [ping, setPing] = useState(null);
  const live = useRef(null);
  const controls = useRef(null);
  const wanted = useRef(false);
  useEffect(() => {
    live.current = new Live(first.id, {
      onFrame: (told, picture) => {
        const target = canvas.current;
        if (target.width !== picture.width || target.height !== picture.height) Object.assign(target, { width: picture.width, height: picture.height });
        target.getContext("2d").drawImage(picture, 0, 0);
        if (told.round_trip_ms) setPing(told.round_trip_ms);
        setNow(told);
      },
      onState: (state) => {
        setWire(state);
        if (state === "open" && wanted.current) live.current.send({ type: "play" });
      },
      onError: ({ message, code }) => {
        toast(message, { kind: "bad" });
        if (code === "world_in_play") {
          wanted.current = false;
          setPlaying(false);
        }
      },
    });
    controls.current = new Controls((next) => {
      live.current.act(next);
      setAction(next);
      if (next && !wanted.current) play(true);
    });
    const hidden = () => document.hidden && play(false);
    document.addEventListener("visibilitychange", hidden);
    return () => {
      document.removeEventListener("visibilitychange", hidden);
      live.current.close();
      controls.current.close();
    };
  }, [first.id]);
  const play = (on) => {
    wanted.current = on;
    setPlaying(on);
    live.current.send({ type: on ? "play" : "pause" });
  };
  const step = () => (play(false), live.current.step());
  const setFps = (fps) => (setRate(fps), live.current.pace(fps));
  /** Takes over what a change left behind, and shows its picture. */
  const adopt = (world) => {
    setNow((before) => ({ ...before, past_frames: world.past_frames, time_s: world.time_s, state: world.state, reward: world.reward, terminated: world.terminated }));
    // A live wire shows changes by itself.
    if (live.current.socket.readyState === WebSocket.OPEN) return;
    const picture = new Image();
    picture.onload = () => canvas.current?.getContext("2d").drawImage(picture, 0, 0, canvas.current.width, canvas.current.height);
    picture.src = worlds.frameUrl(first.id, 4, Date.now());
  };
  return { now, wire, playing, play, step, action, rate, setFps, ping, controls, adopt, again: () => live.current.again() };
}

export function Play({ first }) {
  const [world, setWorld] = useState(first);
  const canvas = useRef(null);
  const live = useLive(first, canvas);
  const { now, playing } = live;
  const [slot, setSlot] = useState(null);
  const [naming, setNaming] = useState(false);
  const [whatIf, setWhatIf] = useState(null);
  const tree = useLoaded(() => worlds.list(), [first.id, world.name]);
  const take = (next) => {
    setWorld(next);
    live.adopt(next);
  };
  useEffect(() => {
    // What can be gone back to comes with every frame; without a frame it is asked for.
    if (!playing && now.past_frames === undefined) attempt(() => worlds.get(first.id)).then((fresh) => fresh && setWorld(fresh));
  }, [playing, now.frame > 0 && !playing && now.frame]);
  const moveThing = async (which, x, y) => {
    const answer = await attempt(() => worlds.move(world.id, which, x, y));
    if (!answer) return;
    spoken.value = answer.understood;
    take(answer.world);
  };
  const branch = async () => {
    live.play(false);
    const next = await attempt(() => worlds.branch(world.id));
    if (!next) return;
    toast(`Branched at ${trim(next.branched_at_s ?? now.time_s)} s`);
    go("world", next.id);
  };
  const thing = now.state.things.find((one) => one.slot === slot);
  return html`<header class="room-head">
      <div><h1>${world.name || world.id}</h1><p
        class="mono">${[world.model, world.size.replace("x", "×"), `seed ${world.seed}`, world.task].filter(Boolean).join(" · ")}
        </p></div>
      <div class="row">
        <${Button} icon="edit" onClick=${() => setNaming(true)} testid="rename">Rename<//>
        <a class="button" href=${worlds.fileUrl(world.id)} download data-testid="download-world">Download .world</a>
        <a class="button" href="#/world" data-testid="all-worlds">All worlds</a>
      </div>
    </header>
    <div class="world">
      <div>
        <${Picture} canvas=${canvas} live=${live} world=${world} slot=${slot} setSlot=${setSlot} onMove=${moveThing} />
        <div class="world-bar">
          <${Button} icon=${playing ? "pause" : "play"} kind="primary" onClick=${() => live.play(!playing)}
            testid="world-play">${playing ? "Pause" : "Play"}<//>
          <${Button} icon="next" onClick=${live.step} testid="world-step">Step<//>
          <${Button} icon="branch" onClick=${branch} testid="branch">Branch<//>
          <div style=${{ width: "104px" }}><${NumberField} label="Frames a second" hideLabel suffix="fps" value=${live.rate}
            min=${1} max=${60} onChange=${(fps) => fps && live.setFps(fps)} testid="live-fps" /></div>
          <${Pad} controls=${live.controls} action=${live.action} />
        </div>
        <${Meters} live=${live} />
        ${live.wire === "lost" && html`<${Note} error="The wire to this world is cut." retry=${live.again} />`}
        <${Rewind} world=${world} now=${now} live=${live} onDone=${take} />
      </div>
      <div class="stack" style=${{ gap: "20px" }}>
        <section class="panel stack" aria-label="What is there"><h2>What is there</h2>
          <${Things} things=${now.state.things} slot=${slot} setSlot=${setSlot} />
          ${thing && html`<${Inspector} thing=${thing} onMove=${(x, y) => moveThing(thing.slot, x, y)} />`}
        </section>
        <${Talk} world=${world} onChange=${take} things=${now.state.things} />
        <${WhatIf} world=${world} pause=${() => live.play(false)} things=${now.state.things} onAnswer=${setWhatIf} />
        <section class="panel" aria-label="Branches"><h2
          class="section-title">Branches</h2>${tree.data && html`<${Tree} worlds=${family(tree.data.data, world.id)} here=${world.id} />`}
          </section>
      </div>
    </div>
    ${naming && html`<${Rename} world=${world} onClose=${() => setNaming(false)}
      onDone=${(next) => (setWorld(next), (place.value = next.name), setNaming(false))} />`}
    ${whatIf && html`<${Dialog} title="What if" wide onClose=${() => setWhatIf(null)} testid="what-if-dialog"><p>${whatIf.understood}</p>
      <${Synced} items=${[{ src: whatIf.happened, label: "What happened", size: world.size }, { src: whatIf.instead, label: "What would have been", size: world.size }]} />
        <//>`}`;
}

/** A world's own tree: its oldest ancestor and all that came from it. */
function family(all, id) {
  let root = all.find((world) => world.id === id);
  for (let up = root; up; up = all.find((world) => world.id === root.parent)) root = up;
  const kin = new Set([root?.id]);
  for (let size = 0; size !== kin.size; ) {
    size = kin.size;
    for (const world of all) if (kin.has(world.parent)) kin.add(world.id);
  }
  return all.filter((world) => kin.has(world.id));
}

/** The picture: keys act, a press takes hold of a thing. */
function Picture({ canvas, live, world, slot, setSlot, onMove }) {
  const box = useRef(null);
  const [drag, setDrag] = useState(null);
  const ratio = aspect(world.size);
  const { state } = live.now;
  const spot = (event) => toRoom(...pointerShare(event, box.current), state.camera, ratio);
  const down = (event) => {
    const found = thingAt(state.things, ...spot(event));
    setSlot(found?.slot ?? null);
    if (!found) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    setDrag({ slot: found.slot, from: [event.clientX, event.clientY], to: null });
  };
  const move = (event) => {
    if (!drag) return;
    const far = Math.hypot(event.clientX - drag.from[0], event.clientY - drag.from[1]);
    if (drag.to || far > DRAG_PIXELS) setDrag({ ...drag, to: spot(event) });
  };
  const up = () => {
    if (drag?.to) onMove(drag.slot, ...drag.to.map((value) => Number(value.toFixed(3))));
    setDrag(null);
  };
  const keys = (down_) => (event) => {
    if (live.controls.current?.key(event, down_)) event.preventDefault();
    else if (down_ && event.code === "Space") (event.preventDefault(), live.play(!live.playing));
  };
  const marked = state.things.find((thing) => thing.slot === slot);
  const at = (x, y) => {
    const [u, v] = toPicture(x, y, state.camera, ratio);
    return { left: `${u * 100}%`, top: `${v * 100}%` };
  };
  return html`<div class="player bare"><div ref=${box} class="screen live"
    style=${{ aspectRatio: String(ratio) }} tabindex="0" role="application" data-testid="live"
      aria-label="The world. Arrow keys or WASD act, space plays and pauses. Press a thing to look at it, or drag it."
      onKeyDown=${keys(true)} onKeyUp=${keys(false)} onBlur=${() => live.controls.current?.release()}
      onPointerDown=${(event) => (box.current.focus(), down(event))} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${() => setDrag(null)}>
    <canvas ref=${canvas} width="256" height=${Math.round(256 / ratio)}></canvas>
    ${live.wire !== "open" && html`<p class="screen-note">${live.wire === "lost" ? "Not connected" : "Connecting …"}</p>`}
    ${marked && !drag?.to && html`<span class="thing-label" style=${at(marked.x, marked.y + marked.size + 0.9)}>${marked.name}</span>`}
    ${drag?.to && html`<span class="thing-label"
      style=${at(...drag.to)}>${state.things.find((thing) => thing.slot === drag.slot)?.name} to ${trim(drag.to[0], 1)}, ${trim(drag.to[1], 1)}
      </span>`}
  </div></div>`;
}

const WAYS = [["up", [0, 1]], ["left", [-1, 0]], ["down", [0, -1]], ["right", [1, 0]]];

function Pad({ controls, action }) {
  const on = ([x, y]) => action && ((x && Math.sign(action[0]) === x) || (y && Math.sign(action[1]) === y));
  return html`<div class="pad" role="group" aria-label="Act">${WAYS.map(([name, way]) => {
    const hold = (down) => controls.current?.hold(`pad-${name}`, down ? way : null);
    const keys = (down) => (event) => ["Enter", " "].includes(event.key) && (event.preventDefault(), hold(down));
    return html`<${Button} key=${name} icon=${name} label=${`Act ${name}`} kind=${on(way) ? "held" : ""} testid=${`act-${name}`}
      onPointerDown=${() => hold(true)} onPointerUp=${() => hold(false)} onPointerLeave=${() => hold(false)} onKeyDown=${keys(true)} onKeyUp=${keys(false)} onBlur=${() => hold(false)} />`;
  })}</div>`;
}

function Meters({ live }) {
  const { now, ping } = live;
  return html`<div class="meters" data-testid="meters">
    <span>Time <b data-testid="world-time">${timecode(now.time_s)}</b></span>
    <span>Model <b data-testid="model-ms">${now.model_ms !== undefined ? `${Math.round(now.model_ms)} ms` : "–"}</b></span>
    <span>Round trip <b data-testid="round-trip">${ping ? `${Math.round(ping)} ms` : "–"}</b></span>
    <span>Reward <b>${trim(now.reward ?? 0)}</b></span>
    ${now.terminated && html`<span><b>Task done</b></span>`}
  </div>`;
}

/** Back in time by a slider: what was done since is forgotten. */
function Rewind({ world, now, live, onDone }) {
  const [back, setBack] = useState(0);
  const past = now.past_frames ?? world.past_frames;
  const run = async () => {
    const next = await attempt(() => worlds.rewind(world.id, back));
    if (!next) return;
    setBack(0);
    onDone(next);
    toast(`Back to ${trim(next.time_s)} s`);
  };
  return html`<div class="world-bar" role="group" aria-label="Rewind">
    <input type="range" class="scrub" style=${{ flex: "1 1 160px", "--share": `${past ? 100 - (100 * back) / past : 100}%` }}
      min="0" max=${past} value=${past - back} disabled=${!past} aria-label="Rewind to"
      aria-valuetext=${`${trim(back / world.fps)} seconds back`} data-testid="rewind-slider"
      onPointerDown=${() => live.play(false)} onInput=${(event) => (live.play(false), setBack(past - Number(event.currentTarget.value)))} />
    <span class="mono quiet" style=${{ minWidth: "92px" }}>${back ? `${trim(back / world.fps)} s back` : timecode(now.time_s)}</span>
    <${Button} icon="back" disabled=${!back} onClick=${run} testid="rewind">Rewind<//>
  </div>`;
}

function Things({ things, slot, setSlot }) {
  if (!things.length) return html`<p class="quiet-note">Nothing that the model knows of.</p>`;
  return html`<div class="things">${things.map((thing) => html`<button type="button" class="thing" key=${thing.slot}
    aria-pressed=${thing.slot === slot ? "true" : "false"} onClick=${() => setSlot(thing.slot === slot ? null : thing.slot)}
    data-testid="world-thing">
    <i class="swatch" style=${{ background: colorOf(thing.color) }}></i>${thing.name}${thing.visible < 0.35 ? html` <small
      class="quiet">hidden</small>` : ""}<span class="mono">${trim(thing.x, 1)}, ${trim(thing.y, 1)}</span></button>`)}
      </div>`;
}

function Inspector({ thing, onMove }) {
  const [to, setTo] = useState({ x: null, y: null });
  const go_ = (event) => {
    event.preventDefault();
    onMove(to.x ?? thing.x, to.y ?? thing.y);
    setTo({ x: null, y: null });
  };
  const speed = Math.hypot(thing.vx, thing.vy);
  return html`<dl class="facts" data-testid="inspector"><dt>Size</dt><dd>${trim(thing.size)} units</dd><dt>Material</dt>
    <dd>${thing.material}</dd><dt>Speed</dt><dd>${trim(speed)} units a second</dd><dt>Seen</dt>
    <dd>${Math.round(thing.visible * 100)}%</dd></dl>
    <form class="inline-form" onSubmit=${go_}>
      <${NumberField} label="Move to x" value=${to.x} step=${0.25} placeholder=${trim(thing.x)}
        onChange=${(x) => setTo({ ...to, x })} testid="move-x" />
      <${NumberField} label="and y" value=${to.y} step=${0.25} placeholder=${trim(thing.y)} onChange=${(y) => setTo({ ...to, y })} testid="move-y" />
      <button class=${classes("button")} type="submit" data-testid="move-thing">Move</button>
    </form>`;
}

function Rename({ world, onClose, onDone }) {
  const [name, setName] = useState(world.name ?? "");
  const save = async (event) => {
    event.preventDefault();
    const next = await attempt(() => worlds.rename(world.id, name.trim()));
    if (next) onDone({ ...world, ...next });
  };
  return html`<${Dialog} title="Rename" onClose=${onClose} testid="rename-dialog"><form class="row" onSubmit=${save}>
    <input type="text" style=${{ flex: 1, width: "auto" }} aria-label="Name" value=${name}
      onInput=${(event) => setName(event.currentTarget.value)} data-testid="world-name" /><button
      class="button primary" type="submit" disabled=${!name.trim()} data-testid="rename-save">Save</button></form><//>`;
}
