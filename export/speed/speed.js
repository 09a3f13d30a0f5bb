/**
 * The page's half of `sdz speed`: the decoder's stages in this page on one thread of WebAssembly, and a reference graph beside
 * them. Takes the id of a pack and addresses on this page's server, hands back milliseconds, one number per repetition.
 */

import { packReader, runtimeFile } from "../../web/assets.js";
import { decodeBytes, readPicture } from "../../web/decode.js";
import { loadPack } from "../../web/pack.js";
import { FULL_STRENGTH } from "../../web/limits.js";
import { Sessions } from "../../web/sessions.js";

/** @import { DecodedImage } from "../../web/decode.js" */

const THREADS = 1;

/** Runs before the first that counts: V8 compiles hot loops in the background after a few. */
const WARM_UPS = 3;

/** @param {number} repetitions @param {() => unknown} work @returns {Promise<number[]>} */
async function timed(repetitions, work, warmUps = WARM_UPS) {
  const times = [];
  for (let i = -warmUps; i < repetitions; i++) {
    const start = performance.now();
    await work();
    if (i >= 0) times.push(performance.now() - start);
  }
  return times;
}

/** @param {string} url */
const read = async (url) => new Uint8Array(await (await fetch(url)).arrayBuffer());

/** @param {string} id */
const packOf = (id) => loadPack(id, packReader(id));

/** @param {DecodedImage} image */
function paint({ data, width, height }) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d")?.putImageData(new ImageData(data, width, height), 0, 0);
  document.body.replaceChildren(canvas);
}

/** What `step` may be asked to do. @type {Record<string, () => unknown>} */
let steps = {};

/**
 * What a visitor's first picture meets: no code is warm yet, and the core is not compiled. The bytes, the tables and the scripts are there
 * before the clock starts. To be done in this order.
 * @param {{pack: string, file: string}} what
 */
export async function prepareFirst({ pack: id, file }) {
  const bytes = await read(file);
  const pack = await packOf(id);
  const session = new Sessions({ threads: THREADS }).session(pack);
  steps = {
    linear: async () => paint(await decodeBytes(bytes, { stage: "linear", pack })),
    decoder_session: () => session.prepare("decoder"),
    denoiser_session: () => session.prepare("denoiser"),
    whole: async () => paint(await decodeBytes(bytes, { session })),
  };
  return Object.keys(steps);
}

/** Everything has been done before. @param {{pack: string, file: string}} what */
export async function prepareWarm({ pack: id, file }) {
  const bytes = await read(file);
  const pack = await packOf(id);
  const session = new Sessions({ threads: THREADS }).session(pack);
  const picture = await readPicture(bytes, pack);
  const { whole } = picture;
  await session.paint(picture, whole, FULL_STRENGTH);
  steps = {
    entropy: async () => (await readPicture(bytes, pack)).close(),
    dequantize: () => picture.latents(),
    linear_stage: () => picture.paintLinear(whole),
    linear: async () => paint(await decodeBytes(bytes, { stage: "linear", pack })),
    networks: () => session.paint(picture, whole, FULL_STRENGTH),
    decoder: () => session.paint(picture, whole, 0),
    whole: async () => paint(await decodeBytes(bytes, { session })),
  };
  for (const work of Object.values(steps)) await timed(0, work);
  return Object.keys(steps);
}

/** @param {{work: string, repetitions: number}} what @returns {Promise<number[]>} milliseconds of one of the steps */
export const step = ({ work, repetitions }) => timed(repetitions, steps[work], 0);

/** @param {{pack: string, file: string}} what @returns {Promise<string>} the stage that a file reaches */
export const stageOf = async ({ pack: id, file }) => (await decodeBytes(await read(file), { pack: await packOf(id) })).stage;

/**
 * A graph with one fp32 input, on onnxruntime-web.
 * @param {{graph: string, shape: number[], repetitions: number}} what
 */
export async function measureReference({ graph, shape, repetitions }) {
  /** @type {typeof import("onnxruntime-web")} */
  const ort = await import(/** @type {string} */ (runtimeFile("ort.wasm.bundle.min.mjs")));
  ort.env.wasm.wasmPaths = { wasm: runtimeFile("ort-wasm-simd-threaded.wasm") };
  ort.env.wasm.numThreads = THREADS;
  const session = await ort.InferenceSession.create(await read(graph), { executionProviders: ["wasm"] });
  const size = shape.reduce((product, n) => product * n);
  const data = Float32Array.from({ length: size }, (_, i) => Math.sin(i));
  const feeds = { [session.inputNames[0]]: new ort.Tensor("float32", data, shape) };
  return timed(repetitions, async () => (await session.run(feeds))[session.outputNames[0]].dispose(), 1);
}

/** A picture on a page as its visitor has it, on one thread. @param {{src: string}} what @returns {Promise<string>} the stage reached */
export async function show({ src }) {
  const script = document.createElement("script");
  script.type = "module";
  script.dataset.threads = String(THREADS);
  script.src = new URL("../../web/sdz.js", import.meta.url).href;
  const element = /** @type {HTMLElement & {currentStage: string}} */ (document.createElement("sdz-img"));
  const loaded = new Promise((resolve, reject) => {
    element.addEventListener("load", resolve);
    element.addEventListener("error", (/** @type {any} */ event) => reject(new Error(event.detail?.message)));
  });
  element.setAttribute("src", src);
  document.body.append(script, element);
  await loaded;
  return element.currentStage;
}

/** Bytes of this page and its workers, as the browser counts them; in an isolated page only. @returns {Promise<number>} */
export async function countMemory() {
  return (await /** @type {any} */ (performance).measureUserAgentSpecificMemory()).bytes;
}
