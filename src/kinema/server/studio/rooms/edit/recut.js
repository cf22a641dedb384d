/** Trim and re-cut: mark parts on the filmstrip, put them in order, join them. */
import { html, useEffect, useRef, useState } from "../../ui.js";
import { videos } from "../../api.js";
import { toast } from "../../store.js";
import { trim } from "../../format.js";
import { Button, NumberField } from "../../components/basics.js";
import { sheetOf, spriteStyle } from "../../components/thumb.js";
import { Send } from "./longer.js";

const CELLS = 12;
const PART_TYPE = "application/x-kinema-part";

/** The clip's frames in a row, with an in and an out point. */
function Filmstrip({ clip, from, to, onFrom, onTo }) {
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

export function Recut({ clip, send, handle }) {
  const length = Number(clip.seconds);
  const [from, setFrom] = useState(0);
  const [to, setTo] = useState(length);
  const [cuts, setCuts] = useState([]);
  const show = (put) => (value) => {
    put(value);
    handle.current?.pause();
    handle.current?.seek(Math.round(value * clip.kinema.fps));
  };
  const parts = cuts.length ? cuts : [{ from, to }];
  const total = parts.reduce((sum, part) => sum + part.to - part.from, 0);
  const move = (at, by) => {
    const next = [...cuts];
    const [part] = next.splice(at, 1);
    next.splice(at + by, 0, part);
    setCuts(next);
  };
  const takeOut = (at) => {
    setCuts(cuts.filter((_, i) => i !== at));
    toast(`Part ${at + 1} is out`, { action: { label: "Undo", run: () => setCuts(cuts) } });
  };
  const drop = (at) => (event) => {
    const came = event.dataTransfer.getData(PART_TYPE);
    if (came === "") return;
    event.preventDefault();
    move(Number(came), at - Number(came));
  };
  return html`<p>Mark a part of the clip. One part is a trim; several, in any order, are joined.</p>
    <${Filmstrip} clip=${clip} from=${from} to=${to} onFrom=${show(setFrom)} onTo=${show(setTo)} />
    <div class="inline-form">
      <${NumberField} label="Part begins" value=${trim(from)} min=${0} max=${length} step=${0.05} suffix="s"
        onChange=${(value) => value !== null && value < to && setFrom(value)} testid="from-number" />
      <${NumberField} label="Part ends" value=${trim(to)} min=${0} max=${length} step=${0.05} suffix="s"
        onChange=${(value) => value !== null && value > from && setTo(Math.min(value, length))} testid="to-number" />
      <${Button} icon="plus" onClick=${() => setCuts([...cuts, { from, to }])} testid="add-part">Add this part<//>
    </div>
    <ol class="cuts" aria-label="Parts in order" data-testid="parts">
      ${!cuts.length && html`<li class="quiet-note">Only the marked part, ${trim(to - from)} s</li>`}
      ${cuts.map((part, i) => html`<li class="cut" key=${i} draggable data-testid="part"
        onDragStart=${(event) => event.dataTransfer.setData(PART_TYPE, String(i))}
        onDragOver=${(event) => event.preventDefault()} onDrop=${drop(i)}>
        <span class="mono">${trim(part.from)}–${trim(part.to)} s</span>
        <div class="row">
          <${Button} icon="left" kind="quiet small" label=${`Part ${i + 1} earlier`} disabled=${i === 0}
            onClick=${() => move(i, -1)} testid="part-left" />
          <${Button} icon="right" kind="quiet small" label=${`Part ${i + 1} later`} disabled=${i === cuts.length - 1}
            onClick=${() => move(i, 1)} testid="part-right" />
          <${Button} icon="close" kind="quiet small" label=${`Take part ${i + 1} out`}
            onClick=${() => takeOut(i)} testid="part-remove" />
        </div></li>`)}
    </ol>
    <${Send} onSend=${() => send(() => videos.trim({ video: { id: clip.id }, cuts: parts.map((part) => [part.from, part.to]) }))}
      testid="recut">Cut to ${trim(total)} s<//>`;
}
