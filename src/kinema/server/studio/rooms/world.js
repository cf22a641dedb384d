/** World: start one from words, a picture or a clip, and step into it. */
import { html, useEffect, useState } from "../ui.js";
import { compact, files, videos, worlds } from "../api.js";
import { remembered } from "../kept.js";
import { abilities, pick, stateModels } from "../capabilities.js";
import { attempt, models, toast } from "../store.js";
import { go, place, route } from "../router.js";
import { title } from "../format.js";
import { Button, Choice, Empty, Field, FileButton, NumberField, Note, Select, Skeleton, useLoaded } from "../components/basics.js";
import { ClipDialog, PictureButtons, droppedFile, upload } from "../components/pictures.js";
import { PromptField } from "../components/prompt.js";
import { SeedField, randomSeed } from "../components/seed.js";
import { droppedFrame } from "../components/thumb.js";
import { Tree } from "./world/tree.js";
import { Play } from "./world/play.js";
import { useEstimate } from "./create/slate.js";

export function WorldRoom({ id }) {
  const { sub } = route.value;
  if (id && id !== "new") return html`<${Inside} id=${id} key=${id} />`;
  return html`<${Begin} clipId=${id === "new" ? sub : null} key=${sub ?? ""} />`;
}

function Inside({ id }) {
  const { data: world, error, reload } = useLoaded(() => worlds.get(id), [id]);
  useEffect(() => {
    if (world) place.value = world.name ?? id;
  }, [world]);
  if (error) return html`<h1>World</h1><br /><${Note} error=${error} retry=${reload} /><p><a href="#/world">All worlds</a></p>`;
  if (!world) return html`<${Skeleton} count=${1} />`;
  return html`<${Play} first=${world} />`;
}

export const form = remembered("world", { prompt: "", keptSeed: null, fps: 16, task: "", model: null });
const TASKS = ["reach the flag", "touch the blue box", "push the red ball to the flag"];
const EXAMPLES = [
  "a green robot and a red ball on a field",
  "a yellow car and a blue box in the snow",
  "a purple robot, a pink star and an orange flag",
];
const SOURCES = [["words", "Words"], ["clip", "A clip"], ["picture", "A picture"]];
const RECORDED_SOURCES = [["words", "The recording"], ["clip", "A clip"], ["picture", "A picture"]];

/** What POST /v1/worlds is told to start from; null while something is missing. `own` is a video file of one's own. */
function startOf({ source, recorded, prompt, clip, own, picture }) {
  if (source === "words" && recorded) return {};
  if (source === "words") return prompt.trim() ? { prompt: prompt.trim() } : null;
  if (source === "clip") return own ? { video: { file_id: own.id } } : clip && { video: { id: clip.id } };
  return picture && { picture: { file_id: picture.file_id } };
}

/** Tasks of a recorded world. */
function tasksOf(about) {
  return about?.kinema.recorded?.tasks?.filter(Boolean) ?? [];
}

/** The task as POST /v1/worlds takes it: of a recorded world one of its own, or none. */
function taskOf(about, task) {
  const wanted = task.trim();
  return about?.kinema.world && !tasksOf(about).includes(wanted) ? null : wanted;
}

function Begin({ clipId }) {
  const { prompt, keptSeed, fps, task, model } = form.value;
  const set = (changes) => (form.value = { ...form.value, ...changes });
  const [source, setSource] = useState(clipId ? "clip" : "words");
  const [clip, setClip] = useState(null);
  const [own, setOwn] = useState(null);
  const [picture, setPicture] = useState(null);
  const [busy, setBusy] = useState(false);
  const steppable = (models.value ?? []).filter((one) => one.kinema.world || abilities(one).state);
  const about = steppable.find((one) => one.id === model) ?? pick(stateModels()) ?? steppable[0] ?? null;
  const recorded = Boolean(about?.kinema.world);
  useEffect(() => {
    if (clipId) attempt(() => videos.get(clipId)).then((found) => found && setClip(found));
  }, [clipId]);
  const from = startOf({ source, recorded, prompt, clip, own, picture });
  const name = source !== "clip" ? undefined : own ? own.filename : clip ? title(clip) : undefined;
  const start = async () => {
    if (!from) return;
    const begun = { start: source === "words" && recorded ? null : from, task: taskOf(about, task), name };
    const body = { ...begun, fps: recorded ? null : fps ?? 16, seed: keptSeed ?? randomSeed(), model: about?.id };
    setBusy(true);
    const world = await attempt(() => worlds.create(compact(body)));
    setBusy(false);
    if (world) go("world", world.id);
  };
  const open = async (file) => {
    const world = await attempt(() => worlds.open(file));
    if (world) go("world", world.id);
  };
  const takeClip = (picked) => {
    setOwn(null);
    setClip(picked);
  };
  const takeOwn = async (file) => setOwn((await attempt(() => files.upload(file, file.name))) ?? null);
  const drop = async (event) => {
    event.preventDefault();
    const [file, frame] = [droppedFile(event), droppedFrame(event)];
    if (file) setSource(file.type.startsWith("video/") ? "clip" : "picture");
    if (file?.type.startsWith("video/")) takeOwn(file);
    else if (file) setPicture((await upload(file)) ?? null);
    else if (frame) {
      setSource("clip");
      takeClip(await videos.get(frame.id));
    }
  };
  const options = steppable.map((one) => [one.id, one.kinema.world ? `${one.id} (recorded)` : one.id]);
  return html`<header class="room-head">
      <div><h1>World</h1><p>The model goes on frame by frame, for as long as you like, and does what you say.</p></div>
      <${FileButton} accept=".world,.kinema" icon="world" onFile=${open} testid="open-world">Open a .world file<//>
    </header>
    <div class="starts">
      <section class="panel stack" aria-label="Start a world" onDragOver=${(event) => event.preventDefault()} onDrop=${drop}>
        ${options.length > 1 && html`<div style=${{ maxWidth: "300px" }}>
          <${Select} label="Model" value=${about?.id} options=${options} onChange=${(value) => set({ model: value })}
            testid="world-model" />
        </div>`}
        ${!about && html`<p class="quiet" data-testid="no-world-model">No installed model keeps the state of a scene, so there is nothing to step into.
          <a href="#/models">What the models can do</a></p>`}
        ${recorded && html`<p class="quiet" data-testid="about-recorded">${about.id} learned ${about.kinema.recorded.env || "an environment"} from recordings, and
          begins with recorded frames, or with a picture of it. Its keys act: ${Object.keys(about.kinema.recorded.controls.keys).map((key) => key.replace("Arrow", "")).join(" ")}.
          ${about.kinema.recorded.changes ? "" : "It cannot be told in words."}</p>`}
        <${Choice} label="Start from" value=${source} options=${recorded ? RECORDED_SOURCES : SOURCES} onChange=${setSource}
          testid="start-from" />
        ${!recorded && source === "words" && html`<${FromWords} prompt=${prompt} model=${about}
          onChange=${(text) => set({ prompt: text })} onSubmit=${start} />`}
        ${source === "clip" && html`<${FromClip} clip=${clip} own=${own} onClip=${takeClip} onOwn=${takeOwn} />`}
        ${source === "picture" && html`<${FromPicture} picture=${picture} onPicture=${setPicture} />`}
        <div class="inline-form">
          <${SeedField} value=${keptSeed} onChange=${(value) => set({ keptSeed: value })} testid="world-seed" />
          ${!recorded && html`<${NumberField} label="Frames a second" value=${fps} min=${about?.kinema.fps?.[0] ?? 1}
            max=${about?.kinema.fps?.[1] ?? 60} onChange=${(value) => set({ fps: value })} testid="world-fps" />
          <${Field} label="Task (optional)" id="world-task">
            <input id="world-task" type="text" list="tasks" value=${task} placeholder="reach the flag"
              onInput=${(event) => set({ task: event.currentTarget.value })} data-testid="world-task" />
            <datalist id="tasks">${TASKS.map((text) => html`<option value=${text} />`)}</datalist>
          <//>`}
          ${recorded && tasksOf(about).length > 1 && html`<div style=${{ maxWidth: "300px" }}>
            <${Select} label="Task" value=${taskOf(about, task) ?? ""} options=${[["", "Any"], ...tasksOf(about).map((one) => [one, one])]}
              onChange=${(value) => set({ task: value })} testid="recorded-task" />
          </div>`}
        </div>
        <div><${Button} kind="film" disabled=${!from || !about} busy=${busy} onClick=${start} testid="start-world">Step into it<//></div>
      </section>
      <${All} />
    </div>`;
}

function FromWords({ prompt, model, onChange, onSubmit }) {
  const body = { prompt, seconds: "1", model: model?.id };
  const { estimate } = useEstimate(body, Boolean(model && prompt.trim()));
  return html`<${PromptField} label="What is there" value=${prompt} onChange=${onChange} placeholder=${EXAMPLES[0]}
      unknown=${estimate?.unknown_words} hint=${estimate?.hint} onSubmit=${onSubmit} testid="world-prompt" />
    <div class="chips" role="group" aria-label="Examples">
      ${EXAMPLES.map((text) => html`<button type="button" class="chip" key=${text} onClick=${() => onChange(text)}
        data-testid="world-example">${text}</button>`)}
    </div>`;
}

const SMALL = { imageRendering: "pixelated", borderRadius: "4px" };

function FromClip({ clip, own, onClip, onOwn }) {
  const [choosing, setChoosing] = useState(false);
  const name = own ? own.filename : clip && title(clip);
  return html`<div class="row">
      ${clip && !own && html`<img src=${videos.url(clip.id, "thumbnail")} alt="" width="112" style=${SMALL} />`}
      ${own && html`<video src=${files.url(own.id)} muted playsinline preload="auto" width="112" style=${SMALL} aria-label=${`The clip ${own.filename}`}></video>`}
      ${name && html`<span style=${{ flex: "1 1 160px" }}>${name}<br />
        <span class="quiet">It goes on where the clip ends.</span></span>`}
      <${Button} icon="gallery" onClick=${() => setChoosing(true)} testid="world-clip">
        ${clip ? "Another clip" : "Choose a clip"}<//>
      <${FileButton} accept="video/*" icon="film" onFile=${onOwn} testid="world-own">From a file<//>
    </div>
    ${choosing && html`<${ClipDialog} title="Step into which clip?" onClose=${() => setChoosing(false)}
      onPick=${(picked) => (onClip(picked), setChoosing(false))} />`}`;
}

function FromPicture({ picture, onPicture }) {
  return html`<div class="row">
      ${picture && html`<img src=${picture.url} alt=${picture.name} width="112" style=${SMALL} />`}
      <${PictureButtons} onGive=${async (getting) => onPicture((await getting) ?? null)} names=${["From a file", "A frame of a clip"]}
        testids=${["world-picture", "world-frame"]} />
    </div>`;
}

function All() {
  const { data, error, reload } = useLoaded(() => worlds.list(), []);
  const remove = async (world) => {
    if (await attempt(() => worlds.remove(world.id))) toast(`${world.name ?? world.id} is gone`);
    reload();
  };
  return html`<section class="panel" aria-label="Worlds">
    <h2 class="section-title">Your worlds</h2>
    <${Note} error=${error} retry=${reload} />
    ${!data && !error && html`<${Skeleton} kind="line" count=${4} />`}
    ${data && (data.data.length ? html`<${Tree} worlds=${data.data}
      onRemove=${remove} />` : html`<${Empty} title="No world yet">Start one from words; its branches are kept here.<//>`)}
  </section>`;
}
