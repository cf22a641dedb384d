/** Repaint: say what should be there instead, and paint over where. White in the mask may change, black stays. */
import { html, useEffect, useRef, useState, useId } from "../../ui.js";
import { compact, files, videos } from "../../api.js";
import { abilities } from "../../capabilities.js";
import { toast } from "../../store.js";
import { pointerShare } from "../../room.js";
import { trim } from "../../format.js";
import { Button, Check, Choice } from "../../components/basics.js";
import { licenseRefusal } from "../../components/license.js";
import { Maker } from "../../components/model.js";
import { toPng } from "../../components/player.js";
import { Send } from "./longer.js";

const BRUSHES = [[3, "Fine"], [7, "Middle"], [13, "Broad"]];
/** The color of what is painted; the mask itself is where anything is. */
const paint = () => getComputedStyle(document.documentElement).getPropertyValue("--yellow").trim();

/** A mask of the clip's own pixels. painted: whether anything is in it. */
export function useMask(clip) {
  const [width, height] = clip.size.split("x").map(Number);
  const canvas = useRef(null);
  if (!canvas.current) {
    canvas.current = document.createElement("canvas");
    Object.assign(canvas.current, { width, height });
    canvas.current.getContext("2d", { willReadFrequently: true });
  }
  const [version, setVersion] = useState(0);
  const [brush, setBrush] = useState(7);
  const [erase, setErase] = useState(false);
  const draw = (act) => {
    const context = canvas.current.getContext("2d");
    context.fillStyle = paint();
    act(context, width, height);
    setVersion((n) => n + 1);
  };
  const dab = (context, x, y) => {
    const left = Math.round(x - brush / 2);
    const top = Math.round(y - brush / 2);
    erase ? context.clearRect(left, top, brush, brush) : context.fillRect(left, top, brush, brush);
  };
  const stroke = ([ax, ay], [bx, by]) =>
    draw((context) => {
      const far = Math.max(Math.abs(bx - ax) * width, Math.abs(by - ay) * height, 1);
      for (let i = 0; i <= far; i++) dab(context, (ax + ((bx - ax) * i) / far) * width, (ay + ((by - ay) * i) / far) * height);
    });
  const fill = (left, top, right, bottom) =>
    draw((context) => {
      const [x, y] = [Math.round(left * width), Math.round(top * height)];
      context.fillRect(x, y, Math.round(right * width) - x, Math.round(bottom * height) - y);
    });
  const clear = () => {
    const before = canvas.current.getContext("2d").getImageData(0, 0, width, height);
    draw((context) => context.clearRect(0, 0, width, height));
    toast("The mask is empty", { action: { label: "Undo", run: () => draw((context) => context.putImageData(before, 0, 0)) } });
  };
  const invert = () => draw((context) => {
    context.globalCompositeOperation = "xor";
    context.fillRect(0, 0, width, height);
    context.globalCompositeOperation = "source-over";
  });
  const share = () => {
    const { data } = canvas.current.getContext("2d").getImageData(0, 0, width, height);
    let painted = 0;
    for (let i = 3; i < data.length; i += 4) painted += data[i] > 127;
    return painted / (width * height);
  };
  /** The mask as the server wants it: white where painted, black elsewhere. */
  const png = () => {
    const out = Object.assign(document.createElement("canvas"), { width, height });
    const context = out.getContext("2d");
    const pixels = canvas.current.getContext("2d").getImageData(0, 0, width, height);
    for (let i = 0; i < pixels.data.length; i += 4) {
      pixels.data.fill(pixels.data[i + 3] > 127 ? 255 : 0, i, i + 3);
      pixels.data[i + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
    return toPng(out);
  };
  return { canvas: canvas.current, version, width, height, brush, setBrush, erase, setErase, stroke, fill, clear, invert, share, png };
}

export function MaskOverlay({ mask, onStart }) {
  const shown = useRef(null);
  const last = useRef(null);
  useEffect(() => {
    const context = shown.current.getContext("2d");
    context.clearRect(0, 0, mask.width, mask.height);
    context.drawImage(mask.canvas, 0, 0);
  }, [mask.version]);
  const down = (event) => {
    onStart();
    event.currentTarget.setPointerCapture(event.pointerId);
    last.current = pointerShare(event, event.currentTarget);
    mask.stroke(last.current, last.current);
  };
  const move = (event) => {
    if (!last.current) return;
    const now = pointerShare(event, event.currentTarget);
    mask.stroke(last.current, now);
    last.current = now;
  };
  return html`<canvas ref=${shown} class="overlay mask-canvas" width=${mask.width} height=${mask.height}
    aria-label="Mask: paint what should change" data-testid="mask"
    onPointerDown=${down} onPointerMove=${move} onPointerUp=${() => (last.current = null)} onPointerCancel=${() => (last.current = null)}></canvas>`;
}

const REGIONS = [["Left half", [0, 0, 0.5, 1]], ["Right half", [0.5, 0, 1, 1]], ["Upper half", [0, 0, 1, 0.5]], ["Lower half", [0, 0.5, 1, 1]], ["Middle", [0.25, 0.25, 0.75, 0.75]]];

export function Repaint({ clip, send, mask, painters, onPainter }) {
  const [prompt, setPrompt] = useState(clip.prompt);
  const about = abilities(painters.model);
  const [ownStrength, setStrength] = useState(null);
  const strength = ownStrength ?? about.strength;
  const id = useId();
  const painted = mask.share();
  const run = () =>
    send(async () => {
      const body = compact({ prompt: prompt.trim(), video: { id: clip.id }, strength, model: painters.model.id });
      if (about.masks && painted > 0) body.mask = { file_id: (await files.upload(await mask.png(), "mask.png")).id };
      return videos.edit(body);
    });
  return html`<p>Say what the clip should show${about.masks ? ", and paint over the picture where it may change. Nothing painted: all of it may." : "; all of it may change."}</p>
    <${Maker} makers=${painters} clip=${clip} does="film it anew" onChange=${onPainter} testid="repaint-model" />
    <div class="field"><label for=${`${id}-p`}>What it should show</label><textarea id=${`${id}-p`} rows="2" value=${prompt}
      onInput=${(event) => setPrompt(event.currentTarget.value)} data-testid="repaint-prompt"></textarea></div>
    ${about.masks && html`<${MaskTools} mask=${mask} painted=${painted} />`}
    ${strength !== null && html`<div class="field"><label for=${`${id}-s`}>Strength <span class="mono">${strength}</span></label>
      <input id=${`${id}-s`} type="range" min="0.05" max="1" step="0.05" value=${strength}
        style=${{ "--share": `${strength * 100}%` }} onInput=${(event) => setStrength(Number(event.currentTarget.value))}
        aria-valuetext=${`${strength}: 0 keeps all, 1 nothing`} data-testid="strength" />
      <p class="hint">0 keeps all of the clip, 1 nothing.</p></div>`}
    <${Send} onSend=${run} disabled=${!prompt.trim() || Boolean(licenseRefusal(painters.model))} testid="repaint">Repaint<//>`;
}

function MaskTools({ mask, painted }) {
  return html`<div class="row" style=${{ alignItems: "end" }}>
      <${Choice} label="Brush" value=${mask.brush} options=${BRUSHES} onChange=${mask.setBrush} testid="brush" />
      <${Check} label="Erase" checked=${mask.erase} onChange=${mask.setErase} testid="erase" />
    </div>
    <div class="row" role="group" aria-label="Mask without a pointer">
      ${REGIONS.map(([name, box]) => html`<${Button} kind="small" key=${name} onClick=${() => mask.fill(...box)} testid="region">${name}<//>`)}
      <${Button} kind="small" onClick=${mask.invert} testid="invert">Invert<//>
      <${Button} kind="small" onClick=${mask.clear} disabled=${!painted} testid="clear-mask">Clear<//>
    </div>
    <p class="quiet" aria-live="polite"
      data-testid="mask-share">${painted ? `${trim(painted * 100, 0)}% of the picture may change` : "All of the picture may change"}
      </p>`;
}
