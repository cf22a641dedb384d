/** Create: say what to film, see what it will cost, watch it come. */
import { html, useEffect, useMemo, useRef, useState } from "../ui.js";
import { compact, videos } from "../api.js";
import { attempt, draft, ended, filmers, modelOf, queue, recent, refreshQueue, running, session, submit, toast } from "../store.js";
import { go, href } from "../router.js";
import { count, duration, slate, title } from "../format.js";
import { Button, Check, Choice, Empty, NumberField, Select, Skeleton } from "../components/basics.js";
import { PromptField, Vocabulary, insertWord } from "../components/prompt.js";
import { Timeline, pictureFields } from "../components/timeline.js";
import { Queue, Preview } from "../components/queue.js";
import { Player } from "../components/player.js";
import { Thumb } from "../components/thumb.js";

const STEPS = [[4, "Fast"], [null, "Standard"], [32, "Careful"]];
const SEEDS = 2 ** 31;

/** The body of POST /v1/videos for the form. */
export function requestOf(form) {
  const size = form.size ?? modelOf(form.model)?.kinema.size;
  return compact({
    prompt: form.prompt.trim(), model: form.model ?? modelOf(null)?.id, seconds: String(form.seconds), size, fps: form.fps, seed: form.seed ?? 0,
    steps: form.steps, guidance: form.guidance, priority: form.priority || null, label: form.label || null, strict: form.strict || null,
    characters: form.characters.length ? form.characters.map((id) => ({ id })) : null,
    ...pictureFields(form.pictures, form.seconds),
  });
}

/** What the server says that the form will take, asked when typing rests. */
export function useEstimate(body, wanted = true) {
  const [answer, setAnswer] = useState({ estimate: null, error: null });
  // What a film takes is known better after each one.
  const text = JSON.stringify([body, ended.value?.id]);
  useEffect(() => {
    if (!wanted) {
      setAnswer({ estimate: null, error: null });
      return undefined;
    }
    const stop = new AbortController();
    const timer = setTimeout(() => {
      videos.estimate(body, { signal: stop.signal }).then(
        (estimate) => setAnswer({ estimate, error: null }),
        (error) => error.name !== "AbortError" && setAnswer({ estimate: null, error }),
      );
    }, 300);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [text, wanted]);
  return answer;
}

export function Create() {
  const form = draft.value;
  const set = (changes) => (draft.value = { ...draft.value, ...changes });
  const field = useRef(null);
  const model = modelOf(form.model);
  const body = requestOf(form);
  const { estimate, error } = useEstimate(body, Boolean(model && form.prompt.trim()));
  const [sending, setSending] = useState(false);
  const film = async () => {
    if (!form.prompt.trim()) {
      field.current?.focus();
      toast("Say what to film first.");
      return;
    }
    setSending(true);
    for (let i = 0; i < form.count; i++) {
      const sent = await submit(() => videos.create({ ...body, seed: (form.seed ?? 0) + i }), form.count > 1 ? `${i + 1} of ${form.count} in the queue` : undefined);
      if (!sent) break;
    }
    setSending(false);
  };
  return html`<div class="create">
    <section class="composer panel" aria-label="What to film">
      <h1 class="visually-hidden">Create</h1>
      <${PromptField} value=${form.prompt} onChange=${(prompt) => set({ prompt })} unknown=${estimate?.unknown_words}
        hint=${estimate?.hint} field=${field} onSubmit=${film}
        rows=${2} placeholder="What happens in the film?" />
      <${Vocabulary} vocabulary=${model?.kinema.vocabulary} lacks=${model?.kinema.lacks}
        onExample=${(prompt) => set({ prompt })}
        onWord=${(word) => set({ prompt: insertWord(field.current, draft.value.prompt, word) })} />
      <${Timeline} seconds=${form.seconds} fps=${form.fps} pictures=${form.pictures} onChange=${(pictures) => set({ pictures })} />
      <${Takes} form=${form} set=${set} model=${model} />
      <${Slate} form=${form} estimate=${estimate} error=${error} onFilm=${film} sending=${sending} />
    </section>
    <aside class="monitor" aria-label="Monitor and queue">
      <${Monitor} />
      <${QueueHead} />
      <${Queue} />
    </aside>
    <${Latest} />
  </div>`;
}

/** The queue's title; whoever keeps the server can hold all of it. */
function QueueHead() {
  const held = queue.value.paused;
  const admin = (session.value?.key?.scopes ?? []).includes("admin");
  const flip = () => attempt(() => videos.holdQueue(!held)).then(refreshQueue);
  return html`<div class="section-title"><h2>Queue ${held && html`<small>held</small>`}</h2>
    ${admin && html`<button type="button" class="link" onClick=${flip} data-testid="hold-queue">${held ? "Go on" : "Hold all"}</button>`}</div>`;
}

/** Length, size, rate, seed: all that shapes a take. */
function Takes({ form, set, model }) {
  const about = model?.kinema;
  const lengths = [1, 2, 4, 6, 8, 12].filter((seconds) => !about?.max_seconds || seconds <= about.max_seconds);
  const rates = [8, 12, 16, 24, 32].filter((fps) => !about?.fps || (fps >= about.fps[0] && fps <= about.fps[1]));
  const sizes = about?.sizes?.length ? about.sizes : [about?.size ?? "64x64"];
  const size = form.size ?? about?.size ?? sizes[0];
  const shown = sizes.includes(size) ? sizes : [size, ...sizes];
  return html`<section class="takes" aria-label="Settings">
    <${Choice} label="Length" value=${form.seconds} options=${lengths.map((s) => [s, `${s} s`])}
      onChange=${(seconds) => set({ seconds, pictures: form.pictures.map((one) => (one.at >= form.seconds ? { ...one, at: seconds } : { ...one, at: Math.min(one.at, seconds) })) })}
      testid="seconds" />
    <${Choice} label="Frames a second" value=${form.fps} options=${rates} onChange=${(fps) => set({ fps })} testid="fps" />
    ${shown.length <= 4
      ? html`<${Choice} label="Size" value=${size} options=${shown.map((s) => [s, s.replace("x", "×")])}
        onChange=${(value) => set({ size: value })} testid="size" />`
      : html`<${Select} label="Size" value=${size} options=${shown.map((s) => [s, s.replace("x", "×")])}
        onChange=${(value) => set({ size: value })} testid="size" />`}
    <${Choice} label="Care" value=${form.steps}
      options=${STEPS.some(([n]) => n === form.steps) ? STEPS : [...STEPS, [form.steps, `${form.steps} steps`]]}
      onChange=${(steps) => set({ steps })} testid="steps" />
    <div class="seed">
      <${NumberField} label="Seed" value=${form.seed} min=${0} max=${SEEDS} onChange=${(seed) => set({ seed })} testid="seed" />
      <${Button} icon="dice" label="Another seed" onClick=${() => set({ seed: Math.floor(Math.random() * 100000) })} testid="dice" />
    </div>
    <${Choice} label="Takes" value=${form.count} options=${[1, 2, 4, 8]} onChange=${(n) => set({ count: n })} testid="count" />
    <details class="more-settings" data-testid="more-settings">
      <summary>More</summary>
      <div class="more-grid">
        ${filmers.value.length > 1 && html`<${Select} label="Model" value=${model?.id}
          options=${filmers.value.map((one) => one.id)} onChange=${(id) => set({ model: id, size: null })}
          testid="model" />`}
        <${NumberField} label="Steps of the plan" value=${form.steps} min=${1} max=${200} placeholder="model's own"
          onChange=${(steps) => set({ steps })} testid="steps-number" />
        <${NumberField} label="Guidance" value=${form.guidance} min=${0} max=${20} step=${0.1} placeholder="2"
          hint="How hard the words pull" onChange=${(guidance) => set({ guidance })} testid="guidance" />
        <${NumberField} label="Priority" value=${form.priority} min=${-10} max=${10} placeholder="0" hint="-10 to 10"
          onChange=${(priority) => set({ priority })} testid="priority" />
        <${NumberField} label="Length in seconds" value=${form.seconds} min=${0.25} step=${0.25}
          onChange=${(seconds) => seconds && set({ seconds })} testid="seconds-number" />
        <${Cast} chosen=${form.characters} onChange=${(characters) => set({ characters })} />
        <div class="checks">
          <${Check} label="A visible mark on the film" checked=${form.label} onChange=${(label) => set({ label })} testid="label" />
          <${Check} label="Refuse words that it does not know" checked=${form.strict} onChange=${(strict) => set({ strict })} testid="strict" />
        </div>
      </div>
    </details>
  </section>`;
}

/** Characters made from clips, to appear in the film. */
function Cast({ chosen, onChange }) {
  const [cast, setCast] = useState([]);
  useEffect(() => {
    videos.characters().then((answer) => setCast(answer.data ?? []), () => {});
  }, []);
  if (!cast.length) return null;
  const flip = (id) => onChange(chosen.includes(id) ? chosen.filter((one) => one !== id) : [...chosen, id]);
  return html`<div class="cast" role="group" aria-label="Characters">
    <span class="label">Characters</span>
    <div class="chips">${cast.map(({ id, name, looks }) => html`<button type="button" class="chip" key=${id}
      aria-pressed=${chosen.includes(id)} onClick=${() => flip(id)} data-testid="character">${name} <small>${looks}</small>
      </button>`)}</div>
  </div>`;
}

/** What it will take, and the button. */
function Slate({ form, estimate, error, onFilm, sending }) {
  const left = estimate?.quota.limit ? estimate.quota.limit - estimate.quota.used - estimate.quota.reserved : null;
  const cost = estimate && estimate.pixel_seconds * form.count;
  return html`<div class="slate" data-testid="slate">
    <div class="slate-text" aria-live="polite" data-testid="estimate">
      ${error && html`<p class="error-text" role="alert">${error.message}</p>`}
      ${!error && !estimate && html`<p class="quiet-note">Write a prompt to see what it takes.</p>`}
      ${estimate && html`<dl>
        <div><dt>Filming</dt><dd>${estimate.run_s === null ? "not known yet" : duration(estimate.run_s * form.count)}</dd></div>
        <div><dt>Wait</dt><dd>${estimate.wait_s ? duration(estimate.wait_s) : "none"}</dd></div>
        <div><dt>Cost</dt><dd title="pixel-seconds">${count(cost)}<small> px·s</small></dd></div>
        <div><dt>Left</dt><dd class=${left !== null && cost > left ? "over" : ""}>${left === null ? "no limit" : count(Math.max(left, 0))}</dd></div>
      </dl>${(estimate.notes ?? []).map((note) => html`<p class="hint" key=${note}>${note}</p>`)}`}
    </div>
    <${Button} kind="film" onClick=${onFilm} busy=${sending}
      testid="film" title="Ctrl Enter in the prompt does the same">${form.count > 1 ? `Film ${form.count} takes` : "Film it"}
      <//>
  </div>`;
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
        <${Button} kind="small" onClick=${() => go("world", "new", shown.id)}>Step into it<//>
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
    ${clips?.length === 0 && !queue.value.data.length && html`<${Empty} title="Nothing filmed yet">Choose one of the
      examples above and press Film it. The first clip takes a few seconds.<//>`}
    <div class="strip">
      ${shown.map((clip) => clip.status === "completed"
        ? html`<figure class="clip-card" key=${clip.id}><${Thumb} video=${clip} onOpen=${() => go("gallery", clip.id)} />
          <figcaption>${title(clip)}</figcaption></figure>`
        : html`<figure class="clip-card failed" key=${clip.id} data-testid="failed">
            <div class="failure"><p>${clip.kinema.cancelled ? "Canceled" : (clip.error?.message ?? "Failed")}</p><${Button}
              icon="retry" kind="small" label=${`Retry ${title(clip)}`} onClick=${() => retry(clip)} testid="retry">Retry<//>
              </div>
            <figcaption>${title(clip)}</figcaption></figure>`)}
    </div>
  </section>`;
}
