/** Inside a world: its picture, what one does in it, what it holds, and where else it might have gone. */
import { html, useEffect, useRef, useState } from "../../ui.js";
import { worlds } from "../../api.js";
import { attempt, spoken, toast } from "../../store.js";
import { go, place } from "../../router.js";
import { modelNamed } from "../../capabilities.js";
import { colorOf } from "../../room.js";
import { timecode, trim } from "../../format.js";
import { Button, NumberField, useLoaded } from "../../components/basics.js";
import { Dialog } from "../../components/dialog.js";
import { Confirm } from "../../components/confirm.js";
import { Synced } from "../gallery/compare.js";
import { Keys, Pad, Picture } from "./picture.js";
import { Record } from "./record.js";
import { Talk, WhatIf } from "./talk.js";
import { ConfirmDelete, Tree } from "./tree.js";
import { Wire, useLive } from "./wire.js";

export function Play({ first }) {
  const [world, setWorld] = useState(first);
  const canvas = useRef(null);
  const live = useLive(first, canvas);
  const { now, playing } = live;
  const [slot, setSlot] = useState(null);
  const [naming, setNaming] = useState(false);
  const [whatIf, setWhatIf] = useState(null);
  const [asked, setAsked] = useState(false);
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
  const remove = async (which) => {
    const gone = await attempt(() => worlds.remove(which.id));
    if (gone) toast(`${which.name || which.id} is deleted`);
    return gone;
  };
  const removeBranch = (which) => remove(which).then(tree.reload);
  const removeThis = async () => {
    live.close();
    if (await remove(world)) go("world");
  };
  const things = now.state?.things ?? [];
  const thing = things.find((one) => one.slot === slot);
  return html`<header class="room-head">
      <div><h1>${world.name || world.id}</h1><p
        class="mono">${[world.model, world.size.replace("x", "×"), `seed ${world.seed}`, world.task].filter(Boolean).join(" · ")}
        </p></div>
      <div class="row">
        <${Button} icon="edit" onClick=${() => setNaming(true)} testid="rename">Rename<//>
        <a class="button" href=${worlds.fileUrl(world.id)} download data-testid="download-world">Download .world</a>
        <${Button} icon="trash" kind="danger" onClick=${() => setAsked(true)} testid="delete-this-world">Delete<//>
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
          <${Record} world=${world} now=${now} />
          <div style=${{ width: "104px" }}><${NumberField} label="Frames a second" hideLabel suffix="fps" value=${live.rate}
            min=${1} max=${60} onChange=${(fps) => fps && live.setFps(fps)} testid="live-fps" /></div>
          ${world.state && html`<${Pad} controls=${live.controls} action=${live.action} />`}
        </div>
        ${!world.state && html`<${Keys} controls=${live.controls} world=${world} pressed=${live.pressed} />`}
        <${Meters} live=${live} />
        <${Wire} live=${live} />
        <${Rewind} world=${world} now=${now} live=${live} onDone=${take} onBranched=${tree.reload} />
      </div>
      <div class="stack" style=${{ gap: "20px" }}>
        ${!world.state && html`<${Recorded} world=${world} entities=${now.entities} />`}
        ${!world.state && Object.keys(world.entities ?? {}).length > 0 && html`<${Talk} world=${world} entities=${world.entities}
          changes=${Boolean(modelNamed(world.model)?.kinema.recorded?.changes)} onChange=${take} />`}
        ${world.state && html`<section class="panel stack" aria-label="What is there"><h2>What is there</h2>
          <${Things} things=${things} slot=${slot} setSlot=${setSlot} />
          ${thing && html`<${Inspector} thing=${thing} onMove=${(x, y) => moveThing(thing.slot, x, y)} />`}
        </section>
        <${Talk} world=${world} onChange=${take} things=${things} />
        <${WhatIf} world=${world} pause=${() => live.play(false)} things=${things} onAnswer=${setWhatIf} />`}
        <section class="panel" aria-label="Branches"><h2
          class="section-title">Branches</h2>${tree.data && html`<${Tree} worlds=${family(tree.data.data, world.id)} here=${world.id} onRemove=${removeBranch} />`}
          </section>
      </div>
    </div>
    ${naming && html`<${Rename} world=${world} onClose=${() => setNaming(false)}
      onDone=${(next) => (setWorld(next), (place.value = next.name), setNaming(false))} />`}
    ${asked && html`<${ConfirmDelete} world=${world} onYes=${removeThis} onClose=${() => setAsked(false)} />`}
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

function Meters({ live }) {
  const { now, ping } = live;
  return html`<div class="meters" data-testid="meters">
    <span>Time <b data-testid="world-time">${timecode(now.time_s)}</b></span>
    <span>Model <b data-testid="model-ms">${now.model_ms !== undefined ? `${Math.round(now.model_ms)} ms` : "–"}</b></span>
    <span>Round trip <b data-testid="round-trip">${ping ? `${Math.round(ping)} ms` : "–"}</b></span>
    <span>Reward <b data-testid="world-reward">${trim(now.reward ?? 0)}</b></span>
    ${now.state && now.terminated && html`<span><b>Task done</b></span>`}
    ${!now.state && live.endedAt !== null && html`<span data-testid="world-ended">Episode ended at <b>${timecode(live.endedAt)}</b></span>`}
  </div>`;
}

/** What a recorded world is, what it tells in numbers, and how it is acted in. */
function Recorded({ world, entities }) {
  const told = Object.entries(entities ?? {});
  const about = modelNamed(world.model)?.kinema.recorded;
  const names = Object.keys(world.controls.keys).map((name) => name.replace("Arrow", ""));
  return html`<section class="panel stack" aria-label="A recorded world" data-testid="recorded-world"><h2>A recorded world</h2>
    <p>The model learned ${about?.env ? html`<b>${about.env}</b>` : "this environment"} from recordings.
      It keeps pictures, rewards and ends, ${told.length ? "and what was recorded of these:" : "and no list of things: nothing can be asked or told in words."}</p>
    ${told.length > 0 && html`<dl class="facts" data-testid="entities">${told.map(([name, fields]) => html`<dt key=${name}>${name}</dt><dd
      class="mono">${Object.entries(fields).map(([field, value]) => `${field} ${trim(value)}`).join("  ")}</dd>`)}</dl>`}
    <dl class="facts"><dt>Actions</dt><dd>${spaceName(world.controls.space)}</dd>
      ${names.length > 0 && html`<dt>Keys</dt><dd>${names.join(" ")}</dd>`}
      <dt>No key held</dt><dd class="mono">${JSON.stringify(world.controls.idle)}</dd>
      <dt>Recorded at</dt><dd>${trim(world.fps)} frames a second</dd></dl>
  </section>`;
}

/** An action space in words. */
function spaceName({ type, n, edges, shape }) {
  if (type === "discrete") return `one of ${n}`;
  if (type === "box") return `${edges.length} number${edges.length === 1 ? "" : "s"}`;
  if (type === "multi_discrete") return `one each of ${n.join(", ")}`;
  if (type === "multi_binary") return `${shape.reduce((a, b) => a * b, 1)} switches`;
  return "several parts";
}

/** Back in time by a slider. What was done since is forgotten, unless it is kept as a branch. */
function Rewind({ world, now, live, onDone, onBranched }) {
  const [back, setBack] = useState(0);
  const [asked, setAsked] = useState(false);
  const past = now.past_frames ?? world.past_frames;
  const run = async () => {
    const next = await attempt(() => worlds.rewind(world.id, back));
    if (!next) return;
    setBack(0);
    onDone(next);
    toast(`Back to ${trim(next.time_s)} s`);
  };
  const keep = async () => {
    if (!(await attempt(() => worlds.branch(world.id, `${world.name || world.id} to ${trim(now.time_s)} s`.slice(0, 200))))) return;
    await run();
    onBranched();
  };
  return html`<div class="world-bar" role="group" aria-label="Rewind">
    <input type="range" class="scrub" style=${{ flex: "1 1 160px", "--share": `${past ? 100 - (100 * back) / past : 100}%` }}
      min="0" max=${past} value=${past - back} disabled=${!past} aria-label="Rewind to"
      aria-valuetext=${`${trim(back / world.fps)} seconds back`} data-testid="rewind-slider"
      onPointerDown=${() => live.play(false)} onInput=${(event) => (live.play(false), setBack(past - Number(event.currentTarget.value)))} />
    <span class="mono quiet" style=${{ minWidth: "92px" }}>${back ? `${trim(back / world.fps)} s back` : timecode(now.time_s)}</span>
    <${Button} icon="back" disabled=${!back} onClick=${() => setAsked(true)} testid="rewind">Rewind<//>
    ${asked && html`<${Confirm} title=${`Go ${trim(back / world.fps)} s back?`} yes="Rewind" no="Stay here" onYes=${run} onClose=${() => setAsked(false)}
      other=${{ label: "Keep it as a branch, then rewind", run: keep }} testid="rewind"><p>What happened since then is forgotten.</p><//>`}
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
      <button class="button" type="submit" data-testid="move-thing">Move</button>
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
