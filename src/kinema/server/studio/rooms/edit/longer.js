/** Tools that add time: more before or after, a passage between two clips, a way back to the beginning. */
import { html, useState } from "../../ui.js";
import { videos } from "../../api.js";
import { title, trim } from "../../format.js";
import { Button, Choice, NumberField } from "../../components/basics.js";
import { licenseRefusal } from "../../components/license.js";
import { Maker, makersOf } from "../../components/model.js";
import { ClipDialog } from "../../components/pictures.js";
import { Thumb, droppedFrame } from "../../components/thumb.js";

const LENGTHS = [0.5, 1, 2, 4];

function Length({ label, value, onChange, testid }) {
  return html`<div class="row" style=${{ alignItems: "end" }}><${Choice} label=${label} value=${value}
    options=${LENGTHS.map((s) => [s, `${s} s`])} onChange=${onChange} testid=${testid} />
    <div style=${{ width: "92px" }}><${NumberField} label="or" value=${value} min=${0.1} step=${0.25} suffix="s"
      onChange=${(s) => s && onChange(s)} testid=${`${testid}-number`} /></div></div>`;
}

function Words({ value, onChange, placeholder, testid }) {
  return html`<div class="field"><label for=${testid}>What happens <span class="quiet">(may be left open)</span></label>
    <textarea id=${testid} rows="2" value=${value} placeholder=${placeholder}
      onInput=${(event) => onChange(event.currentTarget.value)} data-testid=${testid}></textarea></div>`;
}

/** Keeps a button busy while its job is sent. */
export function Send({ children, onSend, disabled, testid }) {
  const [busy, setBusy] = useState(false);
  const run = async () => {
    setBusy(true);
    await onSend();
    setBusy(false);
  };
  return html`<div><${Button} kind="film" onClick=${run} busy=${busy} disabled=${disabled} testid=${testid}>${children}<//></div>`;
}

export function Extend({ clip, send }) {
  const [before, setBefore] = useState(false);
  const [seconds, setSeconds] = useState(2);
  const [prompt, setPrompt] = useState("");
  const [chosen, setChosen] = useState(null);
  const makers = makersOf("extend", clip, chosen);
  return html`<p>What came before, or what comes next. The clip itself stays as it is.</p>
    <${Choice} label="Where" value=${before} options=${[[true, "Before it begins"], [false, "After it ends"]]}
      onChange=${setBefore} testid="extend-where" />
    <${Length} label="How long" value=${seconds} onChange=${setSeconds} testid="extend-seconds" />
    <${Words} value=${prompt} onChange=${setPrompt} placeholder="a red ball stops" testid="extend-prompt" />
    <${Maker} makers=${makers} clip=${clip} does="make it longer" onChange=${setChosen} testid="extend-model" />
    <${Send} onSend=${() => send(() => videos.extend({ video: { id: clip.id }, seconds: String(seconds), prompt: prompt.trim(), before, model: makers.model.id }))}
      disabled=${Boolean(licenseRefusal(makers.model))} testid="extend">Extend to ${trim(Number(clip.seconds) + seconds)} s<//>`;
}

export function Loop({ clip, send }) {
  const [seconds, setSeconds] = useState(1);
  const [prompt, setPrompt] = useState("");
  const [chosen, setChosen] = useState(null);
  const makers = makersOf("blend", clip, chosen);
  return html`<p>A passage is filmed that leads from the last frame back to the first, so that the clip can run forever.</p>
    <${Length} label="Length of the passage" value=${seconds} onChange=${setSeconds} testid="loop-seconds" />
    <${Words} value=${prompt} onChange=${setPrompt} placeholder="the ball comes back" testid="loop-prompt" />
    <${Maker} makers=${makers} clip=${clip} does="film passages" onChange=${setChosen} testid="loop-model" />
    <${Send} onSend=${() => send(() => videos.loop({ video: { id: clip.id }, seconds: String(seconds), prompt: prompt.trim(), model: makers.model.id }))}
      disabled=${Boolean(licenseRefusal(makers.model))} testid="loop">Make a loop<//>`;
}

export function Blend({ clip, send }) {
  const [other, setOther] = useState(null);
  const [first, setFirst] = useState(true);
  const [choosing, setChoosing] = useState(false);
  const [seconds, setSeconds] = useState(2);
  const [prompt, setPrompt] = useState("");
  const [chosen, setChosen] = useState(null);
  const makers = makersOf("blend", clip, chosen);
  const drop = async (event) => {
    event.preventDefault();
    const frame = droppedFrame(event);
    if (frame) setOther(await videos.get(frame.id));
  };
  const here = html`<figure class="clip-card"><${Thumb} video=${clip} label="This clip" /><figcaption>This clip</figcaption></figure>`;
  const there = other
    ? html`<figure class="clip-card"><${Thumb} video=${other} onOpen=${() => setChoosing(true)}
      label=${`Choose another clip than ${title(other)}`} testid="blend-other" /><figcaption>${title(other)}</figcaption>
      </figure>`
    : html`<div class="drop-clip" onDragOver=${(event) => event.preventDefault()} onDrop=${drop}><span>The other clip</span>
      <${Button} onClick=${() => setChoosing(true)} testid="blend-choose">Choose<//></div>`;
  const [a, b] = first ? [clip, other] : [other, clip];
  return html`<p>One clip turns into the other: the passage between them is filmed.</p>
    <div class="pair">${first ? [here, html`<span class="plus" aria-hidden="true">→</span>`, there] : [there, html`<span
      class="plus" aria-hidden="true">→</span>`, here]}</div>
    <${Choice} label="Order" value=${first} options=${[[true, "This clip first"], [false, "This clip last"]]}
      onChange=${setFirst} testid="blend-order" />
    <${Length} label="Length of the passage" value=${seconds} onChange=${setSeconds} testid="blend-seconds" />
    <${Words} value=${prompt} onChange=${setPrompt} placeholder="the ball rolls on" testid="blend-prompt" />
    <${Maker} makers=${makers} clip=${clip} does="film passages" onChange=${setChosen} testid="blend-model" />
    <${Send} disabled=${!other || Boolean(licenseRefusal(makers.model))}
      onSend=${() => send(() => videos.blend({ a: { id: a.id }, b: { id: b.id }, prompt: prompt.trim(), seconds: String(seconds), model: makers.model.id }))}
      testid="blend">Blend<//>
    ${choosing && html`<${ClipDialog} title="Blend with which clip?" onClose=${() => setChoosing(false)}
      onPick=${(picked) => (setOther(picked), setChoosing(false))} exclude=${[clip.id]} />`}`;
}
