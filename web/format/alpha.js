/**
 * Decodes the alpha chunk: a zlib stream of PNG-filtered rows -> one 8-bit channel, lossless. The twin of runtime/format/alpha.py.
 */

import { SdzError } from "../errors.js";
import { inflate } from "./inflate.js";

const LAST_FILTER = 4;

/**
 * @param {Uint8Array} payload @param {number} height @param {number} width pixels
 * @param {number} offset of the payload in the file
 * @returns {Promise<Uint8Array>} (H, W), 0 transparent to 255 opaque
 * @throws {SdzError} CorruptFileError where the stream is not zlib's, does not hold exactly the rows, or names an unknown filter
 */
export async function decodeAlpha(payload, height, width, offset) {
  const size = height * (width + 1);
  const rows = await inflate(payload, size);
  if (rows?.length !== size) {
    const problem = `the zlib stream does not hold exactly ${height} rows of ${width + 1} bytes`;
    throw new SdzError("CorruptFileError", problem, { offset, field: "alpha" });
  }
  const out = new Uint8Array(height * width);
  for (let y = 0, from = 0, to = 0; y < height; y++) {
    const kind = rows[from++];
    if (kind > LAST_FILTER) {
      throw new SdzError("CorruptFileError", `row ${y} names filter ${kind}, the last is ${LAST_FILTER}`, { offset, field: "alpha" });
    }
    for (let x = 0; x < width; x++, from++, to++) {
      const left = x > 0 ? out[to - 1] : 0;
      const above = y > 0 ? out[to - width] : 0;
      const corner = x > 0 && y > 0 ? out[to - width - 1] : 0;
      let prediction = 0;
      if (kind === 1) prediction = left;
      else if (kind === 2) prediction = above;
      else if (kind === 3) prediction = (left + above) >> 1;
      else if (kind === 4) {
        const toLeft = Math.abs(above - corner);
        const toAbove = Math.abs(left - corner);
        const toCorner = Math.abs(left + above - 2 * corner);
        prediction = toLeft <= toAbove && toLeft <= toCorner ? left : toAbove <= toCorner ? above : corner;
      }
      out[to] = rows[from] + prediction;
    }
  }
  return out;
}
