/** What can be done with the chosen clips. */
import { html, useState } from "../../ui.js";
import { videos } from "../../api.js";
import { go } from "../../router.js";
import { plural } from "../../format.js";
import { putOnTable } from "../../cutting.js";
import { Button } from "../../components/basics.js";
import { Icon } from "../../components/icons.js";
import { BulkLabels, relabel } from "./labels.js";
import { Compare } from "./compare.js";

/** What the server puts into one zip file. */
const MOST_ARCHIVED = 100;

export function PickedBar({ picked, all, setPicked, onRemove, onChange }) {
  const [open, setOpen] = useState(null);
  const playable = picked.filter((clip) => clip.status === "completed");
  const favorite = !picked.every((clip) => clip.kinema.favorite);
  const join = () => {
    putOnTable(playable);
    go("cutting");
  };
  const close = () => setOpen(null);
  return html`<div class="bar" role="toolbar" aria-label="Chosen clips" data-testid="picked-bar">
    <strong>${plural(picked.length, "clip")} chosen</strong>
    <${Button} kind="quiet" disabled=${picked.length >= all.length} onClick=${() => setPicked(all)} testid="pick-all">Choose all in sight<//>
    <${Button} icon="favorite" onClick=${async () => onChange(await relabel(picked, () => ({ favorite })))} testid="favorite-picked">${favorite ? "Favorite" : "No favorite"}<//>
    <${Button} icon="tag" onClick=${() => setOpen("labels")} testid="label-picked">Tags and project<//>
    <${Button} icon="compare" disabled=${playable.length < 2} onClick=${() => setOpen("compare")} testid="compare">Compare<//>
    <${Button} icon="cut" disabled=${!playable.length} onClick=${join} testid="cut-picked">Cut and join<//>
    ${playable.length > 0 && playable.length <= MOST_ARCHIVED && html`<a class="button" href=${videos.archiveUrl(playable.map((clip) => clip.id))} download
      data-testid="download-picked"><${Icon} name="download" /><span>Download all</span></a>`}
    <${Button} icon="trash" kind="danger" onClick=${() => onRemove(picked)} testid="delete-picked">Delete<//>
    <${Button} kind="quiet" onClick=${() => setPicked([])} testid="clear-picked">Clear<//>
    ${open === "labels" && html`<${BulkLabels} clips=${picked} onClose=${close} onChange=${onChange} />`}
    ${open === "compare" && html`<${Compare} clips=${playable} onClose=${close} />`}
  </div>`;
}
