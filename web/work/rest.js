/**
 * The rest of a file of which the first bytes are there: what stands behind the latents is downloaded by itself. Where the host knows no ranges,
 * or the file has changed, the whole file comes.
 */

import { SdzError } from "../errors.js";
import { ACCEPT } from "../format/transfer.js";
import { MAX_DOWNLOAD_BYTES } from "../limits.js";
import { Growing } from "./growing.js";

const PARTIAL = 206;

/**
 * @param {string} address @param {Uint8Array<ArrayBuffer>} have its first bytes @param {number | null} size of all of it, where that is known
 * @param {Response | undefined} answer with which they came @param {AbortSignal} signal
 * @returns {Promise<Uint8Array<ArrayBuffer>>} the whole file
 * @throws {SdzError} NetworkError, LimitError
 */
export async function toTheEnd(address, have, size, answer, signal) {
  if (have.length === size) return have;
  /** @type {Record<string, string>} */
  const headers = { Accept: ACCEPT };
  // of other origins, ranges would have to be asked for beforehand
  const validator = answer?.type === "basic" && !answer.headers.get("content-encoding") ? answer.headers.get("etag") : null;
  // a weak one says that files look the same, not that their bytes are
  if (validator?.startsWith('"')) Object.assign(headers, { Range: `bytes=${have.length}-`, "If-Range": validator });
  /** @param {string} problem @returns {never} */
  const refuse = (problem) => {
    signal.throwIfAborted();
    throw new SdzError("NetworkError", `${address}: ${problem}`);
  };
  const response = await fetch(address, { headers, signal }).catch((error) => refuse(error.message));
  if (!response.ok || !response.body) return refuse(`HTTP status ${response.status}`);
  const goesOn = response.status === PARTIAL;
  if (goesOn && !response.headers.get("content-range")?.startsWith(`bytes ${have.length}-`)) refuse("another range than was asked for");
  const arrived = new Growing(size !== null && size <= MAX_DOWNLOAD_BYTES ? size : undefined);
  if (goesOn) arrived.add(have);
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((error) => refuse(error.message));
    if (done) break;
    arrived.add(value);
    if (arrived.size > MAX_DOWNLOAD_BYTES) {
      reader.cancel().catch(() => {});
      throw new SdzError("LimitError", `${address} is larger than ${MAX_DOWNLOAD_BYTES} bytes`);
    }
  }
  return arrived.bytes;
}
