/** All keys that do something, shown by `?` or by the button beside the theme. */
import { html, useEffect, useState } from "../ui.js";
import { Button } from "./basics.js";
import { Dialog } from "./dialog.js";

const ALT = navigator.platform?.startsWith("Mac") ? "Cmd" : "Ctrl";

const GROUPS = [
  ["Everywhere", [[["?"], "Show these keys"], [["Esc"], "Close what is open"], [["Tab"], "To the next field or button"]]],
  ["Create", [
    [[ALT, "Enter"], "Film it, from the prompt"], [["←", "→"], "Move a picture on the timeline"], [["Home", "End"], "To the first or last frame"],
    [["Delete"], "Take a picture off the timeline"],
  ]],
  ["A clip", [[["Space"], "Play and pause"], [["←", "→"], "A frame back or on"], [["Home", "End"], "To its first or last frame"]]],
  ["Gallery", [[["←", "→"], "Leaf through the clip in focus"], [["Enter"], "Open it"], [["Shift"], "With a press: choose all in between"]]],
  ["Edit", [[["←", "→"], "Next tool, or move what is in focus"], [["↑", "↓"], "Move a thing in the picture"], [["Page up", "Page down"], "Move a cut by half a second"], [["Alt", "←", "→"], "Move a part of a joined film"]]],
  ["World", [[["←", "→", "↑", "↓"], "Act"], [["W", "A", "S", "D"], "Act, too"], [["0 … 9", "A … Z"], "Act in a recorded world"], [["Space"], "Play and pause"]]],
];

/** Whether somebody is writing, so that letters are letters. */
export const isTyping = (target) => target instanceof Element && Boolean(target.closest("input, textarea, select, [contenteditable]"));

export function Shortcuts() {
  const [open, setOpen] = useState(false);
  useEffect(() => {
    const keys = (event) => {
      if (event.key !== "?" || event.ctrlKey || event.metaKey || event.altKey) return;
      if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
      event.preventDefault();
      setOpen(true);
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, []);
  return html`<${Button} icon="help" kind="quiet" label="Keys that do something" onClick=${() => setOpen(true)} testid="shortcuts" />
    ${open && html`<${Dialog} title="Keys" wide onClose=${() => setOpen(false)} testid="shortcuts-dialog">
      <div class="keys">${GROUPS.map(([name, rows]) => html`<section key=${name} aria-label=${name}><h3>${name}</h3>
        <dl>${rows.map(([keys, text]) => html`<div key=${text}><dt>${keys.map((key) => html`<kbd key=${key}>${key}</kbd> `)}</dt><dd>${text}</dd></div>`)}</dl>
        </section>`)}</div><//>`}`;
}
