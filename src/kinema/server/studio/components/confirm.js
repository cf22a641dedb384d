/** Asks before something that cannot be taken back. The way out comes first, so that a hasty Enter does no harm. */
import { html, useState } from "../ui.js";
import { Button } from "./basics.js";
import { Dialog } from "./dialog.js";

/**
 * @param {Object} props
 * @param {string} props.title the question
 * @param {string} props.yes what the button says that does it @param {string} [props.no]
 * @param {() => any} props.onYes may be async; the dialog closes afterwards
 * @param {{label: string, run: () => any}} [props.other] a third way
 */
export function Confirm({ title, yes, no = "Keep it", onYes, onClose, other, children, testid = "confirm" }) {
  const [busy, setBusy] = useState(false);
  const act = (run) => async () => {
    setBusy(true);
    try {
      await run();
    } finally {
      onClose();
    }
  };
  const foot = html`<${Button} onClick=${onClose} testid=${`${testid}-no`}>${no}<//>
    ${other && html`<${Button} onClick=${act(other.run)} disabled=${busy} testid=${`${testid}-other`}>${other.label}<//>`}
    <${Button} kind="primary" onClick=${act(onYes)} busy=${busy} testid=${`${testid}-yes`}>${yes}<//>`;
  return html`<${Dialog} title=${title} onClose=${onClose} testid=${`${testid}-dialog`} foot=${foot}>${children}<//>`;
}
