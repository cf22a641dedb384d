/** What one has asked for before: earlier prompts, and presets of settings. */
import { html, useState } from "../../ui.js";
import { draft, toast } from "../../store.js";
import { presets, prompts, withPreset } from "../../notebook.js";
import { trim } from "../../format.js";
import { Button, Empty } from "../../components/basics.js";
import { Dialog } from "../../components/dialog.js";

/** Puts other words into the form; what stood there can be had back. */
export function replacePrompt(prompt) {
  const before = draft.value.prompt;
  draft.value = { ...draft.value, prompt };
  if (!before.trim() || before === prompt) return;
  const undo = () => (draft.value = { ...draft.value, prompt: before });
  toast("Other words are in the form", { action: { label: "Undo", run: undo } });
}

/** Changes a list of the notebook; the toast takes the change back. */
function change(list, next, text) {
  const before = list.value;
  list.value = next;
  toast(text, { action: { label: "Undo", run: () => (list.value = before) } });
}

/** Two buttons, each of which opens a dialog. */
export function Notebook() {
  const [open, setOpen] = useState(null);
  const close = () => setOpen(null);
  return html`<div class="row notebook">
    <${Button} icon="history" kind="small" onClick=${() => setOpen("prompts")} testid="prompts">Earlier prompts<//>
    <${Button} icon="presets" kind="small" onClick=${() => setOpen("presets")} testid="presets">Presets<//>
    ${open === "prompts" && html`<${Prompts} onClose=${close} />`}
    ${open === "presets" && html`<${Presets} onClose=${close} />`}
  </div>`;
}

function Prompts({ onClose }) {
  const [search, setSearch] = useState("");
  const all = prompts.value;
  const found = all.filter((prompt) => prompt.toLowerCase().includes(search.trim().toLowerCase()));
  const use = (prompt) => (replacePrompt(prompt), onClose());
  const foot = all.length > 0 && html`<${Button} kind="danger" onClick=${() => change(prompts, [], "Earlier prompts are forgotten")}
    testid="forget-prompts">Forget all<//>`;
  return html`<${Dialog} title="Earlier prompts" onClose=${onClose} testid="prompts-dialog" foot=${foot}>
    ${all.length > 0 && html`<input type="search" class="search" aria-label="Search earlier prompts" placeholder="Search by words" value=${search}
      onInput=${(event) => setSearch(event.currentTarget.value)} data-testid="prompts-search" />`}
    ${!found.length && html`<${Empty} title=${all.length ? "None says that" : "None yet"}>What you film is listed here, in this browser alone.<//>`}
    <ul class="lines">${found.map((prompt) => html`<li key=${prompt}>
      <button type="button" class="line" onClick=${() => use(prompt)} data-testid="earlier-prompt">${prompt}</button>
      <${Button} icon="close" kind="quiet small" label=${`Forget “${prompt.slice(0, 60)}”`}
        onClick=${() => change(prompts, all.filter((one) => one !== prompt), "Forgotten")} testid="forget-prompt" /></li>`)}</ul>
  <//>`;
}

/** "4 s · 16 fps · 128×128 · 8 steps" */
function summary({ seconds, fps, size, steps, model }) {
  return [model, seconds && `${trim(seconds)} s`, fps && `${trim(fps)} fps`, size?.replace("x", "×"), steps && `${steps} steps`].filter(Boolean).join(" · ");
}

function Presets({ onClose }) {
  const [name, setName] = useState("");
  const save = (event) => {
    event.preventDefault();
    presets.value = withPreset(presets.value, name, draft.value);
    setName("");
  };
  const use = ({ settings, name: chosen }) => {
    const before = draft.value;
    draft.value = { ...before, ...settings };
    toast(`The settings of ${chosen} are in the form`, { action: { label: "Undo", run: () => (draft.value = before) } });
    onClose();
  };
  return html`<${Dialog} title="Presets" onClose=${onClose} testid="presets-dialog">
    <p class="quiet">A preset keeps length, size, rate, care, camera and the rest of the settings, not the words. Presets stay in this browser.</p>
    <form class="row" onSubmit=${save}>
      <input type="text" class="grow" aria-label="Name of the preset" placeholder="Name" maxlength="60" value=${name}
        onInput=${(event) => setName(event.currentTarget.value)} data-testid="preset-name" />
      <button class="button primary" type="submit" disabled=${!name.trim()} data-testid="save-preset">Save the settings</button>
    </form>
    <ul class="lines">${presets.value.map((preset) => html`<li key=${preset.name}>
      <button type="button" class="line" onClick=${() => use(preset)} data-testid="preset">${preset.name}<small class="mono">${summary(preset.settings)}</small></button>
      <${Button} icon="trash" kind="quiet small" label=${`Delete the preset ${preset.name}`}
        onClick=${() => change(presets, presets.value.filter((one) => one !== preset), `${preset.name} is deleted`)} testid="delete-preset" /></li>`)}</ul>
  <//>`;
}

