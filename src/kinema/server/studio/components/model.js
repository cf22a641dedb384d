/** Which model films, and what is to be known of it before it does. */
import { html } from "../ui.js";
import { abilities, engineName, frameSentence, listing, modelNamed, modelsFor, pick, takesAnySize } from "../capabilities.js";
import { duration } from "../format.js";
import { href } from "../router.js";
import { Select } from "./basics.js";
import { License, LicenseQuestion } from "./license.js";

/** A choice of models; with one alone, its name. @param {{models: import("../capabilities.js").Model[], value: string, onChange: (id: string) => void}} props */
export function ModelSelect({ models, value, onChange, testid, label = "Model" }) {
  if (models.length < 2) return null;
  return html`<${Select} label=${label} value=${value} options=${models.map((model) => model.id)} onChange=${onChange} testid=${testid} />`;
}

/** A line on the chosen model, and its license. @param {{model: import("../capabilities.js").Model}} props */
export function ModelLine({ model }) {
  const about = abilities(model);
  const own = about.engine === "kinema";
  const facts = [
    !own && engineName(model), !own && frameSentence(model), about.sound && "with sound", about.seconds_per_second && `about ${duration(about.seconds_per_second)} of filming for a second of film`,
    takesAnySize(model) && "other lengths, rates and sizes are cut and fitted",
  ].filter(Boolean);
  return html`<div class="model-line" data-testid="model-line">
    <p class="hint">${facts.length > 0 && `${facts.join("; ")}. `}<a href=${href("models", model.id)}>What ${model.id} can do</a></p>
    <${License} license=${about.license} />
    <${LicenseQuestion} model=${model} />
  </div>`;
}

/**
 * The models that can make something of a clip, the clip's own first.
 * @param {string} workflow @param {import("../api.js").Video} clip @param {string|null} chosen
 * @returns {{models: import("../capabilities.js").Model[], model: import("../capabilities.js").Model|null}}
 */
export function makersOf(workflow, clip, chosen = null) {
  const models = modelsFor(workflow);
  return { models, model: pick(models, chosen, clip.model) };
}

/** Chooses who makes something of a clip, and says so where it cannot be the model that filmed it. @param {{makers: ReturnType<typeof makersOf>, clip: Object, does: string}} props */
export function Maker({ makers: { models, model }, clip, does, onChange, testid }) {
  if (!model) return null;
  const filmedBy = modelNamed(clip.model);
  const cannot = filmedBy && !models.includes(filmedBy);
  return html`<div class="maker">
    <${ModelSelect} models=${models} value=${model.id} onChange=${onChange} testid=${testid} label="Made by" />
    ${cannot && html`<p class="hint" data-testid="maker-note">${clip.model}, which filmed this clip, cannot ${does}; ${listing(models.map((one) => one.id))} can.</p>`}
    ${models.length < 2 && !cannot && html`<p class="hint">Made by ${model.id}.</p>`}
    <${LicenseQuestion} model=${model} />
  </div>`;
}
