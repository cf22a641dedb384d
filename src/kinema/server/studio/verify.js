/** The public page: a file comes in, and whether Kinema made it is said. Nothing is kept and no key is needed. */
import { html, render, useEffect, useState } from "./ui.js";
import { verify } from "./api.js";
import "./store.js";
import { Mark } from "./components/icons.js";
import { FileButton, Note } from "./components/basics.js";
import { ThemeButton } from "./components/shell.js";
import { Verdict } from "./components/verdict.js";

function VerifyPage() {
  const [state, setState] = useState({ file: null, busy: false, verdict: null, error: null });
  const [over, setOver] = useState(false);
  useEffect(() => {
    document.documentElement.dataset.room = "verify";
  }, []);
  const check = async (file) => {
    setState({ file, busy: true, verdict: null, error: null });
    try {
      setState({ file, busy: false, verdict: await verify(file, file.name), error: null });
    } catch (error) {
      setState({ file, busy: false, verdict: null, error });
    }
  };
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    const [file] = event.dataTransfer.files;
    if (file) check(file);
  };
  const { file, busy, verdict, error } = state;
  return html`<div class="verify-page">
    <header><a class="brand" href="./"><${Mark} /><span>Kinema</span></a><${ThemeButton} /></header>
    <main class="stack" id="main">
      <h1>Was this filmed by Kinema?</h1>
      <p class="quiet">Every clip carries a signed note on how it was made, and a mark in its pixels that outlives copying. Give a file, and both are looked for.</p>
      <div class=${`dropzone ${over ? "over" : ""}`} onDragOver=${(event) => (event.preventDefault(), setOver(true))}
        onDragLeave=${() => setOver(false)} onDrop=${drop} data-testid="dropzone">
        <p>${busy ? `Looking at ${file.name} …` : "Drop a video or a picture here"}</p>
        <${FileButton} accept="video/*,image/*" kind="primary" icon="film" busy=${busy} onFile=${check} testid="verify-file">Choose a file<//>
      </div>
      <div aria-live="polite">
        <${Note} error=${error} />
        ${verdict && html`<p class="quiet mono" style=${{ marginBottom: "8px" }}>${file.name}</p><${Verdict} verdict=${verdict} />`}
      </div>
    </main>
  </div>`;
}

render(html`<${VerifyPage} />`, document.getElementById("verify"));
