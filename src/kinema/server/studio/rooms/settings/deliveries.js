/** What was sent to a webhook, with what it answered; each can be sent again. */
import { html, useState } from "../../ui.js";
import { account } from "../../api.js";
import { attempt, toast } from "../../store.js";
import { date } from "../../format.js";
import { Button, Empty, Note, Skeleton, useLoaded } from "../../components/basics.js";
import { Dialog } from "../../components/dialog.js";

const STATUS = { pending: "Waiting", delivered: "Received", failed: "Not received" };

/** "Received, answered 200", or why not. @param {{status: string, last_status: number|null, last_error: string|null}} delivery */
export function outcome({ status, last_status: answer, last_error: error }) {
  return [STATUS[status] ?? status, answer !== null && `answered ${answer}`, error].filter(Boolean).join(", ");
}

export function Deliveries({ hook, onClose }) {
  const { data, error, loading, reload } = useLoaded(() => account.deliveries(hook.id), [hook.id]);
  const [busy, setBusy] = useState(null);
  const replay = async (delivery) => {
    setBusy(delivery.id);
    const sent = await attempt(() => account.replay(hook.id, delivery.id));
    setBusy(null);
    if (sent) toast(outcome(sent), { kind: sent.status === "failed" ? "bad" : "good" });
    reload();
  };
  const foot = html`<${Button} icon="retry" busy=${loading} onClick=${reload} testid="reload-deliveries">Look again<//>`;
  return html`<${Dialog} title=${`Sent to ${hook.url}`} wide onClose=${onClose} testid="deliveries-dialog" foot=${foot}>
    <${Note} error=${error} retry=${reload} />
    ${!data && !error && html`<${Skeleton} kind="line" count=${3} />`}
    ${data?.data.length === 0 && html`<${Empty} title="Nothing was sent yet">Press Test to send an event now.<//>`}
    ${data?.data.length > 0 && html`<div class="scroll-x" tabindex="0"><table><thead><tr><th>When</th><th>Event</th><th>What came of it</th><th class="number">Tries</th>
      <th><span class="visually-hidden">Send again</span></th></tr></thead>
      <tbody>${data.data.map((delivery) => html`<tr key=${delivery.id} data-testid="delivery"><td>${date(delivery.last_at ?? delivery.created_at)}</td>
        <td>${delivery.event.type}${delivery.event.data?.id && html`<br /><small class="mono quiet">${delivery.event.data.id}</small>`}</td>
        <td>${outcome(delivery)}${delivery.next_at && html`<br /><small class="quiet">next try ${date(delivery.next_at)}</small>`}</td>
        <td class="number">${delivery.attempts}</td>
        <td><${Button} kind="small" icon="retry" busy=${busy === delivery.id} onClick=${() => replay(delivery)} testid="replay">Send again<//></td></tr>`)}</tbody></table></div>`}
  <//>`;
}
