/** One clip, large, with all that can be done with it. */
import { html, useState } from "../../ui.js";
import { verify, videos } from "../../api.js";
import { attempt, draft, refreshQueue, submit, toast } from "../../store.js";
import { go, href } from "../../router.js";
import { bytes, count, date, duration, kindName, slate, title, trim } from "../../format.js";
import { Button, Note, Skeleton, useLoaded } from "../../components/basics.js";
import { Dialog } from "../../components/dialog.js";
import { Icon } from "../../components/icons.js";
import { Downloads } from "../../components/download.js";
import { Player } from "../../components/player.js";
import { Verdict } from "../../components/verdict.js";
import { Favorite, Labels } from "./labels.js";

/** Fills Create with what a clip was made with. @param {import("../../api.js").Video} clip */
export function reuse(clip) {
  const { fps, seed, steps, guidance } = clip.kinema;
  const { prompt, model, size } = clip;
  const before = draft.value;
  draft.value = { ...before, prompt, model, size, fps, keptSeed: seed, steps, guidance, seconds: Number(clip.seconds), pictures: [], camera: null };
  go("create");
  toast("Its settings are in the form, with its seed.", { action: { label: "Undo", run: () => (draft.value = before) } });
}

export function ClipDetail({ id, onClose, onRemove, onChange }) {
  const { data, error, reload } = useLoaded(() => videos.get(id), [id]);
  const [changed, setChanged] = useState(null);
  const clip = changed ?? data;
  const take = (all) => {
    if (all.length) setChanged(all[0]);
    onChange(all);
  };
  return html`<${Dialog} title=${clip ? title(clip) : "Clip"} onClose=${onClose} wide testid="clip-detail">
    <${Note} error=${error} retry=${reload} />
    ${!clip && !error && html`<${Skeleton} count=${1} />`}
    ${clip && html`<${Body} clip=${clip} onRemove=${onRemove} onChange=${take} />`}
  <//>`;
}

function Body({ clip, onRemove, onChange }) {
  const [verdict, setVerdict] = useState(null);
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState(null);
  const [remix, setRemix] = useState(clip.prompt);
  const [name, setName] = useState("");
  const [told, setTold] = useState(null);
  const done = clip.status === "completed";
  const about = clip.kinema;
  const check = async () => {
    setBusy(true);
    setWrong(null);
    try {
      setVerdict(await verify(await videos.blob(clip.id), `${clip.id}.mp4`));
    } catch (error) {
      setWrong(error);
    }
    setBusy(false);
  };
  const retry = async () => {
    await attempt(() => videos.retry(clip.id));
    refreshQueue();
    go("create");
  };
  const makeRemix = async (event) => {
    event.preventDefault();
    if (await submit(() => videos.remix(clip.id, remix.trim()))) go("create");
  };
  const makeCharacter = async (event) => {
    event.preventDefault();
    const made = await attempt(() => videos.makeCharacter(name.trim(), { id: clip.id }));
    if (made) setTold(`${made.name} looks like a ${made.looks}. Cast it in Create, under More.`);
  };
  return html`<div class="clip-view">
    <div>
      ${done
        ? html`<${Player} src=${videos.url(clip.id)} fps=${clip.kinema.fps} frames=${clip.kinema.frames} size=${clip.size} label=${title(clip)} />`
        : html`<${Note} error=${clip.error?.message ?? "This clip was not finished."} />`}
    </div>
    <div class="stack">
      ${done
        ? html`<div class="actions">
            <a class="button" href=${href("edit", clip.id)} data-testid="open-edit"><${Label} icon="edit">Open in Edit<//></a>
            <${Button} icon="world" onClick=${() => go("world", "new", clip.id)} testid="step-into">Step into it<//>
            <${Button} icon="create" onClick=${() => reuse(clip)} testid="reuse">Reuse settings<//>
            <${Button} icon="verify" onClick=${check} busy=${busy} testid="verify">Verify<//>
            <${Favorite} clip=${clip} onChange=${onChange} kind="">Favorite<//>
            <${Button} icon="trash" kind="danger" onClick=${() => onRemove(clip)} testid="delete">Delete<//>
          </div>
          <${Downloads} clip=${clip} />`
        : html`<div class="actions"><${Button} icon="retry" onClick=${retry} testid="retry">Retry<//><${Button} icon="trash"
          kind="danger" onClick=${() => onRemove(clip)} testid="delete">Delete<//></div>`}
      <${Labels} clip=${clip} onChange=${onChange} key=${`${about.title}${about.tags}`} />
      <${Note} error=${wrong} />
      ${verdict && html`<${Verdict} verdict=${verdict} />`}
      <${Facts} clip=${clip} />
      <${Sources} ids=${about.sources} />
      ${done && html`<details data-testid="remix-details"><summary>Film it again with other words</summary>
        <form class="stack" onSubmit=${makeRemix} style=${{ marginTop: "10px" }}>
          <textarea rows="2" aria-label="Remix prompt" value=${remix}
            onInput=${(event) => setRemix(event.currentTarget.value)} data-testid="remix-prompt"></textarea>
          <button class="button" type="submit" disabled=${!remix.trim()} data-testid="remix">Remix</button>
        </form></details>
      <details data-testid="character-details"><summary>Make a character of it</summary>
        <form class="inline-form" onSubmit=${makeCharacter} style=${{ marginTop: "10px" }}>
          <div class="field"><input type="text" aria-label="Character's name" placeholder="Name" value=${name}
            onInput=${(event) => setName(event.currentTarget.value)} data-testid="character-name" /></div>
          <button class="button" type="submit" disabled=${!name.trim()} data-testid="make-character">Make</button>
        </form>
        ${told && html`<${Note} kind="good">${told}<//>`}</details>`}
    </div>
  </div>`;
}

const Label = ({ icon, children }) => html`<${Icon} name=${icon} /><span>${children}</span>`;

function Facts({ clip }) {
  const { kinema: about } = clip;
  const rows = [
    ["Made", `${kindName(about.kind)}, ${date(clip.created_at)}`],
    ["Take", slate(clip)],
    ["Prompt", about.title && clip.prompt],
    ["Frames", about.frames && `${about.frames}${about.has_sound ? ", with sound" : ""}`],
    ["Model", clip.model],
    ["Steps", [about.steps, about.guidance !== null && about.guidance !== undefined && `guidance ${trim(about.guidance)}`].filter(Boolean).join(", ")],
    ["Took", about.took_s && duration(about.took_s)],
    ["Cost", about.pixel_seconds && `${count(about.pixel_seconds)} pixel-seconds`],
    ["File", about.bytes && bytes(about.bytes)],
    ["Watermark", about.watermark],
    ["Kept until", clip.expires_at && date(clip.expires_at)],
  ];
  return html`<dl class="facts"
    data-testid="facts">${rows.filter(([, value]) => value).map(([name, value]) => html`<dt key=${name}>${name}</dt><dd
    class=${["Take", "Watermark"].includes(name) ? "mono" : ""}>${value}</dd>`)}</dl>`;
}

/** The clips that one was made from, as pictures. */
function Sources({ ids }) {
  if (!ids?.length) return null;
  return html`<section aria-label="Made from" data-testid="sources"><h3>Made from</h3>
    <div class="sources">${[...new Set(ids)].map((id) => html`<${Source} key=${id} id=${id} />`)}</div></section>`;
}

function Source({ id }) {
  const [missing, setMissing] = useState(false);
  if (missing) return html`<span class="quiet">a deleted clip</span>`;
  return html`<a href=${href("gallery", id)} aria-label=${`Open the clip ${id}`}><img src=${videos.url(id, "thumbnail")} alt="" width="72"
    onError=${() => setMissing(true)} /></a>`;
}
