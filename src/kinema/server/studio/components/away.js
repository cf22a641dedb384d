/** The line that is shown while the server does not answer: when it is asked again, and a button that asks at once. */
import { html, useEffect, useState } from "../ui.js";
import { retryAt, tryNow } from "../store.js";

const TICK_MS = 250;

/** "in 4 s" until a moment. For the eye alone: nobody wants to hear each second. @param {{at: number}} props milliseconds, as Date.now() */
export function Countdown({ at }) {
  const [left, setLeft] = useState(at - Date.now());
  useEffect(() => {
    setLeft(at - Date.now());
    const timer = setInterval(() => setLeft(at - Date.now()), TICK_MS);
    return () => clearInterval(timer);
  }, [at]);
  return html`<span aria-hidden="true">${left > 0 ? `in ${Math.ceil(left / 1000)} s` : "now"}</span>`;
}

export function Away() {
  if (retryAt.value === null) return null;
  return html`<div class="away" data-testid="away"><span role="alert">The server does not answer. The Studio goes on trying.</span>
    <span>Next try <${Countdown} at=${retryAt.value} /></span>
    <button type="button" class="link" onClick=${tryNow} data-testid="try-now">Try now</button></div>`;
}
