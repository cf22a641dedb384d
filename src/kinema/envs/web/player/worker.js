/** The thread that computes: loads the world and the network, and answers { id, do, ... } with { id, ... } or { id, error }. */
import * as ort from "./runtime/ort.wasm.min.mjs";
import { LiveWorld } from "./live.js";
import { World, unpack } from "./world.js";

/** Only pages of a host that sends the headers of cross-origin isolation may use several; one core is left to the page. */
const MOST_THREADS = 4;
let world = null;
let decoder = null;

ort.env.wasm.wasmPaths = new URL("./runtime/", import.meta.url).href;
const free = Math.min((navigator.hardwareConcurrency || 2) - 1, MOST_THREADS);
ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.max(free, 1) : 1;

async function fetched(name) {
  const response = await fetch(new URL(name, import.meta.url));
  if (!response.ok) throw new Error(`${name} could not be loaded (${response.status})`);
  return response;
}

/** From a name to a function of inputs { name: { type, dims, data } } to outputs { name: data }. */
async function network(name, graphOptimizationLevel) {
  const bytes = new Uint8Array(await (await fetched(name)).arrayBuffer());
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], graphOptimizationLevel });
  return async (inputs) => {
    const feeds = {};
    for (const [key, { type, dims, data }] of Object.entries(inputs)) feeds[key] = new ort.Tensor(type, data, dims);
    const outputs = await session.run(feeds);
    return Object.fromEntries(Object.entries(outputs).map(([key, tensor]) => [key, tensor.data]));
  };
}

/** What the page shows of a frame, and how long it took. */
async function shown(frame, begun) {
  const { picture } = await decoder(world.drawn(frame));
  const { index, reward, probability = 0, terminated, numbers = world.numbers(frame) } = frame;
  return {
    picture: new Uint8ClampedArray(picture), index, probability, numbers, ms: performance.now() - begun,
    reward: typeof reward === "number" ? reward : 0, terminated: terminated === true,
  };
}

const verbs = {
  async load({ seed }) {
    const about = await (await fetched("world.json")).json();
    const arrays = unpack(await (await fetched("beginnings.bin")).arrayBuffer(), about.data);
    const step = await network("step.onnx", about.optimization);
    decoder = await network("decoder.onnx", about.optimization);
    world = new (about.kind === "live" ? LiveWorld : World)(about, arrays, step, { seed });
    return { threads: ort.env.wasm.numThreads };
  },
  async begin({ which }) {
    const begun = performance.now();
    return shown(await world.begin(which), begun);
  },
  async step({ action }) {
    const begun = performance.now();
    return shown(await world.step(Float32Array.from(action)), begun);
  },
};

let queue = Promise.resolve();
self.addEventListener("message", ({ data }) => {
  queue = queue.then(async () => {
    try {
      const answer = await verbs[data.do](data);
      self.postMessage({ id: data.id, ...answer }, answer.picture ? [answer.picture.buffer] : []);
    } catch (error) {
      self.postMessage({ id: data.id, error: String(error?.message ?? error) });
    }
  });
});
