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
 * Its sides divided by `reduce`, rounding up: means, to the last bit as Pillow has them, which divides in fixed point.
 * @param {Uint8Array} plane (H, W) @param {number} width @param {number} height @param {number} reduce @returns {Uint8Array}
 */
export function reducedPlane(plane, width, height, reduce) {
  if (reduce === 1) return plane;
  const [columns, rows] = [width, height].map((side) => Math.ceil(side / reduce));
  const small = new Uint8Array(columns * rows);
  for (let i = 0; i < small.length; i++) {
    const [left, top] = [(i % columns) * reduce, Math.floor(i / columns) * reduce];
    const [right, bottom] = [Math.min(left + reduce, width), Math.min(top + reduce, height)];
    let sum = 0;
    for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) sum += plane[y * width + x];
    const count = (right - left) * (bottom - top);
    small[i] = ((sum + (count >> 1)) * Math.floor(2 ** 24 / count)) / 2 ** 24;
  }
  return small;
}
