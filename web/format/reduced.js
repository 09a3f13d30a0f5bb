/** An alpha plane as small as the picture that is shown of it; loaded where a large picture has one. */

/**
 * A plane with its sides divided by `reduce`, rounding up: means, to the last bit as Pillow has them, which divides in fixed point.
 * @param {Uint8Array} plane (H, W) @param {number} width @param {number} height @param {number} reduce @returns {Uint8Array}
 */
export function reducedPlane(plane, width, height, reduce) {
  const [columns, rows] = [width, height].map((side) => Math.ceil(side / reduce));
  const small = new Uint8Array(columns * rows);
  for (let i = 0; i < small.length; i++) {
    const [left, top] = [(i % columns) * reduce, Math.floor(i / columns) * reduce];
    const [right, bottom] = [Math.min(left + reduce, width), Math.min(top + reduce, height)];
    let sum = 0;
    for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) sum += plane[y * width + x];
    const count = (right - left) * (bottom - top);
    small[i] = ((sum + (count >> 1)) * Math.floor(2 ** 24 / count)) / 2 ** 24;
  }
  return small;
}
