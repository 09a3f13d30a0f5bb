/** SHA-256, by the platform. */

import { SdzError } from "./errors.js";

/**
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
