/** What a film will take, by itself and with other settings; and the button that films it. */
import { html, useEffect, useState } from "../../ui.js";
import { compact, videos } from "../../api.js";
import { ended, filmers, modelOf } from "../../store.js";
import { count, duration } from "../../format.js";
import { aspect } from "../../room.js";
import { Button } from "../../components/basics.js";
import { offers, takesAnySize } from "../../capabilities.js";

/** What the server says that the form will take, asked when typing rests. */
export function useEstimate(body, wanted = true) {
  const [answer, setAnswer] = useState({ estimate: null, error: null });
  // What a film takes is known better after each one.
  const text = JSON.stringify([body, ended.value?.id]);
  useEffect(() => {
    if (!wanted) {
      setAnswer({ estimate: null, error: null });
      return undefined;
    }
    const stop = new AbortController();
    const timer = setTimeout(() => {
      videos.estimate(body, { signal: stop.signal }).then(
        (estimate) => setAnswer({ estimate, error: null }),
        (error) => error.name !== "AbortError" && setAnswer({ estimate: null, error }),
      );
    }, 300);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [text, wanted]);
  return answer;
}

/** What it will take, and the button. */
export function Slate({ form, set, body, estimate, error, lacking, onFilm, sending }) {
  const left = estimate?.quota.limit ? estimate.quota.limit - estimate.quota.used - estimate.quota.reserved : null;
  const cost = estimate && estimate.pixel_seconds * form.count;
  return html`<div class="slate" data-testid="slate">
    <div class="slate-text" aria-live="polite" data-testid="estimate">
      ${lacking && html`<p class="hint" data-testid="lacking">${lacking}</p>`}
      ${error && !lacking && html`<p class="error-text" role="alert">${error.message}</p>`}
      ${!error && !lacking && !estimate && html`<p class="quiet-note">Write a prompt to see what it takes.</p>`}
      ${estimate && html`<dl>
        <div><dt>Filming</dt><dd>${timeOf(estimate, form.count)}</dd></div>
        <div><dt>Wait</dt><dd>${estimate.wait_s ? duration(estimate.wait_s) : "none"}</dd></div>
        <div><dt>Cost</dt><dd title="pixel-seconds">${count(cost)}<small> px·s</small></dd></div>
        <div><dt>Left</dt><dd class=${left !== null && cost > left ? "over" : ""}>${left === null ? "no limit" : count(Math.max(left, 0))}</dd></div>
      </dl>${estimate.fitting.length > 0 && html`<p class="hint" data-testid="fitting">${sentence(estimate.fitting)}</p>`}
      ${estimate.notes.map((note) => html`<p class="hint" key=${note}>${note}</p>`)}`}
      ${estimate && html`<${Comparison} form=${form} set=${set} body=${body} />`}
    </div>
    <${Button} kind="film" onClick=${onFilm} busy=${sending}
      testid="film" title="Ctrl Enter in the prompt does the same">${form.count > 1 ? `Film ${form.count} takes` : "Film it"}
      <//>
  </div>`;
}

/** ["filmed at 16", "17 are kept"] -> "Filmed at 16; 17 are kept." */
const sentence = (parts) => `${parts.join("; ")}.`.replaceAll(/(\d)x(\d)/g, "$1×$2").replace(/^./, (first) => first.toUpperCase());

const timeOf = (estimate, takes) => (estimate.run_s === null ? "not known yet" : duration(estimate.run_s * takes));

const SIMILAR = 0.15;
const MOST_SIZES = 6;

/** Requests that differ from the form's in one setting: another size of its shape, other care, another model. */
function alternatives(form, body) {
  const model = modelOf(form.model);
  const ratio = aspect(body.size);
  const area = (size) => size.split("x").reduce((product, side) => product * Number(side), 1);
  const sizes = (model?.kinema.sizes ?? []).filter((size) => Math.abs(aspect(size) / ratio - 1) < SIMILAR).sort((a, b) => area(a) - area(b)).slice(-MOST_SIZES);
  const others = filmers.value.length > 1 ? filmers.value : [];
  return [
    ["Size", sizes.map((size) => [size.replace("x", "×"), { size }, body.size === size])],
    ["Care", (model ? offers(model).care : []).map(([steps, name]) => [name, { steps }, form.steps === steps])],
    ["Model", others.map(({ id }) => [id, { model: id, ...sizeFor(modelOf(id), body.size) }, model?.id === id])],
  ].filter(([, rows]) => rows.length > 1);
}

/** The same size where a model films it, else its own. */
const sizeFor = (model, size) => ({ size: takesAnySize(model) || model.kinema.sizes.includes(size) ? size : model.kinema.size });

/** Estimates by request, asked for one after the other. @param {Object[]} bodies @returns {Map<string, Object>} null where the server refuses */
function useEstimates(bodies) {
  const [found, setFound] = useState(new Map());
  const texts = bodies.map((body) => JSON.stringify(compact(body)));
  useEffect(() => {
    const stop = new AbortController();
    const ask = async () => {
      for (const [i, text] of texts.entries()) {
        const estimate = await videos.estimate(JSON.parse(text), { signal: stop.signal }).catch(() => null);
        if (stop.signal.aborted) return;
        setFound((before) => new Map(before).set(texts[i], estimate));
      }
    };
    const timer = setTimeout(ask, 400);
    return () => (clearTimeout(timer), stop.abort());
  }, [texts.join(), ended.value?.id]);
  return texts.map((text) => found.get(text));
}

/** What other sizes, steps and models would take, once one wants to know; a press takes one. */
function Comparison({ form, set, body }) {
  const [open, setOpen] = useState(false);
  return html`<details class="comparison" onToggle=${(event) => setOpen(event.currentTarget.open)} data-testid="comparison">
    <summary>By size, care and model</summary>${open && html`<${Alternatives} form=${form} set=${set} body=${body} />`}</details>`;
}

function Alternatives({ form, set, body }) {
  const groups = alternatives(form, body);
  const rows = groups.flatMap(([, group]) => group);
  const estimates = useEstimates(rows.map(([, change]) => ({ ...body, ...change })));
  return html`<div class="scroll-x" tabindex="0"><table data-testid="alternatives">
    <thead><tr><th>With</th><th class="number">Filming</th><th class="number">Cost, px·s</th></tr></thead>
    ${groups.map(([name, group]) => html`<tbody key=${name}><tr><th colspan="3" scope="rowgroup">${name}</th></tr>
      ${group.map(([text, change, chosen]) => {
        const estimate = estimates[rows.findIndex((row) => row[1] === change)];
        return html`<tr key=${text} aria-current=${chosen ? "true" : undefined} data-testid="alternative">
          <td><button type="button" class="link" onClick=${() => set(change)}>${text}</button>${chosen && html` <small>now</small>`}</td>
          <td class="number mono">${estimate === undefined ? "…" : estimate === null ? "not possible" : timeOf(estimate, form.count)}</td>
          <td class="number mono">${estimate ? count(estimate.pixel_seconds * form.count) : ""}</td></tr>`;
      })}</tbody>`)}
  </table></div>`;
}
