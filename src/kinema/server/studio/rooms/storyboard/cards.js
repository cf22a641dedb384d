/** Cards in a row: filmed as one clip whose words change on the way, or as a production with a shot for each card. */
import { html, classes, useRef, useState } from "../../ui.js";
import { compact, productions, videos } from "../../api.js";
import { remembered } from "../../kept.js";
import { USUAL, hasVocabulary, pick, settled } from "../../capabilities.js";
import { attempt, draft, filmers, modelOf, recent, submit, toast } from "../../store.js";
import { go } from "../../router.js";
import { count, duration, trim } from "../../format.js";
import { Button, Empty, NumberField } from "../../components/basics.js";
import { PictureButtons, droppedPicture } from "../../components/pictures.js";
import { ModelSelect } from "../../components/model.js";
import { SeedField } from "../../components/seed.js";
import { useEstimate } from "../create/slate.js";

const CARD_TYPE = "application/x-kinema-card";
const FIRST = [
  { key: 1, text: "", seconds: 2, picture: null },
  { key: 2, text: "", seconds: 2, picture: null },
];
const EMPTY = { cards: FIRST, keptSeed: null, model: null };
const board = remembered("storyboard", EMPTY);

/** Where each card begins and ends. */
export function spans(cards) {
  let at = 0;
  return cards.map((card) => ({ ...card, from: at, to: (at = Number((at + card.seconds).toFixed(3))) }));
}

/** "0-2: a red ball rolls right | 2-4: it hits a box" */
export function boardPrompt(cards) {
  return spans(cards)
    .filter((card) => card.text.trim())
    .map((card) => `${trim(card.from, 3)}-${trim(card.to, 3)}: ${card.text.trim().replaceAll("|", ",")}`)
    .join(" | ");
}

/** Models that read a storyboard: those with words of their own. */
const readers = () => filmers.value.filter(hasVocabulary);

/** The size and rate of Create's form hold for its own model alone. @param {import("../capabilities.js").Model|null} model */
export function boardRequest({ cards, keptSeed }, model) {
  const timed = spans(cards);
  const reference = (card) => ({ file_id: card.picture.file_id });
  const later = timed.filter((card) => card.picture && card.from > 0);
  const keyframes = later.map((card) => ({ picture: reference(card), at: card.from }));
  const isOther = modelOf(draft.value.model)?.id !== model?.id;
  const { size, fps } = settled({ ...draft.value, ...(isOther ? USUAL : {}) }, model);
  return compact({
    prompt: boardPrompt(cards),
    seconds: trim(timed[timed.length - 1]?.to ?? 0, 3),
    model: model?.id,
    size,
    fps,
    seed: keptSeed,
    input_reference: timed[0]?.picture ? reference(timed[0]) : null,
    keyframes: keyframes.length ? keyframes : null,
  });
}

/** The cards as the script of a production: a shot each, which goes on from the one before unless it begins with a picture. */
export function boardScript({ cards, keptSeed }, body) {
  const written = cards.filter((card) => card.text.trim() || card.picture);
  return {
    production: compact({ title: written[0]?.text.trim().slice(0, 60) || "Cards", size: body.size, fps: body.fps ?? undefined }),
    shots: written.map((card, i) => compact({
      id: `s${i + 1}`, prompt: card.text.trim() || "the same goes on", seconds: card.seconds, seed: (keptSeed ?? 0) + i,
      first_frame: card.picture?.file_id, goes_on_from: i && !card.picture ? `s${i}` : null,
    })),
  };
}

export function Cards() {
  const { cards, keptSeed } = board.value;
  const setCards = (next) => (board.value = { ...board.value, cards: next });
  /** A change that a toast takes back. */
  const replace = (next, text) => {
    const before = board.value;
    board.value = next;
    toast(text, { action: { label: "Undo", run: () => (board.value = before) } });
  };
  const change = (key, changes) => setCards(board.value.cards.map((card) => (card.key === key ? { ...card, ...changes } : card)));
  const move = (at, to) => {
    const next = [...cards];
    const [card] = next.splice(at, 1);
    next.splice(to, 0, card);
    setCards(next);
  };
  const timed = spans(cards);
  const total = timed[timed.length - 1]?.to ?? 0;
  const chosen = modelOf(draft.value.model);
  const model = pick(readers(), board.value.model, draft.value.model);
  const body = boardRequest(board.value, model);
  const { estimate, error } = useEstimate(body, Boolean(model && body.prompt && total));
  const [sending, setSending] = useState(false);
  const film = async () => {
    setSending(true);
    const sent = await submit(() => videos.create(body));
    setSending(false);
    if (sent) go("create");
  };
  const plan = async () => {
    setSending(true);
    const made = await attempt(() => productions.create({ script: boardScript(board.value, body), model: model.id, stop_after: "script" }));
    setSending(false);
    if (made) go("storyboard", made.id);
  };
  if (!model) {
    return html`<header class="room-head"><div><h1>Storyboard</h1></div></header><${Empty} title="No model here reads storyboards">
      Only Kinema's own models go from card to card. <a href="#/models">What the models can do</a><//>`;
  }
  return html`<header class="room-head"><div><h1>Cards</h1>
    <p>Each card holds for its seconds. They are filmed as one clip, so things go on from card to card, or in shots, of which each is
      checked and can be taken again. <a href="#/storyboard" data-testid="by-story">Write a story instead</a></p></div>
      <div class="row"><${ModelSelect} models=${readers()} value=${model.id} onChange=${(id) => (board.value = { ...board.value, model: id })} testid="board-model" />
        <${Button} kind="quiet" onClick=${() => replace(EMPTY, "The cards are empty")}
        testid="clear-board">Start over<//></div></header>
    ${chosen && !hasVocabulary(chosen) && html`<p class="hint" data-testid="board-note">${chosen.id} takes a prompt as one text; the cards are filmed by ${model.id}.</p>`}
    <div class="story-line" aria-hidden="true">${timed.map((card, i) => html`<span key=${card.key}
      style=${{ flex: card.seconds }}>${i + 1}</span>`)}</div>
    <ol class="cards" aria-label="Cards" data-testid="cards">
      ${timed.map((card, i) => html`<${Card} key=${card.key} card=${card} index=${i} last=${i === cards.length - 1}
        unknown=${estimate?.unknown_words ?? []} change=${(changes) => change(card.key, changes)} move=${move}
        remove=${cards.length > 1 ? () => replace({ ...board.value, cards: cards.filter((one) => one.key !== card.key) }, `Card ${i + 1} is out`) : null} />`)}
      <li style=${{ display: "grid" }}><${Button} icon="plus" kind="story-add"
        onClick=${() => setCards([...cards, { key: Date.now(), text: "", seconds: 2, picture: null }])}
        testid="add-card">Add a card<//></li>
    </ol>
    <section class="panel composer" aria-label="The film">
      <div class="board"><p class="as-prompt" data-testid="board-prompt">${body.prompt || html`<span
        class="quiet">Write on the cards what happens in each part.</span>`}</p>
        <${SeedField} value=${keptSeed} last=${recent.value?.[0]?.kinema.seed} testid="board-seed"
          onChange=${(value) => (board.value = { ...board.value, keptSeed: value })} /></div>
      <div class="slate"><div class="slate-text" aria-live="polite">
          ${error && html`<p class="error-text" role="alert">${error.message}</p>`}
          ${estimate && html`<dl><div><dt>Length</dt><dd>${duration(total)}</dd></div><div><dt>Filming</dt>
            <dd>${estimate.run_s === null ? "not known yet" : duration(estimate.run_s)}</dd></div><div><dt>Cost</dt>
            <dd>${count(estimate.pixel_seconds)}<small> px·s</small></dd></div></dl>
            ${estimate.unknown_words.length > 0 && html`<p class="prompt-words"
              style=${{ marginTop: "8px" }}>Not in its vocabulary: <span class="strange">${estimate.unknown_words.join(", ")}
              </span>${estimate.hint ? html`<br />${estimate.hint}` : ""}</p>`}`}
          ${!estimate && !error && html`<p class="quiet-note">${trim(total)} s in ${cards.length} cards</p>`}
        </div><div class="row"><${Button} disabled=${!body.prompt} busy=${sending} onClick=${plan} testid="plan-board">In shots<//>
          <${Button} kind="film" disabled=${!body.prompt} busy=${sending} onClick=${film} testid="film-board">Film ${trim(total)} s<//></div></div>
    </section>`;
}

function Card({ card, index, last, change, move, remove, unknown }) {
  const [over, setOver] = useState(false);
  const [busy, setBusy] = useState(false);
  const grip = useRef(false);
  const strange = unknown.filter((word) => new RegExp(`(?<![\\p{L}])${word.replace(/[^\p{L}\p{N}]/gu, "\\$&")}(?![\\p{L}])`, "iu").test(card.text));
  const give = async (getting) => {
    setBusy(true);
    const picture = await getting;
    setBusy(false);
    if (picture) change({ picture });
  };
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    const moved = event.dataTransfer.getData(CARD_TYPE);
    const picture = moved === "" ? droppedPicture(event) : null;
    if (moved !== "") move(Number(moved), index);
    else if (picture) give(picture);
  };
  return html`<li class=${classes("story-card", { over })} data-testid="story-card" aria-label=${`Card ${index + 1}`} draggable
    onPointerDown=${(event) => (grip.current = Boolean(event.target.closest(".story-top")))}
    onDragStart=${(event) => (grip.current ? event.dataTransfer.setData(CARD_TYPE, String(index)) : event.preventDefault())}
    onDragOver=${(event) => (event.preventDefault(), setOver(true))} onDragLeave=${() => setOver(false)} onDrop=${drop}>
    <div class="row between story-top" style=${{ cursor: "grab" }}><span
      class="story-number">${index + 1} · ${trim(card.from)}–${trim(card.to)} s</span>
      <span class="row" style=${{ gap: 0 }}>
        <${Button} icon="left" kind="quiet small" label=${`Card ${index + 1} earlier`} disabled=${index === 0}
          onClick=${() => move(index, index - 1)} testid="card-left" />
        <${Button} icon="right" kind="quiet small" label=${`Card ${index + 1} later`} disabled=${last}
          onClick=${() => move(index, index + 1)} testid="card-right" />
        <${Button} icon="trash" kind="quiet small" label=${`Remove card ${index + 1}`} disabled=${!remove}
          onClick=${() => remove()} testid="card-remove" /></span></div>
    <div class=${classes("story-picture", { has: card.picture })}>
      ${card.picture ? html`<img src=${card.picture.url} alt=${`Picture ${card.picture.name}`} draggable=${false} />
        <${Button} icon="close" kind="tiny" label=${`Take the picture off card ${index + 1}`}
        onClick=${() => change({ picture: null })} />`
        : html`<div class="stack" style=${{ gap: "8px", justifyItems: "center" }}>
          <span>${index === 0 ? "First frame" : `Picture at ${trim(card.from)} s`}</span><div class="row">
          <${PictureButtons} onGive=${give} busy=${busy} kind="small" testids=${["card-file", "card-frame"]} /></div></div>`}
    </div>
    <div><textarea aria-label=${`What happens on card ${index + 1}`}
      placeholder=${index === 0 ? "a red ball rolls right" : "a red ball hits a blue box"} value=${card.text}
      onInput=${(event) => change({ text: event.currentTarget.value })} data-testid="card-text"></textarea>
      ${strange.length > 0 && html`<p class="prompt-words">Unknown: <span class="strange">${strange.join(", ")}</span></p>`}</div>
    <${NumberField} label="Seconds" value=${card.seconds} min=${0.25} step=${0.5} suffix="s"
      onChange=${(seconds) => seconds > 0 && change({ seconds })} testid="card-seconds" />
  </li>`;
}
