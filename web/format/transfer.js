/** How .sdz files are asked for, and how bytes that came are told from all others. Takes bytes, hands on their digest. */

import { SdzError } from "../errors.js";

export const MEDIA_TYPE = "image/x-sdz";

/** The Accept header of requests for .sdz files, so that a server with content negotiation does not answer with a decoded picture. */
export const ACCEPT = `${MEDIA_TYPE}, */*;q=0.1`;

/**
 * SHA-256, by the platform.
 * @param {Uint8Array} bytes
 * @returns {Promise<string>} 64 hexadecimal digits
 * @throws {SdzError} ProviderError outside secure contexts, where browsers offer no digests
 */
export async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) {
    throw new SdzError("ProviderError", "digests need a secure context: serve the page over https or from localhost");
  }
  const digest = await crypto.subtle.digest("SHA-256", /** @type {Uint8Array<ArrayBuffer>} */ (bytes));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
