/** Settings: who is signed in, what it has used, keys, webhooks, the look. */
import { html, useState } from "../ui.js";
import { account } from "../api.js";
import { attempt, session, signOut, theme, toast } from "../store.js";
import { count, date, plural } from "../format.js";
import { href } from "../router.js";
import { Button, Check, Choice, Dialog, NumberField, Note, Skeleton, useLoaded } from "../components/basics.js";

export function Settings() {
  const key = session.value?.key ?? {};
  const admin = (key.scopes ?? []).includes("admin");
  return html`<header class="room-head"><div><h1>Settings</h1></div></header>
    <div class="settings">
      <section class="panel" aria-labelledby="who">
        <h2 id="who">Signed in</h2>
        <dl class="facts" data-testid="who"><dt>Key</dt><dd>${key.name ?? key.id}</dd><dt>May use</dt>
          <dd>${(key.scopes ?? []).join(", ") || "–"}</dd></dl>
        <div class="row"><${Button} icon="key" onClick=${signOut} testid="signout">Sign out<//></div>
      </section>
      <section class="panel" aria-labelledby="look">
        <h2 id="look">Look</h2>
        <${Choice} label="Theme" value=${theme.value}
          options=${[["system", "As the system"], ["light", "Light"], ["dark", "Dark"]]}
          onChange=${(value) => (theme.value = value)} testid="theme-choice" />
        <p class="quiet">To check a file without a key, there is a public page: <a href="verify">Verify</a>.</p>
      </section>
      <${Usage} />
      ${admin && html`<${Keys} own=${key.id} />`}
      <${Webhooks} />
    </div>`;
}

function Usage() {
  const { data, error, reload } = useLoaded(() => account.usage(), []);
  const quota = data?.quota;
  const share = (value) => `${Math.min((100 * value) / (quota.limit || 1), 100)}%`;
  const signs = { reserve: "Reserved", settle: "Used", refund: "Given back" };
  return html`<section class="panel wide" aria-labelledby="usage" data-testid="usage">
    <div class="row between"><h2 id="usage">Usage</h2><${Button} icon="retry" kind="quiet small" label="Refresh usage" onClick=${reload} /></div>
    <${Note} error=${error} retry=${reload} />
    ${!data && !error && html`<${Skeleton} kind="line" count=${2} />`}
    ${quota && html`${quota.limit
        ? html`<div><div class="meter" role="meter" aria-label="Quota" aria-valuemin="0" aria-valuemax=${quota.limit}
          aria-valuenow=${quota.used + quota.reserved}><i class="used" style=${{ width: share(quota.used) }}></i><i
          class="reserved" style=${{ width: share(quota.reserved) }}></i></div>
            <p class="quiet" style=${{ marginTop: "6px" }}>${count(quota.used)} of ${count(quota.limit)} pixel-seconds used, ${count(quota.reserved)} reserved</p>
              </div>`
        : html`<p>${count(quota.used)} pixel-seconds used, no limit.</p>`}
      ${(data.rate_per_minute || data.concurrency) && html`<p class="quiet">${[data.rate_per_minute && `${data.rate_per_minute} requests a minute`, data.concurrency && `${plural(data.concurrency, "clip")} at a time`].filter(Boolean).join(", ")}
        </p>`}
      ${data.ledger?.length > 0 && html`<details><summary>Ledger</summary><div class="scroll-x" tabindex="0"><table
        data-testid="ledger"><thead><tr><th>When</th><th>Clip</th><th>What</th><th class="number">Pixel-seconds</th></tr>
        </thead>
        <tbody>${data.ledger.map((row, i) => html`<tr key=${i}><td>${date(row.at)}</td>
          <td>${row.video ? html`<a href=${href("gallery", row.video)} class="mono">${row.video}</a>` : "–"}</td>
          <td>${signs[row.kind] ?? row.kind}</td><td class="number mono">${count(row.pixel_seconds)}</td></tr>`)}</tbody>
          </table></div></details>`}`}
  </section>`;
}

const SCOPES = ["read", "videos", "worlds", "admin"];

function Keys({ own }) {
  const { data, error, reload } = useLoaded(() => account.keys(), []);
  const [form, setForm] = useState({ name: "", scopes: ["read", "videos", "worlds"], expires_in_days: null, quota: null });
  const [made, setMade] = useState(null);
  const [asked, setAsked] = useState(null);
  const set = (changes) => setForm({ ...form, ...changes });
  const create = async (event) => {
    event.preventDefault();
    const body = Object.fromEntries(Object.entries(form).filter(([, value]) => value !== null));
    const key = await attempt(() => account.createKey(body));
    if (!key) return;
    setMade(key);
    set({ name: "" });
    reload();
  };
  const revoke = async () => {
    if (await attempt(() => account.revokeKey(asked.id))) toast(`${asked.name} is revoked`);
    setAsked(null);
    reload();
  };
  return html`<section class="panel wide" aria-labelledby="keys" data-testid="keys">
    <h2 id="keys">Keys</h2>
    <${Note} error=${error} retry=${reload} />
    <div class="scroll-x" tabindex="0"><table><thead><tr><th>Name</th><th>Begins</th><th>May use</th><th>Made</th>
      <th>Last used</th><th><span class="visually-hidden">Revoke</span></th></tr></thead>
      <tbody>${(data?.data ?? []).map((key) => html`<tr key=${key.id} data-testid="key-row"><td>${key.name}</td><td
        class="mono">${key.prefix}…</td><td>${key.scopes.join(", ")}</td><td>${date(key.created_at)}</td>
        <td>${date(key.last_used_at)}</td>
        <td>${key.revoked_at ? "revoked" : key.id === own ? "this one" : html`<${Button} kind="small danger"
          onClick=${() => setAsked(key)} label=${`Revoke ${key.name}`} testid="revoke">Revoke<//>`}</td></tr>`)}</tbody>
          </table></div>
    <form class="inline-form" onSubmit=${create}>
      <div class="field"><label for="key-name">New key's name</label><input id="key-name" type="text" required
        value=${form.name} onInput=${(event) => set({ name: event.currentTarget.value })} data-testid="key-name" /></div>
      <${NumberField} label="Ends after days" value=${form.expires_in_days} min=${1} placeholder="never"
        onChange=${(value) => set({ expires_in_days: value })} testid="key-days" />
      <${NumberField} label="Quota, pixel-seconds" value=${form.quota} min=${0} placeholder="no limit"
        onChange=${(value) => set({ quota: value })} testid="key-quota" />
      <div class="row" role="group" aria-label="May use">${SCOPES.map((scope) => html`<${Check} key=${scope}
        label=${scope} checked=${form.scopes.includes(scope)} testid=${`scope-${scope}`}
        onChange=${(on) => set({ scopes: on ? [...form.scopes, scope] : form.scopes.filter((one) => one !== scope) })} />`)}</div>
      <button class="button primary" type="submit" disabled=${!form.name.trim() || !form.scopes.length} data-testid="create-key">Make a key</button>
    </form>
    ${made && html`<${Secret} title="The new key" text=${made.key} note="This is the only time that it is shown. Whoever has it can film with it."
      onClose=${() => setMade(null)} />`}
    ${asked && html`<${Dialog} title=${`Revoke ${asked.name}?`} onClose=${() => setAsked(null)} testid="revoke-dialog"
      foot=${html`<${Button} onClick=${() => setAsked(null)}>Keep it<//><${Button} kind="primary" onClick=${revoke} testid="revoke-yes">Revoke<//>`}>
      <p>Programs that use this key are refused from then on. This cannot be undone.</p><//>`}
  </section>`;
}

function Secret({ title, text, note, onClose }) {
  const [copied, setCopied] = useState(false);
  const copy = () => navigator.clipboard?.writeText(text).then(() => setCopied(true), () => {});
  return html`<${Dialog} title=${title} onClose=${onClose} testid="secret-dialog" foot=${html`<${Button} kind="primary"
    onClick=${onClose} testid="secret-done">I have kept it<//>`}>
    <div class="secret"><code data-testid="secret">${text}</code><${Button} icon="copy" label="Copy" onClick=${copy} testid="copy-secret" /></div>
    <p role="status">${copied ? "Copied." : note}</p>
  <//>`;
}

const EVENTS = ["video.completed", "video.failed"];

function Webhooks() {
  const { data, error, reload } = useLoaded(() => account.webhooks(), []);
  const [url, setUrl] = useState("");
  const [events, setEvents] = useState(EVENTS);
  const [made, setMade] = useState(null);
  const create = async (event) => {
    event.preventDefault();
    const hook = await attempt(() => account.createWebhook(url.trim(), events));
    if (!hook) return;
    setMade(hook);
    setUrl("");
    reload();
  };
  const remove = async (hook) => {
    if (await attempt(() => account.removeWebhook(hook.id))) {
      toast("Webhook removed", { action: { label: "Undo", run: () => attempt(() => account.createWebhook(hook.url, hook.events)).then((again) => (again && setMade(again), reload())) } });
    }
    reload();
  };
  return html`<section class="panel wide" aria-labelledby="hooks" data-testid="webhooks">
    <h2 id="hooks">Webhooks</h2>
    <p class="quiet">The server calls these addresses when a clip is done or has failed, and signs what it sends.</p>
    <${Note} error=${error} retry=${reload} />
    ${(data?.data ?? []).length > 0 && html`<div class="scroll-x" tabindex="0"><table>
      <tbody>${data.data.map((hook) => html`<tr key=${hook.id} data-testid="webhook-row"><td class="mono">${hook.url}</td>
      <td>${(hook.events ?? []).join(", ")}</td><td><${Button} icon="trash" kind="quiet small" label=${`Remove ${hook.url}`}
      onClick=${() => remove(hook)} testid="remove-webhook" /></td></tr>`)}</tbody></table></div>`}
    <form class="inline-form" onSubmit=${create}>
      <div class="field" style=${{ flexBasis: "280px" }}><label for="hook-url">Address</label>
        <input id="hook-url" type="url" required placeholder="https://example.com/hook" value=${url}
        onInput=${(event) => setUrl(event.currentTarget.value)} data-testid="webhook-url" /></div>
      <div class="row" role="group" aria-label="Events">${EVENTS.map((name) => html`<${Check} key=${name}
        label=${name} checked=${events.includes(name)}
        onChange=${(on) => setEvents(on ? [...events, name] : events.filter((one) => one !== name))} />`)}</div>
      <button class="button" type="submit" disabled=${!url.trim() || !events.length} data-testid="create-webhook">Add</button>
    </form>
    ${made && html`<${Secret} title="The webhook's secret" text=${made.secret} note="Check signatures with it. This is the only time that it is shown."
      onClose=${() => setMade(null)} />`}
  </section>`;
}
