/**
 * The exact core (core/sdz_core.h): one WebAssembly module, numbers and typed arrays in and out. Runs in pages, workers, service workers and
 * Node; the twin of runtime/core.py. What it gives is copied out of its memory, so nothing dangles. After a trap, or where memory ran out,
 * an instance is of no use any more and says so: take a new one.
 */

import { SdzError } from "./errors.js";
import { MAX_LATENTS } from "./limits.js";

/** Bytes of one instance's memory, which the core never passes. */
export const MEMORY_LIMIT = 2 ** 30;

const NO_MEMORY = 1;
const TOO_LARGE = 3;
const LATENT_RANGE = 43;

/** Why the core refuses what a pack holds, by `sdz_reason`; # is `sdz_where`. @type {Record<number, string>} */
const PACK_REASONS = {
  10: "coder tables begin with neither 'sdzT' nor 'sdzI'",
  11: "coder tables are too short or too long (# bytes)",
  12: "coder tables name a channel that does not exist (#)",
  13: "coder tables reach further than two positions (channel #)",
  14: "coder tables predict channel # with weights too large",
  15: "coder tables have thresholds that do not rise (#)",
  16: "coder tables have a codebook entry, #, without usage",
  17: "coder tables have a precision code over 200 (level #)",
  18: "coder tables let the near and far passes of channel # change places",
  20: "the linear table has a wrong size (# bytes)",
  21: "the linear stage's sums can leave the exact range (#)",
  22: "the separable linear table is none, or another pack's",
  23: "the linear table has no function for channel #",
  30: "a network's weights end too early or too late (layer #)",
  31: "a network's weights do not begin with 'sdzN' and version 1",
  32: "a network's layer # does not fit its neighbours or the pack",
  33: "a network's layer # can sum beyond the range in which it is exact",
  34: "a network's layer # has a scale that is out of range",
};

/** What a file breaks, by `sdz_reason`: the caller knows the field and its offset. @type {Record<number, string>} */
const FILE_REASONS = {
  40: "the zlib stream does not hold exactly a palette and its indices",
  41: "position # names an entry that is not there",
  42: "row # names a filter that is not there",
  45: "the map ends too early or too late",
};

/**
 * @typedef {{top: number, left: number, rows: number, columns: number}} Window latent positions
 *
 * @typedef {object} Facts what the core tells of a picture
 * @property {"T" | "I"} kind planes or indices
 * @property {number} channels
 * @property {number} rows
 * @property {number} columns
 * @property {number} planes or levels
 * @property {boolean} complete whether nothing was cut
 * @property {number} codes the sum of all precision codes, once the picture was quantized
 * @property {number} upper functions that the picture has besides its channels'
 *
 * @typedef {Record<string, (...numbers: number[]) => number> & {memory: WebAssembly.Memory}} Exports
 */

/**
 * The compiled module, which any number of instances share.
 * @param {BufferSource | Response | Promise<Response>} source the bytes of sdz.wasm, or a response with them, of whatever type it says it is
 * @returns {Promise<WebAssembly.Module>}
 */
export async function compileCore(source) {
  const given = await source;
  const response = typeof Response === "function" && given instanceof Response ? given : null;
  try {
    // a server that does not know the type keeps a browser from compiling while bytes arrive
    if (response?.headers.get("content-type")?.startsWith("application/wasm")) return await WebAssembly.compileStreaming(response);
    return await WebAssembly.compile(response ? await response.arrayBuffer() : /** @type {BufferSource} */ (given));
  } catch (error) {
    throw new SdzError("CoreError", `the decoder's core cannot be compiled here: ${/** @type {Error} */ (error).message}`);
  }
}

export class Core {
  /** @param {WebAssembly.Instance} instance */
  constructor(instance) {
    this.exports = /** @type {Exports} */ (/** @type {unknown} */ (instance.exports));
    this.usable = true;
  }

  /**
   * A fresh instance.
   * @param {WebAssembly.Module} module @param {number} [limit] bytes of its memory
   */
  static async start(module, limit = MEMORY_LIMIT) {
    const core = new Core(await WebAssembly.instantiate(module, {}));
    core.call("sdz_limit", limit);
    return core;
  }

  /** Gives back what an opening method returned. @param {number} handle */
  free(handle) {
    this.call("sdz_free", handle);
  }

  /** Bytes that are handed out now. */
  held() {
    return this.call("sdz_limit", 0);
  }

  /** Bytes of the instance's memory, which never shrinks. */
  reserved() {
    return this.exports.memory.buffer.byteLength;
  }

  /** A pack's coder tables. @param {Uint8Array} data @returns {number} */
  tables(data) {
    return this.open("sdz_tables", data, data.length);
  }

  /**
   * A pack's linear stage, from the table as stored.
   * @param {Uint8Array} table @param {{channels: number, patch: number, linearShift: number, l1Limit: number, lapping?: Int32Array | null}} pack
   */
  linear(table, { channels, patch, linearShift, l1Limit, lapping = null }) {
    const overlap = lapping ? Math.sqrt(lapping.length) : 0;
    return this.open("sdz_linear", table, table.length, channels, patch, linearShift, l1Limit, lapping, overlap);
  }

  /** A network's flat weights. @param {Uint8Array} weights @param {number} l1Limit */
  network(weights, l1Limit) {
    return this.open("sdz_network", weights, weights.length, l1Limit);
  }

  /**
   * The picture that `payload`, whole or cut anywhere, determines.
   * @param {number} tables @param {Uint8Array} payload @param {number} rows @param {number} columns @param {number} stepIndex @param {number} tilt
   * @param {Uint8Array | null} regions the payload of its map
   */
  decode(tables, payload, rows, columns, stepIndex = 0, tilt = 0, regions = null) {
    const coded = payload.length ? payload : null;
    return this.open("sdz_decode", tables, coded, payload.length, rows, columns, stepIndex, tilt, regions, regions?.length ?? 0);
  }

  /**
   * The picture of an inflated palette chunk; without one nothing is known.
   * @param {Uint8Array | null} raw @param {number} channels @param {number} rows @param {number} columns
   */
  palette(raw, channels, rows, columns) {
    return this.open("sdz_palette", raw, raw?.length ?? 0, channels, rows, columns);
  }

  /**
   * The payload of integers (C, h, w), or of all bits of entries (h, w).
   * @param {number} tables @param {Int32Array} source @param {number} rows @param {number} columns @param {number} stepIndex @param {number} tilt
   * @param {number} room bytes that the payload may take
   * @returns {Uint8Array}
   */
  encode(tables, source, rows, columns, stepIndex, tilt, room) {
    return this.given([source, room], (at, out) => {
      const count = this.checked(this.call("sdz_encode", tables, at, rows, columns, 0, stepIndex, tilt, 0, 0, out, room, 0, 0));
      return this.bytes(out, count);
    });
  }

  /** @param {number} picture @returns {Facts} */
  facts(picture) {
    const [kind, channels, rows, columns, planes, complete, , , , , low, high, upper] = this.integers(this.call("sdz_facts", picture), 13);
    return {
      kind: kind === 84 ? "T" : "I",
      channels,
      rows,
      columns,
      planes,
      complete: complete !== 0,
      codes: (low >>> 0) + (high >>> 0) * 2 ** 32,
      upper,
    };
  }

  /**
   * Signed integers (C + upper, h, w) with unknown bits zero and the lowest plane known of each; of indices the nodes (h, w) and nothing.
   * @param {number} picture @param {Facts} facts
   * @returns {{values: Int32Array, plane: Uint8Array}}
   */
  known(picture, { kind, channels, rows, columns, upper }) {
    const count = rows * columns * (kind === "I" ? 1 : channels + upper);
    return this.given([4 * count, count], (values, plane) => {
      this.checked(this.call("sdz_known", picture, 0, 0, rows, columns, values, kind === "I" ? 0 : plane));
      return { values: this.integers(values, count), plane: kind === "I" ? new Uint8Array() : this.bytes(plane, count) };
    });
  }

  /**
   * Tells how a picture is reconstructed; needed before `latents` and every kind of pixels.
   * @param {number} picture @param {Uint8Array | null} steps of the channels; null of a codebook @param {number} reconstruction @param {number} l1Limit
   */
  quantization(picture, steps, reconstruction, l1Limit) {
    this.given([steps], (at) => this.checked(this.call("sdz_quantization", picture, at, reconstruction, l1Limit)));
  }

  /**
   * Values, levels, precision codes and half widths of a window, (C, rows, columns) each.
   * @param {number} picture @param {number} channels @param {Window} window
   * @returns {{values: Int32Array, levels: Int32Array, precision: Int32Array, halfWidth: Int32Array}}
   */
  latents(picture, channels, { top, left, rows, columns }) {
    const count = channels * rows * columns;
    return this.given([4 * count, 4 * count, 4 * count, 4 * count], (...at) => {
      this.checked(this.call("sdz_latents", picture, top, left, rows, columns, ...at));
      const [values, levels, precision, halfWidth] = at.map((place) => this.integers(place, count));
      return { values, levels, precision, halfWidth };
    });
  }

  /**
   * Values (C, positions) guarded, a copy.
   * @param {Int32Array} values @param {number} channels @param {number} l1Limit
   */
  guard(values, channels, l1Limit) {
    return this.given([values], (at) => {
      this.checked(this.call("sdz_guard", at, channels, values.length / channels, l1Limit));
      return this.integers(at, values.length);
    });
  }

  /**
   * RGBA of a window at the linear stage; `side` is the patch / `reduce`.
   * @param {number} picture @param {number} linear @param {Window} window @param {number} side @param {number} [reduce]
   * @returns {Uint8ClampedArray<ArrayBuffer>}
   */
  paintLinear(picture, linear, { top, left, rows, columns }, side, reduce = 1) {
    const count = 4 * rows * columns * side * side;
    return this.given([count], (out) => {
      this.checked(this.call("sdz_paint_linear", picture, linear, top, left, rows, columns, reduce, out));
      return new Uint8ClampedArray(this.exports.memory.buffer.slice(out, out + count));
    });
  }

  /**
   * RGBA of a window by the networks; `denoiser` is 0 at a `strength` of 0.
   * @param {number} picture @param {number} linear @param {number} decoder @param {number} denoiser @param {number} strength sixteenths
   * @param {{decoder: number, denoiser: number}} halo @param {Window} window @param {number} patch
   * @returns {Uint8ClampedArray<ArrayBuffer>}
   */
  paint(picture, linear, decoder, denoiser, strength, halo, { top, left, rows, columns }, patch) {
    const count = 4 * rows * columns * patch * patch;
    return this.given([count], (out) => {
      const margins = [halo.decoder, halo.denoiser];
      this.checked(this.call("sdz_paint", picture, linear, decoder, denoiser, strength, ...margins, top, left, rows, columns, out));
      return new Uint8ClampedArray(this.exports.memory.buffer.slice(out, out + count));
    });
  }

  /**
   * The alpha plane of filtered rows.
   * @param {Uint8Array} filtered @param {number} height @param {number} width
   * @returns {Uint8Array}
   */
  unfilter(filtered, height, width) {
    return this.given([filtered, height * width], (at, out) => {
      this.checked(this.call("sdz_unfilter", at, height, width, out));
      return this.bytes(out, height * width);
    });
  }

  /** A call of the interface. @param {string} name @param {...number} numbers @returns {number} */
  call(name, ...numbers) {
    if (!this.usable) throw new SdzError("CoreError", "this instance of the core failed before: take a new one");
    try {
      return this.exports[name](...numbers);
    } catch (error) {
      this.usable = false;
      throw new SdzError("CoreError", `${name} failed: ${/** @type {Error} */ (error).message}`);
    }
  }

  /** A call that opens an object. @param {string} name @param {...(Uint8Array | Int32Array | number | null)} given */
  open(name, ...given) {
    // numbers among these are what they are, not room to be taken
    const data = given.map((argument) => (typeof argument === "number" ? null : argument));
    const handle = this.given(data, (...at) => this.call(name, ...given.map((argument, i) => (typeof argument === "number" ? argument : at[i]))));
    if (!handle) this.fail();
    return handle;
  }

  /** The status of a call that may fail. @param {number} status */
  checked(status) {
    if (status < 0) this.fail();
    return status;
  }

  /** @returns {never} */
  fail() {
    const [reason, where] = [this.call("sdz_reason"), this.call("sdz_where")];
    if (reason === NO_MEMORY) {
      this.usable = false;
      throw new SdzError("LimitError", "more memory is needed than a decoder may take", { field: "memory" });
    }
    if (reason === TOO_LARGE) throw new SdzError("LimitError", `more than ${MAX_LATENTS} latents`, { field: "width × height" });
    const told = PACK_REASONS[reason] ?? FILE_REASONS[reason];
    if (PACK_REASONS[reason]) throw new SdzError("CorruptPackError", `${told.replace("#", `${where}`)}; rebuild or deploy the pack again`);
    if (FILE_REASONS[reason]) throw new SdzError("CorruptFileError", told.replace("#", `${where}`));
    if (reason === LATENT_RANGE) throw new SdzError("EncodeInputError", `an integer to be coded is out of range (${where}): use a coarser step`);
    throw new SdzError("CoreError", `a call of the core has arguments out of range (reason ${reason}, ${where})`);
  }

  /**
   * Copies arrays into the core and takes room (numbers of bytes) there for the length of `use`, which gets the addresses; null is 0.
   * @template T
   * @param {(Uint8Array | Int32Array | number | null)[]} data @param {(...at: number[]) => T} use
   * @returns {T}
   */
  given(data, use) {
    /** @type {number[]} */
    const addresses = [];
    try {
      for (const part of data) {
        if (part === null) {
          addresses.push(0);
          continue;
        }
        const at = this.call("sdz_alloc", Math.max(1, typeof part === "number" ? part : part.byteLength));
        if (!at) this.fail();
        addresses.push(at);
        if (typeof part === "number") continue;
        new Uint8Array(this.exports.memory.buffer, at, part.byteLength).set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
      }
      return use(...addresses);
    } finally {
      if (this.usable) for (const at of addresses) this.call("sdz_free", at);
    }
  }

  /** @param {number} at @param {number} count @returns {Uint8Array} a copy */
  bytes(at, count) {
    return new Uint8Array(this.exports.memory.buffer.slice(at, at + count));
  }

  /** @param {number} at @param {number} count @returns {Int32Array} a copy */
  integers(at, count) {
    return new Int32Array(this.exports.memory.buffer.slice(at, at + 4 * count));
  }
}
