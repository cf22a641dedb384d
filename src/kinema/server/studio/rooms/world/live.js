/**
 * The wire to a world that goes on: frames in, deeds out. A frame is acknowledged once it is drawn, so that the server never
 * runs ahead of what is seen. Each binary message is a length (4 bytes, big-endian), that many bytes of JSON, then a JPEG.
 */
import { worlds } from "../../api.js";
import { retryDelay } from "../../connection.js";

const HELD = 32;
/** Close codes after which trying again would change nothing. */
const FINAL = { 4401: "This key opens the world no longer. Sign in again.", 4404: "This world is not there any more.", 4409: "This page has connected anew." };

export class Live {
  /**
   * Connects, and goes on trying while the world can be had at all. `onState` is told "lost" with the moment of the next try
   * (milliseconds, as Date.now()), and "over" with the reason.
   * @param {string} id
   * @param {{onFrame: (told: Object, picture: ImageBitmap) => void, onState: (state: "connecting"|"open"|"lost"|"over", detail?: number|string) => void, onError: (error: {message: string, code?: string}) => void}} to
   */
  constructor(id, to) {
    this.id = id;
    this.to = to;
    /** By this the server knows that a connection takes the place of one that was cut. */
    this.client = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    this.tries = 0;
    this.action = null;
    this.done = false;
    this.asked = null;
    this.fps = null;
    /** Steps that were asked for while the wire was not open. */
    this.steps = 0;
    this.drawing = Promise.resolve();
    this.connect();
  }

  connect() {
    clearTimeout(this.timer);
    const socket = new WebSocket(worlds.liveUrl(this.id, 256, this.client));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      if (this.fps) this.send({ type: "fps", fps: this.fps });
      if (this.action !== null) this.send({ type: "action", action: this.action });
      this.to.onState("open");
    };
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") this.told(JSON.parse(data));
      else {
        this.tries = 0;
        for (; this.steps; this.steps--) this.send({ type: "step" });
        this.drawing = this.drawing.then(() => this.draw(data)).catch(() => {});
      }
    };
    socket.onclose = ({ code }) => {
      if (this.done || socket !== this.socket) return;
      if (code in FINAL) {
        this.to.onState("over", FINAL[code]);
        return;
      }
      const wait = retryDelay(this.tries++);
      this.timer = setTimeout(() => this.connect(), wait);
      this.to.onState("lost", Date.now() + wait);
    };
    this.socket = socket;
  }

  told(message) {
    if (message.type === "error") this.to.onError(message.error ?? { message: "The world has stopped." });
  }

  async draw(data) {
    const length = new DataView(data).getUint32(0);
    const told = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    const picture = await createImageBitmap(new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" }));
    if (this.done) return;
    if (this.asked && same(told.action, this.asked.action)) {
      told.round_trip_ms = performance.now() - this.asked.at;
      this.asked = null;
    }
    this.to.onFrame(told, picture);
    picture.close();
    this.send({ type: "ack", frame: told.frame });
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** What is done from now on: an action of the world's space, or null. The time until a frame shows it is the round trip. */
  act(action) {
    if (same(action, this.action)) return;
    this.action = action;
    this.asked = { action, at: performance.now() };
    this.send({ type: "action", action });
  }

  /** One frame further; asked for while the wire is not open, it is done when it is. */
  step() {
    if (this.socket.readyState === WebSocket.OPEN) this.send({ type: "step" });
    else this.steps = Math.min(this.steps + 1, HELD);
  }

  pace(fps) {
    this.fps = fps;
    this.send({ type: "fps", fps });
  }

  /** Tries at once instead of waiting. */
  again() {
    if (this.socket.readyState === WebSocket.CLOSED) this.connect();
  }

  close() {
    this.done = true;
    clearTimeout(this.timer);
    this.socket.close();
  }
}

/** Whether two actions are the same; numbers in lists may be rounded. */
function same(a, b) {
  if (!Array.isArray(a) || !Array.isArray(b)) return JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
  return a.length === b.length && a.every((one, i) => (typeof one === "number" ? Math.abs(one - b[i]) < 0.01 : same(one, b[i])));
}

const KEYS = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1],
  KeyA: [-1, 0], KeyD: [1, 0], KeyW: [0, 1], KeyS: [0, -1],
};
const DEAD_ZONE = 0.18;

/** Keys, buttons on the screen and a gamepad's left stick, as one action. */
export class Controls {
  constructor(onAction) {
    this.onAction = onAction;
    this.held = new Map();
    this.stick = null;
    this.turn = requestAnimationFrame(() => this.poll());
  }

  /** @returns {boolean} whether the key means something here */
  key(event, down) {
    const way = KEYS[event.code];
    if (!way || event.ctrlKey || event.metaKey || event.altKey) return false;
    this.hold(event.code, down ? way : null);
    return true;
  }

  hold(name, way) {
    if (way) this.held.set(name, way);
    else this.held.delete(name);
    this.tell();
  }

  release() {
    this.held.clear();
    this.tell();
  }

  tell() {
    if (!this.held.size) return this.onAction(this.stick);
    const clamp = (value) => Math.max(-1, Math.min(1, value));
    const sum = [...this.held.values()].reduce(([x, y], way) => [x + way[0], y + way[1]], [0, 0]);
    return this.onAction(sum.map(clamp));
  }

  poll() {
    const pad = [...(navigator.getGamepads?.() ?? [])].find(Boolean);
    const [x, y] = pad ? [pad.axes[0] ?? 0, -(pad.axes[1] ?? 0)] : [0, 0];
    const now = Math.hypot(x, y) > DEAD_ZONE ? [x, y].map((value) => Math.round(value * 20) / 20) : null;
    if (!same(now, this.stick)) {
      this.stick = now;
      this.tell();
    }
    this.turn = requestAnimationFrame(() => this.poll());
  }

  close() {
    cancelAnimationFrame(this.turn);
  }
}

/** The name of a key as worlds name theirs: "0", "A", "ArrowLeft"; digits also where a layout has them behind Shift. */
function keyName(event, keys) {
  const written = event.key.length === 1 ? event.key.toUpperCase() : event.key;
  return written in keys ? written : event.code.replace(/^(Digit|Numpad|Key)/, "");
}

/** The keys of a recorded world, each with one action of its space; of several that are held the last one acts. */
export class KeyControls {
  /** @param {Object<string, any>} keys */
  constructor(keys, onAction) {
    this.keys = keys;
    this.onAction = onAction;
    this.held = new Map();
  }

  /** @returns {boolean} whether the key means something here */
  key(event, down) {
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    const name = keyName(event, this.keys);
    if (!(name in this.keys)) return false;
    this.hold(event.code, down ? name : null);
    return true;
  }

  /** @param {string} source what is held: a key or a button @param {string|null} name of the key that it stands for */
  hold(source, name) {
    if (name === (this.held.get(source) ?? null)) return;
    if (name !== null) this.held.set(source, name);
    else this.held.delete(source);
    this.tell();
  }

  release() {
    this.held.clear();
    this.tell();
  }

  tell() {
    const last = [...this.held.values()].at(-1);
    this.onAction(last === undefined ? null : this.keys[last], last);
  }

  close() {}
}
