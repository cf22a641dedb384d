/** Questions to a world and changes to it, in words; and what would have been otherwise. */
import { html, useState } from "../../ui.js";
import { worlds } from "../../api.js";
import { trim } from "../../format.js";
import { Button, NumberField, Note } from "../../components/basics.js";

const LONGEST_SINCE = 128;
const QUESTION = /\?\s*$|^(where|how|what|is|are|did|do|does|when|will|which|who|was)\b/i;

/**
 * @param {Object} props
 * @param {(world: Object) => void} [props.onChange] told of a change
 * @param {Object[]} [props.things] of a world that can be changed
 * @param {Object<string, Object>} [props.entities] of a recorded world
 * @param {boolean} [props.changes] whether it can be changed, not only asked
 */
export function Talk({ world, onChange, things = [], entities, changes = !entities }) {
  const [text, setText] = useState("");
  const [log, setLog] = useState([]);
  const [busy, setBusy] = useState(false);
  const one = things[0]?.name ?? "red ball";
  const say = async (event) => {
    event.preventDefault();
    const said = text.trim();
    setBusy(true);
    try {
      let answer;
      if (!changes || QUESTION.test(said)) answer = (await worlds.ask(world.id, said)).text;
      else {
        const done = await worlds.edit(world.id, said);
        answer = done.understood;
        onChange(done.world);
      }
      setLog((before) => [{ said, answer }, ...before].slice(0, 20));
      setText("");
    } catch (error) {
      setLog((before) => [{ said, answer: error.message, bad: true }, ...before].slice(0, 20));
    }
    setBusy(false);
  };
  const [name, fields] = Object.entries(entities ?? {})[0] ?? [];
  const field = fields && Object.keys(fields)[0];
  const set = changes && name ? [`set the ${name}'s ${field} to ${trim(fields[field])}`] : [];
  const examples = entities ? ["what is there?", `where is the ${name}?`, ...set] : [`where is the ${one}?`, "what will happen next?", `move the ${one} left`, `push the ${one} right hard`, "add a blue box on the right", "change the background to snow"];
  return html`<section class="panel talk" aria-label=${changes ? "Ask and change" : "Ask"}>
    <h2>${changes ? "Ask, or change something" : "Ask"}</h2>
    <form onSubmit=${say}><input type="text" aria-label=${changes ? "A question or a change" : "A question"} placeholder=${`where is the ${name ?? one}?`}
      value=${text} onInput=${(event) => setText(event.currentTarget.value)} data-testid="talk" />
      <button class="button primary" type="submit" disabled=${!text.trim() || busy} data-testid="say">Say</button></form>
    <div class="chips" role="group" aria-label="Examples">${examples.map((example) => html`<button type="button"
      class="chip" key=${example} onClick=${() => setText(example)} data-testid="talk-example">${example}</button>`)}</div>
    <div class="talk-log" aria-live="polite"
      data-testid="talk-log">${log.map(({ said, answer, bad }, i) => html`<div key=${log.length - i}><p class="said">${said}
      </p><p class=${bad ? "bad" : ""}>${answer}</p></div>`)}</div>
  </section>`;
}

export function WhatIf({ world, pause, things, onAnswer }) {
  const [cause, setCause] = useState("");
  const [since, setSince] = useState(1);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const one = things[0]?.name ?? "red ball";
  const ask = async (event) => {
    event.preventDefault();
    pause();
    setBusy(true);
    setError(null);
    try {
      onAnswer(await worlds.whatIf(world.id, cause.trim(), Math.min(Math.max(Math.round(since * world.fps), 1), LONGEST_SINCE)));
    } catch (wrong) {
      setError(wrong);
    }
    setBusy(false);
  };
  return html`<section class="panel talk" aria-label="What if">
    <h2>What if …</h2>
    <form onSubmit=${ask} class="inline-form">
      <div class="field" style=${{ flex: "3 1 200px" }}><label for="cause">What had been otherwise</label>
        <input id="cause" type="text" placeholder=${`the ${one} had not been pushed`} value=${cause}
        onInput=${(event) => setCause(event.currentTarget.value)} data-testid="cause" /></div>
      <div style=${{ flex: "0 0 96px" }}><${NumberField} label="Since" value=${since} min=${0.1} step=${0.5} suffix="s"
        onChange=${(value) => value && setSince(value)} testid="since" /></div>
      <${Button} busy=${busy} disabled=${!cause.trim()} testid="what-if" onClick=${ask}>See both<//>
    </form>
    <div class="chips" role="group"
      aria-label="Examples">${[`the ${one} had not been there`, `the ${one} had been pushed left`].map((example) => html`<button type="button"
      class="chip" key=${example} onClick=${() => setCause(example)}>${example}</button>`)}</div>
    <${Note} error=${error} />
  </section>`;
}
