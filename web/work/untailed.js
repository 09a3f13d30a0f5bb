/** What the service worker takes of a file: all that stands before a lossless tail, which it never shows. */

import { MAX_HEADER_BYTES, parse, tailStart } from "../format/container.js";
import { SdzError } from "../errors.js";
import { Growing } from "./growing.js";

/**
 * Downloads no further than the tail.
 * @param {Response} response @param {number} most bytes
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 * @throws {SdzError} LimitError where it has more, whatever the stream throws
 */
export async function withoutTail(response, most) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const arrived = new Growing();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return arrived.bytes;
    arrived.add(value);
    const end = ending(arrived.bytes);
    if (end < 0 && arrived.size <= most) continue;
    reader.cancel().catch(() => {});
    if (end < 0 || end > most) throw new SdzError("LimitError", `${response.url} is larger than ${most} bytes`);
    return arrived.bytes.subarray(0, end);
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
