/** Trim and re-cut: mark parts on the filmstrip, put them in order, join them. */
import { html, useState } from "../../ui.js";
import { videos } from "../../api.js";
import { modelNamed } from "../../capabilities.js";
import { toast } from "../../store.js";
import { trim } from "../../format.js";
import { Button, NumberField } from "../../components/basics.js";
import { Filmstrip } from "../../components/filmstrip.js";
import { Send } from "./longer.js";

const PART_TYPE = "application/x-kinema-part";

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
    <${Send} onSend=${() => send(() => videos.trim({ video: { id: clip.id }, cuts: parts.map((part) => [part.from, part.to]), ...(modelNamed(clip.model) && { model: clip.model }) }))}
      testid="recut">Cut to ${trim(total)} s<//>`;
}
