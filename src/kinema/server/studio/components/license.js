/** Licenses: what they ask for, and the question whether they are accepted. */
import { html, useState } from "../ui.js";
import { models } from "../api.js";
import { abilities } from "../capabilities.js";
import { attempt, loadModels, toast } from "../store.js";
import { Button, Note } from "./basics.js";
import { Confirm } from "./confirm.js";

/** The license of a model, and what it asks for. @param {{license: Object}} props */
export function License({ license, testid = "license" }) {
  if (!license || !["name", "link", "attribution", "territory", "revenue"].some((part) => license[part])) return null;
  const name = license.name || "License";
  const link = /^https?:/.test(license.link) ? html`<a href=${license.link} rel="noopener noreferrer" target="_blank">${name}</a>` : name;
  return html`<div class="license" data-testid=${testid}>
    ${(license.name || license.link) && html`<p>License: ${link}</p>`}
    ${license.attribution && html`<p>${license.attribution}</p>`}
    ${license.territory && html`<p>Territory: ${license.territory}</p>`}
    ${license.revenue && html`<p>Revenue: ${license.revenue}</p>`}
  </div>`;
}

/** Why a model does not film for this key, as to its license, in words; null: it does. @param {import("../capabilities.js").Model|null} model */
export function licenseRefusal(model) {
  const refusal = model?.kinema.license_refusal;
  if (!refusal) return null;
  return refusal.code === "license_not_accepted" ? `${model.id} films once its license is accepted.` : refusal.message;
}

/** A note on a model whose license keeps it from filming, with a way to accept it; nothing for other models. */
export function LicenseQuestion({ model }) {
  const [open, setOpen] = useState(false);
  const text = licenseRefusal(model);
  if (!text) return null;
  const accept = async () => {
    if (!(await attempt(() => models.acceptLicense(model.id)))) return;
    await loadModels();
    toast(`The license of ${model.id} is accepted, for this key`);
  };
  return html`<div data-testid="license-question"><${Note} kind="info" testid="license-note"><p>${text}</p>
      ${model.kinema.license_refusal.code === "license_not_accepted" && html`<div class="row"><${Button} kind="small" onClick=${() => setOpen(true)}
        testid="read-license">Read and accept<//></div>`}<//>
    ${open && html`<${Confirm} title=${`Accept the license of ${model.id}?`} yes="Accept" no="Not now" onYes=${accept} onClose=${() => setOpen(false)} testid="license">
      <p>Whoever films with this key keeps it. It is asked for once.</p><${License} license=${abilities(model).license} testid="license-terms" /><//>`}</div>`;
}
