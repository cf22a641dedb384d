/** What is being filmed and what waits, in the order in which it will run. */
import { html, classes, useState, useRef } from "../ui.js";
import { videos } from "../api.js";
import { attempt, queue, refreshQueue, toast } from "../store.js";
import { duration, kindName, stageName, title, trim } from "../format.js";
import { aspect } from "../room.js";
import { Button, Progress } from "./basics.js";

const ROW_TYPE = "application/x-kinema-job";

export function Queue() {
  const jobs = queue.value.data;
  if (!jobs.length) return html`<p class="quiet-note" data-testid="queue-empty">Nothing in the queue. What you film waits here for its turn.</p>`;
  const waiting = jobs.filter((job) => job.status === "queued");
  const move = async (job, before) => {
    await attempt(() => videos.move(job.id, before));
    refreshQueue();
  };
  return html`<ol class="queue" data-testid="queue" aria-label="Queue">
    ${jobs.map((job) => html`<${Job} key=${job.id} job=${job} waiting=${waiting} move=${move} />`)}
  </ol>`;
}

/** "Filming · 40% · 3 s left" @param {number} place among what waits, -1 where it is not waiting */
function stateOf(job, place) {
  const { paused, stage, eta_s: eta } = job.kinema;
  if (paused) return "Paused";
  const where = place < 0 ? stageName(stage) : place === 0 ? "Next" : `${place} before it`;
  const share = job.status === "in_progress" ? `${Math.round(job.progress)}%` : "";
  const left = eta !== null && eta !== undefined ? `${duration(eta)} left` : "";
  return [where, share, left].filter(Boolean).join(" · ");
}

function Job({ job, waiting, move }) {
  const [over, setOver] = useState(false);
  const { kinema: about } = job;
  const place = waiting.findIndex((other) => other.id === job.id);
  const queued = place >= 0;
  const active = job.status === "in_progress" && !about.paused;
  const act = (name) => async () => {
    const done = await attempt(() => videos[name](job.id));
    if (done && name === "cancel") {
      toast("Canceled", { action: { label: "Film it after all", run: () => attempt(() => videos.retry(job.id)).then(refreshQueue) } });
    }
    refreshQueue();
  };
  const drop = (event) => {
    setOver(false);
    const id = event.dataTransfer.getData(ROW_TYPE);
    if (!id || id === job.id) return;
    event.preventDefault();
    move({ id }, job.id);
  };
  const over_ = (event) => {
    if (!queued || !event.dataTransfer.types.includes(ROW_TYPE)) return;
    event.preventDefault();
    setOver(true);
  };
  const name = title(job);
  return html`<li class=${classes("job", { over, active, paused: about.paused })} draggable=${queued} data-testid="job" data-id=${job.id}
    onDragStart=${(event) => event.dataTransfer.setData(ROW_TYPE, job.id)} onDragOver=${over_}
    onDragLeave=${() => setOver(false)} onDrop=${drop}>
    <${Preview} job=${job} />
    <div class="job-text">
      <p class="job-title" title=${name}>${name}</p>
      <p class="job-state mono" data-testid="job-state">${stateOf(job, place)}</p>
      ${(active || job.progress > 0) ? html`<${Progress} value=${job.progress} label=${`Progress of ${name}`} />` : html`<p
        class="job-slate mono">${about.kind === "generate" ? "" : `${kindName(about.kind)} · `}${trim(job.seconds)} s · ${job.size.replace("x", "×")}</p>`}
    </div>
    <div class="job-tools">
      ${queued && waiting.length > 1 && html`<${Button} icon="up" label=${`Earlier: ${name}`} kind="quiet small"
        disabled=${place === 0} onClick=${() => move(job, waiting[place - 1].id)} testid="job-up" />
        <${Button} icon="down" label=${`Later: ${name}`} kind="quiet small" disabled=${place === waiting.length - 1}
          onClick=${() => move(job, waiting[place + 2]?.id ?? null)} testid="job-down" />`}
      ${about.paused
        ? html`<${Button} icon="play" label=${`Resume ${name}`} kind="quiet small" onClick=${act("resume")} testid="job-resume" />`
        : html`<${Button} icon="pause" label=${`Pause ${name}`} kind="quiet small" onClick=${act("pause")} testid="job-pause" />`}
      <${Button} icon="close" label=${`Cancel ${name}`} kind="quiet small" onClick=${act("cancel")} testid="job-cancel" />
    </div>
  </li>`;
}

/** The latest picture of a job under way, or a place for it. */
export function Preview({ job, large }) {
  const seen = useRef(null);
  if (job.kinema.has_preview) seen.current = videos.url(job.id, "preview", `${job.kinema.stage}${Math.round(job.progress)}`);
  return html`<div class=${classes("preview", { large, developing: job.status === "in_progress" })}
    style=${{ aspectRatio: String(aspect(job.size)) }} data-testid="preview">
    ${seen.current && html`<img src=${seen.current} alt=${large ? `Preview of ${title(job)}` : ""} onError=${() => (seen.current = null)} />`}
    ${!seen.current && html`<div class="leader" aria-hidden="true"></div>`}
  </div>`;
}
