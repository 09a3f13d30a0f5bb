/**
 * The three kinds of quantizer: bit-planes, codebook indices, palettes. This is the only module that distinguishes them. It takes the kind
 * that a pack's manifest names and the pack's coder tables, and returns the functions that read and dequantize a file's latents.
 */

import { parseTables } from "./format/coder.js";
import { LATENTS, PALETTE_LATENTS, find } from "./format/container.js";
import { channelSteps, decodePlanes, dequantize } from "./format/planes.js";
import { SdzError } from "./errors.js";
import { later } from "./later.js";

/** @import { CoderTables } from "./format/coder.js" */
/** @import { Container, Header } from "./format/container.js" */
/** @import { IndexTables, KnownIndices } from "./format/indices.js" */
/** @import { Known, Latents, Room, Window } from "./format/planes.js" */

/**
 * @typedef {{reconstruction: number, l1Limit: number, octaves: Int32Array | null}} Scale the fields of `Pack` that dequantizing needs
 *
 * @typedef {object} Quantizer
 * @property {CoderTables | IndexTables} tables
 * @property {(container: Container, h: number, w: number) => Promise<any>} read decodes latents (C, h, w), as far as the file
 *   goes, to `Known` or `KnownIndices`. Throws CorruptFileError.
 * @property {(known: any, header: Header, scale: Scale, window?: Window, room?: Room) => Latents & {values: Int32Array}} dequantize the
 *   latents of a window, or all. With `room`, the result is valid until its next use
 * @property {(known: any, header: Header, scale: Scale) => number} precisionSum the sum of all latents' precision codes
 */

export const QUANTIZERS = /** @type {const} */ (["planes", "indices", "palette"]);

/**
 * @param {(typeof QUANTIZERS)[number]} kind @param {Uint8Array} coder the pack's coder tables
 * @returns {Promise<Quantizer>}
 * @throws {SdzError} CorruptPackError
 */
export async function openQuantizer(kind, coder) {
  if (kind === "indices") return codebook(await later.indices(), coder);
  const tables = parseTables(coder);
  return kind === "palette" ? palette(await later.palette(), tables) : planes(tables);
}

/** @param {Container} container */
const latentsOf = (container) => find(container, LATENTS)?.payload ?? new Uint8Array();

/** @param {Known} known @param {Header} header @param {Scale} scale */
function planeCodes({ plane, channels, h, w }, header, { octaves }) {
  const steps = channelSteps(header, octaves, channels).reduce((sum, step) => sum + step, 0);
  return plane.reduce((sum, lowest) => sum + 8 * lowest, steps * h * w);
}

/** @param {CoderTables} tables @returns {Quantizer} */
export const planes = (tables) => ({
  tables,
  read: async (container, h, w) => {
    const { planes, stepIndex } = container.header;
    return decodePlanes(latentsOf(container), h, w, planes, stepIndex, tables);
  },
  dequantize,
  precisionSum: planeCodes,
});

/** @param {typeof import("./format/palette.js")} module @param {CoderTables} tables @returns {Quantizer} */
export const palette = ({ decodePalette, unknownLatents }, tables) => ({
  tables,
  read: async (container, h, w) => {
    const chunk = find(container, PALETTE_LATENTS);
    if (!chunk) return unknownLatents(tables.channels, h, w, container.header.planes);
    return decodePalette(chunk.payload, tables.channels, h, w, chunk.start);
  },
  dequantize,
  precisionSum: planeCodes,
});

/** @param {number} value @param {number} offset @param {string} field */
const notZero = (value, offset, field) =>
  new SdzError("CorruptFileError", `${value}, but packs with a codebook require 0`, { offset, field });

/** @param {typeof import("./format/indices.js")} module @param {Uint8Array} coder @returns {Quantizer} */
export function codebook({ parseIndexTables, decodeIndices, dequantizeIndices, precisionSum }, coder) {
  const tables = parseIndexTables(coder);
  return {
    tables,
    read: async (container, h, w) => {
      const { stepIndex, planes } = container.header;
      if (stepIndex) throw notZero(stepIndex, 9, "step index");
      if (planes) throw notZero(planes, 10, "planes");
      return decodeIndices(latentsOf(container), h, w, tables);
    },
    dequantize: (/** @type {KnownIndices} */ known, _header, { l1Limit }, window, room) =>
      dequantizeIndices(known, tables, l1Limit, window, room),
    precisionSum: (/** @type {KnownIndices} */ known) => tables.channels * precisionSum(known, tables),
  };
}
