/** API keys: made, shown once, revoked. For administrators. */
import { html, useState } from "../../ui.js";
import { account } from "../../api.js";
import { attempt, toast } from "../../store.js";
import { date } from "../../format.js";
import { Button, Check, NumberField, Note, useLoaded } from "../../components/basics.js";
import { Confirm } from "../../components/confirm.js";
import { Secret } from "./secret.js";

const SCOPES = ["read", "videos", "worlds", "admin"];

export function Keys({ own }) {
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
    ${asked && html`<${Confirm} title=${`Revoke ${asked.name}?`} yes="Revoke" onYes=${revoke} onClose=${() => setAsked(null)} testid="revoke">
      <p>Programs that use this key are refused from then on. This cannot be undone.</p><//>`}
  </section>`;
}
