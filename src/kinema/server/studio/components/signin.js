/** The door: a key is asked for, and what to do without one is said. */
import { html, useState, useId } from "../ui.js";
import { signIn } from "../store.js";
import { Mark } from "./icons.js";
import { Note } from "./basics.js";

export function SignIn() {
  const [key, setKey] = useState("");
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const id = useId();
  const enter = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await signIn(key.trim());
    } catch (wrong) {
      setError(wrong);
    } finally {
      setBusy(false);
    }
  };
  return html`<main class="door" id="main">
    <form onSubmit=${enter} data-testid="signin">
      <${Mark} size=${56} />
      <h1>Kinema Studio</h1>
      <p>Film what you describe, and step into it. The server that you started printed an address with a key; open that, or paste the key here.</p>
      <label for=${id}>Key</label>
      <input id=${id} type="password" autocomplete="off" spellcheck=${false} placeholder="kinema_…" value=${key}
        onInput=${(event) => setKey(event.currentTarget.value)} data-testid="key" />
      <${Note} error=${error} />
      <button class="button primary" type="submit" disabled=${!key.trim() || busy} data-testid="signin-button"><span>Come in</span></button>
      <p class="door-foot">Only want to know whether a clip is Kinema's? <a href="verify">Verify it</a> without a key.</p>
    </form>
  </main>`;
}
