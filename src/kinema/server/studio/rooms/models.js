/** Models: what each can film, what it was trained on, and how true it is. */
import { html, classes, useEffect, useRef } from "../ui.js";
import { models as calls } from "../api.js";
import { USUAL, abilities, can, described, hasVocabulary, listing, modelsFor, workflowNames, written } from "../capabilities.js";
import { draft, loadModels, models } from "../store.js";
import { go } from "../router.js";
import { count, trim } from "../format.js";
import { colorOf } from "../room.js";
import { Button, Empty, Skeleton } from "../components/basics.js";
import { Markdown } from "../components/markdown.js";
import { License, LicenseQuestion } from "../components/license.js";
import { form } from "./world.js";

const WORKFLOWS = ["generate", "image", "first_last", "keyframes", "extend", "infill", "blend", "edit"];

/** @param {{id: string|null}} props id: the model to begin at */
export function Models({ id }) {
  const all = models.value;
  return html`<div class="models">
    <header class="room-head" style=${{ margin: 0 }}><div><h1>Models</h1>
      <p>What this server can film with, and what each model can do. The texts lie beside the weights.</p></div>
      <${Button} icon="retry" onClick=${loadModels} testid="reload-models">Look again<//></header>
    ${all === null && html`<${Skeleton} count=${2} />`}
    ${all?.length === 0 && html`<${Empty} title="No models here">Start the server where the weights lie, or add a model: <code>kinema models add FOLDER --name NAME</code>.<//>`}
    ${inOrder(all ?? []).map((model) => html`<${Card} key=${model.id} model=${model} isOpen=${model.id === id} />`)}
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

/** What is open from here: a film or a world of this model. */
function Use({ model }) {
  const film = () => {
    draft.value = { ...draft.value, ...USUAL, model: model.id };
    go("create");
  };
  const step = () => {
    form.value = { ...form.value, model: model.id };
    go("world");
  };
  return html`<div class="row">
    ${!model.kinema.world && html`<${Button} icon="create" onClick=${film} label=${`Film with it: ${model.id}`} testid="use-model">Film with it<//>`}
    ${(model.kinema.world || abilities(model).state) && html`<${Button} icon="world" onClick=${step} label=${`Step into a world: ${model.id}`} testid="enter-model">Step into a world<//>`}
    ${model.kinema.has_arena && html`<a class="button" href=${calls.arenaUrl(model.id)} target="_blank" rel="noopener noreferrer"
      data-testid="arena-page">Arena's page<span class="visually-hidden">: ${model.id}, in a new tab</span></a>`}
  </div>`;
}

/** Which workflows a model lacks that others have, and who has them. */
function Lacks({ model }) {
  const lacking = WORKFLOWS.filter((workflow) => !can(model, workflow));
  if (model.kinema.world || !lacking.length) return null;
  const rows = lacking.map((workflow) => [workflowNames([workflow])[0], modelsFor(workflow).map((one) => one.id)]);
  return html`<details data-testid="model-lacks"><summary>What it cannot do</summary><ul class="plain">
    ${rows.map(([name, others]) => html`<li key=${name}>${name}${others.length ? html` <span class="quiet">(${listing(others)} can)</span>` : html` <span class="quiet">(no installed model can)</span>`}</li>`)}
  </ul></details>`;
}

function Card({ model, isOpen }) {
  const about = model.kinema;
  const [text, arena] = parts(about.card);
  const heading = useRef(null);
  useEffect(() => {
    // After the room has gone to its top.
    if (isOpen) requestAnimationFrame(() => (heading.current?.scrollIntoView({ block: "start" }), heading.current?.focus({ preventScroll: true })));
  }, [isOpen]);
  const rows = [
    ...(about.world ? [["Pictures", about.sizes.map(written).join(", ")], ["Frames", `${trim(about.fps[0])} a second`], ["Keys", Object.keys(about.recorded.controls.keys).map((key) => key.replace("Arrow", "")).join(" ")]] : described(model)),
    ["Parameters", about.parameters && count(about.parameters)],
    ["Recorded from", about.recorded?.env],
    ["Was not shown", about.lacks?.length ? about.lacks.join(", ") : null],
  ];
  const words = hasVocabulary(model) && !about.world;
  return html`<article class=${classes("panel model-card", { "no-card": !text.trim() })} aria-labelledby=${`model-${model.id}`} data-testid="model-card" data-model=${model.id}>
    <div class="model-side">
      <h2 id=${`model-${model.id}`} ref=${heading} tabindex="-1">${model.id}</h2>
      <p class="quiet">${about.default ? "The default" : about.world ? "A recorded world: only to step into" : "Also here"}</p>
      <${Use} model=${model} />
      <dl class="facts">${rows.filter(([, value]) => value).map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}</dl>
      <${License} license=${abilities(model).license} />
      <${LicenseQuestion} model=${model} />
      <${Lacks} model=${model} />
      ${words && html`<div class="chips" role="img" aria-label=${`Colors that it knows: ${without(about.vocabulary.colors, about.lacks).join(", ")}`}>
        ${without(about.vocabulary.colors, about.lacks).map((color) => html`<i class="swatch" key=${color} title=${color}
          style=${{ background: colorOf(color), width: "18px", height: "18px" }}></i>`)}
      </div><p class="quiet">${without(about.vocabulary.kinds, about.lacks).join(", ")}</p>`}
    </div>
    ${text.trim() && html`<div>
      <${Markdown} text=${text} />
      ${arena && html`<section class="note" style=${{ display: "block", marginTop: "16px" }} data-testid="arena" aria-label="Measured in the arena">
        <${Markdown} text=${arena} /></section>`}
    </div>`}
  </article>`;
}
