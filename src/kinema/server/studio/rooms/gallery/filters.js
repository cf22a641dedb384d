/** What the gallery shows and in which order: by words, project, tag, model, favorites. */
import { html, useState } from "../../ui.js";
import { projects as calls } from "../../api.js";
import { attempt, filmers, toast } from "../../store.js";
import { loadProjects, projects } from "../../projects.js";
import { plural } from "../../format.js";
import { Button, Select } from "../../components/basics.js";
import { Confirm } from "../../components/confirm.js";
import { Dialog } from "../../components/dialog.js";

export const ALL = { search: "", project: "", tag: "", model: "", favorite: false, sort: "newest" };
const SORTS = { newest: ["created", "desc"], oldest: ["created", "asc"], longest: ["duration", "desc"], shortest: ["duration", "asc"] };
const SORT_NAMES = [["newest", "Newest first"], ["oldest", "Oldest first"], ["longest", "Longest first"], ["shortest", "Shortest first"]];

/** The filters as GET /v1/videos takes them. */
export function queryOf(filters) {
  const [sort, order] = SORTS[filters.sort] ?? SORTS.newest;
  return { sort, order, search: filters.search, project: filters.project, tag: filters.tag, model: filters.model, favorite: filters.favorite || null };
}

export const isFiltered = (filters) => Boolean(filters.search || filters.project || filters.tag || filters.model || filters.favorite);

/** @param {{filters: typeof ALL, set: (changes: Object) => void, tags: string[]}} props tags: those of the clips in sight */
export function Filters({ filters, set, tags }) {
  const [managing, setManaging] = useState(false);
  const folders = projects.value ?? [];
  const shown = filters.tag && !tags.includes(filters.tag) ? [filters.tag, ...tags] : tags;
  return html`<section class="filters" aria-label="Filters">
    <${Select} label="Project" value=${filters.project} onChange=${(project) => set({ project })} testid="filter-project"
      options=${[["", "All"], ...folders.map(({ id, name, videos }) => [id, `${name} (${videos})`]), ["none", "In no project"]]} />
    <${Select} label="Tag" value=${filters.tag} onChange=${(tag) => set({ tag })} testid="filter-tag" options=${[["", "All"], ...shown]} />
    ${filmers.value.length > 1 && html`<${Select} label="Model" value=${filters.model} onChange=${(model) => set({ model })} testid="filter-model"
      options=${[["", "All"], ...filmers.value.map((model) => model.id)]} />`}
    <${Select} label="Order" value=${filters.sort} onChange=${(sort) => set({ sort })} testid="sort" options=${SORT_NAMES} />
    <${Button} icon="favorite" aria-pressed=${filters.favorite ? "true" : "false"} onClick=${() => set({ favorite: !filters.favorite })} testid="filter-favorite">Favorites<//>
    <${Button} icon="folder" onClick=${() => setManaging(true)} testid="manage-projects">Projects<//>
    ${isFiltered(filters) && html`<${Button} kind="quiet" onClick=${() => set({ ...ALL, sort: filters.sort })} testid="clear-filters">Show all<//>`}
    ${managing && html`<${Projects} onClose=${() => setManaging(false)} />`}
  </section>`;
}

/** Projects: made, renamed, deleted. Their clips stay. */
function Projects({ onClose }) {
  const [name, setName] = useState("");
  const [asked, setAsked] = useState(null);
  const create = async (event) => {
    event.preventDefault();
    if (!(await attempt(() => calls.create(name.trim())))) return;
    setName("");
    loadProjects();
  };
  const remove = async (project) => {
    if (await attempt(() => calls.remove(project.id))) toast(`${project.name} is deleted; its clips stay`);
    loadProjects();
  };
  return html`<${Dialog} title="Projects" onClose=${onClose} testid="projects-dialog">
    <form class="row" onSubmit=${create}>
      <input type="text" class="grow" aria-label="Name of the new project" placeholder="New project" maxlength="80" value=${name}
        onInput=${(event) => setName(event.currentTarget.value)} data-testid="project-name" />
      <button class="button primary" type="submit" disabled=${!name.trim()} data-testid="create-project">Make it</button>
    </form>
    ${projects.value?.length === 0 && html`<p class="quiet-note">A project is a folder for clips. Choose clips in the gallery to put them into one.</p>`}
    <ul class="lines">${(projects.value ?? []).map((project) => html`<li key=${project.id} data-testid="project-row"><${Row} project=${project} />
      <${Button} icon="trash" kind="quiet small" label=${`Delete ${project.name}`} onClick=${() => setAsked(project)} testid="delete-project" /></li>`)}</ul>
    ${asked && html`<${Confirm} title=${`Delete ${asked.name}?`} yes="Delete" onYes=${() => remove(asked)} onClose=${() => setAsked(null)} testid="project">
      <p>${asked.videos ? `Its ${plural(asked.videos, "clip")} stay in the gallery, in no project.` : "It is empty."}</p><//>`}
  <//>`;
}

function Row({ project }) {
  const save = async (event) => {
    const field = event.currentTarget;
    const name = field.value.trim();
    if (!name || name === project.name) return void (field.value = project.name);
    if (!(await attempt(() => calls.rename(project.id, name)))) field.value = project.name;
    loadProjects();
  };
  return html`<input type="text" aria-label=${`Name of the project ${project.name}`} value=${project.name} maxlength="80" onChange=${save} data-testid="rename-project" />`;
}
