/**
 * The monitor: a clip shown large with sharp pixels, frame by frame if wanted.
 * Space plays and pauses, the arrow keys step, Home and End go to the ends.
 */
import { html, classes, useEffect, useRef, useState } from "../ui.js";
import { aspect } from "../room.js";
import { timecode, trim } from "../format.js";
import { Button } from "./basics.js";

export const reducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** The middle of a frame, so that seeking never lands on its edge. */
export const middleOf = (frame, fps) => (frame + 0.5) / fps;

/**
 * @param {Object} props
 * @param {string} props.src
 * @param {number} props.fps
 * @param {number} [props.frames]
 * @param {string} [props.size] WIDTHxHEIGHT
 * @param {boolean} [props.autoplay]
 * @param {{current: any}} [props.handle] gets {video, seek, play, pause}
 * @param {(frame: number) => any} [props.overlay] drawn over the picture
 * @param {(frame: number) => void} [props.onFrame]
 */
export function Player({ src, fps = 16, frames, size = "64x64", autoplay = true, handle, overlay, onFrame, label = "Clip", testid = "player", poster, bare }) {
  const video = useRef(null);
  const [frame, setFrame] = useState(0);
  const [length, setLength] = useState(frames ?? 0);
  const [playing, setPlaying] = useState(false);
  const [wrong, setWrong] = useState(false);
  const total = frames ?? length;

  const show = (now) => {
    const at = Math.min(Math.floor(now * fps + 0.01), Math.max(total - 1, 0));
    setFrame(at);
    onFrame?.(at);
  };
  const seek = (to) => {
    const at = Math.min(Math.max(to, 0), Math.max(total - 1, 0));
    if (video.current) video.current.currentTime = middleOf(at, fps);
    setFrame(at);
    onFrame?.(at);
  };
  const play = () => video.current?.play().catch(() => setPlaying(false));
  const pause = () => video.current?.pause();
  if (handle) handle.current = { video: video.current, seek, play, pause, frame };

  useEffect(() => {
    setWrong(false);
    if (autoplay && !reducedMotion()) play();
  }, [src]);
  useEffect(() => {
    if (!playing) return undefined;
    let turn = requestAnimationFrame(function tick() {
      if (video.current) show(video.current.currentTime);
      turn = requestAnimationFrame(tick);
    });
    return () => cancelAnimationFrame(turn);
  }, [playing, total, fps]);

  const keys = (event) => {
    const moves = { ArrowLeft: () => seek(frame - 1), ArrowRight: () => seek(frame + 1), Home: () => seek(0), End: () => seek(total - 1) };
    if (event.target.matches("input, button, select, textarea") && !(event.key in moves && event.target.matches("button"))) return;
    if (event.key === " " && !event.target.matches("button")) playing ? pause() : play();
    else if (moves[event.key]) {
      pause();
      moves[event.key]();
    } else return;
    event.preventDefault();
  };

  return html`<div class=${classes("player", { bare })} onKeyDown=${keys} data-testid=${testid} role="group" aria-label=${label}>
    <div class="screen" style=${{ aspectRatio: String(aspect(size)) }} tabindex="0"
      aria-label=${`${label}: space plays, arrow keys step through the frames`} role="group">
      <video ref=${video} src=${src} poster=${poster} loop muted playsinline preload="auto" disablepictureinpicture aria-label=${label}
        onPlay=${() => setPlaying(true)} onPause=${() => setPlaying(false)} onError=${() => setWrong(true)}
        onLoadedMetadata=${(event) => setLength(Math.max(Math.round(event.currentTarget.duration * fps), 1))}></video>
      ${overlay?.(frame)} ${wrong && html`<p class="screen-note">This clip could not be shown.</p>`}
    </div>
    ${!bare &&
    html`<div class="transport">
      <${Button} icon=${playing ? "pause" : "play"} label=${playing ? "Pause" : "Play"} kind="quiet"
        onClick=${playing ? pause : play} testid="play" />
      <${Button} icon="left" label="Frame back" kind="quiet" onClick=${() => (pause(), seek(frame - 1))} testid="frame-back" />
      <${Button} icon="right" label="Frame on" kind="quiet" onClick=${() => (pause(), seek(frame + 1))} testid="frame-on" />
      <input type="range" class="scrub" min="0" max=${Math.max(total - 1, 0)} value=${frame} aria-label="Frame" data-testid="scrub"
        aria-valuetext=${`frame ${frame + 1} of ${total}, ${trim(frame / fps)} seconds`} style=${{ "--share": `${total > 1 ? (100 * frame) / (total - 1) : 0}%` }}
        onInput=${(event) => (pause(), seek(Number(event.currentTarget.value)))} />
      <output class="timecode" data-testid="timecode">${timecode(frame / fps)}<small> / ${total}</small></output>
    </div>`}
  </div>`;
}

/** One frame of a clip as a PNG, at the clip's own size. @returns {Promise<Blob>} */
export async function grabFrame(src, seconds) {
  const video = document.createElement("video");
  Object.assign(video, { muted: true, preload: "auto", src });
  await happens(video, "loadeddata");
  video.currentTime = Math.min(seconds, Math.max(video.duration - 0.001, 0));
  await happens(video, "seeked");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  video.removeAttribute("src");
  video.load();
  return toPng(canvas);
}

function happens(target, name) {
  return new Promise((resolve, reject) => {
    target.addEventListener(name, resolve, { once: true });
    target.addEventListener("error", () => reject(new Error("The clip could not be read in this browser.")), { once: true });
  });
}

export function toPng(canvas) {
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
