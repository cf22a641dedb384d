/** The parts in a row, each as wide as it is long. They are chosen by a press and moved by dragging or by Alt and the arrow keys. */
import { html, classes, useState } from "../../ui.js";
import { videos } from "../../api.js";
import { lengthOf, startsOf } from "../../cutting.js";
import { trim } from "../../format.js";

const PLACE_TYPE = "application/x-kinema-place";

export function Reel({ parts, chosen, second, onChoose, onMove }) {
  const [over, setOver] = useState(null);
  const starts = startsOf(parts);
  const total = lengthOf(parts);
  const keys = (index) => (event) => {
    const to = index + ({ ArrowLeft: -1, ArrowRight: 1 }[event.key] ?? 0);
    if (to === index || !event.altKey || to < 0 || to >= parts.length) return;
    event.preventDefault();
    onMove(index, to);
  };
  const drop = (index) => (event) => {
    setOver(null);
    const from = event.dataTransfer.getData(PLACE_TYPE);
    if (from === "") return;
    event.preventDefault();
    onMove(Number(from), index);
  };
  return html`<div class="reel-scroll"><ol class="reel" aria-label="Parts in order" data-testid="reel">
      ${parts.map((part, i) => html`<li key=${part.key} style=${{ flex: `${part.to - part.from} 0 64px` }} class=${classes({ over: over === i })}>
        <button type="button" class="reel-part" aria-pressed=${part.key === chosen ? "true" : "false"} draggable data-testid="reel-part"
          aria-label=${`${trim(part.to - part.from)} s, part ${i + 1}: ${part.name}. Alt and an arrow key move it.`}
          onClick=${() => onChoose(part.key)} onKeyDown=${keys(i)} onDragStart=${(event) => event.dataTransfer.setData(PLACE_TYPE, String(i))}
          onDragOver=${(event) => (event.preventDefault(), setOver(i))} onDragLeave=${() => setOver(null)} onDrop=${drop(i)}>
          <img src=${videos.url(part.id, "thumbnail")} alt="" draggable=${false} /><span>${trim(part.to - part.from)} s</span></button></li>`)}
    </ol></div>
    <p class="quiet mono" aria-hidden="true">${trim(second)} of ${trim(total)} s</p>`;
}
