/** What the service worker takes of a file: all that stands before a lossless tail, which it never shows. */

import { MAX_HEADER_BYTES, parse, tailStart } from "../format/container.js";
import { SdzError } from "../errors.js";

/**
 * Downloads no further than the tail.
 * @param {Response} response @param {number} most bytes
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 * @throws {SdzError} LimitError where it has more, whatever the stream throws
 */
export async function withoutTail(response, most) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  let buffer = new Uint8Array(1 << 14);
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return buffer.subarray(0, size);
    if (size + value.length > buffer.length) {
      const larger = new Uint8Array(Math.max(2 * buffer.length, size + value.length));
      larger.set(buffer.subarray(0, size));
      buffer = larger;
    }
    buffer.set(value, size);
    size += value.length;
    const end = ending(buffer.subarray(0, size));
    if (end < 0 && size <= most) continue;
    reader.cancel().catch(() => {});
    if (end < 0 || end > most) throw new SdzError("LimitError", `${response.url} is larger than ${most} bytes`);
    return buffer.subarray(0, end);
  }
}

/** @param {Uint8Array} bytes @returns {number} where the tail begins; -1 where that is not known, or it is no .sdz */
function ending(bytes) {
  if (bytes.length < MAX_HEADER_BYTES) return -1;
  try {
    return tailStart(parse(bytes));
  } catch {
    return -1;
  }
}
