/**
 * Opened packs and the sessions that run their networks. The only module that decides what runs a pack: at present onnxruntime-web, which
 * is loaded when a network is first needed.
 */

import { packReader } from "./assets.js";
import { fetchReader, loadPack } from "./pack.js";
import { Session } from "./session.js";

/** @import { Pack, Read } from "./pack.js" */
/** @import { Latents } from "./format/planes.js" */
/** @import { Ort, Provider } from "./session.js" */

/**
 * @typedef {object} Networks a pack's networks
 * @property {Pack} pack
 * @property {(network: "decoder" | "denoiser") => boolean} isReady whether a network can run without loading anything first
 * @property {(network: "decoder" | "denoiser") => Promise<void>} prepare loads a network ahead of its first run
 * @property {(latents: Latents, strength?: number) => Promise<Float32Array>} denoise (C, h, w) integers in GRID units, guarded; `strength`
 *   in sixteenths
 * @property {(values: ArrayLike<number>, precision: ArrayLike<number>, h: number, w: number) => Promise<Uint8Array>} decode
 *   (C, h, w) each -> RGBA (p h, p w, 4), A = 255, p the patch
 *
 * @typedef {object} Sources
 * @property {string | URL | ((id: string) => Read)} [packs] folder of the packs, ends in "/", or a function that
 *   returns a pack's reader; when left out, the default of assets.js
 * @property {string | URL | Ort} [ort] folder of onnxruntime-web's files, ends in "/"; or the module itself, set up by the caller;
 *   when left out, the default of assets.js
 * @property {number} [threads]
 * @property {Provider} [provider]
 */

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
    const session = this.#sessions.get(pack) ?? new Session(pack, this.#sources);
    this.#sessions.set(pack, session);
    return session;
  }
}
