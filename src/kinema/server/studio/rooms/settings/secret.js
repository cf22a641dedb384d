/** A secret that is shown once, to be copied. */
import { html, useState } from "../../ui.js";
import { Button } from "../../components/basics.js";
import { Dialog } from "../../components/dialog.js";

export function Secret({ title, text, note, onClose }) {
  const [copied, setCopied] = useState(false);
  const copy = () => navigator.clipboard?.writeText(text).then(() => setCopied(true), () => {});
  return html`<${Dialog} title=${title} onClose=${onClose} testid="secret-dialog" foot=${html`<${Button} kind="primary"
    onClick=${onClose} testid="secret-done">I have kept it<//>`}>
    <div class="secret"><code data-testid="secret">${text}</code><${Button} icon="copy" label="Copy" onClick=${copy} testid="copy-secret" /></div>
    <p role="status">${copied ? "Copied." : note}</p>
  <//>`;
}
