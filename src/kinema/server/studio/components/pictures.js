/** Pictures that a film is told to show: uploaded files, or frames taken from clips of the gallery. */
import { html, useState, useRef } from "../ui.js";
import { files, videos } from "../api.js";
import { attempt, recent } from "../store.js";
import { title } from "../format.js";
import { Button, FileButton, useLoaded, Skeleton, Empty, Note } from "./basics.js";
import { Dialog } from "./dialog.js";
import { Player, grabFrame, middleOf } from "./player.js";
import { Thumb, droppedFrame } from "./thumb.js";

/** @typedef {{file_id: string, name: string, url: string}} Picture */

/** A picture file, or the first frame of a video file. @param {File|Blob} blob @returns {Promise<Picture|undefined>} */
export async function upload(blob, name = blob.name ?? "frame.png") {
  const file = await attempt(async () => files.upload(blob.type.startsWith("video/") ? await firstFrame(blob) : blob, name));
  return file && { file_id: file.id, name, url: files.url(file.id) };
}

async function firstFrame(file) {
  const address = URL.createObjectURL(file);
  try {
    return await grabFrame(address, 0);
  } finally {
    URL.revokeObjectURL(address);
  }
}

/** A clip's frame as a picture. @param {string} id @param {number} seconds */
export async function frameOf(id, seconds) {
  const blob = await attempt(() => grabFrame(videos.url(id), seconds));
  return blob && upload(blob, `frame at ${seconds.toFixed(2)} s.png`);
}

/** The file that was dropped, if any is a picture or a clip. */
export function droppedFile(event) {
  return [...(event.dataTransfer?.files ?? [])].find((file) => /^(image|video)\//.test(file.type)) ?? null;
}

/** The picture that was dropped: a file, or a frame of a clip. @returns {Promise<Picture|undefined>|null} null: neither was */
export function droppedPicture(event) {
  const [file, frame] = [droppedFile(event), droppedFrame(event)];
  return file ? upload(file) : frame ? frameOf(frame.id, frame.at) : null;
}

/**
 * Two buttons that give a picture: of a file, or a frame of a clip.
 * @param {{onGive: (picture: Promise<Picture|undefined>|Picture) => void, names?: string[], testids: string[]}} props names, labels, testids: of both; labels: where the names alone do not say for what
 */
export function PictureButtons({ onGive, busy, kind = "", names = ["File", "Clip"], labels = [], testids }) {
  const [choosing, setChoosing] = useState(false);
  return html`<${FileButton} accept="image/*,video/*" kind=${kind} icon="picture" busy=${busy} label=${labels[0]}
      onFile=${(file) => onGive(upload(file))} testid=${testids[0]}>${names[0]}<//>
    <${Button} kind=${kind} icon="gallery" label=${labels[1]} onClick=${() => setChoosing(true)} testid=${testids[1]}>${names[1]}<//>
    ${choosing && html`<${FrameDialog} onClose=${() => setChoosing(false)} onPick=${(picture) => (setChoosing(false), onGive(picture))} />`}`;
}

/** A grid of clips to choose from. */
export function ClipGrid({ onPick, exclude = [], label = "Use" }) {
  const [search, setSearch] = useState("");
  const found = useLoaded(() => videos.list({ limit: 30, order: "desc", status: "completed", search }), [search]);
  const clips = (found.data?.data ?? (search ? [] : (recent.value ?? []))).filter((clip) => clip.status === "completed" && !exclude.includes(clip.id));
  return html`<div class="clip-grid">
    <input type="search" class="search" placeholder="Search by words" aria-label="Search clips" value=${search}
      onInput=${(event) => setSearch(event.currentTarget.value)} data-testid="pick-search" />
    <${Note} error=${found.error} retry=${found.reload} />
    ${found.loading && !clips.length && html`<${Skeleton} count=${8} />`}
    <div class="thumbs small">
      ${clips.map((clip) => html`<figure key=${clip.id} class="clip-card">
        <${Thumb} video=${clip} label=${`${label} ${title(clip)}`} onOpen=${() => onPick(clip)} testid="pick-clip" />
        <figcaption>${title(clip)}</figcaption>
      </figure>`)}
    </div>
    ${!found.loading && !clips.length && html`<${Empty} title="No clips here">Film something in Create first, or search for other words.<//>`}
  </div>`;
}

/** Chooses a clip. */
export function ClipDialog({ title: name = "Choose a clip", onPick, onClose, exclude }) {
  return html`<${Dialog} title=${name} onClose=${onClose} wide testid="clip-dialog">
    <${ClipGrid} onPick=${onPick} exclude=${exclude} />
  <//>`;
}

/** Chooses a clip and one of its frames. @param {{onPick: (picture: Picture) => void}} props */
function FrameDialog({ onPick, onClose }) {
  const [clip, setClip] = useState(null);
  const [busy, setBusy] = useState(false);
  const handle = useRef(null);
  const take = async () => {
    setBusy(true);
    const picture = await frameOf(clip.id, middleOf(handle.current.frame, clip.kinema.fps));
    setBusy(false);
    if (picture) onPick(picture);
  };
  const foot = clip && html`<${Button} onClick=${() => setClip(null)}>Other clip<//>
    <${Button} kind="primary" onClick=${take} busy=${busy} testid="use-frame">Use this frame<//>`;
  return html`<${Dialog} title=${clip ? "Choose a frame" : "A frame of which clip?"} onClose=${onClose} wide=${!clip}
    testid="frame-dialog" foot=${foot}>
    ${clip
      ? html`<${Player} src=${videos.url(clip.id)} fps=${clip.kinema.fps} frames=${clip.kinema.frames} size=${clip.size} handle=${handle} autoplay=${false}
        label=${title(clip)} />`
      : html`<${ClipGrid} onPick=${setClip} />`}
  <//>`;
}
