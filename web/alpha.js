/**
 * The alpha chunk: a zlib stream of PNG-filtered rows -> one 8-bit channel. Lossless; the twin of runtime/alpha.py.
 */

import { SdzError } from "./errors.js";

const LAST_FILTER = 4;

/** @param {Uint8Array} bytes @returns {number} zlib's checksum (RFC 1950, section 8.2) */
function adler32(bytes) {
  let a = 1;
  let b = 0;
  for (const byte of bytes) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  return ((b << 16) | a) >>> 0;
}

/** @param {Uint8Array} bytes @returns {number} the last four, where a zlib stream with nothing behind it has its checksum */
const tail = (bytes) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(bytes.length - 4);

/**
 * At most `size` bytes of the zlib stream, which must hold exactly as many.
 * @param {Uint8Array} payload @param {number} size
 * @returns {Promise<Uint8Array | null>} null where the stream is broken, shorter or longer, or followed by anything (some platforms'
 *   DecompressionStream ignores what follows: hence the second look at the checksum)
 */
async function inflate(payload, size) {
  const out = new Uint8Array(size);
  let length = 0;
  const stream = new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (payload)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return length === size && adler32(out) === tail(payload) ? out : null;
      if (length + value.length > size) return null;
      out.set(value, length);
      length += value.length;
    }
  } catch {
    return null;
  } finally {
    reader.cancel().catch(() => {});
  }
}

/**
 * @param {Uint8Array} payload @param {number} height @param {number} width pixels
 * @param {number} offset where the payload stands in the file
 * @returns {Promise<Uint8Array>} (H, W), 0 transparent to 255 opaque
 * @throws {SdzError} CorruptFileError where the stream is not zlib's, does not hold exactly the rows, or names an unknown filter
 */
export async function decodeAlpha(payload, height, width, offset) {
  const rows = await inflate(payload, height * (width + 1));
  if (!rows) {
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
