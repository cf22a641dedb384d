/** Rooms by the address's fragment: #/create, #/edit/video_1?tool=mask. */
import { signal, effect } from "./ui.js";

const ROOMS = ["create", "gallery", "edit", "world", "storyboard", "models", "settings"];

function read() {
  const [path, rest = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [room, ...ids] = path.split("/").map(decodeURIComponent);
  return { room: ROOMS.includes(room) ? room : "create", id: ids[0] || null, sub: ids[1] || null, query: new URLSearchParams(rest) };
}

export const route = signal(read());

window.addEventListener("hashchange", () => {
  if (location.hash.startsWith("#main")) return;
  route.value = read();
});

/** @param {...string} parts room, id */
export const href = (...parts) => `#/${parts.filter(Boolean).map(encodeURIComponent).join("/")}`;

export function go(...parts) {
  location.hash = href(...parts);
}

/** What the title bar says of where one is; rooms may add what is open. */
export const place = signal("");

const TITLES = {
  create: "Create", gallery: "Gallery", edit: "Edit", world: "World", storyboard: "Storyboard", models: "Models", settings: "Settings",
};
export const roomTitle = (room) => TITLES[room];

effect(() => {
  const name = TITLES[route.value.room];
  document.title = `${place.value ? `${place.value} · ` : ""}${name} · Kinema Studio`;
});
