/** Storyboard: films of stories. Productions live on the server; a card or a story that was not sent yet stays in the browser. */
import { html } from "../ui.js";
import { route } from "../router.js";
import { Cards } from "./storyboard/cards.js";
import { ProductionPage } from "./storyboard/production.js";
import { Start } from "./storyboard/start.js";

export function Storyboard() {
  const { id } = route.value;
  if (id === "cards") return html`<${Cards} />`;
  return id ? html`<${ProductionPage} id=${id} key=${id} />` : html`<${Start} />`;
}
