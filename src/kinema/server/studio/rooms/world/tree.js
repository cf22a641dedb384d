/** Worlds by where they branched off: a list in a list, with a picture of each now. */
import { html, useState } from "../../ui.js";
import { worlds as calls } from "../../api.js";
import { href } from "../../router.js";
import { trim } from "../../format.js";
import { Button } from "../../components/basics.js";
import { Confirm } from "../../components/confirm.js";

/** @param {{worlds: import("../../api.js").World[], here?: string, onRemove?: (world: Object) => void}} props */
export function Tree({ worlds, here, onRemove }) {
  const [asked, setAsked] = useState(null);
  const known = new Set(worlds.map((world) => world.id));
  const under = (id) => worlds.filter((world) => (id === null ? !known.has(world.parent) : world.parent === id)).sort((a, b) => (a.branched_at_s ?? a.created_at) - (b.branched_at_s ?? b.created_at));
  const branch = (world) => {
    const children = under(world.id);
    return html`<li key=${world.id}>
      <div class="row" style=${{ flexWrap: "nowrap", gap: "2px" }}>
        <a class="node" style=${{ flex: 1, minWidth: 0 }} href=${href("world", world.id)}
          aria-current=${world.id === here ? "page" : undefined} data-testid="tree-node" data-id=${world.id}>
          <img src=${calls.frameUrl(world.id, 1, Math.round(world.time_s * 100))} alt="" loading="lazy" />
          <span>${world.name || world.id}<small
            class="mono">${world.branched_at_s !== null && world.branched_at_s !== undefined ? `from ${trim(world.branched_at_s)} s, ` : ""}now ${trim(world.time_s)} s</small>
            </span>
        </a>
        ${onRemove && world.id !== here && html`<${Button} icon="trash" kind="quiet small"
          label=${`Delete ${world.name || world.id}`} onClick=${() => setAsked(world)} testid="delete-world" />`}
      </div>
      ${children.length > 0 && html`<ul>${children.map(branch)}</ul>`}
    </li>`;
  };
  return html`<nav class="tree" aria-label="Branches" data-testid="tree"><ul>${under(null).map(branch)}</ul></nav>
    ${asked && html`<${ConfirmDelete} world=${asked} onYes=${() => onRemove(asked)} onClose=${() => setAsked(null)} />`}`;
}

/** @param {{world: import("../../api.js").World, onYes: () => any, onClose: () => void}} props */
export function ConfirmDelete({ world, onYes, onClose }) {
  return html`<${Confirm} title=${`Delete ${world.name || world.id}?`} yes="Delete" onYes=${onYes} onClose=${onClose} testid="delete-world">
    <p>Its branches stay. A deleted world does not come back; <a href=${calls.fileUrl(world.id)} download>download it</a> first if you may want it.</p><//>`;
}
