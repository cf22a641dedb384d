/** Upscale: the clip shown larger, drawn finer by an upscaler, by an edit that keeps most of it, or from its state. */
import { html, useState } from "../../ui.js";
import { compact, videos } from "../../api.js";
import { abilities, can, takesAnySize, written } from "../../capabilities.js";
import { Choice } from "../../components/basics.js";
import { licenseRefusal } from "../../components/license.js";
import { Maker, makersOf } from "../../components/model.js";
import { Send } from "./longer.js";

const TIMES = [1.5, 2, 3, 4];

/** How a model makes a clip larger, in words. */
function how(model) {
  if (abilities(model).engine === "kinema") return "The clip's state is rendered at the larger size: nothing moves, edges are sharp.";
  return can(model, "edit") ? "The clip is enlarged, then redrawn finer; most of it is kept." : "The model draws the clip finer.";
}

export function Upscale({ clip, send }) {
  const [ownTimes, setTimes] = useState(2);
  const [chosen, setChosen] = useState(null);
  const makers = makersOf("upscale", clip, chosen);
  const { model } = makers;
  const [width, height] = clip.size.split("x").map(Number);
  const sized = (times) => `${Math.round((width * times) / 2) * 2}x${Math.round((height * times) / 2) * 2}`;
  const offered = TIMES.filter((one) => takesAnySize(model) || model.kinema.sizes.includes(sized(one)));
  const times = offered.includes(ownTimes) ? ownTimes : (offered[0] ?? null);
  return html`<p>The same clip, larger. ${how(model)}</p>
    ${offered.length > 1 && html`<${Choice} label="By how much" value=${times} options=${offered.map((one) => [one, `${one} times`])} onChange=${setTimes}
      testid="upscale-times" />`}
    ${times ? html`<p class="hint mono" data-testid="upscale-size">${written(clip.size)} → ${written(sized(times))}</p>`
      : html`<p class="hint" data-testid="upscale-size">${model.id} makes nothing larger out of ${written(clip.size)}.</p>`}
    <${Maker} makers=${makers} clip=${clip} does="make it larger" onChange=${setChosen} testid="upscale-model" />
    <${Send} onSend=${() => send(() => videos.upscale(compact({ video: { id: clip.id }, size: sized(times), model: model.id })))}
      disabled=${!times || Boolean(licenseRefusal(model))} testid="upscale">Make it larger<//>`;
}
