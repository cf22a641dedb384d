/** Why a film failed, and what to do about it. */
import { html } from "../ui.js";
import { reasonOf } from "../reasons.js";
import { Note } from "./basics.js";

/** Two lines of text. @param {{clip: import("../api.js").Video}} props */
export function FailureText({ clip }) {
  const { message, advice } = reasonOf(clip);
  return html`<p>${message}</p>${advice && html`<p class="advice">${advice}</p>`}`;
}

/** The same as a note. @param {{clip: import("../api.js").Video}} props */
export const Failure = ({ clip }) => html`<${Note} testid="failure-reason"><${FailureText} clip=${clip} /><//>`;
