/** The frames of a clip in a row, with an in and an out point that the pointer or the arrow keys move. */
import { html, useEffect, useRef, useState } from "../ui.js";
import { trim } from "../format.js";
import { sheetOf, spriteStyle } from "./thumb.js";

const CELLS = 12;

/** @param {{clip: {id: string, seconds: string|number, kinema: {fps: number}}, from: number, to: number, onFrom: (second: number) => void, onTo: (second: number) => void}} props */
export function Filmstrip({ clip, from, to, onFrom, onTo }) {
  const strip = useRef(null);
  const [sheet, setSheet] = useState(null);
  const length = Number(clip.seconds);
  const step = 1 / clip.kinema.fps;
  useEffect(() => {
    sheetOf(clip.id).then(setSheet, () => {});
  }, [clip.id]);
  const snap = (value) => Math.min(Math.max(Math.round(value / step) * step, 0), length);
  const timeOf = (event) => {
    const box = strip.current.getBoundingClientRect();
    return snap(((event.clientX - box.left) / box.width) * length);
  };
  const grip = (name, value, put) => {
    const keys = (event) => {
      const moves = { ArrowLeft: value - step, ArrowRight: value + step, PageDown: value - 0.5, PageUp: value + 0.5, Home: 0, End: length };
      if (!(event.key in moves)) return;
      event.preventDefault();
      put(snap(moves[event.key]));
    };
    return html`<div class="handle" style=${{ left: `${(100 * value) / length}%` }} role="slider" tabindex="0"
      aria-label=${name} aria-valuemin="0" aria-valuemax=${length} aria-valuenow=${trim(value)}
      aria-valuetext=${`${trim(value)} seconds`}
      data-testid=${`cut-${name === "Part begins" ? "from" : "to"}`} onKeyDown=${keys} onPointerDown=${(event) => event.currentTarget.setPointerCapture(event.pointerId)}
      onPointerMove=${(event) => event.currentTarget.hasPointerCapture(event.pointerId) && put(timeOf(event))}></div>`;
  };
  return html`<div class="filmstrip" ref=${strip} data-testid="filmstrip">
    ${Array.from({ length: CELLS }, (_, i) => html`<div class="cell" key=${i}
      style=${sheet ? spriteStyle(sheet, Math.floor(((i + 0.5) / CELLS) * sheet.frames)) : {}}></div>`)}
    <div class="outside" style=${{ width: `${(100 * from) / length}%` }}></div>
    <div class="outside" style=${{ left: `${(100 * to) / length}%`, right: 0 }}></div>
    ${grip("Part begins", from, (value) => onFrom(Math.min(value, to - step)))}
    ${grip("Part ends", to, (value) => onTo(Math.max(value, from + step)))}
  </div>`;
}
