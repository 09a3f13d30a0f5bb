/**
 * Integers -> the linear stage's pixels: one block of patch x patch pixels per latent position is a weighted sum of the pack's integer patterns.
 * No neural runtime; the twin of runtime/linear.py. Zero latents, most of any file, cost one comparison.
 */

/**
 * @param {Int32Array} values (C, h, w), GRID units, within the pack's L1 limit (sums then fit 32 bits; see pack.js)
 * @param {number} h @param {number} w latent positions
 * @param {{patch: number, linear: Int16Array, linearShift: number}} pack `linear` is (C, 3 p p): colour, row, column of a patch
 * @returns {Uint8ClampedArray<ArrayBuffer>} RGBA (p h, p w, 4), A = 255
 */
export function linearStage(values, h, w, { patch, linear, linearShift: shift }) {
  const pixels = patch * patch;
  const block = 3 * pixels;
  const channels = linear.length / block;
  const area = h * w;
  const stride = patch * w * 4;
  const out = new Uint8ClampedArray(patch * h * stride);
  const sums = new Int32Array(block);
  const start = (128 << shift) + (1 << (shift - 1));
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
      let to = patch * (y * stride + 4 * x);
      // a patch is a power of two
      const [last, next] = [patch - 1, stride - 4 * (patch - 1)];
      for (let o = 0; o < pixels; o++) {
        out[to] = sums[o] >> shift;
        out[to + 1] = sums[o + pixels] >> shift;
        out[to + 2] = sums[o + 2 * pixels] >> shift;
        out[to + 3] = 255;
        to += (o & last) === last ? next : 4;
      }
    }
  }
  return out;
}
