/**
 * Runs a pack's networks on onnxruntime-web, one session per graph. The reference is the int8 graphs on WebAssembly, bit-exact with the
 * Python runtime. WebGPU runs the fp32 graphs: the same integers in floating point, which adapters need not sum exactly. It is therefore
 * used only on request, and only if its output agrees with the reference on a small test input. The twin of runtime/session.py.
 */

import { runtimeFile } from "./assets.js";
import { blend } from "./work/blend.js";
import { SdzError, asSdzError } from "./errors.js";
import { guarded } from "./engine.js";
import { refuseUnsafe } from "./format/graphs.js";
import { FULL_STRENGTH } from "./limits.js";

/** @import { Window } from "./core.js" */
/** @import { Latents, Picture } from "./engine.js" */
/** @import { Pack } from "./pack.js" */

/**
 * @typedef {"wasm" | "webgpu"} Provider
 *
 * @typedef {object} InferenceSession what is used here of onnxruntime-web's, whose own types a user need not have
 * @property {readonly string[]} outputNames
 * @property {(feeds: Record<string, any>) => Promise<Record<string, any>>} run
 *
 * @typedef {object} Ort the same of onnxruntime-web itself
 * @property {{create(graph: Uint8Array, options: object): Promise<InferenceSession>}} InferenceSession
 * @property {new (type: "float32", data: Float32Array, dims: readonly number[]) => any} Tensor
 * @property {{wasm: {wasmPaths?: any, numThreads?: number, wasmBinary?: any}, logLevel?: any}} env
 */

/** More threads gain little at these sizes and slow the page down. */
const MAX_THREADS = 4;

/**
 * Largest allowed difference of WebGPU from the reference on the golden latent, of 8-bit values. A software adapter has none. One that
 * folds scales into weights or sums inexactly is occasionally off by one activation level.
 */
export const WEBGPU_TOLERANCE = { mean: 0.1, max: 8 };

/** Side of the golden latent, positions: small enough for a software adapter. */
const GOLDEN_SIDE = 4;

/**
 * The files of onnxruntime-web that each provider needs. The default entry's WASM is twice as large, and the builds with WebGPU lack CPU
 * kernels that the int8 graphs need.
 * @type {Record<string, [string, string]>}
 */
const FILES = {
  wasm: ["ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"],
  webgpu: ["ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm"],
  jspi: ["ort.jspi.bundle.min.mjs", "ort-wasm-simd-threaded.jspi.wasm"],
};

/** @type {Map<string, Promise<Ort>>} */
const runtimes = new Map();

/** The caller's own onnxruntime-web, where it cannot be imported by address. @type {(() => Promise<Ort>) | null} */
let own = null;

/** Takes onnxruntime-web from `load` where no session says otherwise. @param {() => Promise<Ort>} load */
export function useRuntime(load) {
  own = load;
}

/** @returns {number} the default number of threads: one, unless the page may share memory */
export function defaultThreads() {
  return globalThis.crossOriginIsolated ? Math.min(MAX_THREADS, globalThis.navigator?.hardwareConcurrency || 1) : 1;
}

/**
 * onnxruntime-web, loaded once from `base`; the settings of the first caller stay.
 * @param {string | URL | Ort | undefined} base @param {number} threads @param {Provider} provider
 * @returns {Promise<Ort>}
 */
async function loadRuntime(base, threads, provider) {
  if (typeof base === "object" && "InferenceSession" in base) return base;
  if (!base && own) {
    const running = runtimes.get("") ?? own();
    runtimes.set("", running);
    running.catch(() => runtimes.delete(""));
    return running;
  }
  const flavour = provider === "wasm" ? "wasm" : "Suspending" in WebAssembly ? "jspi" : "webgpu";
  const [script, wasm] = FILES[flavour].map((name) => (base ? new URL(name, base).href : runtimeFile(name)));
  if (!script || !wasm) {
    throw new SdzError("ProviderError", `onnxruntime-web's ${FILES[flavour].join(" and ")} are missing: set 'ort' to their folder`);
  }
  const running =
    runtimes.get(script) ??
    import(/* @vite-ignore */ /* webpackIgnore: true */ script).then((/** @type {Ort} */ ort) => {
      ort.env.wasm.wasmPaths = { wasm };
      ort.env.wasm.numThreads = threads;
      ort.env.logLevel = "error";
      return ort;
    });
  runtimes.set(script, running);
  running.catch(() => runtimes.delete(script));
  return running;
}

/** One pack's networks. Runs are queued, because a session can execute only one at a time. */
export class Session {
  /**
   * @param {Pack} pack
   * @param {{ort?: string | URL | Ort, threads?: number, provider?: Provider}} [options] `ort`: folder with onnxruntime-web's files, ends
   *   in "/", or the module itself, set up by the caller; when left out, the default of assets.js
   */
  constructor(pack, { ort, threads = defaultThreads(), provider = "wasm" } = {}) {
    this.pack = pack;
    this.base = ort;
    this.threads = threads;
    this.asked = provider;
    /** The provider in use: `asked`, or "wasm" after a failed self-check. @type {Provider} */
    this.provider = provider;
    /** @type {Map<string, Promise<InferenceSession>>} */
    this.sessions = new Map();
    /** @type {Promise<unknown>} */
    this.queue = Promise.resolve();
    /** @type {Promise<void> | undefined} */
    this.checked = undefined;
    /** @type {Set<string>} */
    this.opened = new Set();
  }

  /** Whether a network can run without loading anything first. @param {"decoder" | "denoiser"} network */
  isReady(network) {
    return this.opened.has(this.#graph(network, this.provider));
  }

  /** Loads and compiles a network ahead of its first run. @param {"decoder" | "denoiser"} network */
  async prepare(network) {
    await this.#selfCheck();
    await this.#open(network, this.provider);
  }

  /**
   * @param {Latents} latents
   * @param {number} [strength] sixteenths of the denoiser's change that are applied, rounded half up
   * @returns {Promise<Int32Array>} (C, h, w), GRID units, guarded
   */
  async denoise(latents, strength = FULL_STRENGTH) {
    await this.#selfCheck();
    return this.#denoise(latents, this.provider, strength);
  }

  /**
   * @param {ArrayLike<number>} values @param {ArrayLike<number>} precision (C, h, w) @param {number} h @param {number} w
   * @returns {Promise<Uint8Array>} RGBA (p h, p w, 4), A = 255, p the patch
   */
  async decode(values, precision, h, w) {
    await this.#selfCheck();
    return this.#decode(values, precision, h, w, this.provider);
  }

  /** RGBA of a window: see `paintByGraphs`. @param {Picture} picture @param {Window} window @param {number} strength */
  paint(picture, window, strength) {
    return paintByGraphs(this, picture, window, strength);
  }

  /** A picture of overlapping tiles: see work/blend.js. @param {Picture} picture @param {number} strength */
  blend(picture, strength) {
    return blend(this, picture, strength);
  }

  /** @param {Latents} latents @param {Provider} provider @param {number} strength */
  async #denoise({ values, levels, precision, halfWidth, h, w }, provider, strength) {
    const feeds = { latents: values, levels, precision, half_width: halfWidth };
    const denoised = Int32Array.from(await this.#run("denoiser", feeds, h, w, provider));
    if (strength !== FULL_STRENGTH) {
      // the product may need more than 32 bits
      for (let i = 0; i < denoised.length; i++) denoised[i] = values[i] + Math.floor((strength * (denoised[i] - values[i]) + 8) / 16);
    }
    return guarded(denoised, this.pack.channels, this.pack.l1Limit);
  }

  /**
   * @param {ArrayLike<number>} values @param {ArrayLike<number>} precision @param {number} h @param {number} w
   * @param {Provider} provider
   */
  async #decode(values, precision, h, w, provider) {
    return /** @type {Uint8Array} */ (await this.#run("decoder", { latents: values, precision }, h, w, provider));
  }

  /** @param {string} network @param {Provider} provider */
  #graph(network, provider) {
    return provider === "wasm" ? network : `${network}-fp32`;
  }

  /** @param {string} network @param {Provider} provider @returns {Promise<InferenceSession>} */
  #open(network, provider) {
    const name = this.#graph(network, provider);
    const create = async () => {
      const [ort, bytes] = await Promise.all([loadRuntime(this.base, this.threads, provider), this.pack.graphBytes(name)]);
      refuseUnsafe(bytes, name);
      // one at a time: the first creation also starts the WASM module
      const session = await this.#next(() =>
        ort.InferenceSession.create(bytes, {
          executionProviders: [provider],
          // an optimizer would fold scales into the fp32 graphs' weights, which then are no longer integers
          graphOptimizationLevel: provider === "wasm" || !this.pack.exact ? "all" : "disabled",
        }),
      ).catch((error) => {
        throw failure(error, name, provider);
      });
      this.opened.add(name);
      return session;
    };
    const running = this.sessions.get(name) ?? create();
    this.sessions.set(name, running);
    running.catch(() => this.sessions.delete(name));
    return running.catch((error) => {
      throw asSdzError(error, "ProviderError");
    });
  }

  /** @template T @param {() => Promise<T>} job @returns {Promise<T>} */
  #next(job) {
    const running = this.queue.then(job);
    this.queue = running.catch(() => {});
    return running;
  }

  /**
   * @param {string} network @param {Record<string, ArrayLike<number>>} arrays @param {number} h @param {number} w
   * @param {Provider} provider
   */
  async #run(network, arrays, h, w, provider) {
    const session = await this.#open(network, provider);
    const ort = await loadRuntime(this.base, this.threads, provider);
    /** @type {Record<string, any>} */
    const feeds = {};
    for (const [name, array] of Object.entries(arrays)) {
      const data = array instanceof Float32Array ? array : Float32Array.from(array);
      feeds[name] = new ort.Tensor("float32", data, [1, this.pack.channels, h, w]);
    }
    const results = await this.#next(() => session.run(feeds)).catch((error) => {
      throw failure(error, network, provider);
    });
    const output = results[session.outputNames[0]];
    const data = /** @type {Float32Array | Uint8Array} */ (output.data);
    /** @type {readonly number[]} */
    const dims = output.dims;
    output.dispose();
    const { channels, patch } = this.pack;
    const [shape, type] = network === "decoder" ? [[patch * h, patch * w, 4], Uint8Array] : [[1, channels, h, w], Float32Array];
    if (!(data instanceof type) || String(dims) !== String(shape)) {
      throw failure(`gives ${data?.constructor.name} ${dims} in place of ${type.name} ${shape}`, network, "wasm");
    }
    if (data instanceof Float32Array && !data.every(Number.isFinite)) throw failure("gives numbers that are not finite", network, "wasm");
    return data;
  }

  #selfCheck() {
    this.checked ??= this.asked === "wasm" ? Promise.resolve() : this.#compare();
    return this.checked;
  }

  /** Decodes the golden latent on both providers and falls back to the reference where they differ. */
  async #compare() {
    const golden = goldenLatents(this.pack.channels);
    /** @param {Provider} provider */
    const run = async (provider) => {
      const denoises = this.pack.denoiserMinStepIndex !== null;
      const values = denoises ? await this.#denoise(golden, provider, FULL_STRENGTH) : golden.values;
      return this.#decode(values, golden.precision, golden.h, golden.w, provider);
    };
    try {
      if (!(/** @type {any} */ (globalThis.navigator)?.gpu)) throw new SdzError("ProviderError", "this browser has no WebGPU");
      const fast = await run("webgpu");
      const reference = await run("wasm");
      let sum = 0;
      let max = 0;
      for (let i = 0; i < reference.length; i++) {
        const difference = Math.abs(fast[i] - reference[i]);
        sum += difference;
        max = Math.max(max, difference);
      }
      // alpha is 255 in both: three of four values count
      if (max > WEBGPU_TOLERANCE.max || sum / (reference.length * 0.75) > WEBGPU_TOLERANCE.mean) {
        throw new SdzError("ProviderError", `WebGPU differs from the reference by up to ${max} levels`);
      }
    } catch (error) {
      this.fallbackReason = asSdzError(error, "ProviderError").message;
      this.provider = "wasm";
    }
  }
}

/**
 * What a graph's failure means: the shapes are what every graph takes, so that on the reference it contradicts itself, or asks for more memory than
 * there is.
 * @param {unknown} error @param {string} network @param {Provider} provider
 */
function failure(error, network, provider) {
  const { message } = asSdzError(error, "ProviderError");
  if (provider !== "wasm") return new SdzError("ProviderError", message);
  return new SdzError("CorruptPackError", `the pack's graph '${network}' failed: ${message}; rebuild or deploy the pack again`);
}

/**
 * A small fixed test input with structure in every channel, computed in integers and therefore the same everywhere.
 * @param {number} channels
 * @returns {Latents}
 */
function goldenLatents(channels) {
  const [h, w, step] = [GOLDEN_SIDE, GOLDEN_SIDE, 64];
  const size = channels * h * w;
  const levels = new Int32Array(size);
  for (let i = 0, seed = 1; i < size; i++) {
    seed = Math.imul(seed, 1103515245) + 12345;
    const decay = Math.floor(i / (h * w));
    // large in low-frequency channels, mostly zero in others, as in a photo
    levels[i] = Math.trunc((((seed >> 16) % 16) * 8) / (8 + decay));
  }
  return {
    levels,
    values: Int32Array.from(levels, (level) => level * step),
    precision: new Int32Array(size).fill(32),
    halfWidth: new Int32Array(size).fill(step >> 1),
    h,
    w,
  };
}

/**
 * Runs networks on a window and its margins: the decoder's input is larger by its receptive field, the denoiser's by both. Tiles that are to be
 * blended have none.
 * @param {Pick<Session, "pack" | "denoise" | "decode">} session @param {Picture} picture @param {Window} window
 * @param {number} strength of the denoiser, 0 to skip it
 * @returns {Promise<Uint8Array | Uint8ClampedArray<ArrayBuffer>>} RGBA of the window
 */
export async function paintByGraphs(session, picture, window, strength) {
  const { pack, whole } = picture;
  const decoded = pack.tiling ? window : grow(window, pack.halo.decoder, whole);
  const widest = strength ? grow(decoded, pack.halo.denoiser, whole) : decoded;
  const latents = await picture.latents(widest);
  const values = strength ? await session.denoise(latents, strength) : latents.values;
  const rgba = await session.decode(
    crop(values, decoded, widest, pack.channels),
    crop(latents.precision, decoded, widest, pack.channels),
    decoded.rows,
    decoded.columns,
  );
  const { patch } = pack;
  const out = new Uint8ClampedArray(4 * patch * patch * window.rows * window.columns);
  const [stride, length] = [4 * patch * decoded.columns, 4 * patch * window.columns];
  let from = (window.top - decoded.top) * patch * stride + (window.left - decoded.left) * patch * 4;
  for (let to = 0; to < out.length; from += stride, to += length) out.set(rgba.subarray(from, from + length), to);
  return out;
}

/** The window enlarged by `margin` positions on each side, clipped to the picture. @param {Window} window @param {number} margin @param {Window} whole */
function grow({ top, left, rows, columns }, margin, whole) {
  const [y, x] = [Math.max(0, top - margin), Math.max(0, left - margin)];
  return { top: y, left: x, rows: Math.min(whole.rows, top + rows + margin) - y, columns: Math.min(whole.columns, left + columns + margin) - x };
}

/** The part `inner` of `source` (C, outer). @param {Int32Array} source @param {Window} inner @param {Window} outer @param {number} channels */
function crop(source, inner, outer, channels) {
  const out = new Int32Array(channels * inner.rows * inner.columns);
  for (let c = 0, to = 0; c < channels; c++) {
    for (let y = 0; y < inner.rows; y++, to += inner.columns) {
      const from = (c * outer.rows + inner.top - outer.top + y) * outer.columns + inner.left - outer.left;
      out.set(source.subarray(from, from + inner.columns), to);
    }
  }
  return out;
}
