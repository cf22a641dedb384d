/** What is asked in front of a page. */
import { html, classes, useId, useLayoutEffect, useRef } from "../ui.js";
import { Button } from "./basics.js";
import { ToastList, dialogs } from "./toasts.js";

/** A modal dialog: Escape and a press beside it close it, focus comes back to where it was. Messages are shown inside the topmost one. */
export function Dialog({ title, onClose, children, wide, testid, foot }) {
  const element = useRef(null);
  const heading = useId();
  useLayoutEffect(() => {
    const before = document.activeElement;
    const dialog = element.current;
    dialog.showModal();
    dialogs.value = [...dialogs.value, heading];
    return () => {
      dialogs.value = dialogs.value.filter((one) => one !== heading);
      dialog.close();
      if (before?.isConnected) before.focus();
    };
  }, []);
  const outside = (event) => {
    if (event.target === element.current) onClose();
  };
  return html`<dialog ref=${element} class=${classes("dialog", { wide })} aria-labelledby=${heading} data-testid=${testid}
    onCancel=${(event) => {
      event.preventDefault();
      onClose();
    }}
    onClose=${() => element.current && onClose()}
    onMouseDown=${outside}>
    <div class="dialog-body">
      <div class="dialog-head">
        <h2 id=${heading}>${title}</h2>
        <${Button} icon="close" label="Close" kind="quiet" onClick=${onClose} testid="dialog-close" />
      </div>
      <div class="dialog-content">${children}</div>
      ${foot && html`<div class="dialog-foot">${foot}</div>`}
    </div>
    ${dialogs.value.at(-1) === heading && html`<${ToastList} />`}
  </dialog>`;
}
