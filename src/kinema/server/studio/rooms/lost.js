/** What is shown for an address that leads nowhere. */
import { html } from "../ui.js";
import { href } from "../router.js";
import { Empty } from "../components/basics.js";

export function Lost() {
  return html`<header class="room-head"><div><h1>There is no such page</h1>
      <p>The address <code data-testid="lost-address">${location.hash.slice(0, 120)}</code> leads nowhere in the Studio.</p></div></header>
    <div data-testid="lost"><${Empty} title="Perhaps you meant one of these"><a href=${href("create")}>Create</a>, where films are made, or the <a
      href=${href("gallery")}>Gallery</a>, where they are kept.<//></div>`;
}
