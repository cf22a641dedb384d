/** The card of one shot: its words, its takes, what was checked in them, and what can be decided about it. */
import { html, classes, useEffect, useRef, useState } from "../../ui.js";
import { productions, videos } from "../../api.js";
import { trim } from "../../format.js";
import { Button } from "../../components/basics.js";
import { Dialog } from "../../components/dialog.js";
import { Player } from "../../components/player.js";

export function ShotCard({ production, shot, index, decide }) {
  const { id, shots } = production;
  const [text, setText] = useState(shot.prompt);
  const [chosen, setChosen] = useState(null);
  const [open, setOpen] = useState(null);
  useEffect(() => setText(shot.prompt), [shot.prompt]);
  useEffect(() => setChosen(null), [shot.used, shot.takes.length]);
  const take = shot.takes.find((one) => one.number === (chosen ?? shot.used)) ?? shot.takes.at(-1) ?? null;
  const making = production.all_making.find((one) => one.shot === shot.id);
  const isMade = making !== undefined;
  const move = (to) => {
    const order = shots.map((one) => one.id);
    order.splice(to, 0, ...order.splice(index, 1));
    return decide(() => productions.order(id, order));
  };
  const filmed = production.shots_done > 0 || shot.takes.length > 0;
  return html`<li class=${classes("panel shot", { locked: shot.locked, made: isMade })} data-testid="shot" data-id=${shot.id} aria-label=${`Shot ${index + 1}`}>
    <div class="row between"><span class="story-number">${index + 1} · ${shot.id} · ${trim(shot.seconds)} s</span>
      <span class="row" style=${{ gap: 0 }}>
        <${Button} icon="left" kind="quiet small" label=${`Shot ${index + 1} earlier`} disabled=${index === 0} onClick=${() => move(index - 1)} testid="shot-earlier" />
        <${Button} icon="right" kind="quiet small" label=${`Shot ${index + 1} later`} disabled=${index === shots.length - 1} onClick=${() => move(index + 1)} testid="shot-later" />
        <${Button} icon=${shot.locked ? "lock" : "unlock"} kind="quiet small" label=${shot.locked ? "Unlock this shot" : "Lock this shot"} aria-pressed=${shot.locked}
          disabled=${shot.used === null} onClick=${() => decide(() => productions.lock(id, shot.id, !shot.locked))} testid="shot-lock" /></span></div>
    <button type="button" class="shot-picture" disabled=${!take} aria-label=${take ? `Play take ${take.number} of shot ${index + 1}` : "First picture, as planned"}
      onClick=${() => setOpen({ take, frame: 0, saw: null })} data-testid="shot-picture">
      <img src=${take ? videos.url(take.video, "thumbnail") : productions.stillUrl(id, shot.id, production.version)} alt="" loading="lazy"
        onError=${(event) => (event.currentTarget.hidden = true)} />
      ${isMade && html`<span class="shot-note">take ${making.take}: ${making.progress}%</span>`}</button>
    <textarea aria-label=${`What happens in shot ${index + 1}`} value=${text} disabled=${shot.locked} data-testid="shot-text"
      onInput=${(event) => setText(event.currentTarget.value)}></textarea>
    ${text.trim() && text !== shot.prompt && html`<div class="row"><${Button} kind="small" testid="shot-reword"
      onClick=${() => decide(() => productions.reword(id, shot.id, text))}>Use these words<//>
      <${Button} kind="quiet small" onClick=${() => setText(shot.prompt)}>Back<//></div>`}
    ${shot.takes.length > 0 && html`<div class="row take-row" role="group" aria-label="Takes">${shot.takes.map((one) => html`<button type="button" key=${one.number}
      class=${classes("chip", { on: one === take, used: one.number === shot.used })} aria-pressed=${one === take} onClick=${() => setChosen(one.number)} data-testid="take"
      title=${one.reason || "first take"}>${one.number}<small> ${one.passed ? "passed" : one.score.toFixed(2)}</small></button>`)}</div>`}
    ${take && html`<div class="checks" role="group" aria-label=${`Checks of take ${take.number}`}>${take.checks.map((check, i) => html`<button type="button" key=${i}
      class=${classes("check-badge", { failed: !check.passed })} title=${check.saw} data-testid="check"
      onClick=${() => setOpen({ take, frame: check.frames[0] ?? 0, saw: check })}>${check.passed ? "✓" : "✗"} ${check.name}</button>`)}</div>`}
    <div class="row">
      ${take && take.number !== shot.used && !shot.locked && html`<${Button} kind="small" onClick=${() => decide(() => productions.accept(id, shot.id, take.number))}
        testid="shot-accept">Use take ${take.number}<//>`}
      ${filmed && !shot.locked && !isMade && html`<${Button} icon="retry" kind="small" onClick=${() => decide(() => productions.retake(id, shot.id))} testid="shot-retake">Take again<//>`}
    </div>
    ${open && html`<${TakeDialog} production=${production} shot=${shot} open=${open} onClose=${() => setOpen(null)} />`}
  </li>`;
}

/** A take, at the frame that a check is about. */
function TakeDialog({ production, shot, open: { take, frame, saw }, onClose }) {
  const handle = useRef(null);
  useEffect(() => {
    if (saw) handle.current?.seek(frame);
    else handle.current?.play();
  }, []);
  return html`<${Dialog} title=${`${shot.id}, take ${take.number}`} onClose=${onClose} wide testid="take-dialog">
    <div class="take-view"><${Player} src=${videos.url(take.video)} fps=${production.fps} frames=${Math.max(Math.round(shot.seconds * production.fps), 1)} size=${production.size}
      autoplay=${false} handle=${handle} label=${`Take ${take.number}`} testid="take-player" />
    ${saw && html`<p data-testid="check-saw"><b>${saw.name}</b>: ${saw.saw}</p>`}
    ${take.reason && html`<p class="hint">Filmed with another ${take.change}, since ${take.reason}</p>`}</div>
  <//>`;
}
