/** All that shapes a take: length, size, rate, camera, seed, and what is seldom changed. */
import { html, useEffect, useState } from "../../ui.js";
import { videos } from "../../api.js";
import { ended, filmers, recent, sceneFacts } from "../../store.js";
import { aspect, colorOf } from "../../room.js";
import { Check, Choice, NumberField, Select } from "../../components/basics.js";
import { CameraField } from "../../components/camera.js";
import { SeedField } from "../../components/seed.js";

export const STEPS = [[4, "Fast"], [null, "Standard"], [32, "Careful"]];

export function Takes({ form, set, model }) {
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
    <${SeedField} value=${form.keptSeed} onChange=${(keptSeed) => set({ keptSeed })} last=${(ended.value ?? recent.value?.[0])?.kinema.seed} />
    <${Choice} label="Takes" value=${form.count} options=${[1, 2, 4, 8]} onChange=${(n) => set({ count: n })} testid="count" />
    <${CameraField} camera=${form.camera} seconds=${form.seconds} ratio=${aspect(size)} onChange=${(camera) => set({ camera })} />
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
      aria-pressed=${chosen.includes(id)} onClick=${() => flip(id)} data-testid="character"><${Swatch} looks=${looks} />${name} <small>${looks}</small>
      </button>`)}</div>
  </div>`;
}

/** The color that a character has, as a picture of it. */
function Swatch({ looks }) {
  const color = looks.split(" ").find((word) => word in sceneFacts.value.palette);
  return color ? html`<i class="swatch" style=${{ background: colorOf(color) }}></i>` : null;
}
