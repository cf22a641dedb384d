/** The seed of what is made: another one each time, unless it is kept. */
import { html } from "../ui.js";
import { Button, NumberField } from "./basics.js";

const SEEDS = 2 ** 31;

export const randomSeed = () => Math.floor(Math.random() * SEEDS);

/**
 * @param {Object} props
 * @param {number|null} props.value the kept seed; null: random
 * @param {(seed: number|null) => void} props.onChange
 * @param {number|null} [props.last] what was made last with, which the lock keeps
 */
export function SeedField({ value, onChange, last, testid = "seed" }) {
  const kept = value !== null && value !== undefined;
  const flip = () => onChange(kept ? null : (last ?? randomSeed()));
  return html`<div class="seed">
    <${NumberField} label="Seed" value=${value} min=${0} max=${SEEDS} placeholder="random" onChange=${onChange} testid=${testid} />
    <${Button} icon=${kept ? "lock" : "unlock"} label=${kept || last === undefined ? "Keep the seed" : `Keep the seed ${last}`} aria-pressed=${kept ? "true" : "false"}
      onClick=${flip} testid=${`${testid}-lock`} />
  </div>`;
}
