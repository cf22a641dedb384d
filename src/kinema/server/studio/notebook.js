/** Earlier prompts and presets of settings, kept in this browser for each key. Both lists are bounded. */
import { keptForKey } from "./kept.js";
import { keyId } from "./store.js";

export const MOST_PROMPTS = 40;
export const MOST_PRESETS = 24;
const LONGEST_PROMPT = 2000;
const LONGEST_NAME = 60;

/** What a preset holds of the form of Create: how to film, not what. */
const SETTINGS = ["model", "seconds", "size", "fps", "steps", "guidance", "count", "label", "strict", "camera"];

/** Prompts, the latest first. @type {{value: string[]}} */
export const prompts = keptForKey("prompts", [], keyId);
/** @type {{value: {name: string, settings: Object}[]}} */
export const presets = keptForKey("presets", [], keyId);

/** The list with a prompt at its head, once. @param {string[]} list @param {string} text */
export function withPrompt(list, text) {
  const prompt = text.trim().slice(0, LONGEST_PROMPT);
  return prompt ? [prompt, ...list.filter((one) => one !== prompt)].slice(0, MOST_PROMPTS) : list;
}

/** The list with a preset; one of the same name is replaced. */
export function withPreset(list, name, form) {
  const short = name.trim().slice(0, LONGEST_NAME);
  const settings = Object.fromEntries(SETTINGS.filter((field) => field in form).map((field) => [field, form[field]]));
  return short ? [{ name: short, settings }, ...list.filter((one) => one.name !== short)].slice(0, MOST_PRESETS) : list;
}

export function rememberPrompt(text) {
  prompts.value = withPrompt(prompts.value, text);
}
