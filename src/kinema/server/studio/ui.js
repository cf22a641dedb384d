/**
 * The one door to the vendored libraries: `html` templates, hooks and signals.
 * Every other module imports from here, so a library can be renewed in one place.
 */
import { h, render, Fragment, createRef } from "./vendor/preact.js";
import htm from "./vendor/htm.js";

export { h, render, Fragment, createRef };
export { useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useId } from "./vendor/hooks.js";
export { signal, computed, effect, batch, useSignal, useComputed } from "./vendor/signals.js";

export const html = htm.bind(h);

/** Class names from strings and {name: whether}. */
export function classes(...parts) {
  return parts
    .flatMap((part) => (part && typeof part === "object" ? Object.keys(part).filter((key) => part[key]) : part || []))
    .join(" ");
}
