/** Rooms by the address's fragment: #/create, #/edit/video_1. */
import { signal, effect } from "./ui.js";

/** How many ids an address may have after each room. */
const MOST_IDS = { create: 0, gallery: 1, edit: 2, world: 2, cutting: 0, storyboard: 1, models: 1, settings: 0 };

/** Where an address leads. room: null where there is no such page. @param {string} hash */
export function read(hash) {
  const [path] = hash.replace(/^#\/?/, "").split("?");
  const lost = { room: null, id: null, sub: null };
  // A key is taken out of the address when the Studio begins; #main is the link past the menu.
  if (!path || path.startsWith("key=") || path === "main") return { ...lost, room: "create" };
  try {
    const [room, ...ids] = path.replace(/\/$/, "").split("/").map(decodeURIComponent);
    if (!Object.hasOwn(MOST_IDS, room) || ids.length > MOST_IDS[room] || ids.includes("")) return lost;
    return { room, id: ids[0] ?? null, sub: ids[1] ?? null };
  } catch {
    // A stray % that stands for no character.
    return lost;
  }
}

export const route = signal(read(location.hash));

window.addEventListener("hashchange", () => {
  if (location.hash.startsWith("#main")) return;
  route.value = read(location.hash);
});

/** @param {...string} parts room, id */
export const href = (...parts) => `#/${parts.filter(Boolean).map(encodeURIComponent).join("/")}`;

export function go(...parts) {
  location.hash = href(...parts);
}

/** What the title bar says of where one is; rooms may add what is open. */
export const place = signal("");

const TITLES = {
  create: "Create", gallery: "Gallery", edit: "Edit", cutting: "Cut and join", world: "World", storyboard: "Storyboard", models: "Models", settings: "Settings",
};
export const roomTitle = (room) => TITLES[room] ?? "No such page";

effect(() => {
  const name = roomTitle(route.value.room);
  document.title = `${place.value ? `${place.value} · ` : ""}${name} · Kinema Studio`;
});
