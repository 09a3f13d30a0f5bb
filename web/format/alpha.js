/**
 * Decodes the alpha chunk: a zlib stream of PNG-filtered rows -> one 8-bit channel, lossless. The twin of runtime/format/alpha.py.
 */

import { SdzError, located } from "../errors.js";
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
  return located(() => unfilter.unfilter(rows, height, width), offset, "alpha");
}
