/** Create: say what to film, see what it will cost, watch it come. */
import { html, useEffect, useMemo, useRef, useState } from "../ui.js";
import { compact, videos } from "../api.js";
import { stopsOf } from "../camera.js";
import { USUAL, abilities, canStepInto, hasVocabulary, lengthened, missing, placesOf, settled, usable, whoCan } from "../capabilities.js";
import { rememberPrompt } from "../notebook.js";
import { attempt, draft, ended, filmers, modelOf, queue, recent, refreshQueue, running, session, submit, toast } from "../store.js";
import { go, href } from "../router.js";
import { plural, slate, title } from "../format.js";
import { Button, Empty, Skeleton } from "../components/basics.js";
import { licenseRefusal } from "../components/license.js";
import { lorasOf } from "../components/loras.js";
import { ModelLine, ModelSelect } from "../components/model.js";
import { PromptField, Vocabulary, insertWord } from "../components/prompt.js";
import { Timeline, pictureFields } from "../components/timeline.js";
import { Queue, Preview } from "../components/queue.js";
import { FailureText } from "../components/failure.js";
import { Player } from "../components/player.js";
import { Thumb } from "../components/thumb.js";
import { Notebook, replacePrompt } from "./create/notebook.js";
import { Slate, useEstimate } from "./create/slate.js";
import { Takes } from "./create/takes.js";
import { reuse } from "./gallery/detail.js";

/** The body of POST /v1/videos for a form that is settled for a model: only what the model takes. Without a seed the server takes a random one. */
export function requestOf(form, model) {
  const about = model && abilities(model);
  const words = hasVocabulary(model);
  const camera = about?.camera ? stopsOf(form.camera, form.seconds) : null;
  return compact({
    prompt: form.prompt.trim(), negative_prompt: about?.negative_prompt ? form.negative.trim() : null, model: model?.id, seconds: String(form.seconds),
    size: form.size, fps: form.fps, seed: form.keptSeed, steps: about?.steps ? form.steps : null, guidance: about?.guidance != null ? form.guidance : null,
    loras: model && lorasOf(form.loras, model), priority: form.priority || null, label: form.label || null, strict: (words && form.strict) || null,
    characters: words && form.characters.length ? form.characters.map((id) => ({ id })) : null,
    guides: camera && { camera }, ...pictureFields(model ? usable(form.pictures, model, form.seconds) : [], form.seconds),
  });
}

export function Create() {
  const model = modelOf(draft.value.model);
  const form = settled(draft.value, model);
  const set = (changes) => (draft.value = { ...draft.value, ...changes });
  const field = useRef(null);
  const pictures = model ? usable(form.pictures, model, form.seconds) : [];
  const lacking = licenseRefusal(model) ?? missing(model, pictures, form.seconds);
  const body = requestOf(form, model);
  const { estimate, error } = useEstimate(body, Boolean(model && form.prompt.trim() && !lacking));
  const [sending, setSending] = useState(false);
  const film = async () => {
    if (!form.prompt.trim()) {
      field.current?.focus();
      toast("Say what to film first.");
      return;
    }
    if (lacking) {
      toast(lacking);
      return;
    }
    setSending(true);
    for (let i = 0; i < form.count; i++) {
      const seed = form.keptSeed === null ? {} : { seed: form.keptSeed + i };
      const sent = await submit(() => videos.create({ ...body, ...seed }), form.count > 1 ? `${i + 1} of ${form.count} in the queue` : undefined);
      if (!sent) break;
      rememberPrompt(form.prompt);
    }
    setSending(false);
  };
  if (!model) return html`<${NoModel} />`;
  /** Another model films with its own length, rate and size; the pictures at the ends stay there. */
  const change = (id) => {
    const next = settled({ ...form, ...USUAL, model: id }, modelOf(id));
    set({ ...USUAL, model: id, pictures: lengthened(form.pictures, form.seconds, next.seconds) });
  };
  const places = placesOf(model);
  const unused = form.pictures.length - pictures.length;
  return html`<div class="create">
    <section class="composer panel" aria-label="What to film">
      <h1 class="visually-hidden">Create</h1>
      <div class="model-choice"><${ModelSelect} models=${filmers.value} value=${model.id} onChange=${change} testid="model" />
        <${ModelLine} model=${model} /></div>
      <${PromptField} value=${form.prompt} onChange=${(prompt) => set({ prompt })} unknown=${estimate?.unknown_words}
        hint=${estimate?.hint} field=${field} onSubmit=${film}
        rows=${2} placeholder="What happens in the film?" />
      ${abilities(model).negative_prompt && html`<div class="field"><label for="negative">What not to show <span class="quiet">(may be left open)</span></label>
        <textarea id="negative" rows="1" value=${form.negative} placeholder="blurry, text" onInput=${(event) => set({ negative: event.currentTarget.value })}
          data-testid="negative"></textarea></div>`}
      <${Vocabulary} vocabulary=${model.kinema.vocabulary} lacks=${model.kinema.lacks}
        onExample=${replacePrompt}
        onWord=${(word) => set({ prompt: insertWord(field.current, draft.value.prompt, word) })} />
      <${Notebook} />
      ${places.first && html`<${Timeline} seconds=${form.seconds} fps=${form.fps} pictures=${form.pictures} places=${places} onChange=${(next) => set({ pictures: next })} />`}
      ${unused > 0 && html`<p class="hint" data-testid="unused-pictures">${plural(unused, "picture")} of the timeline ${unused === 1 ? "is" : "are"} not used: ${model.id}
        ${places.first ? "takes none there" : "films from words alone"}. ${whoCan(places.first ? "keyframes" : "image")}.</p>`}
      <${Takes} form=${form} set=${set} model=${model} />
      <${Slate} form=${form} set=${set} body=${body} estimate=${estimate} error=${error} lacking=${lacking} onFilm=${film} sending=${sending} />
    </section>
    <aside class="monitor" aria-label="Monitor and queue">
      <${Monitor} />
      <${QueueHead} />
      <${Queue} />
    </aside>
    <${Latest} />
  </div>`;
}

function NoModel() {
  return html`<h1 class="visually-hidden">Create</h1><${Empty} title="No model that films">Add one on the server: <code>kinema models add FOLDER --name NAME</code>,
    then <a href=${href("models")}>look again</a>.<//>`;
}

/** The queue's title; whoever keeps the server can hold all of it. */
function QueueHead() {
  const held = queue.value.paused;
  const admin = (session.value?.key?.scopes ?? []).includes("admin");
  const flip = () => attempt(() => videos.holdQueue(!held)).then(refreshQueue);
  return html`<div class="section-title"><h2>Queue ${held && html`<small>held</small>`}</h2>
    ${admin && html`<button type="button" class="link" onClick=${flip} data-testid="hold-queue">${held ? "Go on" : "Hold all"}</button>`}</div>`;
}

/** What is coming, or what came last. */
function Monitor() {
  const job = running.value[0];
  const last = ended.value?.status === "completed" ? ended.value : (recent.value ?? []).find((video) => video.status === "completed");
  const shown = useMemo(() => last, [last?.id]);
  if (job) {
    return html`<figure class="monitor-figure" data-testid="monitor">
      <div class="screen-wrap"><${Preview} job=${job} large key=${job.id} /></div>
      <figcaption><span class="rec" aria-hidden="true"></span> <span class="monitor-title">${title(job)}</span> <span
        class="mono">${Math.round(job.progress)}%</span></figcaption>
    </figure>`;
  }
  if (!shown) return html`<div class="screen-wrap"><div class="screen off"><p>What you film is shown here.</p></div></div>`;
  return html`<figure class="monitor-figure" data-testid="monitor">
    <${Player} src=${videos.url(shown.id)} fps=${shown.kinema.fps} frames=${shown.kinema.frames} size=${shown.size} label=${title(shown)} />
    <figcaption>
      <span class="monitor-title">${title(shown)}</span>
      <span class="mono quiet">${slate(shown)}</span>
      <span class="row">
        <a class="button small" href=${href("gallery", shown.id)}>Open</a>
        <a class="button small" href=${href("edit", shown.id)}>Edit</a>
        ${canStepInto(shown) && html`<${Button} kind="small" onClick=${() => go("world", "new", shown.id)}>Step into it<//>`}
      </span>
    </figcaption>
  </figure>`;
}

/** The latest takes; they can be dragged onto the timeline. Failed ones say why. */
function Latest() {
  const clips = recent.value;
  const shown = (clips ?? []).filter((clip) => clip.status === "completed" || clip.status === "failed");
  const retry = (clip) => attempt(() => videos.retry(clip.id)).then(refreshQueue);
  return html`<section class="latest" aria-label="Latest takes">
    <h2 class="section-title">Latest takes <a class="link" href=${href("gallery")}>All clips</a></h2>
    ${clips === null && html`<${Skeleton} count=${6} />`}
    ${clips?.length === 0 && !queue.value.data.length && html`<${Empty} title="Nothing filmed yet">Say what happens, above,
      and press Film it.<//>`}
    <div class="strip">
      ${shown.map((clip) => clip.status === "completed"
        ? html`<figure class="clip-card" key=${clip.id}><${Thumb} video=${clip} onOpen=${() => go("gallery", clip.id)} />
          <figcaption>${title(clip)}</figcaption></figure>`
        : html`<figure class="clip-card failed" key=${clip.id} data-testid="failed">
            <div class="failure"><${FailureText} clip=${clip} /><div class="row"><${Button}
              icon="retry" kind="small" label=${`Retry ${title(clip)}`} onClick=${() => retry(clip)} testid="retry">Retry<//>
              ${clip.kinema.kind === "generate" && html`<${Button} kind="small" label=${`Settings of ${title(clip)}`} onClick=${() => reuse(clip)} testid="failed-reuse">Settings<//>`}</div>
              </div>
            <figcaption>${title(clip)}</figcaption></figure>`)}
    </div>
  </section>`;
}
