/**
 * Decodes the alpha chunk: a zlib stream of PNG-filtered rows -> one 8-bit channel, lossless. The twin of runtime/format/alpha.py.
 */

import { SdzError } from "../errors.js";
import { inflate } from "./inflate.js";

/** @import { Core } from "../core.js" */

/**
 * @param {Uint8Array} payload @param {number} height @param {number} width pixels
 * @param {number} offset of the payload in the file
 * @param {() => Promise<Core>} core
 * @returns {Promise<Uint8Array>} (H, W), 0 transparent to 255 opaque
 * @throws {SdzError} CorruptFileError where the stream is not zlib's, does not hold exactly the rows, or names an unknown filter
 */
export async function decodeAlpha(payload, height, width, offset, core) {
  const size = height * (width + 1);
  const rows = await inflate(payload, size);
  if (rows?.length !== size) {
    const problem = `the zlib stream does not hold exactly ${height} rows of ${width + 1} bytes`;
    throw new SdzError("CorruptFileError", problem, { offset, field: "alpha" });
  }
  const unfilter = await core();
  try {
    return unfilter.unfilter(rows, height, width);
  } catch (error) {
    if (error instanceof SdzError && error.code === "CorruptFileError") throw new SdzError(error.code, error.message, { offset, field: "alpha" });
    throw error;
  }
}

/**
 * The means of squares of `reduce` x `reduce`, of fewer at the right and lower edges, rounded half up.
 * @param {Uint8Array} plane (H, W) @param {number} width @param {number} height @param {number} reduce
 * @returns {Uint8Array}
 */
export function reducedPlane(plane, width, height, reduce) {
  const [across, down] = [width, height].map((side) => Math.ceil(side / reduce));
  const out = new Uint8Array(across * down);
  for (let y = 0, at = 0; y < down; y++) {
    const bottom = Math.min(height, (y + 1) * reduce);
    for (let x = 0; x < across; x++) {
      const right = Math.min(width, (x + 1) * reduce);
      let sum = 0;
      for (let row = y * reduce; row < bottom; row++) {
        for (let i = row * width + x * reduce, end = row * width + right; i < end; i++) sum += plane[i];
      }
      const count = (bottom - y * reduce) * (right - x * reduce);
      out[at++] = Math.floor((sum + (count >> 1)) / count);
    }
  }
  return out;
}
