/** Decompresses zlib streams (RFC 1950) with the platform's own decoder, up to a given size. */

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

/** @param {Uint8Array} bytes @returns {number} the last four bytes: the checksum, where nothing follows the zlib stream */
const tail = (bytes) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(bytes.length - 4);

/**
 * Decompresses a zlib stream.
 * @param {Uint8Array} payload @param {number} most bytes
 * @returns {Promise<Uint8Array | null>} null where the stream is broken, larger, or followed by other data (the checksum is
 *   verified here because some platforms' DecompressionStream ignores trailing data)
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
