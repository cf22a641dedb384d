/** Why a film failed, and what helps: advice for the codes of errors that a model's engine gives. */

const ADVICE = {
  out_of_memory: "A smaller size, fewer seconds or a smaller model needs less memory.",
  engine_crashed: "The model's process ended; it starts again with the next film. Try again, with a smaller size if it happens twice.",
  engine_stalled: "The model said nothing for too long and was stopped. Try again, or ask for fewer seconds or steps.",
  engine_failed: "The model's own code failed. Try other settings; `kinema models check` on the server tells more.",
  model_unavailable: "Try again later, or choose another model. Whoever keeps the server finds the reason in its log.",
  upstream_failed: "The other server that films for this one could not. Try again later, or choose another model.",
  upstream_lost: "The other server lost the film. Retrying asks it anew, which may cost there.",
};

/** @param {import("./api.js").Video} clip @returns {{message: string, advice: string|null}} */
export function reasonOf(clip) {
  if (clip.kinema.cancelled) return { message: "Canceled", advice: null };
  return { message: clip.error?.message ?? "The clip could not be filmed.", advice: ADVICE[clip.error?.code] ?? null };
}
