/**
 * A live world of a model with slots: the tracks of its last frame, the frames before it in fixed places, and the step. The
 * counterpart of kinema.inference.rollout; the network itself is in step.onnx.
 */
import { CLOSED, rowOf, size } from "./world.js";
import { normals, uniform } from "./random.js";

const DRAWN = ["state", "camera", "scene"];

export class LiveWorld {
  /** As those of World; noise: from the number of a frame to { track: Float32Array }. */
  constructor(about, arrays, run, { seed = 1, noise = null } = {}) {
    Object.assign(this, { about, arrays, run, seed });
    this.noise = noise ?? ((frame) => this.drawNoise(frame));
    this.names = Object.keys(about.inputs).filter((name) => /^(keys|values)_/.test(name));
    this.places = about.window;
  }

  drawNoise(frame) {
    const draw = uniform(this.seed, frame);
    return Object.fromEntries(this.about.tracks.map((name) => [name, normals(draw, size(this.about.inputs[name]))]));
  }

  async begin(which) {
    const { inputs, tracks } = this.about;
    this.task = which;
    this.held = 0;
    this.earlier = Object.fromEntries(
      ["context_state", "context_level", ...this.names].map((name) => [name, new Float32Array(size(inputs[name]))]),
    );
    this.earlier.context_level.fill(1);
    this.newest = new Float32Array(size(inputs.context_action));
    this.newest[this.newest.length - 1] = 1; // the action before a beginning is unknown
    this.last = { index: 0, ...Object.fromEntries(tracks.map((name) => [name, rowOf(this.arrays[name], which)])) };
    return this.last;
  }

  /** One frame further by an action. Returns the frame; it has no reward and no end. */
  async step(action) {
    const { inputs, tracks, fps } = this.about;
    this.last.action = action;
    const index = this.last.index + 1;
    const noise = this.noise(index);
    const given = { ...this.earlier, context_action: this.newest, bias: this.bias() };
    given.context_s = Float32Array.from({ length: this.places }, (_, place) => (place - this.places) / fps);
    for (const name of tracks) {
      given[name] = this.last[name];
      given[`noise_${name}`] = noise[name];
    }
    const feeds = Object.entries(inputs).map(([name, dims]) => [name, { type: "float32", dims, data: given[name] }]);
    const made = await this.run(Object.fromEntries(feeds));
    this.remember(made, action);
    this.last = { index, ...Object.fromEntries(tracks.map((name) => [name, made[`next_${name}`]])) };
    return { ...this.last, reward: 0, probability: 0, terminated: false, numbers: null };
  }

  /** Which places and which of the two frames the last frame and the next one read [2, W + 2]. */
  bias() {
    const [empty, across] = [this.places - this.held, this.places + 2];
    const closed = new Float32Array(2 * across);
    for (let row = 0; row < 2; row += 1) {
      for (let place = 0; place < across; place += 1) {
        const unread = place < empty || place < row || place > this.places + row;
        closed[row * across + place] = unread ? CLOSED : 0;
      }
    }
    return closed;
  }

  /** Put the last frame into the last place, and all others one place back. */
  remember(made, action) {
    const { inputs } = this.about;
    const shift = (values, own, rows) => {
      const width = own ? own.length / rows : values.length / rows / this.places;
      const row = values.length / rows;
      for (let i = 0; i < rows; i += 1) {
        values.copyWithin(i * row, i * row + width, (i + 1) * row);
        if (own) values.set(own.subarray(i * width, (i + 1) * width), (i + 1) * row - width);
        else values.fill(0, (i + 1) * row - width, (i + 1) * row);
      }
    };
    shift(this.earlier.context_state, this.last.state, 1);
    shift(this.earlier.context_level, null, 1);
    for (const name of this.names) shift(this.earlier[name], made[`next_${name}`], inputs[name][0] * inputs[name][1]);
    this.newest = Float32Array.from([...action, 0]);
    this.held = Math.min(this.held + 1, this.places);
  }

  numbers() {
    return null;
  }

  /** What the decoder draws a frame from. */
  drawn(frame) {
    const { inputs } = this.about;
    return Object.fromEntries(DRAWN.map((name) => [name, { type: "float32", dims: inputs[name], data: frame[name] }]));
  }
}
