/** Edit: a clip on the monitor, tools beside it, and what they made below. */
import { html, useEffect, useRef, useState } from "../ui.js";
import { files, videos } from "../api.js";
import { ended, recent, submit } from "../store.js";
import { abilities, canStepInto, listing, modelsFor, restylers, stateModels } from "../capabilities.js";
import { go, href, place, route } from "../router.js";
import { slate, title } from "../format.js";
import { Button, Empty, FileButton, Note, Skeleton, useLoaded } from "../components/basics.js";
import { ClipDialog, ClipGrid } from "../components/pictures.js";
import { Icon } from "../components/icons.js";
import { makersOf } from "../components/model.js";
import { Player } from "../components/player.js";
import { Results } from "../components/results.js";
import { Extend, Blend, Loop } from "./edit/longer.js";
import { Recut } from "./edit/recut.js";
import { MaskOverlay, Repaint, useMask } from "./edit/repaint.js";
import { Restyle } from "./edit/restyle.js";
import { Background, Motion, SceneOverlay, useScene } from "./edit/scene.js";
import { Upscale } from "./edit/upscale.js";

/** Name, title, what shows it, and the workflow that a model must have for it; "state": keep the state of scenes; "controls": be steered by one. */
const TOOLS = [
  ["extend", "Extend", Extend, "extend"], ["recut", "Trim", Recut, null], ["blend", "Blend", Blend, "blend"], ["loop", "Loop", Loop, "blend"],
  ["repaint", "Repaint", Repaint, "edit"], ["restyle", "Restyle", Restyle, "controls"], ["upscale", "Upscale", Upscale, "upscale"], ["background", "Background", Background, "state"], ["motion", "Motion", Motion, "state"],
];

/** Whether some installed model can do what a tool needs with a clip. */
function isOffered(needs, clip) {
  if (needs === "state") return canStepInto(clip);
  if (needs === "controls") return clip.kinema.has_state && restylers().length > 0;
  return needs === null || modelsFor(needs).length > 0;
}

export function Edit({ id }) {
  if (!id) return html`<${Choose} />`;
  return html`<${Open} id=${id} key=${id} first=${route.value.sub} />`;
}

/** "extend, blend: no installed model can. background: kinema-tiny can, of clips that it filmed." */
function whyNot(tools, clip) {
  const names = (is) => tools.filter(([, , , needs]) => is(needs)).map(([, text]) => text.toLowerCase());
  const [state, painted, other] = [(needs) => needs === "state", (needs) => needs === "controls", (needs) => needs !== "state" && needs !== "controls"].map(names);
  const keepers = stateModels().map((model) => model.id);
  return [
    other.length && `${listing(other)}, as no installed model can.`,
    painted.length && `${listing(painted)}, as ${clip.kinema.has_state ? "no installed model can be steered by a state" : "the clip has no state"}.`,
    state.length && `${listing(state)}, as ${keepers.length ? `only ${listing(keepers)} can, of what they filmed` : "no installed model keeps the state of scenes"}.`,
  ].filter(Boolean).join(" Nor ");
}

/** Takes a clip of one's own into the gallery: uploaded, then kept from its beginning to its end. */
function useOwnClip() {
  const [waiting, setWaiting] = useState(null);
  useEffect(() => {
    if (waiting && ended.value?.id === waiting) ended.value.status === "completed" ? go("edit", waiting) : setWaiting(null);
  }, [waiting, ended.value?.id]);
  const take = async (file) => {
    setWaiting("upload");
    const video = await submit(async () => {
      const kept = await files.upload(file, file.name);
      return videos.trim({ video: { file_id: kept.id }, cuts: [[0, kept.frames / kept.fps]] });
    });
    setWaiting(video?.id ?? null);
  };
  return [Boolean(waiting), take];
}

function Choose() {
  const [busy, take] = useOwnClip();
  return html`<header class="room-head"><div><h1>Edit</h1><p>Choose a clip to make longer, cut, blend, repaint or move things in.</p></div>
      <div class="row"><a class="button" href=${href("cutting")} data-testid="open-cutting"><${Icon} name="cut" /><span>Cut and join several</span></a>
        <${FileButton} accept="video/*" icon="film" busy=${busy} onFile=${take}
          testid="own-clip">${busy ? "Taking it in …" : "Bring in a clip of your own"}<//></div></header>
    ${recent.value?.length === 0
      ? html`<${Empty} title="Nothing to edit yet">Film a clip in <a href="#/create">Create</a>, then open it here.<//>`
      : html`<${ClipGrid} onPick=${(clip) => go("edit", clip.id)} label="Edit" />`}`;
}

function Open({ id, first }) {
  const { data: clip, error, reload } = useLoaded(() => videos.get(id), [id]);
  useEffect(() => {
    if (clip) place.value = title(clip);
  }, [clip]);
  if (error) return html`<h1>Edit</h1><br /><${Note} error=${error} retry=${reload} />`;
  if (!clip) return html`<${Skeleton} count=${1} />`;
  return html`<${Bench} clip=${clip} first=${first} />`;
}

/** @param {{clip: import("../api.js").Video, first: string|null}} props first: the tool that is open first */
function Bench({ clip, first }) {
  const tools = TOOLS.filter(([, , , needs]) => isOffered(needs, clip));
  const others = TOOLS.filter((one) => !tools.includes(one));
  const [tool, setTool] = useState((tools.find(([name]) => name === first) ?? tools[0])[0]);
  const [painter, setPainter] = useState(null);
  const painters = makersOf("edit", clip, painter);
  const [made, setMade] = useState([]);
  const [other, setOther] = useState(false);
  const handle = useRef(null);
  const [frame, setFrame] = useState(0);
  const mask = useMask(clip);
  const scene = useScene(clip, tool === "background" || tool === "motion");
  const send = async (run) => {
    const video = await submit(run);
    if (video) setMade((before) => [video, ...before]);
    return video;
  };
  const overlay = (at) =>
    tool === "repaint" && abilities(painters.model).masks ? html`<${MaskOverlay} mask=${mask} onStart=${() => handle.current?.pause()} />`
      : tool === "motion" && scene.state ? html`<${SceneOverlay} scene=${scene} frame=${at} clip=${clip}
        onStart=${() => handle.current?.pause()} />` : null;
  const Tool = (tools.find(([name]) => name === tool) ?? tools[0])[2];
  const keys = (event) => {
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    const next = (tools.findIndex(([name]) => name === tool) + way + tools.length) % tools.length;
    setTool(tools[next][0]);
    event.currentTarget.children[next].focus();
  };
  return html`<header class="room-head">
      <div><h1>${title(clip)}</h1><p class="mono">${slate(clip)}</p></div>
      <div class="row"><${Button} icon="gallery" onClick=${() => setOther(true)} testid="other-clip">Other clip<//>${canStepInto(clip)
        && html`<${Button} icon="world" onClick=${() => go("world", "new", clip.id)}>Step into it<//>`}</div>
    </header>
    <div class="edit">
      <div class="edit-stage">
        <${Player} src=${videos.url(clip.id)} fps=${clip.kinema.fps} frames=${clip.kinema.frames} size=${clip.size} handle=${handle} overlay=${overlay}
          onFrame=${setFrame} label=${title(clip)} />
        <${Results} made=${made} clip=${clip} />
      </div>
      <section class="panel" aria-label="Tools">
        <div class="tabs" role="tablist" aria-label="Tools" onKeyDown=${keys}>
          ${tools.map(([name, text]) => html`<button type="button" role="tab" class="tab" key=${name} id=${`tab-${name}`}
            aria-selected=${tool === name ? "true" : "false"} aria-controls="tool" tabindex=${tool === name ? 0 : -1}
            onClick=${() => setTool(name)} data-testid=${`tool-${name}`}>${text}</button>`)}
        </div>
        <div class="tool" id="tool" role="tabpanel" aria-labelledby=${`tab-${tool}`}>
          <${Tool} clip=${clip} send=${send} mask=${mask} scene=${scene} handle=${handle} frame=${frame}
            painters=${painters} onPainter=${setPainter} />
        </div>
        ${others.length > 0 && html`<p class="hint not-offered" data-testid="not-offered">Not for this clip: ${whyNot(others, clip)}${" "}
          <a href=${href("models")}>What the models can do</a></p>`}
      </section>
    </div>
    ${other && html`<${ClipDialog} onClose=${() => setOther(false)}
      onPick=${(picked) => (setOther(false), go("edit", picked.id))} exclude=${[clip.id]} />`}`;
}
