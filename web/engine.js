/**
 * This page's, worker's or process's one instance of the exact core, used for one picture after another: opens packs, networks and pictures in it
 * when they are needed and gives back what has not been needed for longest. Everything can be opened again, so an instance that failed, or that
 * one large picture has made large, is dropped without a trace. The twin of runtime/format/coder.py.
 */

import { coreFile } from "./assets.js";
import { Core, compileCore } from "./core.js";
import { SdzError } from "./errors.js";

/** @import { Facts, Window } from "./core.js" */
/** @import { Header } from "./format/container.js" */
/** @import { Pack } from "./pack.js" */
/** @import { Source } from "./quantizer.js" */

/** @typedef {"decoder" | "denoiser"} Network */

/**
 * @typedef {object} Latents of a window, (C, h, w) each
 * @property {Int32Array} values GRID units, guarded
 * @property {Int32Array} levels signed magnitudes in intervals, at most 15
 * @property {Int32Array} precision eighths of an octave
 * @property {Int32Array} halfWidth GRID units
 * @property {number} h
 * @property {number} w
 */

/** Pictures are kept open while the core holds no more bytes than these: a hundred of 512 x 512. */
const KEPT_BYTES = 2 ** 26;

/** An instance whose memory, which never shrinks, has become larger than these bytes is dropped once no picture is open. */
const LARGE_BYTES = 2 ** 27;

/** @param {string} address of a module of the core @returns {Promise<Response>} */
export async function fetchModule(address) {
  const response = await fetch(address).catch((error) => {
    throw new SdzError("NetworkError", `${address}: ${error.message}`);
  });
  if (!response.ok) throw new SdzError("NetworkError", `${address}: HTTP status ${response.status}`);
  return response;
}

/** Where sdz.wasm comes from. @type {() => Promise<BufferSource | Response>} */
let load = () => fetchModule(coreFile());

/** @type {Promise<WebAssembly.Module> | null} */
let compiling = null;
/** @type {Promise<Engine> | null} */
let starting = null;
/** @type {Engine | null} */
let running = null;

/** Takes the core's bytes from `from` instead of from beside the scripts. @param {() => Promise<BufferSource | Response>} from */
export function useCore(from) {
  [load, compiling, starting, running] = [from, null, null, null];
}

/**
 * The instance in use; a fresh one after a failure. May be called early, to have the core compiled in time.
 * @returns {Promise<Engine>}
 * @throws {SdzError} NetworkError, CoreError; may be tried again
 */
export async function engine() {
  if (running?.core.usable) return running;
  starting ??= (async () => {
    compiling ??= load().then(compileCore);
    compiling.catch(() => (compiling = null));
    return (running = new Engine(await Core.start(await compiling)));
  })().finally(() => (starting = null));
  return starting;
}

/** What one instance holds. */
class Engine {
  /** @type {Map<Pack, {tables: number, linear: number, networks: Map<Network, number>}>} */
  #packs = new Map();
  /** The least recently used first. @type {Map<Picture, number>} */
  #pictures = new Map();

  /** @param {Core} core */
  constructor(core) {
    this.core = core;
  }

  /** The handles of a pack's parts. @param {Pack} pack @throws {SdzError} CorruptPackError */
  pack(pack) {
    const known = this.#packs.get(pack);
    if (known) return known;
    const opened = { tables: this.core.tables(pack.coder), linear: this.core.linear(pack.linear, pack), networks: new Map() };
    this.#packs.set(pack, opened);
    return opened;
  }

  /** @param {Pack} pack @param {Network} network @param {Uint8Array} weights @throws {SdzError} CorruptPackError */
  addNetwork(pack, network, weights) {
    const { networks } = this.pack(pack);
    if (!networks.has(network)) networks.set(network, this.core.network(weights, pack.l1Limit));
  }

  /** The handle of a picture, which is opened if it was not, and pictures that take too much room are given back. @param {Picture} picture */
  picture(picture) {
    const { core } = this;
    let handle = this.#pictures.get(picture);
    if (handle === undefined) {
      const { source, pack } = picture;
      handle = source.open(core, this.pack(pack).tables);
      core.quantization(handle, source.steps, pack.reconstruction, pack.l1Limit);
    }
    this.#pictures.delete(picture);
    this.#pictures.set(picture, handle);
    for (const other of this.#pictures.keys()) {
      if (other !== picture && core.held() > KEPT_BYTES) this.close(other);
    }
    return handle;
  }

  /** @param {Picture} picture */
  close(picture) {
    const handle = this.#pictures.get(picture);
    this.#pictures.delete(picture);
    if (handle !== undefined && this.core.usable) this.core.free(handle);
    if (this === running && !this.#pictures.size && this.core.reserved() > LARGE_BYTES) running = null;
  }
}

/** A file's latents. They lie in the core while there is room, and are decoded again where they had to give way. */
export class Picture {
  /** Alpha (H, W), 0 transparent to 255 opaque. @type {Uint8Array | null} */
  alpha = null;
  /** @type {string | undefined} */
  alt = undefined;
  /** Given by `open`. @type {Facts} */
  facts = { kind: "T", channels: 0, rows: 0, columns: 0, planes: 0, complete: false, codes: 0, upper: 0 };

  /** @param {Header} header @param {Pack} pack @param {Source} source */
  constructor(header, pack, source) {
    this.header = header;
    this.pack = pack;
    this.source = source;
  }

  /** Decodes the latents. @throws {SdzError} CorruptPackError, CorruptFileError, LimitError, CoreError, NetworkError */
  async open() {
    const held = await engine();
    this.facts = held.core.facts(held.picture(this));
  }

  /** Values and intervals of the latents in a window, of all when left out. @param {Window} [window] @returns {Promise<Latents>} */
  async latents(window = this.whole) {
    const held = await engine();
    const latents = held.core.latents(held.picture(this), this.facts.channels, window);
    return { ...latents, h: window.rows, w: window.columns };
  }

  /** What is known of the integers, or of the entries of a codebook: see `Core.known`. */
  async known() {
    const held = await engine();
    return held.core.known(held.picture(this), this.facts);
  }

  /** RGBA of a window at the linear stage, its sides divided by `reduce`. @param {Window} window @param {number} [reduce] */
  async paintLinear(window, reduce = 1) {
    const held = await engine();
    return held.core.paintLinear(held.picture(this), held.pack(this.pack).linear, window, this.pack.patch / reduce, reduce);
  }

  /** All positions. */
  get whole() {
    return { top: 0, left: 0, rows: this.facts.rows, columns: this.facts.columns };
  }

  /** Gives back what the core holds of it. It may be used again all the same. */
  close() {
    running?.close(this);
  }
}

/** A pack's networks, run by the core. */
export class CoreNetworks {
  /** Weights that are being read. @type {Map<Network, Promise<Uint8Array>>} */
  #reading = new Map();

  /** @param {Pack} pack with `coreBytes` */
  constructor(pack) {
    this.pack = pack;
  }

  /** Whether a network can run without loading anything first. @param {Network} network */
  isReady(network) {
    return running !== null && running.core.usable && running.pack(this.pack).networks.has(network);
  }

  /** Loads a network ahead of its first run. @param {Network} network */
  async prepare(network) {
    const held = await engine();
    if (held.pack(this.pack).networks.has(network)) return held;
    const read = /** @type {(name: Network) => Promise<Uint8Array>} */ (this.pack.coreBytes);
    const reading = this.#reading.get(network) ?? read(network).finally(() => this.#reading.delete(network));
    this.#reading.set(network, reading);
    const weights = await reading;
    // the instance may have been given up meanwhile
    const now = await engine();
    now.addNetwork(this.pack, network, weights);
    return now;
  }

  /**
   * RGBA of a window.
   * @param {Picture} picture @param {Window} window @param {number} strength of the denoiser, sixteenths, 0 to skip it
   * @returns {Promise<Uint8ClampedArray<ArrayBuffer>>}
   */
  async paint(picture, window, strength) {
    const { pack } = this;
    if (strength) await this.prepare("denoiser");
    const held = await this.prepare("decoder");
    const { linear, networks } = held.pack(pack);
    const [decoder, denoiser] = [networks.get("decoder") ?? 0, strength ? networks.get("denoiser") : 0];
    if (denoiser === undefined) return this.paint(picture, window, strength);
    return held.core.paint(held.picture(picture), linear, decoder, denoiser, strength, pack.halo, window, pack.patch);
  }
}

/** The L1 guard over values (C, positions), a copy. @param {Int32Array} values @param {number} channels @param {number} l1Limit */
export const guarded = async (values, channels, l1Limit) => (await engine()).core.guard(values, channels, l1Limit);
