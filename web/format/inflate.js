/** zlib streams (RFC 1950) -> bytes, by the platform's own decoder, never more than were asked for. */

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
 * What the zlib stream holds.
 * @param {Uint8Array} payload @param {number} most bytes
 * @returns {Promise<Uint8Array | null>} null where the stream is broken, holds more, or is followed by anything (some platforms'
 *   DecompressionStream ignores what follows: hence the second look at the checksum)
 */
export async function inflate(payload, most) {
  const out = new Uint8Array(most);
  let length = 0;
  const stream = new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (payload)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return adler32(out.subarray(0, length)) === tail(payload) ? out.subarray(0, length) : null;
      if (length + value.length > most) return null;
      out.set(value, length);
      length += value.length;
    }
  } catch {
    return null;
  } finally {
    reader.cancel().catch(() => {});
  }
}
