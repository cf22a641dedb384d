/** Complaints about clips, for administrators. */
import { html } from "../../ui.js";
import { reports } from "../../api.js";
import { attempt, toast } from "../../store.js";
import { date } from "../../format.js";
import { href } from "../../router.js";
import { Button, Note, Skeleton, useLoaded } from "../../components/basics.js";
import { reasonName } from "../../components/report.js";

export function Reports() {
  const { data, error, reload } = useLoaded(() => reports.list("open"), []);
  const close = async (report) => {
    if (await attempt(() => reports.close(report.id))) toast("The report is closed");
    return reload();
  };
  return html`<section class="panel wide" aria-labelledby="reports" data-testid="reports">
    <h2 id="reports">Reports</h2>
    <${Note} error=${error} retry=${reload} />
    ${!data && !error && html`<${Skeleton} kind="line" count=${2} />`}
    ${data?.data.length === 0 && html`<p class="quiet">Nobody complains about a clip.</p>`}
    ${data?.data.length > 0 && html`<div class="scroll-x" tabindex="0"><table><thead><tr><th>Clip</th><th>Reason</th><th>What is wrong</th><th>Sent</th><th>By key</th>
      <th><span class="visually-hidden">Close</span></th></tr></thead>
      <tbody>${data.data.map((report) => html`<tr key=${report.id} data-testid="report-row"><td><a class="mono" href=${href("gallery", report.video)}>${report.video}</a></td>
        <td>${reasonName(report.reason)}</td><td>${report.text}</td><td>${date(report.created_at)}</td><td class="mono">${report.key_id}</td>
        <td><${Button} kind="small" label=${`Close the report about ${report.video}`} onClick=${() => close(report)} testid="close-report">Close<//></td></tr>`)}</tbody></table></div>`}
  </section>`;
}
