/** The prompt: one large field in which words that the model has never met are underlined, and the words that it knows below. */
import { html, useRef, useId, useMemo, useState } from "../ui.js";
import { colorOf } from "../room.js";
import { Icon } from "./icons.js";

const escape = (word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** The text in pieces, the unknown words marked. */
function pieces(text, unknown) {
  if (!unknown.length) return [text];
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}])(${unknown.map(escape).join("|")})(?![\\p{L}\\p{N}])`, "giu");
  return text.split(pattern).map((piece, i) => (i % 2 ? html`<mark>${piece}</mark>` : piece));
}

/**
 * @param {{value: string, onChange: (text: string) => void, unknown?: string[], hint?: string|null, label?: string, rows?: number, field?: {current: any}}} props
 */
export function PromptField({ value, onChange, unknown = [], hint, label = "Prompt", rows = 2, placeholder, testid = "prompt", field, onSubmit }) {
  const own = useRef(null);
  const box = field ?? own;
  const back = useRef(null);
  const id = useId();
  const shown = useMemo(() => pieces(value, unknown), [value, unknown.join("|")]);
  const strange = unknown.filter((word) => value.toLowerCase().includes(word.toLowerCase()));
  const keys = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) onSubmit?.();
  };
  return html`<div class="prompt">
    <label class="visually-hidden" for=${id}>${label}</label>
    <div class="prompt-box">
      <div class="prompt-back" ref=${back} aria-hidden="true">${shown}${" "}</div>
      <textarea id=${id} ref=${box} rows=${rows} value=${value} placeholder=${placeholder} spellcheck=${false} data-testid=${testid} onKeyDown=${keys}
        aria-describedby=${`${id}-words`} aria-invalid=${strange.length ? "true" : undefined} onInput=${(event) => onChange(event.currentTarget.value)}
        onScroll=${(event) => (back.current.scrollTop = event.currentTarget.scrollTop)}></textarea>
    </div>
    <div class="prompt-words" id=${`${id}-words`} aria-live="polite" data-testid="unknown-words">
      ${strange.length > 0 && html`<p>
        <strong>Not in its vocabulary:</strong> ${strange.map((word, i) => html`${i > 0 && ", "}<span class="strange">${word}
        </span>`)}</p>
        ${hint && html`<p>${hint}</p>`}`}
    </div>
  </div>`;
}

/** Adds a word where the cursor is, with the spaces that it needs. */
export function insertWord(field, text, word) {
  const at = field?.selectionStart ?? text.length;
  const [before, after] = [text.slice(0, at), text.slice(field?.selectionEnd ?? at)];
  const added = `${before && !/\s$/.test(before) ? " " : ""}${word}${after && !/^[\s,.]/.test(after) ? " " : ""}`;
  requestAnimationFrame(() => {
    field?.focus();
    field?.setSelectionRange(at + added.length, at + added.length);
  });
  return before + added + after;
}

/** @param {{vocabulary: {kinds: string[], colors: string[], verbs: string[], examples: string[]}, onWord: (word: string) => void, onExample: (prompt: string) => void}} props */
export function Vocabulary({ vocabulary, lacks = [], onWord, onExample }) {
  const [open, setOpen] = useState(false);
  if (!vocabulary?.kinds.length) return null;
  const examples = open ? (vocabulary.examples ?? []) : (vocabulary.examples ?? []).slice(0, 3);
  const group = (name, words, swatch) => html`<div class="words" role="group" aria-label=${name}>
    <span class="words-name" aria-hidden="true">${name}</span>
    <div class="chips">${words.filter((word) => !lacks.includes(word)).map((word) => html`<button type="button"
      class="chip" key=${word} onClick=${() => onWord(word)} data-testid="word">
      ${swatch && html`<i class="swatch" style=${{ background: colorOf(word) }}></i>`}${word}</button>`)}</div>
  </div>`;
  return html`<div class="vocabulary" data-testid="vocabulary">
    ${examples.length > 0 && html`<div class="chips examples" role="group" aria-label="Example prompts">
      ${examples.map((text) => html`<button type="button" class="chip example" key=${text} onClick=${() => onExample(text)}
        data-testid="example">${text}</button>`)}
      <button type="button" class="chip more" aria-expanded=${open} onClick=${() => setOpen(!open)} data-testid="vocabulary-toggle">
        <${Icon} name=${open ? "up" : "plus"} size=${12} />${open ? "Fewer" : "All words it knows"}</button>
    </div>`}
    ${(open || !examples.length) && html`${group("Things", vocabulary.kinds ?? [])}${group("Colors", vocabulary.colors ?? [], true)}${group("Verbs", vocabulary.verbs ?? [])}`}
  </div>`;
}
