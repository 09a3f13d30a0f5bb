/**
 * Opened packs and what runs their networks. The only module that decides it: the exact core, where the pack has weights for it; else, or
 * where a page asks for WebGPU and the browser has it, onnxruntime-web, which is loaded when a network is first needed, as is the module that
 * knows how to use it: few pages need either.
 */

import { packReader } from "./assets.js";
import { CoreNetworks } from "./engine.js";
import { fetchReader, loadPack } from "./pack.js";

/** @import { Window } from "./core.js" */
/** @import { Network, Picture } from "./engine.js" */
/** @import { Pack, Read } from "./pack.js" */
/** @import { Ort, Provider } from "./session.js" */

/**
 * @typedef {object} Networks a pack's networks
 * @property {Pack} pack
 * @property {(network: Network) => boolean} isReady whether a network can run without loading anything first
 * @property {(network: Network) => Promise<unknown>} prepare loads a network ahead of its first run
 * @property {(picture: Picture, window: Window, strength: number) => Promise<Uint8Array | Uint8ClampedArray<ArrayBuffer>>} paint
 *   RGBA of a window, A = 255; `strength` of the denoiser in sixteenths, 0 to skip it
 *
 * @typedef {object} Sources
 * @property {string | URL | ((id: string) => Read)} [packs] folder of the packs, ends in "/", or a function that
 *   returns a pack's reader; when left out, the default of assets.js
 * @property {string | URL | Ort} [ort] folder of onnxruntime-web's files, ends in "/"; or the module itself, set up by the caller;
 *   when left out, the default of assets.js
 * @property {number} [threads]
 * @property {Provider} [provider]
 */

/** What runs graphs. @type {() => Promise<typeof import("./session.js").Session>} */
let graphs = async () => (await import("./session.js")).Session;

/** Takes what runs graphs from `load`, in scripts that may not import later. @param {typeof graphs} load */
export function useGraphs(load) {
  graphs = load;
}

export class Sessions {
  /** @type {Map<string, Promise<Pack>>} */
  #packs = new Map();
  /** @type {Map<Pack, Promise<Networks>>} */
  #sessions = new Map();
  /** @type {Sources} */
  #sources;

  /** @param {Sources} [sources] */
  constructor(sources = {}) {
    this.#sources = sources;
  }

  /** How many packs have a session. */
  get size() {
    return this.#sessions.size;
  }

  /** @param {string} id @returns {Promise<Pack>} @throws {SdzError} MissingPackError, CorruptPackError, NetworkError; may be tried again */
  pack(id) {
    const loading = this.#packs.get(id) ?? loadPack(id, this.#reader(id));
    this.#packs.set(id, loading);
    loading.catch(() => this.#packs.delete(id));
    return loading;
  }

  /** @param {string} id */
  #reader(id) {
    const { packs } = this.#sources;
    if (!packs) return packReader(id);
    return typeof packs === "function" ? packs(id) : fetchReader(new URL(`${id}/`, packs));
  }

  /** @param {Pack} pack @returns {Promise<Networks>} loads no network before it is asked for */
  session(pack) {
    const webgpu = this.#sources.provider === "webgpu" && /** @type {any} */ (globalThis.navigator)?.gpu;
    const byCore = pack.coreBytes && !pack.tiling && !webgpu;
    const make = async () => (byCore ? new CoreNetworks(pack) : new (await graphs())(pack, this.#sources));
    const opening = this.#sessions.get(pack) ?? make();
    this.#sessions.set(pack, opening);
    opening.catch(() => this.#sessions.delete(pack));
    return opening;
  }
}
