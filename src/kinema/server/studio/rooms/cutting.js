/** Cut and join: parts of several clips in a row, watched as one film before it is made. */
import { html, useEffect, useRef, useState } from "../ui.js";
import { videos } from "../api.js";
import { submit, toast } from "../store.js";
import { joinRequest, lengthOf, moved, partAt, putOnTable, split, startsOf, table } from "../cutting.js";
import { trim } from "../format.js";
import { Button, Empty, Field, NumberField, Select } from "../components/basics.js";
import { Filmstrip } from "../components/filmstrip.js";
import { ClipDialog } from "../components/pictures.js";
import { Results } from "../components/results.js";
import { Send } from "./edit/longer.js";
import { Reel } from "./cutting/reel.js";
import { Sequence } from "./cutting/sequence.js";

export function Cutting() {
  const parts = table.value;
  const [chosen, setChosen] = useState(parts[0]?.key ?? null);
  const [adding, setAdding] = useState(false);
  const [second, setSecond] = useState(0);
  const [name, setName] = useState("");
  const [size, setSize] = useState(null);
  const [made, setMade] = useState([]);
  const player = useRef(null);
  const index = parts.findIndex((part) => part.key === chosen);
  const part = parts[index];
  useEffect(() => {
    if (!part && parts.length) setChosen(parts[0].key);
  }, [part, parts.length]);
  const put = (next) => (table.value = next);
  /** A change that a toast takes back. */
  const change = (next, text) => {
    const before = table.value;
    put(next);
    toast(text, { action: { label: "Undo", run: () => put(before) } });
  };
  const set = (changes) => put(parts.map((one) => (one.key === chosen ? { ...one, ...changes } : one)));
  const choose = (key) => {
    setChosen(key);
    player.current?.seek(startsOf(parts)[parts.findIndex((one) => one.key === key)]);
  };
  const cut = () => {
    const next = split(parts, second);
    if (next === parts) return toast("Nothing to cut here: go to the middle of a part first.");
    const { index: at } = partAt(parts, second);
    put(next);
    return setChosen(next[at + 1].key);
  };
  const film = async () => {
    const video = await submit(() => videos.join(joinRequest(parts, { size, title: name })));
    if (video) setMade([video, ...made]);
  };
  const sizes = [...new Set(parts.map((one) => one.size))];
  const add = html`<${Button} icon="plus" kind=${parts.length ? "" : "primary"} onClick=${() => setAdding(true)} testid="add-clip">Add a clip<//>`;
  return html`<header class="room-head"><div><h1>Cut and join</h1><p>Put parts of several clips in a row. The film has their sound, and the size and rate of the first one.</p></div>
      <div class="row">${add}${parts.length > 0 && html`<${Button} kind="quiet" onClick=${() => change([], "The table is empty")} testid="clear-table">Start over<//>`}</div></header>
    ${!parts.length && html`<${Empty} title="Nothing on the table">Add clips here, or choose some in the <a href="#/gallery">Gallery</a> and press Cut and join.<//>`}
    ${parts.length > 0 && html`<div class="edit">
      <div class="edit-stage"><${Sequence} parts=${parts} handle=${player} onTime=${setSecond} onPart=${setChosen} /><${Results} made=${made} /></div>
      <section class="panel stack" aria-label="Parts">
        <${Reel} parts=${parts} chosen=${chosen} second=${second} onChoose=${choose} onMove=${(from, to) => put(moved(parts, from, to))} />
        ${part && html`<div class="stack" role="group" aria-label=${`Part ${index + 1}`}>
          <h2>Part ${index + 1}: ${part.name}</h2>
          <${Filmstrip} clip=${{ id: part.id, seconds: part.seconds, kinema: { fps: part.fps } }} from=${part.from} to=${part.to}
            onFrom=${(from) => set({ from })} onTo=${(to) => set({ to })} />
          <div class="inline-form">
            <${NumberField} label="Begins" value=${trim(part.from)} min=${0} max=${part.seconds} step=${0.05} suffix="s"
              onChange=${(from) => from !== null && from >= 0 && from < part.to && set({ from })} testid="part-from" />
            <${NumberField} label="Ends" value=${trim(part.to)} min=${0} max=${part.seconds} step=${0.05} suffix="s"
              onChange=${(to) => to !== null && to > part.from && set({ to: Math.min(to, part.seconds) })} testid="part-to" />
          </div>
          <div class="row">
            <${Button} icon="cut" onClick=${cut} testid="split">Cut at ${trim(second)} s<//>
            <${Button} icon="left" kind="small" label="Earlier" disabled=${index === 0} onClick=${() => put(moved(parts, index, index - 1))} testid="part-earlier" />
            <${Button} icon="right" kind="small" label="Later" disabled=${index === parts.length - 1} onClick=${() => put(moved(parts, index, index + 1))} testid="part-later" />
            <${Button} icon="trash" kind="danger" onClick=${() => change(parts.filter((one) => one.key !== chosen), `Part ${index + 1} is out`)} testid="part-out">Take out<//>
          </div></div>`}
        <div class="inline-form">
          <${Field} label="Title" id="film-title"><input id="film-title" type="text" maxlength="200" value=${name} placeholder="may be left open"
            onInput=${(event) => setName(event.currentTarget.value)} data-testid="film-title" /><//>
          ${sizes.length > 1 && html`<${Select} label="Size" value=${size ?? sizes[0]} options=${sizes.map((one) => [one, one.replace("x", "×")])} onChange=${setSize} testid="film-size" />`}
        </div>
        <${Send} onSend=${film} testid="join">Join ${parts.length} to ${trim(lengthOf(parts))} s<//>
      </section>
    </div>`}
    ${adding && html`<${ClipDialog} title="Add which clip?" onClose=${() => setAdding(false)} onPick=${(clip) => (putOnTable([clip]), setAdding(false))} />`}`;
}
