/** What is seen of a world and what acts in it: the picture, the keys, the buttons for the four ways. */
import { html, useEffect, useRef, useState } from "../../ui.js";
import { aspect, pointerShare, thingAt, toPicture, toRoom } from "../../room.js";
import { trim } from "../../format.js";
import { Button } from "../../components/basics.js";
import { isTyping } from "../../components/shortcuts.js";

const DRAG_PIXELS = 6;

/** Arrow keys, WASD and space act wherever the focus is, but not while somebody writes or presses a button. */
function useKeys(live) {
  const latest = useRef(live);
  latest.current = live;
  useEffect(() => {
    const busy = (event) => isTyping(event.target) || document.querySelector("dialog[open]");
    const down = (event) => {
      const now = latest.current;
      if (busy(event)) return;
      if (now.controls.current?.key(event, true)) event.preventDefault();
      else if (event.code === "Space" && !event.repeat && !event.target.closest("button, a, summary")) {
        event.preventDefault();
        now.play(!now.playing);
      }
    };
    const up = (event) => latest.current.controls.current?.key(event, false);
    const release = () => latest.current.controls.current?.release();
    const focus = (event) => isTyping(event.target) && release();
    const heard = [["keydown", down], ["keyup", up], ["blur", release], ["focusin", focus]];
    for (const [name, run] of heard) addEventListener(name, run);
    return () => {
      for (const [name, run] of heard) removeEventListener(name, run);
    };
  }, []);
}

/** The picture: a press takes hold of a thing. It has the focus from the beginning. */
export function Picture({ canvas, live, world, slot, setSlot, onMove }) {
  const box = useRef(null);
  const [drag, setDrag] = useState(null);
  const ratio = aspect(world.size);
  const { state } = live.now;
  const things = state?.things ?? [];
  const spot = (event) => toRoom(...pointerShare(event, box.current), state.camera, ratio);
  const down = (event) => {
    if (!state) return;
    const found = thingAt(things, ...spot(event));
    setSlot(found?.slot ?? null);
    if (!found) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    setDrag({ slot: found.slot, from: [event.clientX, event.clientY], to: null });
  };
  const move = (event) => {
    if (!drag) return;
    const far = Math.hypot(event.clientX - drag.from[0], event.clientY - drag.from[1]);
    if (drag.to || far > DRAG_PIXELS) setDrag({ ...drag, to: spot(event) });
  };
  const up = () => {
    if (drag?.to) onMove(drag.slot, ...drag.to.map((value) => Number(value.toFixed(3))));
    setDrag(null);
  };
  useKeys(live);
  useEffect(() => box.current.focus({ preventScroll: true }), []);
  const marked = things.find((thing) => thing.slot === slot);
  const at = (x, y) => {
    const [u, v] = toPicture(x, y, state.camera, ratio);
    return { left: `${u * 100}%`, top: `${v * 100}%` };
  };
  return html`<div class="player bare"><div ref=${box} class="screen live"
    style=${{ aspectRatio: String(ratio) }} tabindex="0" role="application" data-testid="live"
      aria-label=${state ? "The world. Arrow keys or WASD act, space plays and pauses. Press a thing to look at it, or drag it." : "The world. Its keys act, space plays and pauses."}
      onPointerDown=${(event) => (box.current.focus(), down(event))} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${() => setDrag(null)}>
    <canvas ref=${canvas} width="256" height=${Math.round(256 / ratio)}></canvas>
    ${live.wire.state !== "open" && html`<p class="screen-note">${live.wire.state === "connecting" ? "Connecting …" : "Not connected"}</p>`}
    ${marked && !drag?.to && html`<span class="thing-label" style=${at(marked.x, marked.y + marked.size + 0.9)}>${marked.name}</span>`}
    ${drag?.to && html`<span class="thing-label"
      style=${at(...drag.to)}>${things.find((thing) => thing.slot === drag.slot)?.name} to ${trim(drag.to[0], 1)}, ${trim(drag.to[1], 1)}
      </span>`}
  </div></div>`;
}

const WAYS = [["up", [0, 1]], ["left", [-1, 0]], ["down", [0, -1]], ["right", [1, 0]]];

export function Pad({ controls, action }) {
  const on = ([x, y]) => action && ((x && Math.sign(action[0]) === x) || (y && Math.sign(action[1]) === y));
  return html`<div class="pad" role="group" aria-label="Act">${WAYS.map(([name, way]) => {
    const hold = (down) => controls.current?.hold(`pad-${name}`, down ? way : null);
    const keys = (down) => (event) => ["Enter", " "].includes(event.key) && (event.preventDefault(), hold(down));
    return html`<${Button} key=${name} icon=${name} label=${`Act ${name}`} kind=${on(way) ? "held" : ""} testid=${`act-${name}`}
      onPointerDown=${() => hold(true)} onPointerUp=${() => hold(false)} onPointerLeave=${() => hold(false)} onKeyDown=${keys(true)} onKeyUp=${keys(false)} onBlur=${() => hold(false)} />`;
  })}</div>`;
}

const ARROWS = { ArrowUp: "up", ArrowLeft: "left", ArrowDown: "down", ArrowRight: "right" };

/** The keys of a recorded world as buttons. The action of no key is the one of the key that is marked. */
export function Keys({ controls, world, pressed }) {
  const { keys, idle } = world.controls;
  const isIdle = (name) => JSON.stringify(keys[name]) === JSON.stringify(idle);
  return html`<div class="keypad" role="group" aria-label="Act" data-testid="world-keys">${Object.keys(keys).map((name) => {
    const hold = (down) => controls.current?.hold(`button-${name}`, down ? name : null);
    const press = (down) => (event) => ["Enter", " "].includes(event.key) && (event.preventDefault(), hold(down));
    const arrow = ARROWS[name];
    return html`<${Button} key=${name} icon=${arrow} label=${arrow && `Act ${arrow}`} kind=${`${pressed === name ? "held" : ""} ${isIdle(name) ? "idle" : ""}`}
      testid=${`act-${name}`} ...${isIdle(name) ? { title: "Done while no key is held" } : {}}
      onPointerDown=${() => hold(true)} onPointerUp=${() => hold(false)} onPointerLeave=${() => hold(false)} onKeyDown=${press(true)} onKeyUp=${press(false)} onBlur=${() => hold(false)}>
      ${arrow ? null : name}<//>`;
  })}</div>`;
}
