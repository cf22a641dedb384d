/** The projects of the key, shared by all rooms. */
import { effect, signal } from "./ui.js";
import { projects as calls } from "./api.js";
import { attempt, keyId } from "./store.js";

/** null until they are known. @type {{value: {id: string, name: string, videos: number}[]|null}} */
export const projects = signal(null);

export async function loadProjects() {
  const answer = await attempt(() => calls.list());
  if (answer) projects.value = answer.data;
}

effect(() => {
  projects.value = null;
  if (keyId.value) loadProjects();
});

export const projectName = (id) => projects.value?.find((project) => project.id === id)?.name ?? null;
