/**
 * The film's seconds as a track on which pictures are laid: what it starts with, ends with, and passes on the way.
 * Pictures are dropped on it, moved by the pointer or by arrow keys, and removed by Delete.
 */
import { html, classes, useRef, useState } from "../ui.js";
import { toast } from "../store.js";
import { trim } from "../format.js";
import { Button, Choice, NumberField } from "./basics.js";
import { PictureButtons, droppedPicture } from "./pictures.js";

/** @typedef {{key: number, at: number, picture: import("./pictures.js").Picture}} Pinned */

const QUARTER_S = 0.25;

const ANYWHERE = { first: true, last: true, between: true };

/**
 * @param {{seconds: number, fps: number, pictures: Pinned[], onChange: (pictures: Pinned[]) => void,
 *   places?: {first: boolean, last: boolean, between: boolean}}} props places: where the model can have pictures
 */
export function Timeline({ seconds, fps, pictures, onChange, places = ANYWHERE }) {
  const track = useRef(null);
  const [over, setOver] = useState(null);
  const [at, setAt] = useState(0);
  const [busy, setBusy] = useState(false);
  const snap = (value) => {
    if (!places.between) return places.last && value > seconds / 2 ? seconds : 0;
    return Math.min(Math.max(Math.round(value * fps) / fps, 0), seconds);
  };
  const placeOf = (event) => {
    const box = track.current.getBoundingClientRect();
    const value = ((event.clientX - box.left) / box.width) * seconds;
    const edge = seconds * 0.03;
    return value < edge ? 0 : value > seconds - edge ? snap(seconds) : snap(Math.round(value / QUARTER_S) * QUARTER_S);
  };
  const put = (key, value) => onChange(pictures.map((one) => (one.key === key ? { ...one, at: snap(value) } : one)));
  const remove = (key) => {
    onChange(pictures.filter((one) => one.key !== key));
    toast("The picture is off the timeline", { action: { label: "Undo", run: () => onChange(pictures) } });
  };
  const add = async (when, getting) => {
    setBusy(true);
    const picture = await getting;
    setBusy(false);
    if (!picture) return;
    const others = pictures.filter((one) => Math.abs(one.at - when) > 0.5 / fps);
    onChange([...others, { key: Date.now(), at: when, picture }].sort((a, b) => a.at - b.at));
  };
  const drop = (event) => {
    event.preventDefault();
    setOver(null);
    const picture = droppedPicture(event);
    if (picture) add(placeOf(event), picture);
  };
  const ticks = Array.from({ length: Math.floor(seconds) + 1 }, (_, i) => i);
  return html`<section class="timeline" aria-label="Pictures on the film's time">
    <div class=${classes("track", { over: over !== null, empty: !pictures.length })} ref=${track} data-testid="timeline"
      onDragOver=${(event) => (event.preventDefault(), setOver(placeOf(event)))} onDragLeave=${() => setOver(null)} onDrop=${drop}>
      <div class="ticks" aria-hidden="true">${ticks.map((tick) => html`<span key=${tick}
        style=${{ left: `${(100 * tick) / seconds}%` }}>${tick}</span>`)}</div>
      ${over !== null && html`<div class="drop-line" style=${{ left: `${(100 * over) / seconds}%` }}><b>${trim(over)} s</b></div>`}
      ${!pictures.length && over === null && html`<p
        class="track-note">${busy ? "Taking the picture in …" : places.between ? "Drop a picture, or a frame of a clip, on a second" : `Drop a picture, or a frame of a clip, ${places.last ? "at the start or the end" : "to start with"}`}</p>`}
      ${pictures.map((one) => html`<${Pin} key=${one.key} pinned=${one} seconds=${seconds} placeOf=${placeOf}
        onMove=${(value) => put(one.key, value)} onRemove=${() => remove(one.key)} />`)}
    </div>
    <div class="track-tools">
      ${places.between
        ? html`<${NumberField} label="Add a picture at" value=${at} min=${0} max=${seconds} step=${QUARTER_S} suffix="s"
          onChange=${(value) => setAt(value ?? 0)} testid="picture-at" />`
        : places.last
          ? html`<${Choice} label="Add a picture" value=${snap(at) === 0} options=${[[true, "First"], [false, "Last"]]}
            onChange=${(first) => setAt(first ? 0 : seconds)} testid="picture-end" />`
          : html`<span class="label">First picture</span>`}
      <${PictureButtons} onGive=${(picture) => add(snap(at), picture)} busy=${busy} names=${["From a file", "From a clip"]} testids=${["add-picture", "add-frame"]} />
      ${places.between && html`<div class="quick">
        <button type="button" class="link" onClick=${() => setAt(0)}>start</button>
        <button type="button" class="link" onClick=${() => setAt(seconds)}>end</button>
      </div>`}
    </div>
  </section>`;
}

function Pin({ pinned, seconds, placeOf, onMove, onRemove }) {
  const { at, picture } = pinned;
  const name = at === 0 ? "first frame" : at >= seconds ? "last frame" : `at ${trim(at)} seconds`;
  const keys = (event) => {
    const moves = { ArrowLeft: at - QUARTER_S, ArrowRight: at + QUARTER_S, Home: 0, End: seconds };
    if (event.key in moves) onMove(moves[event.key]);
    else if (event.key === "Delete" || event.key === "Backspace") onRemove();
    else return;
    event.preventDefault();
  };
  return html`<div class="pin"
    style=${{ left: `${(100 * Math.min(at, seconds)) / seconds}%`, "--nudge": at === 0 ? "0%" : at >= seconds ? "-100%" : "-50%" }}
    data-testid="pin">
    <div class="pin-picture" tabindex="0" role="slider" aria-label=${`Picture ${picture.name}`} aria-valuemin="0"
      aria-valuemax=${seconds} aria-valuenow=${at} aria-valuetext=${name}
      onKeyDown=${keys}
      onPointerDown=${(event) => event.currentTarget.setPointerCapture(event.pointerId)}
      onPointerMove=${(event) => event.currentTarget.hasPointerCapture(event.pointerId) && onMove(placeOf(event))}>
      <img src=${picture.url} alt="" draggable=${false} />
    </div>
    <${Button} icon="close" label=${`Remove the picture ${name}`} kind="quiet tiny" onClick=${onRemove} testid="pin-remove" />
    <span class="pin-time">${at === 0 ? "first" : at >= seconds ? "last" : `${trim(at)} s`}</span>
  </div>`;
}

/** The fields of a request for pinned pictures: first and last by their own names, the rest as keyframes. */
export function pictureFields(pictures, seconds) {
  const fields = {};
  const between = [];
  for (const { at, picture } of pictures) {
    const reference = { file_id: picture.file_id };
    if (at <= 0) fields.input_reference = reference;
    else if (at >= seconds - 1e-6) fields.last = reference;
    else between.push({ picture: reference, at });
  }
  if (between.length) fields.keyframes = between;
  return fields;
}
