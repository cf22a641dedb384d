/** What was made on a page, newest first: under way, then as a clip to go on with. */
import { html, useEffect, useState } from "../ui.js";
import { videos } from "../api.js";
import { attempt, ended, queue } from "../store.js";
import { go, href } from "../router.js";
import { slate, stageName, title } from "../format.js";
import { Compare } from "../rooms/gallery/compare.js";
import { Button, Progress } from "./basics.js";
import { Failure } from "./failure.js";
import { Preview } from "./queue.js";
import { Thumb } from "./thumb.js";

/** @param {{made: import("../api.js").Video[], clip?: import("../api.js").Video}} props clip: what to compare with */
export function Results({ made, clip }) {
  if (!made.length) return null;
  return html`<section aria-label="Made here" class="results" data-testid="results">
    <h2>Made here</h2>${made.map((video) => html`<${Result} key=${video.id} first=${video} clip=${clip} />`)}</section>`;
}

function Result({ first, clip }) {
  const [comparing, setComparing] = useState(false);
  const [video, setVideo] = useState(first);
  const job = queue.value.data.find((one) => one.id === first.id);
  useEffect(() => {
    if (job) setVideo(job);
    else attempt(() => videos.get(first.id)).then((now) => now && setVideo(now));
  }, [job?.progress, job?.status, Boolean(job), ended.value?.id === first.id]);
  const done = video.status === "completed";
  return html`<div class="result" data-testid="result" data-status=${video.status}>
    ${done ? html`<${Thumb} video=${video} onOpen=${() => go("gallery", video.id)} />` : html`<${Preview} job=${video} />`}
    <div class="stack" style=${{ gap: "6px" }}>
      <p>${title(video)}</p><p class="mono quiet">${slate(video)}</p>
      ${video.status === "failed" && html`<${Failure} clip=${video} />`}
      ${job && html`<p class="mono quiet">${stageName(video.kinema.stage)}</p><${Progress} value=${video.progress} label="Progress" />`}
      ${done && html`<div class="row"><a class="button small" href=${href("edit", video.id)}
        data-testid="go-on">Go on with this</a>${clip && html`<${Button} kind="small" onClick=${() => setComparing(true)}
        testid="compare-result">Compare<//>`}<a
        class="button small" href=${videos.url(video.id, "download")} download>Download</a></div>`}
      ${comparing && html`<${Compare} clips=${[clip, video]} onClose=${() => setComparing(false)} />`}
    </div>
  </div>`;
}
