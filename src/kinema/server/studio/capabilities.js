/**
 * What models can film, as `kinema.capabilities` of GET /v1/models says, and what the forms offer by it.
 *
 * @typedef {Object} Capabilities
 * @property {"kinema"|"diffusers"|"upstream"} engine
 * @property {string} family
 * @property {("generate"|"image"|"first_last"|"keyframes"|"extend"|"infill"|"blend"|"edit"|"restyle"|"upscale"|"still")[]} workflows
 * @property {number[]} size width and height, the usual ones
 * @property {number[][]} sizes empty: many
 * @property {number} multiple
 * @property {number} fps
 * @property {number} seconds
 * @property {number|null} most_seconds
 * @property {{step: number, offset: number, least: number, most: number|null, rule: string}} frames
 * @property {number|null} steps
 * @property {number|null} guidance
 * @property {number|null} strength
 * @property {boolean} negative_prompt
 * @property {boolean} camera
 * @property {boolean} masks
 * @property {boolean} sound
 * @property {boolean} loras
 * @property {string[]} lora_names those that a request may name
 * @property {("depth"|"edges"|"segments"|"coarse")[]} controls what of a scene's state can steer it
 * @property {boolean} state
 * @property {{name: string, link: string, attribution: string, territory: string, revenue: string}} license
 * @property {number|null} memory_bytes
 * @property {number|null} seconds_per_second seconds of filming for a second of film, measured on this machine
 *
 * @typedef {{id: string, kinema: Object}} Model
 */
import { filmers, models } from "./store.js";
import { bytes, duration, trim } from "./format.js";

/** @param {Model} model @returns {Capabilities} */
export const abilities = (model) => model.kinema.capabilities;

/** @param {Model|null} model @param {string} workflow */
export const can = (model, workflow) => Boolean(model && abilities(model).workflows.includes(workflow));

/** Installed models that film in this way. */
export const modelsFor = (workflow) => filmers.value.filter((model) => can(model, workflow));

/** Installed models that the state of a scene can steer, those that it can steer in the most ways first. */
export const restylers = () =>
  filmers.value.filter((model) => abilities(model).controls.length > 0).sort((a, b) => abilities(b).controls.length - abilities(a).controls.length);

const CONTROLS = { depth: "its depth", edges: "its outlines", segments: "its things in grays", coarse: "its plain pictures" };
export const controlName = (name) => CONTROLS[name] ?? name;

/** Installed models that keep the state of a scene: what they film can be stepped into, and its things moved. */
export const stateModels = () => filmers.value.filter((model) => abilities(model).state);

/** Whether a world can begin with a clip: by a model with a state, unless another model filmed it. */
export function canStepInto(clip) {
  const model = modelNamed(clip.model);
  return stateModels().length > 0 && (clip.kinema.has_state || !model || abilities(model).state);
}

/** Whether a model has words of its own, and reads storyboards. Other models take any words, as one text. */
export const hasVocabulary = (model) => Boolean(model?.kinema.vocabulary.kinds.length);

/** The first of these ids that is among the models, else the first model. @param {Model[]} among @param {...(string|null)} ids */
export function pick(among, ...ids) {
  const [found] = ids.map((id) => among.find((model) => model.id === id)).filter(Boolean);
  return found ?? among[0] ?? null;
}

/** "a", "a and b", "a, b and c" */
export const listing = (words) => (words.length < 2 ? (words[0] ?? "") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);

/** @param {string} size WIDTHxHEIGHT */
export const written = (size) => size.replace("x", "×");

/** Where Kinema's own models refuse a size, others film one near and fit it. */
export const takesAnySize = (model) => abilities(model).engine !== "kinema";

/** The longest film, in seconds. */
export const longest = (model) => Math.min(abilities(model).most_seconds ?? Infinity, model.kinema.max_seconds);

/** "5.06 s", "10 min" */
export const lengthName = (seconds) => (seconds < 60 ? `${trim(seconds)} s` : duration(seconds));

const within = (values, low, high) => [...new Set(values)].filter((value) => value >= low && value <= high).sort((a, b) => a - b);

/** What the form offers of a model: lengths in seconds, frames a second, sizes, and [steps, name] of how carefully it films. */
export function offers(model) {
  const { seconds, fps, steps, engine } = abilities(model);
  const [slowest, fastest] = model.kinema.fps;
  const own = engine === "kinema";
  return {
    lengths: within([1, 2, 4, 6, 8, 12, seconds], 0, longest(model)),
    rates: within(own ? [8, 12, 16, 24, 32] : [8, 12, 16, 24, 30, fps], slowest, fastest),
    sizes: model.kinema.sizes,
    care: own ? [[4, "Fast"], [null, "Standard"], [32, "Careful"]] : careOf(steps),
  };
}

function careOf(steps) {
  if (!steps) return [];
  const [few, many] = [Math.ceil(steps / 2), Math.min(Math.ceil(steps * 1.5), 200)];
  return [[few, "Fast"], [null, "Standard"], [many, "Careful"]].filter(([count]) => count !== steps);
}

/** The settings that a model has a usual value for; null: that one. */
export const USUAL = { size: null, seconds: null, fps: null, steps: null, guidance: null };

/** The form with the model's values where it leaves them open, or asks for what the model does not film. */
export function settled(form, model) {
  if (!model) return { ...form, seconds: form.seconds ?? 4, fps: form.fps ?? 16 };
  const { seconds, fps } = abilities(model);
  const [slowest, fastest] = model.kinema.fps;
  const known = form.size && (takesAnySize(model) || model.kinema.sizes.includes(form.size));
  return {
    ...form,
    seconds: Math.min(form.seconds ?? seconds, longest(model)),
    fps: Math.min(Math.max(form.fps ?? fps, slowest), fastest),
    size: known ? form.size : model.kinema.size,
  };
}

/** Pinned pictures when a film of `before` seconds gets another length: the last stays the last. */
export const lengthened = (pictures, before, seconds) =>
  pictures.map((one) => ({ ...one, at: one.at >= before - 1e-6 ? seconds : Math.min(one.at, seconds) }));

/** Where pictures may stand in a film of this model. */
export function placesOf(model) {
  const between = can(model, "keyframes");
  const last = between || can(model, "first_last");
  return { first: last || can(model, "image"), last, between };
}

/** The pictures that the model can use. */
export function usable(pictures, model, seconds) {
  const places = placesOf(model);
  return pictures.filter(({ at }) => (at <= 0 ? places.first : at >= seconds - 1e-6 ? places.last : places.between));
}

/** What is still missing for a film of this model, in words; null: nothing. @param {{at: number}[]} pictures those it can use */
export function missing(model, pictures, seconds) {
  if (!model) return null;
  const first = pictures.some(({ at }) => at <= 0);
  const last = pictures.some(({ at }) => at > 0 && at >= seconds - 1e-6);
  const between = pictures.some(({ at }) => at > 0 && at < seconds - 1e-6);
  const workflow = between || (last && !first) ? "keyframes" : last ? "first_last" : first ? "image" : "generate";
  if (can(model, workflow)) return null;
  if (workflow === "generate") return can(model, "image") ? `${model.id} films from a first picture: add one.` : `${model.id} films between pictures: add a first and a last one.`;
  if (workflow === "image") return `${model.id} films from a first to a last picture: add the last one.`;
  return `${model.id} needs a first picture as well as a last one.`;
}

// In words

const WORKFLOWS = {
  generate: "from words", image: "from a first picture", first_last: "from a first to a last picture", keyframes: "from pictures at given seconds",
  extend: "longer films out of others", infill: "what happens between pictures", blend: "blends and loops", edit: "films anew with other words", restyle: "scenes painted anew", upscale: "films made larger", still: "single pictures",
};
const ENGINES = { kinema: "Kinema's own model", diffusers: "An open model, on this machine", upstream: "A model on another server" };

export const engineName = (model) => ENGINES[abilities(model).engine] ?? abilities(model).engine;

/** ["from words", …] @param {string[]} workflows */
export const workflowNames = (workflows) => workflows.map((name) => WORKFLOWS[name] ?? name);

/** Installed models with a workflow, in words. @param {string} workflow */
export function whoCan(workflow) {
  const names = modelsFor(workflow).map((model) => model.id);
  return names.length ? `${listing(names)} can` : "no installed model can";
}

/** "16 frames a second, in 4k+1 frames, 81 at most at a time" @param {Model} model */
export function frameSentence(model) {
  const { fps, frames, engine } = abilities(model);
  if (engine === "kinema") return `${model.kinema.fps.map((one) => trim(one)).join(" to ")} a second`;
  const rule = frames.rule === "k" ? "" : `, in ${frames.rule} frames`;
  return `${trim(fps)} frames a second${rule}${frames.most ? `, ${frames.most} at most at a time` : ""}`;
}

/** What becomes of pictures of the cast, which no engine takes: a model goes by the look in words. @param {string} id of the model @param {boolean} compared */
export const castSentence = (id, compared) =>
  `${id} films the cast by its look in words and takes no pictures of it: ${compared ? "takes are compared with these" : "these are kept with the script"}.`;

/** All that a model can do, as [name, text]. @param {Model} model */
export function described(model) {
  const about = abilities(model);
  const inputs = [
    about.negative_prompt && "what not to show", about.camera && "moves of the camera", about.masks && "masks of where an edit may change",
    about.strength !== null && "how much an edit changes", about.lora_names.length ? `LoRA: ${listing(about.lora_names)}` : about.loras && "LoRA weights (command line and library)",
    about.controls.length && `the state of a scene (${listing(about.controls.map(controlName))})`,
  ].filter(Boolean);
  const sizes = about.sizes.length && about.sizes.length <= 30 ? about.sizes.map((size) => size.join("×")).join(", ") : about.size.join("×");
  const others = takesAnySize(model) ? "; any other size is filmed at one near, then fitted" : "";
  return [
    ["Kind", [about.family, engineName(model)].filter(Boolean).join(". ")],
    ["Films", workflowNames(about.workflows).join(", ")],
    ["Pictures", `${sizes}${others}`],
    ["Frames", frameSentence(model)],
    ["Length", `${lengthName(about.seconds)} usually, ${lengthName(longest(model))} at most`],
    ["Steps", about.steps && `${about.steps} usually${about.guidance !== null ? `, guidance ${trim(about.guidance)}` : ""}`],
    ["Takes also", inputs.join(", ")],
    ["Sound", about.sound ? "Films with sound" : "Silent"],
    ["Worlds", about.state ? "Keeps the state of a scene: can be stepped into, and its things moved" : null],
    ["Memory", about.memory_bytes && `${bytes(about.memory_bytes)} of weights`],
    ["Speed", about.seconds_per_second ? `about ${duration(about.seconds_per_second)} of filming for a second of film, measured here` : null],
  ];
}

/** The model by this id, recorded worlds too. */
export const modelNamed = (id) => (models.value ?? []).find((model) => model.id === id) ?? null;
