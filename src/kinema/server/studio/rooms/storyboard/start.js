/** Where a production begins: a story is written, and those that there are are listed. */
import { html, useState } from "../../ui.js";
import { compact, productions } from "../../api.js";
import { remembered } from "../../kept.js";
import { attempt, filmers, modelOf } from "../../store.js";
import { go, href } from "../../router.js";
import { duration } from "../../format.js";
import { Button, Choice, Empty, Field, Note, NumberField, Skeleton, useLoaded } from "../../components/basics.js";
import { ModelSelect } from "../../components/model.js";

const EXAMPLE = "A red ball rolls across the lab. It stops at a blue box. A green robot comes in.";
/** What is written and not sent yet. */
const draft = remembered("story", { story: "", title: "", aspect: "1:1", takes: 6, model: null });
const STATUS = { planned: "planned", filming: "being filmed", filmed: "filmed, not cut", completed: "done", failed: "stopped" };

/** What a status is called. */
export const statusName = (production) => STATUS[production.status] ?? production.status;

export function Start() {
  const { data, error, reload } = useLoaded(() => productions.list({ limit: 100 }), []);
  return html`<header class="room-head"><div><h1>Storyboard</h1>
    <p>Write a story: it is planned in shots, filmed, checked in the pictures, and filmed again where a check fails.${" "}
      <a href=${href("storyboard", "cards")} data-testid="by-cards">Lay out cards instead</a></p></div></header>
    <${Composer} />
    <section aria-label="Productions"><h2 class="section-title">Productions</h2>
      <${Note} error=${error} retry=${reload} />
      ${!data && !error && html`<${Skeleton} count=${3} />`}
      ${data?.data.length === 0 && html`<${Empty} title="No production yet">What you plan is kept here, on the server.<//>`}
      <ul class="production-list" data-testid="productions">${(data?.data ?? []).map((one) => html`<li key=${one.id}>
        <a class="panel production-link" href=${href("storyboard", one.id)} data-testid="production-link"><b>${one.title}</b>
          <span class="quiet">${one.shots_done} of ${one.shots_total} shots, ${duration(one.seconds)}, ${one.model}</span>
          <span class=${`state-badge ${one.status}`}>${statusName(one)}</span></a></li>`)}</ul>
    </section>`;
}

function Composer() {
  const form = draft.value;
  const set = (changes) => (draft.value = { ...draft.value, ...changes });
  const [sending, setSending] = useState(false);
  const model = modelOf(form.model);
  const plan = async () => {
    setSending(true);
    const body = compact({ story: form.story, title: form.title.trim(), aspect: form.aspect, model: model?.id, stop_after: "script", budget: { per_shot: form.takes || 6 } });
    const made = await attempt(() => productions.create(body));
    setSending(false);
    if (!made) return;
    set({ story: "", title: "" });
    go("storyboard", made.id);
  };
  return html`<section class="panel composer" aria-label="A story">
    <${Field} label="Story" id="story" hint="A sentence is a shot, an empty line begins another scene; screenplays in Fountain are read too.">
      <textarea id="story" class="story-text" placeholder=${EXAMPLE} value=${form.story} data-testid="story"
        onInput=${(event) => set({ story: event.currentTarget.value })}></textarea><//>
    <div class="story-settings">
      <${Field} label="Title" id="story-title"><input id="story-title" type="text" value=${form.title} maxlength="200" placeholder="Untitled"
        onInput=${(event) => set({ title: event.currentTarget.value })} data-testid="story-title" /><//>
      <${Choice} label="Shape" value=${form.aspect} options=${["1:1", "16:9", "9:16"]} onChange=${(aspect) => set({ aspect })} testid="story-aspect" />
      <${NumberField} label="Takes of a shot" value=${form.takes} min=${1} max=${100} onChange=${(takes) => set({ takes })} testid="story-takes" />
      <${ModelSelect} models=${filmers.value} value=${model?.id} onChange=${(id) => set({ model: id })} testid="story-model" />
      <${Button} kind="film" disabled=${!form.story.trim()} busy=${sending} onClick=${plan} testid="plan-story">Plan<//>
    </div>
  </section>`;
}
