/** LoRA that a model has under names: which of them a film is made with, and how much of each. */
import { html, useId } from "../ui.js";
import { abilities } from "../capabilities.js";
import { Check, NumberField } from "./basics.js";

const MOST = 4;

/** What a request says of them; null: nothing. @param {Object<string, number>} chosen scales by name @param {import("../capabilities.js").Model} model */
export function lorasOf(chosen, model) {
  const loras = abilities(model).lora_names.filter((name) => name in chosen).map((name) => ({ name, scale: chosen[name] }));
  return loras.length ? loras : null;
}

/** Shown where the model has any. @param {{model: import("../capabilities.js").Model, chosen: Object<string, number>, onChange: (chosen: Object<string, number>) => void}} props */
export function LoraField({ model, chosen, onChange }) {
  const label = useId();
  const names = abilities(model).lora_names;
  if (!names.length) return null;
  const flip = (name, on) => onChange(Object.fromEntries([...Object.entries(chosen).filter(([other]) => other !== name), ...(on ? [[name, 1]] : [])]));
  return html`<div class="loras" role="group" aria-labelledby=${label} data-testid="loras"><span class="label" id=${label}>LoRA</span>
    ${names.map((name) => html`<div class="row" key=${name}><${Check} label=${name} checked=${name in chosen} onChange=${(on) => flip(name, on)} testid="lora" />
      ${name in chosen && html`<${NumberField} label=${`How much of ${name}`} hideLabel value=${chosen[name]} min=${-MOST} max=${MOST} step=${0.1}
        onChange=${(scale) => scale !== null && onChange({ ...chosen, [name]: scale })} testid="lora-scale" />`}</div>`)}
  </div>`;
}
