/**
 * Opened packs and what runs their networks. The only module that decides it: the exact core, where the pack has weights for it; else, or
 * where a page asks for WebGPU and the browser has it, onnxruntime-web, which is loaded, as the module that runs it, when a network is first
 * needed: few pages ever need either.
 */

import { packReader } from "./assets.js";
import { CoreNetworks } from "./engine.js";
import { asSdzError } from "./errors.js";
import { fetchReader, loadPack } from "./pack.js";
import { graphRunner } from "./work/later.js";

/** @import { Window } from "./core.js" */
/** @import { Network, Picture } from "./engine.js" */
/** @import { Pack, Read } from "./pack.js" */
/** @import { Ort, Provider, Session } from "./session.js" */

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

/** @type {() => Promise<{Session: typeof Session}>} */
let graphs = graphRunner;

/** Takes the module `session.js` from `load`: a service worker cannot import it later. @param {typeof graphs} load */
export function useGraphs(load) {
  graphs = load;
}

/** A pack's networks, run by onnxruntime-web: a `Session` that is made when it is needed. */
export class GraphNetworks {
  /** @type {Session | null} */
  #session = null;
  /** @type {Promise<Session> | null} */
  #opening = null;

  /** @param {Pack} pack @param {Sources} sources */
  constructor(pack, sources) {
    this.pack = pack;
    this.sources = sources;
  }

  /** @param {Network} network */
  isReady(network) {
    return this.#session?.isReady(network) ?? false;
  }

  /** @param {Network} network */
  async prepare(network) {
    return (await this.#open()).prepare(network);
  }

  /** @param {Picture} picture @param {Window} window @param {number} strength */
  async paint(picture, window, strength) {
    return (await this.#open()).paint(picture, window, strength);
  }

  /** A picture of blended tiles: see work/blend.js. @param {Picture} picture @param {number} strength */
  async *blend(picture, strength) {
    yield* (await this.#open()).blend(picture, strength);
  }

  #open() {
    this.#opening ??= graphs().then(
      (module) => (this.#session = new module.Session(this.pack, this.sources)),
      (error) => {
        this.#opening = null;
        throw asSdzError(error, "ProviderError");
      },
    );
    return this.#opening;
  }
}

export class Sessions {
  /** @type {Map<string, Promise<Pack>>} */
  #packs = new Map();
  /** @type {Map<Pack, Networks>} */
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

  /** @param {Pack} pack @returns {Networks} loads nothing before a network is asked for */
  session(pack) {
    const webgpu = this.#sources.provider === "webgpu" && /** @type {any} */ (globalThis.navigator)?.gpu;
    const byCore = pack.coreBytes && !pack.tiling && !webgpu;
    const session = this.#sessions.get(pack) ?? (byCore ? new CoreNetworks(pack) : new GraphNetworks(pack, this.#sources));
    this.#sessions.set(pack, session);
    return session;
  }
}
