/**
 * Palette latents, for packs whose manifest says `quantizer` "palette": a zlib stream of up to 256 vectors and one index per position
 * -> integers, known to the last bit. The twin of runtime/format/palette.py's reading half.
 */

import { SdzError } from "../errors.js";
import { inflate } from "./inflate.js";

/** @import { Known } from "./planes.js" */

const MAX_ENTRIES = 256;

/**
 * @param {Uint8Array} payload @param {number} channels @param {number} h @param {number} w positions
 * @param {number} offset where the payload stands in the file
 * @returns {Promise<Known>}
 * @throws {SdzError} CorruptFileError where the stream is not zlib's, does not hold exactly a palette and the indices, or names an
 *   entry that is not there
 */
export async function decodePalette(payload, channels, h, w, offset) {
  const raw = await inflate(payload, 1 + MAX_ENTRIES * channels + h * w);
  const entries = raw && raw.length > 0 ? raw[0] + 1 : 0;
  const start = 1 + entries * channels;
  if (raw?.length !== start + h * w) {
    const problem = `the zlib stream does not hold exactly a palette of ${channels} channels and ${h} rows of ${w} indices`;
    throw new SdzError("CorruptFileError", problem, { offset, field: "palette" });
  }
  const known = unknownLatents(channels, h, w, 0);
  for (let at = 0; at < h * w; at++) {
    const entry = raw[start + at];
    if (entry >= entries) {
      const problem = `row ${Math.floor(at / w)} names entry ${entry} of ${entries}`;
      throw new SdzError("CorruptFileError", problem, { offset, field: "palette" });
    }
    for (let c = 0, from = 1 + entry * channels, to = at; c < channels; c++, from++, to += h * w) {
      const value = (raw[from] << 24) >> 24;
      known.magnitude[to] = Math.abs(value);
      known.negative[to] = value < 0 ? 1 : 0;
    }
  }
  return { ...known, complete: true };
}

/**
 * What a file tells whose palette chunk is missing or cut: nothing.
 * @param {number} channels @param {number} h @param {number} w @param {number} planes
 * @returns {Known}
 */
export function unknownLatents(channels, h, w, planes) {
  const count = channels * h * w;
  return {
    magnitude: new Uint16Array(count),
    negative: new Uint8Array(count),
    plane: new Uint8Array(count).fill(planes),
    complete: false,
    channels,
    h,
    w,
  };
}
