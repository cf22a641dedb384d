/** What the browser keeps: for everybody at this machine (`remembered`), or for each API key apart (`keptForKey`). */
import { signal, effect } from "./ui.js";

const PREFIX = "kinema.studio.";

function read(name, initial) {
  try {
    const value = JSON.parse(localStorage.getItem(PREFIX + name));
    if (value === null || Array.isArray(value) !== Array.isArray(initial)) return initial;
    return Array.isArray(initial) || typeof initial !== "object" ? value : { ...initial, ...value };
  } catch {
    // Unreadable or forbidden: the initial value is as good.
    return initial;
  }
}

function write(name, value) {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // Private windows may refuse; nothing depends on it.
  }
}

/** A signal whose value outlives the page. */
export function remembered(name, initial) {
  const value = signal(read(name, initial));
  effect(() => write(name, value.value));
  return value;
}

/**
 * A signal whose value outlives the page, one for each key: whoever signs in with another key sees another value.
 * @param {string} name @param {any} initial @param {{value: string|null}} keyId a signal with the id of the key, null when signed out
 */
export function keptForKey(name, initial, keyId) {
  const value = signal(initial);
  let place = null;
  effect(() => {
    place = keyId.value && `${name}.${keyId.value}`;
    value.value = place ? read(place, initial) : initial;
  });
  effect(() => {
    const now = value.value;
    if (place && now !== initial) write(place, now);
  });
  addEventListener("storage", (event) => {
    // Another tab has written.
    if (place && event.key === PREFIX + place) value.value = read(place, initial);
  });
  return value;
}
