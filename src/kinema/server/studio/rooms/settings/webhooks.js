/** Webhooks: addresses that the server calls when a clip is done. */
import { html, useState } from "../../ui.js";
import { account } from "../../api.js";
import { attempt, toast } from "../../store.js";
import { Button, Check, Note, useLoaded } from "../../components/basics.js";
import { Confirm } from "../../components/confirm.js";
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
  return html`<section class="panel wide" aria-labelledby="hooks" data-testid="webhooks">
    <h2 id="hooks">Webhooks</h2>
    <p class="quiet">The server calls these addresses when a clip is done or has failed, and signs what it sends.</p>
    <${Note} error=${error} retry=${reload} />
    ${(data?.data ?? []).length > 0 && html`<div class="scroll-x" tabindex="0"><table>
      <tbody>${data.data.map((hook) => html`<tr key=${hook.id} data-testid="webhook-row"><td class="mono">${hook.url}</td>
      <td>${(hook.events ?? []).join(", ")}</td><td><${Button} icon="trash" kind="quiet small" label=${`Remove ${hook.url}`}
      onClick=${() => setAsked(hook)} testid="remove-webhook" /></td></tr>`)}</tbody></table></div>`}
    <form class="inline-form" onSubmit=${create}>
      <div class="field" style=${{ flexBasis: "280px" }}><label for="hook-url">Address</label>
        <input id="hook-url" type="url" required placeholder="https://example.com/hook" value=${url}
        onInput=${(event) => setUrl(event.currentTarget.value)} data-testid="webhook-url" /></div>
      <div class="row" role="group" aria-label="Events">${EVENTS.map((name) => html`<${Check} key=${name}
        label=${name} checked=${events.includes(name)}
        onChange=${(on) => setEvents(on ? [...events, name] : events.filter((one) => one !== name))} />`)}</div>
      <button class="button" type="submit" disabled=${!url.trim() || !events.length} data-testid="create-webhook">Add</button>
    </form>
    ${asked && html`<${Confirm} title="Remove the webhook?" yes="Remove" onYes=${() => remove(asked)} onClose=${() => setAsked(null)} testid="webhook">
      <p><span class="mono">${asked.url}</span> is called no more, and its secret is lost. A new one for the same address gets another secret.</p><//>`}
    ${made && html`<${Secret} title="The webhook's secret" text=${made.secret} note="Check signatures with it. This is the only time that it is shown."
      onClose=${() => setMade(null)} />`}
  </section>`;
}
