/** All that shapes a take: length, size, rate, camera, seed, and what is seldom changed. */
import { html, useEffect, useState } from "../../ui.js";
import { videos } from "../../api.js";
import { abilities, hasVocabulary, lengthName, lengthened, longest, offers, takesAnySize, written } from "../../capabilities.js";
import { trim } from "../../format.js";
import { ended, recent, sceneFacts } from "../../store.js";
import { aspect, colorOf } from "../../room.js";
import { Check, Choice, NumberField, Select } from "../../components/basics.js";
import { CameraField } from "../../components/camera.js";
import { LoraField } from "../../components/loras.js";
import { SeedField } from "../../components/seed.js";

const MOST_SIDE = 8192;

/** @param {{form: Object, set: (changes: Object) => void, model: import("../../capabilities.js").Model}} props form: settled for the model */
export function Takes({ form, set, model }) {
  const about = abilities(model);
  const { lengths, rates, sizes, care } = offers(model);
  const words = hasVocabulary(model);
  const lengthen = (seconds) => set({ seconds, pictures: lengthened(form.pictures, form.seconds, seconds) });
  const shown = sizes.includes(form.size) ? sizes : [form.size, ...sizes];
  const SizeField = shown.length <= 4 ? Choice : Select;
  return html`<section class="takes" aria-label="Settings">
    <${Choice} label="Length" value=${form.seconds} options=${lengths.map((s) => [s, `${trim(s)} s`])} onChange=${lengthen} testid="seconds" />
    <${Choice} label="Frames a second" value=${form.fps} options=${rates.map((fps) => [fps, trim(fps)])} onChange=${(fps) => set({ fps })} testid="fps" />
    <${SizeField} label="Size" value=${form.size} options=${shown.map((s) => [s, written(s)])} onChange=${(size) => set({ size })} testid="size" />
    ${takesAnySize(model) && html`<${OwnSize} size=${form.size} multiple=${about.multiple} onChange=${(size) => set({ size })} />`}
    ${care.length > 0 && html`<${Choice} label="Care" value=${form.steps}
      options=${care.some(([n]) => n === form.steps) ? care : [...care, [form.steps, `${form.steps} steps`]]}
      onChange=${(steps) => set({ steps })} testid="steps" />`}
    <${SeedField} value=${form.keptSeed} onChange=${(keptSeed) => set({ keptSeed })} last=${(ended.value ?? recent.value?.[0])?.kinema.seed} />
    <${Choice} label="Takes" value=${form.count} options=${[1, 2, 4, 8]} onChange=${(n) => set({ count: n })} testid="count" />
    ${about.camera && html`<${CameraField} camera=${form.camera} seconds=${form.seconds} ratio=${aspect(form.size)} onChange=${(camera) => set({ camera })} />`}
    <details class="more-settings" data-testid="more-settings">
      <summary>More</summary>
      <div class="more-grid">
        ${care.length > 0 && html`<${NumberField} label=${words ? "Steps of the plan" : "Steps"} value=${form.steps} min=${1} max=${200} placeholder=${about.steps ?? "model's own"}
          onChange=${(steps) => set({ steps })} testid="steps-number" />`}
        ${about.guidance !== null && html`<${NumberField} label="Guidance" value=${form.guidance} min=${0} max=${20} step=${0.1} placeholder=${trim(about.guidance)}
          hint="How hard the words pull" onChange=${(guidance) => set({ guidance })} testid="guidance" />`}
        <${NumberField} label="Priority" value=${form.priority} min=${-10} max=${10} placeholder="0" hint="-10 to 10"
          onChange=${(priority) => set({ priority })} testid="priority" />
        <${NumberField} label="Length in seconds" value=${form.seconds} min=${0.25} max=${longest(model)} step=${0.25} hint=${`${lengthName(longest(model))} at most`}
          onChange=${(seconds) => seconds && lengthen(seconds)} testid="seconds-number" />
        ${takesAnySize(model) && html`<${NumberField} label="Frames a second" value=${form.fps} min=${model.kinema.fps[0]} max=${model.kinema.fps[1]}
          hint=${`Filmed at ${trim(about.fps)}`} onChange=${(fps) => fps && set({ fps })} testid="fps-number" />`}
        <${LoraField} model=${model} chosen=${form.loras} onChange=${(loras) => set({ loras })} />
        ${words && html`<${Cast} chosen=${form.characters} onChange=${(characters) => set({ characters })} />`}
        <div class="checks">
          <${Check} label="A visible mark on the film" checked=${form.label} onChange=${(label) => set({ label })} testid="label" />
          ${words && html`<${Check} label="Refuse words that it does not know" checked=${form.strict} onChange=${(strict) => set({ strict })} testid="strict" />`}
        </div>
      </div>
    </details>
  </section>`;
}

/** Any width and height in pixels, taken when a field is left. @param {{size: string, multiple: number}} props multiple: what the model films in */
function OwnSize({ size, multiple, onChange }) {
  const [width, height] = size.split("x").map(Number);
  const put = (w, h) => Number.isInteger(w) && Number.isInteger(h) && w > 0 && h > 0 && onChange(`${w}x${h}`);
  return html`<div class="own-size" role="group" aria-label="Own size, in pixels">
    <${NumberField} label="Width" value=${width} min=${1} max=${MOST_SIDE} step=${1} onLeave=${(w) => put(w, height)} testid="width" />
    <span aria-hidden="true">×</span>
    <${NumberField} label="Height" value=${height} min=${1} max=${MOST_SIDE} step=${1} onLeave=${(h) => put(width, h)} testid="height" />
    ${multiple > 1 && html`<p class="hint">Filmed in whole multiples of ${multiple} pixels</p>`}
  </div>`;
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
      aria-pressed=${chosen.includes(id)} onClick=${() => flip(id)} data-testid="character"><${Swatch} looks=${looks} />${name} <small>${looks}</small>
      </button>`)}</div>
  </div>`;
}

/** The color that a character has, as a picture of it. */
function Swatch({ looks }) {
  const color = looks.split(" ").find((word) => word in sceneFacts.value.palette);
  return color ? html`<i class="swatch" style=${{ background: colorOf(color) }}></i>` : null;
}
