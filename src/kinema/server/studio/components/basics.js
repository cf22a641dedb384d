/** Small parts that every room uses: fields, buttons, notes, empty places. */
import { html, classes, useEffect, useRef, useId, useState } from "../ui.js";
import { isAway } from "../connection.js";
import { returns } from "../store.js";
import { Icon } from "./icons.js";

/** A labelled control. @param {{label: string, hint?: string}} props */
export function Field({ label, hint, children, class: extra, id, hideLabel }) {
  return html`<div class=${classes("field", extra)}>
    <label for=${id} class=${hideLabel ? "visually-hidden" : ""}>${label}</label>
    ${children} ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
  </div>`;
}

/** A number that may be left open. Sends null when empty: with each key (onChange), or when the field is left (onLeave). */
export function NumberField({ label, value, onChange, onLeave, min, max, step = 1, placeholder, hint, testid, suffix, hideLabel }) {
  const id = useId();
  const take = (send) => (event) => {
    const text = event.currentTarget.value;
    if (text === "") send(null);
    else if (Number.isFinite(Number(text))) send(Number(text));
  };
  return html`<${Field} label=${label} hint=${hint} id=${id} class="number" hideLabel=${hideLabel}>
    <span class="with-suffix">
      <input id=${id} type="number" inputmode="decimal" min=${min} max=${max} step=${step} placeholder=${placeholder}
        value=${value ?? ""} onInput=${onChange && take(onChange)} onChange=${onLeave && take(onLeave)} data-testid=${testid} aria-describedby=${hint ? `${id}-hint` : undefined} />
      ${suffix && html`<span class="suffix" aria-hidden="true">${suffix}</span>`}
    </span>
  <//>`;
}

/** A few choices side by side: radio buttons with the looks of a switch. @param {{options: (string|[any, string])[]}} props */
export function Choice({ label, value, options, onChange, testid, hideLabel }) {
  const name = useId();
  const pairs = options.map((option) => (Array.isArray(option) ? option : [option, String(option)]));
  return html`<fieldset class="choice" data-testid=${testid}>
    <legend class=${hideLabel ? "visually-hidden" : ""}>${label}</legend>
    <div class="choice-row">
      ${pairs.map(
        ([key, text]) => html`<label class=${classes("choice-item", { on: key === value })} key=${String(key)}>
          <input type="radio" name=${name} checked=${key === value} onChange=${() => onChange(key)} />
          <span>${text}</span>
        </label>`,
      )}
    </div>
  </fieldset>`;
}

export function Select({ label, value, options, onChange, testid }) {
  const id = useId();
  return html`<${Field} label=${label} id=${id}>
    <select id=${id} value=${value} onChange=${(event) => onChange(event.currentTarget.value)} data-testid=${testid}>
      ${options.map((option) => {
        const [key, text] = Array.isArray(option) ? option : [option, option];
        return html`<option value=${key} selected=${key === value}>${text}</option>`;
      })}
    </select>
  <//>`;
}

export function Check({ label, checked, onChange, testid }) {
  return html`<label class="check">
    <input type="checkbox" checked=${checked} onChange=${(event) => onChange(event.currentTarget.checked)} data-testid=${testid} />
    <span>${label}</span>
  </label>`;
}

/** A button. icon alone: `label` is its name; with children: the children are. */
export function Button({ icon, label, kind = "", busy, children, testid, ...rest }) {
  const alone = icon && !children;
  return html`<button type="button" class=${classes("button", kind, { alone, busy })} aria-label=${label} title=${alone ? label : undefined}
    aria-busy=${busy ? "true" : undefined} data-testid=${testid} ...${rest} disabled=${rest.disabled || busy}>
    ${icon && html`<${Icon} name=${icon} />`}${children && html`<span>${children}</span>`}
  </button>`;
}

/** A button that opens the file dialog. */
export function FileButton({ accept, onFile, children, icon = "plus", label, testid, kind = "", busy }) {
  const input = useRef(null);
  const take = (event) => {
    const [file] = event.currentTarget.files;
    event.currentTarget.value = "";
    if (file) onFile(file);
  };
  return html`<span class="file-button">
    <input ref=${input} type="file" accept=${accept} onChange=${take} hidden data-testid=${testid && `${testid}-input`} />
    <${Button} icon=${icon} kind=${kind} label=${label} busy=${busy} testid=${testid} onClick=${() => input.current.click()}>${children}<//>
  </span>`;
}

export function Progress({ value, label }) {
  return html`<div class="progress" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(value)} aria-label=${label}>
    <div class="progress-bar" style=${{ width: `${Math.max(value, 1.5)}%` }}></div>
  </div>`;
}

/** What the server said, in full. @param {{error: Error|string|null, retry?: () => void}} props */
export function Note({ error, kind = "bad", retry, children, testid = "note" }) {
  if (!error && !children) return null;
  return html`<div class=${classes("note", kind)} role=${kind === "bad" ? "alert" : "status"} data-testid=${testid}>
    <div>${children ?? error.message ?? String(error)}${error?.requestId && html` <small class="mono">${error.requestId}</small>`}</div>
    ${retry && html`<${Button} icon="retry" kind="small" onClick=${retry}>Try again<//>`}
  </div>`;
}

/** An empty place that says what will be here. */
export function Empty({ title, children, art = "bars" }) {
  return html`<div class="empty" data-testid="empty">
    <div class=${classes("empty-art", art)} aria-hidden="true">${Array.from({ length: 8 }, (_, i) => html`<i key=${i}></i>`)}</div>
    <h2>${title}</h2>
    <div class="empty-text">${children}</div>
  </div>`;
}

export function Skeleton({ count = 8, kind = "thumb" }) {
  return html`<div class=${`skeletons ${kind}`} aria-hidden="true">
    ${Array.from({ length: count }, (_, i) => html`<div class="skeleton" key=${i}></div>`)}
  </div>`;
}

/** Loads something and says how it went; what failed while the server was away is loaded again when it is back. @returns {{data: any, error: Error|null, loading: boolean, reload: () => void}} */
export function useLoaded(load, deps) {
  const [state, setState] = useState({ data: null, error: null, loading: true });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let current = true;
    setState((before) => ({ ...before, loading: true, error: null }));
    load().then(
      (data) => current && setState({ data, error: null, loading: false }),
      (error) => current && setState({ data: null, error, loading: false }),
    );
    return () => {
      current = false;
    };
  }, [...deps, turn]);
  useEffect(() => {
    if (returns.value && isAway(state.error)) setTurn((n) => n + 1);
  }, [returns.value]);
  return { ...state, reload: () => setTurn((n) => n + 1) };
}
