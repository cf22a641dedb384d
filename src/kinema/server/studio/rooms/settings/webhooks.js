/** Webhooks: addresses that the server calls when a clip is done. */
import { html, useState } from "../../ui.js";
import { account } from "../../api.js";
import { attempt, toast } from "../../store.js";
import { date } from "../../format.js";
import { Button, Check, Note, useLoaded } from "../../components/basics.js";
import { Confirm } from "../../components/confirm.js";
import { Deliveries, outcome } from "./deliveries.js";
import { Secret } from "./secret.js";

const EVENTS = ["video.completed", "video.failed"];

export function Webhooks() {
  const { data, error, reload } = useLoaded(() => account.webhooks(), []);
  const [url, setUrl] = useState("");
  const [events, setEvents] = useState(EVENTS);
  const [made, setMade] = useState(null);
  const [asked, setAsked] = useState(null);
  const create = async (event) => {
    event.preventDefault();
    const hook = await attempt(() => account.createWebhook(url.trim(), events));
    if (!hook) return;
    setMade(hook);
    setUrl("");
    reload();
  };
  const remove = async (hook) => {
    if (await attempt(() => account.removeWebhook(hook.id))) toast("The webhook is removed");
    reload();
  };
  const rotate = async (hook) => {
    const renewed = await attempt(() => account.rotateWebhook(hook.id));
    if (renewed) setMade(renewed);
    reload();
  };
  return html`<section class="panel wide" aria-labelledby="hooks" data-testid="webhooks">
    <h2 id="hooks">Webhooks</h2>
    <p class="quiet">The server calls these addresses when a clip is done or has failed, and signs what it sends.</p>
    <${Note} error=${error} retry=${reload} />
    ${(data?.data ?? []).length > 0 && html`<div class="scroll-x" tabindex="0"><table>
      <tbody>${data.data.map((hook) => html`<tr key=${hook.id} data-testid="webhook-row"><td class="mono">${hook.url}</td>
      <td>${(hook.events ?? []).join(", ")}${hook.old_secret_until
        ? html`<br /><small class="quiet">old secret until ${date(hook.old_secret_until)}</small>` : ""}</td><td><${Tools} hook=${hook} onRemove=${() => setAsked({ remove: hook })} onRotate=${() => setAsked({ rotate: hook })} /></td></tr>`)}</tbody></table></div>`}
    <form class="inline-form" onSubmit=${create}>
      <div class="field" style=${{ flexBasis: "280px" }}><label for="hook-url">Address</label>
        <input id="hook-url" type="url" required placeholder="https://example.com/hook" value=${url}
        onInput=${(event) => setUrl(event.currentTarget.value)} data-testid="webhook-url" /></div>
      <div class="row" role="group" aria-label="Events">${EVENTS.map((name) => html`<${Check} key=${name}
        label=${name} checked=${events.includes(name)}
        onChange=${(on) => setEvents(on ? [...events, name] : events.filter((one) => one !== name))} />`)}</div>
      <button class="button" type="submit" disabled=${!url.trim() || !events.length} data-testid="create-webhook">Add</button>
    </form>
    ${asked?.remove && html`<${Confirm} title="Remove the webhook?" yes="Remove" onYes=${() => remove(asked.remove)} onClose=${() => setAsked(null)} testid="webhook">
      <p><span class="mono">${asked.remove.url}</span> is called no more, and its secret is lost. A new one for the same address gets another secret.</p><//>`}
    ${asked?.rotate && html`<${Confirm} title="Make a new secret?" yes="Make it" onYes=${() => rotate(asked.rotate)} onClose=${() => setAsked(null)} testid="rotate">
      <p>For a day, what is sent to <span class="mono">${asked.rotate.url}</span> is signed with the old and the new secret; then with the new one alone.</p><//>`}
    ${made && html`<${Secret} title="The webhook's secret" text=${made.secret} note="Check signatures with it. This is the only time that it is shown."
      onClose=${() => setMade(null)} />`}
  </section>`;
}

/** Try it, see what was sent, renew its secret, remove it. */
function Tools({ hook, onRemove, onRotate }) {
  const [busy, setBusy] = useState(false);
  const [open, setOpen] = useState(false);
  const test = async () => {
    setBusy(true);
    const sent = await attempt(() => account.testWebhook(hook.id));
    setBusy(false);
    if (sent) toast(`Test: ${outcome(sent)}`, { kind: sent.status === "delivered" ? "good" : "bad" });
  };
  // A server that knows of two secrets also tries, logs and renews.
  const more = "old_secret_until" in hook;
  return html`<span class="row">${more && html`<${Button} kind="small" busy=${busy} label=${`Test ${hook.url}`} onClick=${test} testid="test-webhook">Test<//>
    <${Button} kind="small" label=${`Log of ${hook.url}`} onClick=${() => setOpen(true)} testid="deliveries">Log<//>
    <${Button} kind="small" label=${`New secret for ${hook.url}`} onClick=${onRotate} testid="rotate-webhook">New secret<//>`}
    <${Button} icon="trash" kind="quiet small" label=${`Remove ${hook.url}`} onClick=${onRemove} testid="remove-webhook" />
    ${open && html`<${Deliveries} hook=${hook} onClose=${() => setOpen(false)} />`}</span>`;
}
