/**
 * Overlapping tiles for networks whose every output depends on every input: their positions, and the weights that blend them. Networks with
 * finite receptive fields do not need them, because their tiles join exactly. The twin of runtime/format/tiles.py.
 */

/**
 * @typedef {object} Tiling pictures of at most `whole` latent positions are decoded in one piece, others in overlapping tiles
 * @property {number} whole
 * @property {number} overlap latent positions
 *
 * @typedef {object} Span the positions that a tile covers along one side
 * @property {number} start
 * @property {number} stop
 * @property {boolean} before whether another tile overlaps its start
 * @property {boolean} after whether another tile overlaps its end
 */

/**
 * The rows and columns of the grid of tiles. No position is covered by more than two rows or two columns.
 * @param {Tiling} tiling @param {number} h @param {number} w positions
 * @returns {{down: Span[], across: Span[]}}
 */
export function spans(tiling, h, w) {
  if (h * w <= tiling.whole) return { down: [whole(h)], across: [whole(w)] };
  return { down: side(tiling, h), across: side(tiling, w) };
}

/** @param {number} length @returns {Span} */
const whole = (length) => ({ start: 0, stop: length, before: false, after: false });

/** @param {Tiling} tiling @param {number} length @returns {Span[]} */
function side({ whole: most, overlap }, length) {
  const longest = Math.floor(Math.sqrt(most));
  const count = length <= longest ? 1 : Math.ceil(length / (longest - overlap));
  /** @param {number} i */
  const edge = (i) => Math.floor((i * length) / count);
  return Array.from({ length: count }, (_, i) => {
    const [before, after] = [i > 0, i < count - 1];
    // neighbours share `overlap` positions
    return { start: edge(i) - (before ? overlap / 2 : 0), stop: edge(i + 1) + (after ? overlap / 2 : 0), before, after };
  });
}

/**
 * Blending weights of a span's pixels. For each pixel, those of all spans add up to `full`.
 * @param {Tiling} tiling @param {Span} span @param {number} patch
 * @returns {Int32Array}
 */
export function weights({ overlap }, { start, stop, before, after }, patch) {
  const blend = overlap * patch;
  const out = new Int32Array((stop - start) * patch).fill(2 * blend);
  for (let i = 0; i < blend; i++) {
    if (before) out[i] = 2 * i + 1;
    if (after) out[out.length - 1 - i] = 2 * i + 1;
  }
  return out;
}

/** The sum of all weights of one pixel along one side. @param {Tiling} tiling @param {number} patch */
export const full = ({ overlap }, patch) => 2 * overlap * patch;
