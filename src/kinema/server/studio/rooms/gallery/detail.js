/** One clip, large, with all that can be done with it. */
import { html, useState } from "../../ui.js";
import { files, verify, videos } from "../../api.js";
import { abilities, canStepInto, listing, modelNamed, modelsFor, restylers, whoCan } from "../../capabilities.js";
import { attempt, draft, refreshQueue, submit, toast } from "../../store.js";
import { go, href } from "../../router.js";
import { bytes, count, date, duration, kindName, slate, title, trim } from "../../format.js";
import { Button, Note, Skeleton, useLoaded } from "../../components/basics.js";
import { Dialog } from "../../components/dialog.js";
import { Icon } from "../../components/icons.js";
import { Failure } from "../../components/failure.js";
import { License, licenseRefusal } from "../../components/license.js";
import { Maker, makersOf } from "../../components/model.js";
import { Downloads } from "../../components/download.js";
import { ReportDialog } from "../../components/report.js";
import { Player } from "../../components/player.js";
import { Verdict } from "../../components/verdict.js";
import { Favorite, Labels } from "./labels.js";

/** Fills Create with what a clip was made with. @param {import("../../api.js").Video} clip */
export function reuse(clip) {
  const { fps, seed, steps, guidance, negative_prompt: negative } = clip.kinema;
  const { prompt, model, size } = clip;
  const before = draft.value;
  const loras = Object.fromEntries(clip.kinema.loras.map((one) => [one.name, one.scale]));
  draft.value = { ...before, prompt, negative: negative ?? "", model, size, fps, keptSeed: seed, steps, guidance, seconds: Number(clip.seconds), pictures: [], camera: null, loras };
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
  const [remixer, setRemixer] = useState(null);
  const [reporting, setReporting] = useState(false);
  const remixers = makersOf("edit", clip, remixer);
  const filmedBy = modelNamed(clip.model);
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
    if (await submit(() => videos.remix(clip.id, { prompt: remix.trim(), model: remixers.model.id }))) go("create");
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
        : html`<${Failure} clip=${clip} />`}
    </div>
    <div class="stack">
      ${done
        ? html`<div class="actions">
            <a class="button" href=${href("edit", clip.id)} data-testid="open-edit"><${Label} icon="edit">Open in Edit<//></a>
            ${canStepInto(clip) && html`<${Button} icon="world" onClick=${() => go("world", "new", clip.id)} testid="step-into">Step into it<//>`}
            <${Button} icon="create" onClick=${() => reuse(clip)} testid="reuse">Reuse settings<//>
            <${Button} icon="verify" onClick=${check} busy=${busy} testid="verify">Verify<//>
            <${Favorite} clip=${clip} onChange=${onChange} kind="">Favorite<//>
            <${Button} onClick=${() => setReporting(true)} testid="report">Report<//>
            <${Button} icon="trash" kind="danger" onClick=${() => onRemove(clip)} testid="delete">Delete<//>
          </div>
          ${reporting && html`<${ReportDialog} clip=${clip} onClose=${() => setReporting(false)} />`}
          <${Downloads} clip=${clip} />
          <${Changes} clip=${clip} />`
        : html`<div class="actions"><${Button} icon="retry" onClick=${retry} testid="retry">Retry<//>${about.kind === "generate"
          && html`<${Button} icon="create" onClick=${() => reuse(clip)} testid="reuse">Reuse settings<//>`}<${Button} icon="trash"
          kind="danger" onClick=${() => onRemove(clip)} testid="delete">Delete<//></div>`}
      <${Labels} clip=${clip} onChange=${onChange} key=${`${about.title}${about.tags}`} />
      <${Note} error=${wrong} />
      ${verdict && html`<${Verdict} verdict=${verdict} />`}
      <${Facts} clip=${clip} />
      <${License} license=${filmedBy && abilities(filmedBy).license} testid="clip-license" />
      <${Sources} ids=${about.sources} />
      <${Files} given=${about.files} />
      ${done && remixers.model && html`<details data-testid="remix-details"><summary>Film it again with other words</summary>
        <form class="stack" onSubmit=${makeRemix} style=${{ marginTop: "10px" }}>
          <textarea rows="2" aria-label="Remix prompt" value=${remix}
            onInput=${(event) => setRemix(event.currentTarget.value)} data-testid="remix-prompt"></textarea>
          <${Maker} makers=${remixers} clip=${clip} does="film it anew" onChange=${setRemixer} testid="remix-model" />
          <button class="button" type="submit" disabled=${!remix.trim() || Boolean(licenseRefusal(remixers.model))} data-testid="remix">Remix</button>
        </form></details>`}
      ${done && about.has_state && html`<details data-testid="character-details"><summary>Make a character of it</summary>
        <form class="inline-form" onSubmit=${makeCharacter} style=${{ marginTop: "10px" }}>
          <div class="field"><input type="text" aria-label="Character's name" placeholder="Name" value=${name}
            onInput=${(event) => setName(event.currentTarget.value)} data-testid="character-name" /></div>
          <button class="button" type="submit" disabled=${!name.trim()} data-testid="make-character">Make</button>
        </form>
        ${told && html`<${Note} kind="good">${told}<//>`}</details>`}
    </div>
  </div>`;
}

const CHANGES = [["extend", "Extend", "extend"], ["blend", "Blend", "blend"], ["loop", "Loop", "blend"], ["repaint", "Repaint", "edit"], ["upscale", "Upscale", "upscale"]];
const RESTYLE = ["restyle", "Restyle"];

/** What can be made of a clip; where its own model cannot, which models can. */
function Changes({ clip }) {
  const able = CHANGES.filter(([, , workflow]) => modelsFor(workflow).length);
  const unable = CHANGES.filter((one) => !able.includes(one));
  const byOthers = able.filter(([, , workflow]) => !modelsFor(workflow).some((model) => model.id === clip.model));
  /** @type {Map<string, string[]>} actions by who can do them */
  const doers = new Map();
  for (const [, name, workflow] of byOthers) doers.set(whoCan(workflow), [...(doers.get(whoCan(workflow)) ?? []), name.toLowerCase()]);
  return html`<section class="changes" aria-label="What can be made of it" data-testid="changes">
    <div class="row">${[...able, ...(clip.kinema.has_state && restylers().length ? [RESTYLE] : [])].map(([tool, name]) => html`<a class="button small" key=${tool} href=${href("edit", clip.id, tool)}
      data-testid=${`change-${tool}`}>${name}</a>`)}</div>
    ${byOthers.length > 0 && html`<p class="hint" data-testid="other-makers">${clip.model} itself cannot${" "}
      ${[...doers].map(([who, names]) => `${listing(names)} (${who})`).join(", nor ")}.</p>`}
    ${unable.length > 0 && html`<p class="hint">No installed model can: ${unable.map(([, name]) => name.toLowerCase()).join(", ")}.</p>`}
  </section>`;
}

const Label = ({ icon, children }) => html`<${Icon} name=${icon} /><span>${children}</span>`;

function Facts({ clip }) {
  const { kinema: about } = clip;
  const rows = [
    ["Made", `${kindName(about.kind)}, ${date(clip.created_at)}`],
    ["Take", slate(clip)],
    ["Prompt", about.title && clip.prompt],
    ["Not to show", about.negative_prompt],
    ["LoRA", about.loras.map((one) => `${one.name} ${trim(one.scale)}`).join(", ")],
    ["Frames", about.frames && `${about.frames}${about.has_sound ? ", with sound" : ""}`],
    ["Model", clip.model],
    ["Filmed as", [...about.notes, ...(about.settings?.notes ?? []).filter((note) => !about.notes.includes(note))].join("; ")],
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

const FIELDS = {
  input_reference: "First picture", last: "Last picture", keyframes: "Picture", mask: "Mask", video: "Uploaded clip", a: "First clip", b: "Second clip", parts: "Uploaded part",
};

/** The uploaded files that a clip was made from. @param {{given: {field: string, file_id: string, at: number|null}[]}} props */
function Files({ given }) {
  if (!given.length) return null;
  return html`<section aria-label="Files" data-testid="files"><h3>Files</h3>
    <div class="sources">${given.map((file, i) => html`<${GivenFile} key=${`${i}${file.file_id}`} file=${file} />`)}</div></section>`;
}

function GivenFile({ file }) {
  const [plain, setPlain] = useState(false);
  const name = `${FIELDS[file.field] ?? file.field}${file.at === null ? "" : ` at ${trim(file.at)} s`}`;
  return html`<a class="given-file" href=${files.url(file.file_id)} target="_blank" rel="noopener noreferrer">
    ${!plain && html`<img src=${files.url(file.file_id)} alt="" width="72" onError=${() => setPlain(true)} />`}<small>${name}</small></a>`;
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
