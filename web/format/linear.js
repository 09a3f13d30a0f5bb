/**
 * Integers -> the linear stage's pixels: one block of patch x patch pixels per latent position is a weighted sum of the pack's integer patterns;
 * where the pack laps its blocks, a filter over their borders follows. No neural runtime; the twin of runtime/format/linear.py. Zero latents, most
 * of any file, cost one comparison.
 */

/** Binary places of the levels that a lapping filters, and where these levels, from mid-grey, are held before. */
export const LAP_PLACES = 4;
const LAP_LIMIT = 1 << 13;

/** Most that a row of a lapping may sum to without signs: the networks' exact sums rest on it. */
export const LAP_SUM = 232;

/**
 * @param {Int32Array} values (C, h, w), GRID units, within the pack's L1 limit (sums then fit 32 bits; see pack.js)
 * @param {number} h @param {number} w latent positions
 * @param {{patch: number, linear: Int16Array, linearShift: number, lapping?: Int32Array | null}} pack `linear` is (C, 3 p p): colour, row,
 *   column of a patch; `lapping` (n, n)
 * @returns {Uint8ClampedArray<ArrayBuffer>} RGBA (p h, p w, 4), A = 255
 */
export function linearStage(values, h, w, { patch, linear, linearShift, lapping = null }) {
  const pixels = patch * patch;
  const block = 3 * pixels;
  const channels = linear.length / block;
  const area = h * w;
  const stride = patch * w * 4;
  const out = new Uint8ClampedArray(patch * h * stride);
  // lapped, they are levels from mid-grey first
  const levels = lapping ? new Int32Array(out.length) : out;
  const shift = lapping ? linearShift - LAP_PLACES : linearShift;
  const sums = new Int32Array(block);
  const start = (lapping ? 0 : 128 << shift) + (1 << (shift - 1));
  // the position's latents that are not zero, and where their patterns stand; four at a time share one pass over the sums
  const found = new Int32Array(channels + 3);
  const patterns = new Int32Array(channels + 3);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      let count = 0;
      for (let c = 0, at = y * w + x; c < channels; c++, at += area) {
        if (values[at] === 0) continue;
        found[count] = values[at];
        patterns[count++] = c * block;
      }
      found.fill(0, count);
      sums.fill(start);
      for (let i = 0; i < count; i += 4) {
        const [v0, v1, v2, v3] = [found[i], found[i + 1], found[i + 2], found[i + 3]];
        const [p0, p1, p2, p3] = [patterns[i], patterns[i + 1], patterns[i + 2], patterns[i + 3]];
        for (let o = 0; o < block; o++) {
          const pair = (Math.imul(v0, linear[p0 + o]) + Math.imul(v1, linear[p1 + o])) | 0;
          sums[o] += (Math.imul(v2, linear[p2 + o]) + Math.imul(v3, linear[p3 + o]) + pair) | 0;
        }
      }
      for (let o = 0; o < block; o++) sums[o] >>= shift;
      if (lapping) for (let o = 0; o < block; o++) sums[o] = Math.max(-LAP_LIMIT, Math.min(LAP_LIMIT, sums[o]));
      let to = patch * (y * stride + 4 * x);
      // a patch is a power of two
      const [last, next] = [patch - 1, stride - 4 * (patch - 1)];
      for (let o = 0; o < pixels; o++) {
        levels[to] = sums[o];
        levels[to + 1] = sums[o + pixels];
        levels[to + 2] = sums[o + 2 * pixels];
        levels[to + 3] = 255;
        to += (o & last) === last ? next : 4;
      }
    }
  }
  if (lapping) {
    lap(levels, stride, patch, lapping);
    const half = (128 << LAP_PLACES) + (1 << (LAP_PLACES - 1));
    for (let i = 0; i < out.length; i += 4) {
      out[i] = (levels[i] + half) >> LAP_PLACES;
      out[i + 1] = (levels[i + 1] + half) >> LAP_PLACES;
      out[i + 2] = (levels[i + 2] + half) >> LAP_PLACES;
      out[i + 3] = 255;
    }
  }
  return out;
}

/**
 * Filters all borders between blocks, those between rows first: of the i-th pixels before and behind one, a[i] and b[i], with
 * s[i] = sum of lapping[i, j] * (a[j] - b[j]), a[i] gets (s[i] + 128) >> 8 and b[i] gets (128 - s[i]) >> 8.
 * @param {Int32Array | Uint8ClampedArray} levels RGBA @param {number} stride of a row @param {number} patch @param {Int32Array} lapping (n, n)
 */
function lap(levels, stride, patch, lapping) {
  const n = Math.sqrt(lapping.length);
  const differences = new Int32Array(n);
  /** The samples on both sides of a border, as far apart as `across`; `at` is the first behind it. @param {number} at @param {number} across */
  const filter = (at, across) => {
    for (let i = 0, a = at - across, b = at; i < n; i++, a -= across, b += across) differences[i] = levels[a] - levels[b];
    for (let i = 0, k = 0, a = at - across, b = at; i < n; i++, a -= across, b += across) {
      let sum = 0;
      for (let j = 0; j < n; j++) sum += lapping[k++] * differences[j];
      levels[a] += (sum + 128) >> 8;
      levels[b] += (128 - sum) >> 8;
    }
  };
  for (let row = patch * stride; row < levels.length; row += patch * stride) {
    for (let x = 0; x < stride; x += 4) for (let c = 0; c < 3; c++) filter(row + x + c, stride);
  }
  for (let row = 0; row < levels.length; row += stride) {
    for (let x = 4 * patch; x < stride; x += 4 * patch) for (let c = 0; c < 3; c++) filter(row + x + c, 4);
  }
}
