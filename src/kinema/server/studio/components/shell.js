/** The frame around every room: the way to each of them, the quota, the theme. */
import { html, useEffect } from "../ui.js";
import { href, route } from "../router.js";
import { queue, running, theme, usage } from "../store.js";
import { count } from "../format.js";
import { Icon, Mark } from "./icons.js";
import { Button } from "./basics.js";
import { Away } from "./away.js";
import { Shortcuts } from "./shortcuts.js";

const WAYS = [
  ["create", "Create"], ["gallery", "Gallery"], ["edit", "Edit"], ["world", "World"], ["storyboard", "Storyboard"], ["models", "Models"], ["settings", "Settings"],
];
const THEMES = { system: ["auto", "light"], light: ["sun", "dark"], dark: ["moon", "system"] };

export function Shell({ children }) {
  // The cutting table is a part of Edit.
  const here = route.value.room === "cutting" ? "edit" : route.value.room;
  useEffect(() => {
    document.documentElement.dataset.room = here ?? "";
  }, [here]);
  const jobs = queue.value.data.length;
  return html`<a class="skip" href="#main" onClick=${skip}>Skip to the room</a>
    <div class="shell">
      <header class="rail">
        <a class="brand" href=${href("create")} aria-label="Kinema Studio"><${Mark} /><span>Kinema</span></a>
        <nav aria-label="Rooms">
          <ul>
            ${WAYS.map(([room, name]) => html`<li key=${room}>
              <a href=${href(room)} class="way" data-room=${room} data-testid=${`nav-${room}`} aria-current=${here === room ? "page" : undefined}>
                <${Icon} name=${room} size=${18} /><span>${name}</span>
                ${room === "create" && jobs > 0 && html`<b class="badge" aria-label=${`${jobs} in the queue`} data-testid="badge">${jobs}</b>`}
              </a>
            </li>`)}
          </ul>
        </nav>
        <div class="rail-foot">
          <${Now} />
          <${Quota} />
          <div class="rail-tools"><${ThemeButton} /><${Shortcuts} /></div>
        </div>
      </header>
      <${Away} />
      ${children}
    </div>`;
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

/** A line on what is being filmed, seen from every room. */
function Now() {
  const job = running.value[0];
  if (!job) return null;
  return html`<a class="now" href=${href("create")} aria-label=${`Filming, ${Math.round(job.progress)} percent`}>
    <span class="rec" aria-hidden="true"></span><span>Filming</span><span class="mono">${Math.round(job.progress)}%</span>
  </a>`;
}

function Quota() {
  const quota = usage.value?.quota;
  if (!quota || !quota.limit) return null;
  const taken = Math.min((100 * (quota.used + quota.reserved)) / quota.limit, 100);
  return html`<div class="quota" title="pixel-seconds">
    <div class="quota-bar" role="meter" aria-label="Quota used" aria-valuemin="0" aria-valuemax="100"
      aria-valuenow=${Math.round(taken)}><i style=${{ width: `${taken}%` }}></i></div>
    <span class="mono">${count(Math.max(quota.limit - quota.used - quota.reserved, 0))} left</span>
  </div>`;
}

export function ThemeButton() {
  const [icon, next] = THEMES[theme.value] ?? THEMES.system;
  return html`<${Button} icon=${icon} kind="quiet" label=${`Theme: ${theme.value}. Change to ${next}`}
    onClick=${() => (theme.value = next)} testid="theme" />`;
}
