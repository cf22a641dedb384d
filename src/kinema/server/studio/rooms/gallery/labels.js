/** What a clip is called and where it belongs: title, tags, project, favorite. */
import { html, useId, useState } from "../../ui.js";
import { videos } from "../../api.js";
import { attempt, refreshRecent } from "../../store.js";
import { loadProjects, projects } from "../../projects.js";
import { plural, title } from "../../format.js";
import { Button, Select } from "../../components/basics.js";
import { Dialog } from "../../components/dialog.js";

/** "Balls, draft ,balls" -> ["balls", "draft"] */
export const tagsOf = (text) => [...new Set(text.split(",").map((tag) => tag.trim().toLowerCase().replace(/\s+/g, " ")).filter(Boolean))];

/** Changes labels of clips; what changed is told by the answers. @returns {Promise<import("../../api.js").Video[]>} */
export async function relabel(clips, changesOf) {
  const changed = [];
  for (const clip of clips) {
    const answer = await attempt(() => videos.label(clip.id, changesOf(clip)));
    if (!answer) break;
    changed.push(answer);
  }
  loadProjects();
  refreshRecent();
  return changed;
}

/** A star that marks a clip. */
export function Favorite({ clip, onChange, kind = "quiet small", children }) {
  const on = clip.kinema.favorite;
  const flip = async () => onChange(await relabel([clip], () => ({ favorite: !on })));
  return html`<${Button} icon="favorite" kind=${`${kind} favorite`} label=${`Favorite: ${title(clip)}`} aria-pressed=${on ? "true" : "false"} onClick=${flip} testid="favorite">${children}<//>`;
}

/** The labels of one clip as fields, each saved when it is left. */
export function Labels({ clip, onChange }) {
  const id = useId();
  const { kinema: about } = clip;
  const save = async (changes) => onChange(await relabel([clip], () => changes));
  return html`<div class="labels" role="group" aria-label="Name and place">
    <div class="field"><label for=${`${id}-title`}>Title</label><input id=${`${id}-title`} type="text" maxlength="200" placeholder=${clip.prompt.slice(0, 80)}
      value=${about.title ?? ""} onChange=${(event) => save({ title: event.currentTarget.value })} data-testid="clip-title" /></div>
    <div class="field"><label for=${`${id}-tags`}>Tags <span class="quiet">(commas between)</span></label><input id=${`${id}-tags`} type="text"
      placeholder="draft, balls" value=${about.tags.join(", ")} onChange=${(event) => save({ tags: tagsOf(event.currentTarget.value) })} data-testid="clip-tags" /></div>
    <${ProjectSelect} value=${about.project ?? ""} onChange=${(project) => save({ project })} testid="clip-project" />
  </div>`;
}

function ProjectSelect({ value, onChange, testid, first = ["", "None"] }) {
  return html`<${Select} label="Project" value=${value} onChange=${onChange} testid=${testid}
    options=${[first, ...(projects.value ?? []).map(({ id, name }) => [id, name])]} />`;
}

const KEEP = "keep";

/** The same labels for many clips: a project, and tags that are added or taken away. */
export function BulkLabels({ clips, onClose, onChange }) {
  const [project, setProject] = useState(KEEP);
  const [added, setAdded] = useState("");
  const [removed, setRemoved] = useState("");
  const [busy, setBusy] = useState(false);
  const common = [...new Set(clips.flatMap((clip) => clip.kinema.tags))].sort();
  const run = async () => {
    setBusy(true);
    const away = tagsOf(removed);
    onChange(await relabel(clips, (clip) => ({
      tags: [...new Set([...clip.kinema.tags.filter((tag) => !away.includes(tag)), ...tagsOf(added)])],
      ...(project === KEEP ? {} : { project }),
    })));
    onClose();
  };
  const id = useId();
  const field = (name, text, value, set, testid) => html`<div class="field"><label for=${`${id}-${name}`}>${text}</label><input id=${`${id}-${name}`} type="text" value=${value}
    onInput=${(event) => set(event.currentTarget.value)} data-testid=${testid} /></div>`;
  return html`<${Dialog} title=${`Tags and project of ${plural(clips.length, "clip")}`} onClose=${onClose} testid="bulk-labels"
    foot=${html`<${Button} onClick=${onClose}>Leave as they are<//><${Button} kind="primary" busy=${busy} onClick=${run} testid="bulk-save">Change<//>`}>
    ${field("add", "Add tags, commas between", added, setAdded, "bulk-add-tags")}
    ${common.length > 0 && field("remove", `Take away tags (there are: ${common.slice(0, 12).join(", ")})`, removed, setRemoved, "bulk-remove-tags")}
    <${Select} label="Project" value=${project} onChange=${setProject} testid="bulk-project"
      options=${[[KEEP, "As it is"], ["", "In no project"], ...(projects.value ?? []).map((one) => [one.id, one.name])]} />
  <//>`;
}
