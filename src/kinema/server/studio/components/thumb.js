/** A clip as a small picture that is leafed through by the pointer (or the arrow keys) over its sprite sheet. */
import { html, classes, useEffect, useRef, useState } from "../ui.js";
import { videos } from "../api.js";
import { aspect } from "../room.js";
import { title } from "../format.js";

const KEPT = 60;
const sheets = new Map();

/** The sheet of a clip as an object address, loaded once. */
export function sheetOf(id) {
  if (!sheets.has(id)) {
    const loading = videos.sheet(id).then(({ blob, ...grid }) => ({ ...grid, url: URL.createObjectURL(blob) }));
    sheets.set(id, loading);
    loading.catch(() => sheets.delete(id));
    if (sheets.size > KEPT) {
      const [oldest, gone] = sheets.entries().next().value;
      sheets.delete(oldest);
      gone.then(({ url }) => URL.revokeObjectURL(url), () => {});
    }
  }
  return sheets.get(id);
}

export const FRAME_TYPE = "application/x-kinema-frame";

/** What is being dragged, for places that take a clip's frame. @returns {{id: string, at: number}|null} */
export function droppedFrame(event) {
  const text = event.dataTransfer?.getData(FRAME_TYPE);
  return text ? JSON.parse(text) : null;
}

/**
 * @param {{video: import("../api.js").Video, onOpen?: () => void, label?: string, active?: boolean}} props
 */
export function Thumb({ video, onOpen, label, active, testid = "thumb" }) {
  const [sheet, setSheet] = useState(null);
  const [frame, setFrame] = useState(null);
  const asked = useRef(false);
  const alive = useRef(true);
  useEffect(() => () => (alive.current = false), []);
  const ready = video.status === "completed";
  const want = () => {
    if (asked.current || !ready) return;
    asked.current = true;
    sheetOf(video.id).then((found) => alive.current && setSheet(found), () => (asked.current = false));
  };
  const follow = (event) => {
    want();
    if (!sheet) return;
    const box = event.currentTarget.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    setFrame(Math.min(Math.max(Math.floor(share * sheet.frames), 0), sheet.frames - 1));
  };
  const keys = (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!way) return;
    event.preventDefault();
    want();
    if (sheet) setFrame(((frame ?? 0) + way * Math.max(Math.round(sheet.frames / 32), 1) + sheet.frames) % sheet.frames);
  };
  // The sheet's frames are spread evenly from the first to the last of the clip; half a frame more is that frame's middle.
  const { fps, frames } = video.kinema;
  const picked = sheet && frame !== null ? Math.round((frame * ((frames ?? sheet.frames) - 1)) / Math.max(sheet.frames - 1, 1)) : 0;
  const seconds = (picked + 0.5) / (fps || 16);
  const drag = (event) => {
    event.dataTransfer.setData(FRAME_TYPE, JSON.stringify({ id: video.id, at: seconds }));
    event.dataTransfer.effectAllowed = "copy";
  };
  return html`<button type="button" class=${classes("thumb", { active })} style=${{ aspectRatio: String(aspect(video.size)) }} draggable=${ready}
    aria-label=${label ?? `Open ${title(video)}`} data-testid=${testid} data-id=${video.id} onClick=${onOpen} onDragStart=${drag}
    onPointerEnter=${want} onFocus=${want} onPointerMove=${follow} onPointerLeave=${() => setFrame(null)} onBlur=${() => setFrame(null)} onKeyDown=${keys}>
    ${ready
      ? html`<img src=${videos.url(video.id, "thumbnail")} alt="" loading="lazy" draggable=${false} />`
      : html`<span class=${`thumb-wait ${video.status}`}>${video.kinema.has_preview && html`<img src=${videos.url(video.id, "preview", Math.round(video.progress))} alt="" />`}
        </span>`}
    ${sheet && frame !== null && html`<span class="sprite" style=${spriteStyle(sheet, frame)}></span><i class="thumb-head"
      style=${{ left: `${(100 * (frame + 0.5)) / sheet.frames}%` }}></i>`}
  </button>`;
}

export function spriteStyle({ url, columns, rows }, frame) {
  const [column, row] = [frame % columns, Math.floor(frame / columns)];
  const share = (index, count) => (count > 1 ? (100 * index) / (count - 1) : 0);
  return {
    backgroundImage: `url("${url}")`,
    backgroundSize: `${columns * 100}% ${rows * 100}%`,
    backgroundPosition: `${share(column, columns)}% ${share(row, rows)}%`,
  };
}
