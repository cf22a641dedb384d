/** Settings: who is signed in and where, what was used, keys, reports, webhooks, the look. */
import { html } from "../ui.js";
import { session, signOut, theme } from "../store.js";
import { Button, Choice } from "../components/basics.js";
import { Keys } from "./settings/keys.js";
import { Reports } from "./settings/reports.js";
import { Sessions } from "./settings/sessions.js";
import { Usage } from "./settings/usage.js";
import { Webhooks } from "./settings/webhooks.js";

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
      ${admin && html`<${Reports} />`}
      <${Webhooks} />
      <${Sessions} admin=${admin} />
    </div>`;
}
