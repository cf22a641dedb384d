/** Where the Studio begins: the shell, and in it the room that the address names. */
import { html, render, useEffect, useRef } from "./ui.js";
import { begin, loadModels, modelsError, sceneFacts, session } from "./store.js";
import { place, route, roomTitle } from "./router.js";
import { Shell } from "./components/shell.js";
import { SignIn } from "./components/signin.js";
import { Toasts } from "./components/toasts.js";
import { Away } from "./components/away.js";
import { Note, Skeleton } from "./components/basics.js";
import { Create } from "./rooms/create.js";
import { Gallery } from "./rooms/gallery.js";
import { Edit } from "./rooms/edit.js";
import { Cutting } from "./rooms/cutting.js";
import { WorldRoom } from "./rooms/world.js";
import { Storyboard } from "./rooms/storyboard.js";
import { Models } from "./rooms/models.js";
import { Settings } from "./rooms/settings.js";
import { Lost } from "./rooms/lost.js";

const ROOMS = { create: Create, gallery: Gallery, edit: Edit, cutting: Cutting, world: WorldRoom, storyboard: Storyboard, models: Models, settings: Settings };

function App() {
  const { room, id } = route.value;
  const main = useRef(null);
  const first = useRef(true);
  useEffect(() => {
    if (first.current) {
      first.current = false;
      return;
    }
    // A new room begins at its top, and is announced by its heading.
    window.scrollTo(0, 0);
    main.current?.focus({ preventScroll: true });
  }, [room]);
  useEffect(() => {
    place.value = "";
  }, [room, id]);
  if (session.value === undefined) return html`<div class="starting" role="status"><span
    class="visually-hidden">Kinema Studio is starting</span></div><${Away} />`;
  if (session.value === null) return html`<${SignIn} /><${Toasts} />`;
  const Room = ROOMS[room] ?? Lost;
  return html`<${Shell}>
      <main id="main" ref=${main} tabindex="-1" aria-label=${roomTitle(room)} class=${`room room-${room ?? "lost"}`}>
        <${Note} error=${modelsError.value} retry=${loadModels} testid="models-error" />
        ${sceneFacts.value ? html`<${Room} key=${room} id=${id} />` : html`<${Skeleton} kind="line" count=${4} />`}</main>
    <//>
    <${Toasts} />`;
}

render(html`<${App} />`, document.getElementById("studio"));
begin();
