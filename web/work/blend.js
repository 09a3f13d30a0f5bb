/**
 * Pictures whose pack defines overlapping tiles, which are blended. Loaded with what runs graphs: networks that see a whole picture do not run in
 * the core.
 */

import { full, spans, weights } from "../format/tiles.js";

/** @import { Window } from "../core.js" */
/** @import { Picture } from "../engine.js" */
/** @import { Networks } from "../sessions.js" */
/** @import { Tiling } from "../format/tiles.js" */

/** @typedef {{rgba: Uint8Array | Uint8ClampedArray<ArrayBuffer>, window: Window}} Part pixels of a window, A = 255 */

/**
 * A picture, from top to bottom. Rows shared by two rows of tiles are kept until the second one is decoded, so memory grows with the picture's
 * width only.
 * @param {Pick<Networks, "paint">} session @param {Picture} picture @param {number} strength of the denoiser, 0 to skip it
 * @returns {AsyncGenerator<Part>}
 */
export async function* blend(session, picture, strength) {
  const { pack, whole } = picture;
  const { patch } = pack;
  const tiling = /** @type {Tiling} */ (pack.tiling);
  const { down, across } = spans(tiling, whole.rows, whole.columns);
  const total = full(tiling, patch) ** 2;
  const stride = whole.columns * patch * 3;
  /** Weighted sums of the pixel rows that the next row of tiles also covers. */
  let waiting = new Int32Array();
  for (const row of down) {
    const height = (row.stop - row.start) * patch;
    const sums = new Int32Array(height * stride);
    sums.set(waiting);
    for (const column of across) {
      const window = { top: row.start, left: column.start, rows: row.stop - row.start, columns: column.stop - column.start };
      const rgba = await session.paint(picture, window, strength);
      if (down.length * across.length === 1) {
        yield { rgba, window };
        return;
      }
      const [vertical, horizontal] = [weights(tiling, row, patch), weights(tiling, column, patch)];
      for (let y = 0, from = 0; y < height; y++) {
        let to = y * stride + column.start * patch * 3;
        for (let x = 0; x < horizontal.length; x++, from += 4, to += 3) {
          const weight = vertical[y] * horizontal[x];
          sums[to] += weight * rgba[from];
          sums[to + 1] += weight * rgba[from + 1];
          sums[to + 2] += weight * rgba[from + 2];
        }
      }
    }
    // the next row of tiles also covers the rows below
    const rows = row.stop - row.start - (row.after ? tiling.overlap : 0);
    waiting = sums.slice(rows * patch * stride);
    const rgba = new Uint8ClampedArray(rows * patch * whole.columns * patch * 4);
    for (let from = 0, to = 0; to < rgba.length; from += 3, to += 4) {
      for (let c = 0; c < 3; c++) rgba[to + c] = Math.floor((sums[from + c] + total / 2) / total);
      rgba[to + 3] = 255;
    }
    yield { rgba, window: { top: row.start, left: 0, rows, columns: whole.columns } };
  }
}
