/** A clip as a file: MP4 with its signed manifest, or converted by the server to WebM, GIF or single frames. */
import { html, useState } from "../ui.js";
import { saveFile, videos } from "../api.js";
import { attempt } from "../store.js";
import { Button } from "./basics.js";
import { Icon } from "./icons.js";

const CONVERTED = [["webm", "WebM", "Open format for the web"], ["gif", "GIF", "Moves everywhere, without sound"], ["frames", "Frames", "A zip file of PNG pictures"]];

export function Downloads({ clip }) {
  const [busy, setBusy] = useState(null);
  const save = async (format) => {
    setBusy(format);
    await attempt(() => saveFile(videos.fileUrl(clip.id, format)));
    setBusy(null);
  };
  return html`<div class="row downloads" role="group" aria-label="Download">
    <a class="button" href=${videos.fileUrl(clip.id)} download data-testid="download" title="With its signed manifest"><${Icon} name="download" /><span>MP4</span></a>
    ${CONVERTED.map(([format, name, about]) => html`<${Button} key=${format} title=${about} busy=${busy === format} disabled=${busy !== null}
      onClick=${() => save(format)} testid=${`download-${format}`}>${name}<//>`)}
  </div>`;
}
