/** One production: its script beside the cards of its shots, what is being made, its film, and its log. */
import { html, useEffect, useState } from "../../ui.js";
import { productions, videos } from "../../api.js";
import { attempt, returns } from "../../store.js";
import { go, href } from "../../router.js";
import { count, duration, stageName } from "../../format.js";
import { Button, Empty, Note, Progress, Skeleton } from "../../components/basics.js";
import { Confirm } from "../../components/confirm.js";
import { Icon } from "../../components/icons.js";
import { Player } from "../../components/player.js";
import { CastPanel } from "./cast.js";
import { ShotCard } from "./shot.js";
import { statusName } from "./start.js";

const BUSY_MS = 1000;
const CALM_MS = 5000;

/** What can be downloaded of a production at this moment. */
function formatsOf(production) {
  const filmed = production.shots_done === production.shots_total;
  const spoken = production.script.shots.some((shot) => shot.dialogue?.length);
  return [production.film_is_current && ["mp4", "MP4"], filmed && ["otio", "OTIO"], filmed && ["edl", "EDL"], filmed && spoken && ["srt", "SRT"], ["zip", "Zip"]].filter(Boolean);
}

export function ProductionPage({ id }) {
  const [production, setProduction] = useState(null);
  const [wrong, setWrong] = useState(null);
  useEffect(() => {
    let timer = 0;
    let left = false;
    const ask = async () => {
      let next = CALM_MS;
      try {
        const now = await productions.get(id);
        if (left) return;
        setProduction((before) => (before && before.version > now.version ? before : now));
        setWrong(null);
        if (now.status === "filming") next = BUSY_MS;
      } catch (error) {
        if (!left) setWrong(error);
        if (error.status === 404) return;
      }
      if (!left) timer = setTimeout(ask, next);
    };
    ask();
    return () => {
      left = true;
      clearTimeout(timer);
    };
  }, [id, returns.value, production?.status]);
  if (!production) {
    return wrong?.status === 404
      ? html`<${Empty} title="No such production">It may have been deleted. <a href=${href("storyboard")}>All productions</a><//>`
      : html`<${Note} error=${wrong} />${!wrong && html`<${Skeleton} count=${4} />`}`;
  }
  /** Sends a decision, and shows what the server makes of it. */
  const decide = async (run) => {
    const now = await attempt(run);
    if (now) setProduction(now);
    return now;
  };
  return html`<${Head} production=${production} decide=${decide} />
    ${production.error && html`<${Note} testid="production-error">${production.error.message}<//>`}
    <${Making} production=${production} />
    ${production.film && html`<section class="panel production-film" aria-label="Film">
      <${Player} src=${videos.url(production.film)} fps=${production.fps} size=${production.size} autoplay=${false} label=${production.title} testid="production-film" />
      ${!production.film_is_current && html`<p class="hint" data-testid="film-old">This cut is older than the shots below. Film again to cut anew.</p>`}</section>`}
    <${CastPanel} production=${production} decide=${decide} />
    <div class="production">
      <aside class="panel production-script" aria-label="Script" data-testid="production-script">
        <h2>Script</h2>
        ${production.story && html`<p class="as-prompt">${production.story}</p>`}
        <ol>${production.script.shots.map((shot) => html`<li key=${shot.id}><b>${shot.id}</b> ${shot.prompt}
          ${(shot.dialogue ?? []).map((line) => html`<q>${line.text}</q>`)}
          ${(shot.cues ?? []).map((cue) => html`<span class="cue" data-testid="cue">${cue.when ?? `After ${cue.at_s} s`} ${cue.do}</span>`)}</li>`)}</ol>
        ${production.notes.length > 0 && html`<h3>Notes</h3><ul data-testid="production-notes">${production.notes.map((note) => html`<li key=${note}>${note}</li>`)}</ul>`}
        <p class="hint">${production.shots.length} shots, ${duration(production.estimate.film_s)},
          ${" "}${count(production.estimate.pixel_seconds)} px·s for one take each,
          ${" "}${production.estimate.run_s === null ? "time not measured" : `about ${duration(production.estimate.run_s)}`}</p>
      </aside>
      <ol class="shots" aria-label="Shots" data-testid="shots">${production.shots.map((shot, i) => html`<${ShotCard} key=${shot.id}
        production=${production} shot=${shot} index=${i} decide=${decide} />`)}</ol>
    </div>
    ${production.status !== "planned" && html`<div class="row downloads" role="group" aria-label="Export">
      ${formatsOf(production).map(([format, name]) => html`<a key=${format} class="button" href=${productions.filmUrl(id, format)} download
        data-testid=${`export-${format}`}><${Icon} name="download" /><span>${name}</span></a>`)}</div>`}
    <${Log} id=${id} version=${production.version} />`;
}

function Head({ production, decide }) {
  const [asking, setAsking] = useState(false);
  const { id, status } = production;
  const filming = status === "filming";
  return html`<header class="room-head"><div><p class="crumb"><a href=${href("storyboard")} data-testid="all-productions">Storyboard</a></p>
      <h1 data-testid="production-title">${production.title}</h1>
      <p><span class=${`state-badge ${status}`} data-testid="production-status">${statusName(production)}</span>
        <span class="quiet"> ${production.shots_done} of ${production.shots_total} shots</span></p></div>
    <div class="row">
      ${filming
        ? html`<${Button} icon="pause" onClick=${() => decide(() => productions.stop(id))} testid="stop-production">Stop<//>`
        : status !== "completed" && html`${status === "planned" && html`<${Button} onClick=${() => decide(() => productions.resume(id, "shots"))} testid="film-shots">Shots only<//>`}
          <${Button} kind="film" onClick=${() => decide(() => productions.resume(id, null))} testid="film-production">Film<//>`}
      <${Button} icon="trash" kind="quiet" label="Delete this production" onClick=${() => setAsking(true)} testid="delete-production" /></div>
    ${asking && html`<${Confirm} title="Delete this production?" yes="Delete it" onClose=${() => setAsking(false)} testid="delete-production"
      onYes=${async () => (await attempt(() => productions.remove(id))) && go("storyboard")}>Its script and takes go for good.
      A film that was cut stays in the gallery.<//>`}
  </header>`;
}

function Making({ production }) {
  return production.all_making.map((making) => {
    const what = making.kind === "cut" ? "The film is cut" : `Shot ${making.shot}, take ${making.take}`;
    return html`<div class="making" key=${making.video} data-testid="making" role="status"><p>${what}: ${stageName(making.stage)}</p>
      <${Progress} value=${making.progress} label=${what} /></div>`;
  });
}

function Log({ id, version }) {
  const [lines, setLines] = useState([]);
  useEffect(() => {
    let left = false;
    productions.events(id, 0).then(({ data }) => !left && setLines(data), () => {});
    return () => {
      left = true;
    };
  }, [id, version]);
  return html`<details class="panel production-log" data-testid="production-log"><summary>Log, ${lines.length} lines</summary>
    <ol>${lines.map((line) => html`<li key=${line.id}><b>${line.what}</b> ${line.shot ?? ""}${line.take ? ` take ${line.take}` : ""} ${line.why}</li>`)}</ol></details>`;
}
