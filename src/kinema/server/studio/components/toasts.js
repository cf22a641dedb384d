/** Short messages in the corner, some with an undo; and the line that screen readers speak. */
import { html, signal, useEffect, useRef } from "../ui.js";
import { toasts, dismiss, spoken } from "../store.js";
import { Button } from "./basics.js";

/** The ids of the open dialogs, the topmost last: what lies outside of it cannot be pressed, so messages are shown inside. */
export const dialogs = signal([]);

export function Toasts() {
  return html`${!dialogs.value.length && html`<${ToastList} />`}
    <div class="visually-hidden" aria-live="polite" data-testid="spoken">${spoken.value}</div>`;
}

export function ToastList() {
  const corner = useRef(null);
  const newest = toasts.value[toasts.value.length - 1]?.id;
  useEffect(() => {
    // Into the top layer anew, so that a message is never behind a dialog.
    if (newest === undefined || !corner.current.showPopover) return;
    if (corner.current.matches(":popover-open")) corner.current.hidePopover();
    corner.current.showPopover();
  }, [newest]);
  return html`<div class="toasts" role="region" aria-label="Messages" popover="manual" ref=${corner}>
      <div aria-live="polite" data-testid="toasts">
        ${toasts.value.map(
          ({ id, text, kind, action }) => html`<div class=${`toast ${kind}`} key=${id} data-testid="toast">
            <p>${text}</p>
            ${action &&
            html`<${Button} kind="small" testid="toast-action" onClick=${() => {
              dismiss(id);
              action.run();
            }}>${action.label}<//>`}
            <${Button} icon="close" kind="quiet small" label="Dismiss" onClick=${() => dismiss(id)} />
          </div>`,
        )}
      </div>
    </div>`;
}
