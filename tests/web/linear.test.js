/** web/format/linear.js: exact values on a table small enough to work out by hand. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { linearStage } from "../../web/format/linear.js";

const PATCH = 16;
const BLOCK = 3 * PATCH * PATCH;

/** Channel c adds its value to one colour of one pixel: (colour, row, column). @param {[number, number, number][]} spots @param {number} weight */
function table(spots, weight) {
  const linear = new Int16Array(spots.length * BLOCK);
  spots.forEach(([colour, row, column], c) => (linear[c * BLOCK + colour * 256 + row * 16 + column] = weight));
  return linear;
}

test("zero latents are mid-grey", () => {
  const pixels = linearStage(new Int32Array(2 * 6), 2, 3, { patch: PATCH, linear: table([[0, 0, 0], [1, 0, 0]], 1), linearShift: 4 });
  assert.equal(pixels.length, 32 * 48 * 4);
  assert.deepEqual([...pixels.subarray(0, 4)], [128, 128, 128, 255]);
  assert.ok(pixels.every((value, i) => value === (i % 4 === 3 ? 255 : 128)));
});

test("each weight reaches its own colour, row and column of its own block", () => {
  const linear = table([[0, 0, 0], [1, 2, 3], [2, 15, 15]], 16);
  // (channel, y, x) of a picture two positions high and three wide
  const values = new Int32Array(3 * 6);
  values[0 * 6 + 0] = 10;
  values[1 * 6 + 4] = -20;
  values[2 * 6 + 5] = 30;
  const pixels = linearStage(values, 2, 3, { patch: PATCH, linear, linearShift: 4 });
  /** @param {number} row @param {number} column */
  const at = (row, column) => [...pixels.subarray((row * 48 + column) * 4, (row * 48 + column) * 4 + 3)];
  assert.deepEqual(at(0, 0), [138, 128, 128]);
  assert.deepEqual(at(18, 19), [128, 108, 128]);
  assert.deepEqual(at(31, 47), [128, 128, 158]);
  assert.equal(pixels.filter((value) => value !== 128 && value !== 255).length, 3);
});

test("sums are rounded half up and clamped", () => {
  const linear = table([[0, 0, 0]], 1);
  /** @param {number} value */
  const first = (value) => linearStage(Int32Array.of(value), 1, 1, { patch: PATCH, linear, linearShift: 3 })[0];
  // 128 + value / 8
  assert.deepEqual([3, 4, 11, 12, -4, -5, -12, -13].map(first), [128, 129, 129, 130, 128, 127, 127, 126]);
  assert.deepEqual([127 * 8, 127 * 8 + 4, 5000, -128 * 8, -128 * 8 - 5, -5000].map(first), [255, 255, 255, 0, 0, 0]);
});

test("channels add up, more of them than are summed at once", () => {
  const linear = table(Array.from({ length: 11 }, () => [1, 7, 7]), 2);
  const values = Int32Array.from({ length: 11 }, (_, c) => (c === 4 ? 0 : c + 1));
  const pixels = linearStage(values, 1, 1, { patch: PATCH, linear, linearShift: 1 });
  assert.equal(pixels[(7 * 16 + 7) * 4 + 1], 128 + 66 - 5);
});

for (const patch of [4, 8, 32]) {
  test(`a patch of ${patch}: one pixel of the second block`, () => {
    const linear = new Int16Array(3 * patch * patch);
    linear[(2 * patch + 1) * patch + patch - 1] = 16;
    const pixels = linearStage(Int32Array.of(0, 10), 1, 2, { patch, linear, linearShift: 4 });
    assert.equal(pixels.length, patch * 2 * patch * 4);
    const expected = new Uint8ClampedArray(pixels.length).map((_, i) => (i % 4 === 3 ? 255 : 128));
    expected[(2 * patch + 2 * patch - 1) * 4 + 2] = 138;
    assert.deepEqual(pixels, expected);
  });
}

/** Four pixels a side and one channel whose patterns are the rows and columns themselves. @param {number[]} weights of a block, by pixel */
const flat = (weights) => Int16Array.from({ length: 48 }, (_, o) => weights[o % 16]);

test("a lapping moves what differs across a border, rounding halves up on both sides", () => {
  const lapping = Int32Array.of(-64, 32, 16, -128);
  // levels of 40 and 8 before the border, of -24 and 72 behind it: t = (-64 * 64 + 32 * -64) / 256 = -24 and (16 * 64 + 128 * 64) / 256 = 36
  const before = [0, 0, 8, 40];
  const behind = [-24, 72, 0, 0];
  const expected = [0, 0, 44, 16, 0, 36, 0, 0].map((level) => (level + 2056) >> 4);
  for (const across of [true, false]) {
    /** @param {number[]} levels */
    const block = (levels) => Array.from({ length: 16 }, (_, o) => 2 * levels[across ? o % 4 : o >> 2]);
    const linear = Int16Array.from([...flat(block(before)), ...flat(block(behind))]);
    // two positions, each with its own channel; a shift of 5 leaves one binary place more than a lapping's four
    const [h, w] = across ? [1, 2] : [2, 1];
    const pixels = linearStage(Int32Array.of(1, 0, 0, 1), h, w, { patch: 4, linear, linearShift: 5, lapping });
    const line = Array.from({ length: 8 }, (_, i) => pixels[across ? 4 * i : 16 * i]);
    assert.deepEqual(line, expected);
    assert.ok(pixels.every((value, i) => i % 4 !== 3 || value === 255));
  }
});

test("levels are held before they are lapped", () => {
  const linear = flat(Array(16).fill(1));
  const pixels = linearStage(Int32Array.of(1 << 20, -(1 << 20)), 1, 2, { patch: 4, linear, linearShift: 5, lapping: Int32Array.of(-128) });
  // held at +-2**13 they meet in the middle
  assert.deepEqual(Array.from({ length: 8 }, (_, i) => pixels[4 * i]), [255, 255, 255, 128, 128, 0, 0, 0]);
});

test("rows are lapped before columns", () => {
  const lapping = Int32Array.of(-64);
  const linear = new Int16Array(4 * 48);
  // only the pixels at the corner where four blocks meet: 200, 72, -56 and 104, in doubled levels
  [[15, 200], [12, 72], [3, -56], [0, 104]].forEach(([o, level], c) => (linear[c * 48 + o] = 2 * level));
  const values = new Int32Array(16);
  for (let c = 0; c < 4; c++) values[c * 4 + c] = 1;
  const pixels = linearStage(values, 2, 2, { patch: 4, linear, linearShift: 5, lapping });
  /** @param {number} y @param {number} x */
  const at = (y, x) => pixels[(8 * y + x) * 4];
  // columns of pixels first: 200 and -56 become 136 and 8, 72 and 104 become 80 and 96; then 136 and 80 become 122 and 94, 8 and 96 30 and 74
  assert.deepEqual([at(3, 3), at(3, 4), at(4, 3), at(4, 4)], [122, 94, 30, 74].map((level) => (level + 2056) >> 4));
});
