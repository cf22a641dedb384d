/** A complaint about a clip, for whoever keeps the server. */
import { html, useId, useState } from "../ui.js";
import { reports } from "../api.js";
import { attempt, toast } from "../store.js";
import { Select } from "./basics.js";
import { Confirm } from "./confirm.js";

const REASONS = { illegal: "It is against the law", likeness: "It shows somebody who did not agree", copyright: "It takes a work of others", harmful: "It does harm", other: "Something else" };

/** @param {string} reason */
export const reasonName = (reason) => REASONS[reason] ?? reason;

/** @param {{clip: import("../api.js").Video, onClose: () => void}} props */
export function ReportDialog({ clip, onClose }) {
  const [reason, setReason] = useState("illegal");
  const [text, setText] = useState("");
  const id = useId();
  const send = async () => {
    if (await attempt(() => reports.make({ video: clip.id, reason, text: text.trim() }))) toast("The report is sent to whoever keeps this server", { kind: "good" });
  };
  return html`<${Confirm} title="Report this clip?" yes="Send" no="Cancel" onYes=${send} onClose=${onClose} testid="report">
    <${Select} label="Reason" value=${reason} options=${Object.entries(REASONS)} onChange=${setReason} testid="report-reason" />
    <div class="field"><label for=${id}>What is wrong with it</label><textarea id=${id} rows="3" maxlength="8000" value=${text}
      onInput=${(event) => setText(event.currentTarget.value)} data-testid="report-text"></textarea></div><//>`;
}
