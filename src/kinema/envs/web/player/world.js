/**
 * A recorded world: its last frames, what attention along time remembers of earlier ones, and the step. The counterpart of
 * kinema.inference.dit_rollout; the network itself is in step.onnx.
 */
import { normals, uniform } from "./random.js";

/** Added to the scores of attention, closes what is not read. */
export const CLOSED = -1e4;
/** A chance of the end below this is none: where few ends were recorded, the model's error of each frame is that large. */
const LEAST_CHANCE = 0.02;

/** The arrays of beginnings.bin by name: { shape, values }, values as Float32Array. */
export function unpack(buffer, entries) {
  const arrays = {};
  for (const [name, { type, shape, offset }] of Object.entries(entries)) {
    const count = size(shape);
    arrays[name] = {
      shape,
      values: type === "float16" ? fromHalf(new Uint16Array(buffer, offset, count)) : new Float32Array(buffer, offset, count),
    };
  }
  return arrays;
}

function fromHalf(bits) {
  return Float32Array.from(bits, (half) => {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 0x1f;
    const fraction = half & 0x3ff;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
}

export function size(shape) {
  return shape.reduce((product, side) => product * side, 1);
}

/** Row `row` of an array [rows, ...], or of the rows of a row. */
export function rowOf({ shape, values }, ...rows) {
  let [offset, count] = [0, values.length];
  rows.forEach((row, axis) => {
    count /= shape[axis];
    offset += row * count;
  });
  return values.subarray(offset, offset + count);
}

export class World {
  /**
   * about: world.json. arrays: those of `unpack`. run: from inputs { name: { type, dims, data } } to outputs { name: Float32Array }.
   * noise: from the number of a frame to its noise, Float32Array; by default drawn from the seed.
   */
  constructor(about, arrays, run, { seed = 1, noise = null } = {}) {
    this.about = about;
    this.arrays = arrays;
    this.run = run;
    this.seed = seed;
    this.noise = noise ?? ((frame) => normals(uniform(this.seed, frame), size(about.inputs.noise)));
    this.names = Object.keys(about.inputs).filter((name) => /^(keys|values)_/.test(name));
    this.ring = Object.fromEntries(this.names.map((name) => [name, new Float32Array(size(about.inputs[name]))]));
    this.places = this.names.length ? about.inputs[this.names[0]][3] : 0;
  }

  /** Begin with a recorded beginning. Its frames pass through the network, which remembers them. */
  async begin(which) {
    this.frames = [];
    this.heldBy = new Array(this.places).fill(null);
    for (const values of Object.values(this.ring)) values.fill(0);
    this.which = which;
    this.task = this.about.beginnings.task[which];
    const length = this.arrays.video.shape[1];
    for (let t = 0; t < length; t += 1) {
      if (t > 0) this.remember(await this.pass(this.arrays.recorded_noise.values), t);
      const recorded = { index: t, video: rowOf(this.arrays.video, which, t) };
      for (const name of this.about.known) recorded[name] = rowOf(this.arrays[name], which, t);
      this.push(recorded);
    }
    return this.last;
  }

  get last() {
    return this.frames[this.frames.length - 1];
  }

  /** One frame further by an encoded action. Returns { index, video, reward, terminated, probability, numbers }. */
  async step(action) {
    this.last.action = action;
    const index = this.last.index + 1;
    const made = await this.pass(this.noise(index));
    this.remember(made, index);
    const frame = { index, action: new Float32Array(action.length) };
    for (const name of ["video", ...Object.keys(this.about.predicted)]) frame[name] = made[`next_${name}`];
    this.push(frame);
    const probability = Math.min(Math.max((frame.terminated[0] + 1) / 2, 0), 1);
    const draw = uniform(this.seed ^ 0x5bd1e995, index);
    return {
      ...frame,
      reward: frame.reward[0] * this.about.reward_scale,
      probability,
      terminated: probability >= LEAST_CHANCE && draw() < probability,
      numbers: this.numbers(frame),
    };
  }

  /** What the recording told in numbers, in its units; null where nothing was named. */
  numbers(frame) {
    const scales = this.about.numbers;
    if (!scales || !frame.sensors) return null;
    return scales.name.map((name, i) => [name, frame.sensors[i] * scales.std[i] + scales.mean[i]]);
  }

  /** What the decoder draws a frame from. */
  drawn(frame) {
    return { video: this.float(this.about.inputs.noise, frame.video) };
  }

  push(frame) {
    this.frames.push(frame);
    if (this.frames.length > this.about.inputs.context[1]) this.frames.shift();
  }

  /** The inputs of the frame after the last one, through the network. */
  async pass(noise) {
    const { inputs } = this.about;
    const given = { noise: this.float(inputs.noise, noise) };
    const before = this.before();
    given.context = this.float(inputs.context, joined(before.map((frame) => frame.video)));
    for (const name of this.about.known) {
      const frames = size(inputs[name]) / this.last[name].length; // of a memory the last one only
      given[name] = this.float(inputs[name], joined(before.slice(-frames).map((frame) => frame[name])));
    }
    if (this.places) {
      const now = this.last.index + 1;
      const seconds = Float32Array.from(this.heldBy, (index) => (index === null ? 0 : (index - now) / this.about.fps));
      given.ring_s = this.float(inputs.ring_s, seconds);
      given.ring_bias = this.float(inputs.ring_bias, Float32Array.from(this.heldBy, (index) => (index === null ? CLOSED : 0)));
      for (const name of this.names) given[name] = this.float(inputs[name], this.ring[name]);
    }
    if (this.about.text) {
      const { text, text_mask: mask } = this.arrays;
      given.text = this.float([1, ...text.shape.slice(1)], rowOf(text, this.task));
      given.text_mask = { type: "bool", dims: [1, mask.shape[1]], data: Uint8Array.from(rowOf(mask, this.task)) };
    }
    return this.run(given);
  }

  /** The frames of context, oldest first; where there are fewer the first is repeated, with no action. */
  before() {
    const missing = this.about.inputs.context[1] - this.frames.length;
    const first = this.frames[0];
    const repeated = { ...first, action: new Float32Array(first.action.length) };
    return [...new Array(missing).fill(repeated), ...this.frames];
  }

  float(dims, data) {
    return { type: "float32", dims, data };
  }

  /** Put a frame's keys and values in the place of the oldest frame that the ring holds. */
  remember(made, index) {
    if (!this.places) return;
    const place = index % this.places;
    this.heldBy[place] = index;
    for (const name of this.names) {
      const [, tokens, heads, places, width] = this.about.inputs[name];
      const [ring, own] = [this.ring[name], made[`next_${name}`]];
      for (let row = 0; row < tokens * heads; row += 1) {
        ring.set(own.subarray(row * width, (row + 1) * width), (row * places + place) * width);
      }
    }
  }
}

function joined(parts) {
  const whole = new Float32Array(parts.reduce((count, part) => count + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
