/** Browsers that are signed in with this key (with any key, for an administrator), each of which can be signed out. */
import { html, useState } from "../../ui.js";
import { sessions } from "../../api.js";
import { attempt, signOut, toast } from "../../store.js";
import { date } from "../../format.js";
import { Button, Note, Skeleton, useLoaded } from "../../components/basics.js";
import { Confirm } from "../../components/confirm.js";

const BROWSERS = [["Edg/", "Edge"], ["OPR/", "Opera"], ["Firefox/", "Firefox"], ["Chrome/", "Chrome"], ["Safari/", "Safari"]];
const SYSTEMS = [["Android", "Android"], ["iPhone", "an iPhone"], ["iPad", "an iPad"], ["Windows", "Windows"], ["Mac OS", "a Mac"], ["Linux", "Linux"]];

/** "Firefox on Linux", as far as a browser says so. @param {string} agent */
export function browserName(agent) {
  const [browser, system] = [BROWSERS, SYSTEMS].map((names) => names.find(([mark]) => agent.includes(mark))?.[1]);
  return browser ? `${browser}${system ? ` on ${system}` : ""}` : agent.slice(0, 60) || "An unknown program";
}

export function Sessions({ admin }) {
  const { data, error, reload } = useLoaded(() => sessions.list(), []);
  const [asked, setAsked] = useState(null);
  const end = async (session) => {
    if (session.current) return signOut();
    if (await attempt(() => sessions.end(session.id))) toast(`${browserName(session.agent)} is signed out`);
    return reload();
  };
  return html`<section class="panel wide" aria-labelledby="sessions" data-testid="sessions">
    <h2 id="sessions">Signed-in browsers</h2>
    <p class="quiet">${admin ? "All browsers that are signed in to this server." : "All browsers that are signed in with this key."} A session ends by itself after a while.</p>
    <${Note} error=${error} retry=${reload} />
    ${!data && !error && html`<${Skeleton} kind="line" count=${2} />`}
    ${data && html`<div class="scroll-x" tabindex="0"><table><thead><tr><th>Browser</th>${admin && html`<th>Key</th>`}<th>Since</th><th>Until</th>
      <th><span class="visually-hidden">Sign out</span></th></tr></thead>
      <tbody>${data.data.map((session) => html`<tr key=${session.id} data-testid="session-row"><td title=${session.agent}>${browserName(session.agent)}${session.current
        ? html` <small class="quiet">this one</small>` : ""}</td>${admin && html`<td class="mono">${session.key_id}</td>`}<td>${date(session.created_at)}</td>
        <td>${date(session.expires_at)}</td><td><${Button} kind="small danger" label=${`Sign out ${browserName(session.agent)}`}
          onClick=${() => setAsked(session)} testid="end-session">Sign out<//></td></tr>`)}</tbody></table></div>`}
    ${asked && html`<${Confirm} title=${`Sign out ${browserName(asked.agent)}?`} yes="Sign out" no="Stay signed in" onYes=${() => end(asked)} onClose=${() => setAsked(null)}
      testid="session"><p>${asked.current ? "This is the browser that you use now. " : ""}It needs the key to come in again.</p><//>`}
  </section>`;
}
