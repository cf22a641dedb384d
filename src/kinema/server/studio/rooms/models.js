/** Models: what each can film, what it was trained on, and how true it is. */
import { html } from "../ui.js";
import { loadModels, models } from "../store.js";
import { count, duration } from "../format.js";
import { colorOf } from "../room.js";
import { Button, Empty, Skeleton } from "../components/basics.js";
import { Markdown } from "../components/markdown.js";

export function Models() {
  const all = models.value;
  return html`<div class="models">
    <header class="room-head" style=${{ margin: 0 }}><div><h1>Models</h1>
      <p>What this server can film with. The cards are the ones that lie beside the weights.</p></div>
      <${Button} icon="retry" onClick=${loadModels} testid="reload-models">Look again<//></header>
    ${all === null && html`<${Skeleton} count=${2} />`}
    ${all?.length === 0 && html`<${Empty} title="No models here">Start the server where the weights lie, or give it <code>--model</code>.<//>`}
    ${inOrder(all ?? []).map((model) => html`<${Card} key=${model.id} model=${model} />`)}
  </div>`;
}

const inOrder = (all) => [...all].sort((a, b) => Number(b.kinema.default) - Number(a.kinema.default));
const without = (words, lacks) => (words ?? []).filter((word) => !(lacks ?? []).includes(word));

/** The card's parts: its text, and what it says of the arena. */
function parts(card) {
  const text = (card ?? "").replace(/^# .*\n+/, "");
  const found = text.match(/(?:^|\n)(#+ [^\n]*(?:arena|score|measured)[^\n]*\n[\s\S]*?)(?=\n#+ |$)/i) ?? text.match(/(?:^|\n)(\*\*Measured\*\*(?:[^\n]+\n?)+)/);
  return found ? [text.replace(found[1], ""), found[1]] : [text, null];
}

function Card({ model }) {
  const about = model.kinema;
  const [text, arena] = parts(about.card);
  const rows = [
    ["Parameters", about.parameters && count(about.parameters)],
    ["Pictures", about.sizes?.length ? about.sizes.map((size) => size.replace("x", "×")).join(", ") : about.size?.replace("x", "×")],
    ["Frames a second", about.fps?.length === 2 ? `${about.fps[0]} to ${about.fps[1]}` : null],
    ["Longest film", about.max_seconds && duration(about.max_seconds)],
    ["Recorded from", typeof about.world === "string" ? about.world : null],
    ["Was not shown", about.lacks?.length ? about.lacks.join(", ") : null],
  ];
  return html`<article class="panel model-card" aria-labelledby=${`model-${model.id}`} data-testid="model-card">
    <div class="model-side">
      <h2 id=${`model-${model.id}`}>${model.id}</h2>
      <p class="quiet">${about.default ? "The default" : about.world ? "A recorded world: only to step into" : "Also here"}</p>
      <dl class="facts">${rows.filter(([, value]) => value).map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}</dl>
      ${about.vocabulary && !about.world && html`<div class="chips" aria-label="Colors and things that it knows">
        ${without(about.vocabulary.colors, about.lacks).map((color) => html`<i class="swatch" key=${color} title=${color}
          style=${{ background: colorOf(color), width: "18px", height: "18px" }}></i>`)}
      </div><p class="quiet">${without(about.vocabulary.kinds, about.lacks).join(", ")}</p>`}
    </div>
    <div>
      <${Markdown} text=${text} />
      ${arena && html`<section class="note" style=${{ display: "block", marginTop: "16px" }} data-testid="arena">
        <${Markdown} text=${arena} /></section>`}
    </div>
  </article>`;
}
