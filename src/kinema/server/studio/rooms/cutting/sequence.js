/** Parts of clips played one after another, as the film will be. */
import { html, useEffect, useRef, useState } from "../../ui.js";
import { videos } from "../../api.js";
import { lengthOf, partAt, startsOf } from "../../cutting.js";
import { aspect } from "../../room.js";
import { timecode, trim } from "../../format.js";
import { Button } from "../../components/basics.js";

/** @param {{parts: import("../../cutting.js").Part[], handle: {current: any}, onTime: (second: number) => void, onPart: (key: string) => void}} props handle gets {seek} */
export function Sequence({ parts, handle, onTime, onPart }) {
  const video = useRef(null);
  const [at, setAt] = useState({ index: 0, second: 0 });
  const [playing, setPlaying] = useState(false);
  const total = lengthOf(parts);
  const index = Math.min(at.index, parts.length - 1);
  const part = parts[index];
  const wanted = useRef(part.from);
  const show = (next, second) => {
    setAt({ index: next, second });
    onTime(second);
  };
  const seek = (second) => {
    const found = partAt(parts, Math.min(Math.max(second, 0), total));
    if (!found) return;
    wanted.current = found.at;
    if (parts[found.index].id === part.id && video.current) video.current.currentTime = found.at;
    show(found.index, second);
  };
  handle.current = { seek };
  /** The next part, from its beginning; at the end all begins anew, at rest. */
  const next = () => {
    const last = index === parts.length - 1;
    const to = last ? 0 : index + 1;
    if (last) setPlaying(false);
    wanted.current = parts[to].from;
    if (parts[to].id === part.id && video.current) video.current.currentTime = parts[to].from;
    show(to, startsOf(parts)[to]);
    onPart(parts[to].key);
  };
  useEffect(() => {
    const player = video.current;
    if (!playing) {
      player.pause();
      return undefined;
    }
    player.play().catch(() => setPlaying(false));
    let turn = requestAnimationFrame(function tick() {
      if (player.readyState >= 2 && !player.seeking) {
        if (player.currentTime >= part.to - 0.02 || player.ended) return next();
        show(index, startsOf(parts)[index] + Math.max(player.currentTime - part.from, 0));
      }
      turn = requestAnimationFrame(tick);
      return undefined;
    });
    return () => cancelAnimationFrame(turn);
  }, [playing, index, parts]);
  const keys = (event) => {
    if (event.target.matches("input, button")) return;
    const moves = { ArrowLeft: -1 / part.fps, ArrowRight: 1 / part.fps };
    if (event.key === " ") setPlaying(!playing);
    else if (event.key in moves) (setPlaying(false), seek(at.second + moves[event.key]));
    else return;
    event.preventDefault();
  };
  return html`<div class="player" role="group" aria-label="The film" onKeyDown=${keys} data-testid="sequence">
    <div class="screen" style=${{ aspectRatio: String(aspect(parts[0].size)) }} tabindex="0" role="group" aria-label="The film: space plays, arrow keys step">
      <video ref=${video} key=${part.id} src=${videos.url(part.id)} playsinline preload="auto" aria-label=${part.name}
        onLoadedMetadata=${(event) => (event.currentTarget.currentTime = wanted.current)}></video>
    </div>
    <div class="transport">
      <${Button} icon=${playing ? "pause" : "play"} kind="quiet" label=${playing ? "Pause the film" : "Play the film"} onClick=${() => setPlaying(!playing)} testid="sequence-play" />
      <input type="range" class="scrub" min="0" max=${total} step="0.01" value=${at.second} aria-label="Time of the film" aria-valuetext=${`${trim(at.second)} seconds`}
        style=${{ "--share": `${total ? (100 * at.second) / total : 0}%` }} onInput=${(event) => (setPlaying(false), seek(Number(event.currentTarget.value)))} data-testid="sequence-scrub" />
      <output class="timecode">${timecode(at.second)}</output>
    </div>
  </div>`;
}
