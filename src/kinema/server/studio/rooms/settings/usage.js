/** What the key has used, and of which quota. */
import { html } from "../../ui.js";
import { account } from "../../api.js";
import { count, date, plural } from "../../format.js";
import { href } from "../../router.js";
import { Button, Note, Skeleton, useLoaded } from "../../components/basics.js";

export function Usage() {
  const { data, error, reload } = useLoaded(() => account.usage(), []);
  const quota = data?.quota;
  const share = (value) => `${Math.min((100 * value) / (quota.limit || 1), 100)}%`;
  const signs = { reserve: "Reserved", settle: "Used", refund: "Given back" };
  return html`<section class="panel wide" aria-labelledby="usage" data-testid="usage">
    <div class="row between"><h2 id="usage">Usage</h2><${Button} icon="retry" kind="quiet small" label="Refresh usage" onClick=${reload} /></div>
    <${Note} error=${error} retry=${reload} />
    ${!data && !error && html`<${Skeleton} kind="line" count=${2} />`}
    ${quota && html`${quota.limit
        ? html`<div><div class="meter" role="meter" aria-label="Quota" aria-valuemin="0" aria-valuemax=${quota.limit}
          aria-valuenow=${quota.used + quota.reserved}><i class="used" style=${{ width: share(quota.used) }}></i><i
          class="reserved" style=${{ width: share(quota.reserved) }}></i></div>
            <p class="quiet" style=${{ marginTop: "6px" }}>${count(quota.used)} of ${count(quota.limit)} pixel-seconds used, ${count(quota.reserved)} reserved</p>
              </div>`
        : html`<p>${count(quota.used)} pixel-seconds used, no limit.</p>`}
      ${(data.rate_per_minute || data.concurrency) && html`<p class="quiet">${[data.rate_per_minute && `${data.rate_per_minute} requests a minute`, data.concurrency && `${plural(data.concurrency, "clip")} at a time`].filter(Boolean).join(", ")}
        </p>`}
      ${data.ledger?.length > 0 && html`<details><summary>Ledger</summary><div class="scroll-x" tabindex="0"><table
        data-testid="ledger"><thead><tr><th>When</th><th>Clip</th><th>What</th><th class="number">Pixel-seconds</th></tr>
        </thead>
        <tbody>${data.ledger.map((row, i) => html`<tr key=${i}><td>${date(row.at)}</td>
          <td>${row.video ? html`<a href=${href("gallery", row.video)} class="mono">${row.video}</a>` : "–"}</td>
          <td>${signs[row.kind] ?? row.kind}</td><td class="number mono">${count(row.pixel_seconds)}</td></tr>`)}</tbody>
          </table></div></details>`}`}
  </section>`;
}
