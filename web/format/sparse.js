/**
 * Files that say next to nothing of very many pixels: what a page shows of them costs what is in them, not what they claim to be. The twin of
 * runtime/format/sparse.py, which says why.
 */

import { LATENTS, PALETTE_LATENTS } from "./container.js";

/** @import { Container } from "./container.js" */

/** 4 megapixels for every 100 bytes. */
const PIXELS_PER_BYTE = 40_000;

/** A picture of 4 megapixels is never sparse, however short its prefix. */
const FEWEST_BYTES = 100;

/** Pixels that are painted of a sparse picture at most: more than a screen shows of what has no detail. */
const PREVIEW_PIXELS = 2 ** 19;

/** Pixels that `size` bytes are good for. @param {number} size */
const affordable = (size) => PIXELS_PER_BYTE * Math.max(size, FEWEST_BYTES);

/** Whether a picture of these sides has too few bytes for its pixels. @param {number} width @param {number} height @param {number} size */
export const isSparse = (width, height, size) => width * height > affordable(size);

/**
 * What the sides of a picture are to be divided by at the linear stage, the only one that it is worth.
 * @param {Container} container @param {number} patch of its pack
 * @returns {number} a power of two up to the patch; 1 where all stages are worth it
 */
export function reductionOf({ header: { width, height }, chunks }, patch) {
  // not the file's bytes, which an attacker can fill up
  const told = Math.max(0, ...chunks.map(({ tag, payload }) => (tag === LATENTS || tag === PALETTE_LATENTS ? payload.length : 0)));
  if (!isSparse(width, height, told)) return 1;
  let factor = 2;
  while (factor < patch && width * height > factor ** 2 * PREVIEW_PIXELS) factor *= 2;
  return factor;
}
