/** Two or more clips side by side, on one clock. */
import { html, useEffect, useRef, useState } from "../../ui.js";
import { videos } from "../../api.js";
import { slate, timecode, title } from "../../format.js";
import { aspect } from "../../room.js";
import { Button } from "../../components/basics.js";
import { Dialog } from "../../components/dialog.js";
import { reducedMotion } from "../../components/player.js";

const DRIFT_S = 0.06;

/**
 * Videos that play in step. The first to reach its end begins all anew once the longest has ended.
 * @param {{items: {src: string, label: string, note?: string, size?: string}[]}} props
 */
export function Synced({ items, testid = "synced" }) {
  const players = useRef([]);
  const [playing, setPlaying] = useState(false);
  const [time, setTime] = useState(0);
  const [length, setLength] = useState(0);
  const clock = useRef({ from: 0, at: 0 });
  const going = useRef(false);
  const all = () => players.current.filter(Boolean);
  const measure = () => setLength(Math.max(0, ...all().map((video) => video.duration || 0)));
  const put = (to) => {
    for (const video of all()) video.currentTime = Math.min(to, Math.max((video.duration || 0) - 0.01, 0));
    clock.current = { from: performance.now(), at: to };
    setTime(to);
  };
  useEffect(() => {
    if (length && !reducedMotion()) setPlaying(true);
  }, [length > 0]);
  useEffect(() => {
    if (!playing || !length) return undefined;
    going.current = true;
    clock.current = { from: performance.now(), at: time >= length ? 0 : time };
    let turn = requestAnimationFrame(function tick(moment) {
      if (!going.current) return;
      let now = clock.current.at + Math.max(moment - clock.current.from, 0) / 1000;
      if (now >= length) {
        put(0);
        now = 0;
      }
      for (const video of all()) {
        const end = (video.duration || 0) - 0.01;
        if (now >= end) video.pause();
        else {
          if (Math.abs(video.currentTime - now) > DRIFT_S) video.currentTime = now;
          if (video.paused) video.play().catch(() => {});
        }
      }
      setTime(now);
      turn = requestAnimationFrame(tick);
    });
    return () => {
      cancelAnimationFrame(turn);
      for (const video of all()) video.pause();
    };
  }, [playing, length]);
  const seek = (to) => {
    // At once: until the next drawing a tick could start the videos again.
    going.current = false;
    for (const video of all()) video.pause();
    setPlaying(false);
    put(to);
  };
  return html`<div class="stack" data-testid=${testid}>
    <div class="compare-grid">
      ${items.map((item, i) => html`<figure key=${item.src.slice(0, 80) + i}>
        <div class="player bare"><div class="screen" style=${{ aspectRatio: String(aspect(item.size ?? "64x64")) }}>
          <video ref=${(video) => (players.current[i] = video)} src=${item.src} muted playsinline preload="auto"
            aria-label=${item.label} onLoadedMetadata=${measure}></video>
        </div></div>
        <figcaption><strong>${item.label}</strong>${item.note && html`<br /><span class="mono quiet">${item.note}</span>`}</figcaption>
      </figure>`)}
    </div>
    <div class="transport">
      <${Button} icon=${playing ? "pause" : "play"} kind="quiet" label=${playing ? "Pause all" : "Play all"}
        onClick=${() => setPlaying(!playing)} testid="sync-play" />
      <input type="range" class="scrub" min="0" max=${length} step="0.01" value=${time} aria-label="Time of all clips"
        aria-valuetext=${`${time.toFixed(2)} seconds`} data-testid="sync-scrub"
        style=${{ "--share": `${length ? (100 * time) / length : 0}%` }} onInput=${(event) => seek(Number(event.currentTarget.value))} />
      <output class="timecode">${timecode(time)}</output>
    </div>
  </div>`;
}

/** @param {{clips: import("../../api.js").Video[], onClose: () => void}} props */
export function Compare({ clips, onClose }) {
  const items = clips.map((clip) => ({ src: videos.url(clip.id), label: title(clip), note: slate(clip), size: clip.size }));
  return html`<${Dialog} title="Side by side" onClose=${onClose} wide testid="compare-dialog"><${Synced} items=${items} /><//>`;
}
