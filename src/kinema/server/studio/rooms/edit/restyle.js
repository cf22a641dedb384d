/** Restyle: the clip's state, as its depth, outlines or plain pictures, steers another model that paints it anew. */
import { html, useId, useState } from "../../ui.js";
import { compact, videos } from "../../api.js";
import { abilities, controlName, pick, restylers } from "../../capabilities.js";
import { Choice } from "../../components/basics.js";
import { LicenseQuestion, licenseRefusal } from "../../components/license.js";
import { LoraField, lorasOf } from "../../components/loras.js";
import { ModelSelect } from "../../components/model.js";
import { Send } from "./longer.js";

export function Restyle({ clip, send }) {
  const [chosen, setChosen] = useState(null);
  const [prompt, setPrompt] = useState("");
  const [negative, setNegative] = useState("");
  const [ownControl, setControl] = useState(null);
  const [ownStrength, setStrength] = useState(null);
  const [loras, setLoras] = useState({});
  const id = useId();
  const model = pick(restylers(), chosen);
  const about = abilities(model);
  const control = about.controls.includes(ownControl) ? ownControl : about.controls[0];
  // Only a model that goes by a film has something to keep of it.
  const strength = control === "coarse" && !about.masks ? (ownStrength ?? about.strength) : null;
  const run = () => send(() => videos.restyle(compact({
    video: { id: clip.id }, prompt: prompt.trim(), model: model.id, control, strength, negative_prompt: about.negative_prompt ? negative.trim() : null,
    loras: lorasOf(loras, model),
  })));
  return html`<p>Another model paints the clip: where things are is taken from the clip's state, what they look like from your words. The state stays with the new clip.</p>
    <${ModelSelect} models=${restylers()} value=${model.id} onChange=${setChosen} testid="restyle-model" label="Painted by" />
    ${restylers().length < 2 && html`<p class="hint">Painted by ${model.id}.</p>`}
    <${LicenseQuestion} model=${model} />
    <div class="field"><label for=${`${id}-p`}>What it should look like</label><textarea id=${`${id}-p`} rows="2" value=${prompt} placeholder="a bowling alley, photograph"
      onInput=${(event) => setPrompt(event.currentTarget.value)} data-testid="restyle-prompt"></textarea></div>
    ${about.negative_prompt && html`<div class="field"><label for=${`${id}-n`}>What not to show <span class="quiet">(may be left open)</span></label>
      <textarea id=${`${id}-n`} rows="1" value=${negative} onInput=${(event) => setNegative(event.currentTarget.value)} data-testid="restyle-negative"></textarea></div>`}
    ${about.controls.length > 1 && html`<${Choice} label="Steered by" value=${control} options=${about.controls.map((name) => [name, controlName(name)])}
      onChange=${setControl} testid="restyle-control" />`}
    ${strength !== null && html`<div class="field"><label for=${`${id}-s`}>Strength <span class="mono">${strength}</span></label>
      <input id=${`${id}-s`} type="range" min="0.05" max="1" step="0.05" value=${strength} style=${{ "--share": `${strength * 100}%` }}
        onInput=${(event) => setStrength(Number(event.currentTarget.value))} aria-valuetext=${`${strength}: 0 keeps all, 1 nothing`} data-testid="restyle-strength" />
      <p class="hint">0 keeps all of the plain pictures, 1 nothing.</p></div>`}
    <${LoraField} model=${model} chosen=${loras} onChange=${setLoras} />
    <${Send} onSend=${run} disabled=${!prompt.trim() || Boolean(licenseRefusal(model))} testid="restyle">Paint it<//>`;
}
