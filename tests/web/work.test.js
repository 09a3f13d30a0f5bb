/** web/work/: the order of the work on a page's pictures, and the images that are made of their pixels. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Bitmap } from "../../web/work/bitmap.js";
import { Turns } from "../../web/work/turns.js";

/** @import { Piece, Worked } from "../../web/work/turns.js" */

/** A job of some pieces of work, which writes down what it does. */
class Fake {
  /** @param {string} name @param {boolean} seen @param {number[]} ranks of its pieces @param {string[]} log @param {(name: string) => void} [during] */
  constructor(name, seen, ranks, log, during = () => {}) {
    this.name = name;
    this.seen = seen;
    this.pixels = 1;
    this.ranks = ranks;
    this.log = log;
    this.during = during;
  }

  /** @param {number} ahead @returns {Piece | null} */
  next(ahead) {
    const [rank] = this.ranks;
    if (rank === undefined) return null;
    return {
      rank: this.seen ? rank : rank + 10,
      work: async () => {
        this.ranks.shift();
        this.log.push(`${this.name}${rank}/${ahead}`);
        await null;
        this.during(this.name);
      },
    };
  }
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 5));

test("the lowest rank first, of equal ones the one that came first, one piece at a time", async () => {
  /** @type {string[]} */
  const log = [];
  /** @type {Turns<Worked>} */
  const turns = new Turns();
  turns.add(new Fake("a", true, [3, 3], log));
  turns.add(new Fake("b", false, [1], log));
  turns.add(new Fake("c", true, [1, 3], log));
  await settled();
  // a's first piece began when it was alone
  assert.deepEqual(log, ["a3/1", "c1/2", "a3/2", "c3/2", "b1/2"]);
});

test("what comes into sight, goes, or becomes possible meanwhile", async () => {
  /** @type {string[]} */
  const log = [];
  /** @type {Turns<Worked>} */
  const turns = new Turns();
  const [late, gone] = [new Fake("late", false, [1], log), new Fake("gone", true, [2], log)];
  const first = new Fake("first", true, [1], log, () => {
    late.seen = true;
    turns.remove(gone);
    turns.wake();
  });
  turns.add(first);
  turns.add(new Fake("other", false, [0], log));
  turns.add(late);
  turns.add(gone);
  await settled();
  assert.deepEqual(log, ["first1/1", "late1/2", "other0/2"]);
  first.ranks.push(4);
  await settled();
  assert.equal(log.length, 3);
  turns.wake();
  await settled();
  assert.deepEqual(log.slice(3), ["first4/2"]);
});

/** @param {number} width @param {number} height */
const rgba = (width, height) => Uint8ClampedArray.from({ length: 4 * width * height }, (_, i) => (i % 4 === 3 ? 255 - (i >> 2) : 7 * i));

for (const alpha of [false, true]) {
  test(`a bitmap of two tiles ${alpha ? "with" : "without"} alpha`, async () => {
    const bitmap = new Bitmap(3, 2, alpha);
    const [left, right] = [rgba(2, 2), rgba(1, 2)];
    bitmap.put({ x: 0, y: 0, width: 2, height: 2, pixels: left });
    bitmap.put({ x: 2, y: 0, width: 1, height: 2, pixels: right });
    const blob = bitmap.blob();
    assert.equal(blob.type, "image/bmp");
    const file = Buffer.from(await blob.arrayBuffer());
    assert.equal(file.toString("latin1", 0, 2), "BM");
    const stride = 12; // 9 bytes and 3 of padding, or 12
    assert.deepEqual([file.length, file.readUInt32LE(2), file.readUInt32LE(10)], [122 + 2 * stride, 122 + 2 * stride, 122]);
    assert.deepEqual([file.readInt32LE(18), file.readInt32LE(22), file.readUInt16LE(28)], [3, -2, alpha ? 32 : 24]);
    for (let y = 0; y < 2; y++) for (let x = 0; x < 3; x++) {
      const [pixels, at] = x < 2 ? [left, 4 * (2 * y + x)] : [right, 4 * y];
      const [r, g, b, a] = pixels.subarray(at, at + 4);
      const stored = [...file.subarray(122 + y * stride + (alpha ? 4 : 3) * x).subarray(0, alpha ? 4 : 3)];
      assert.deepEqual(stored, alpha ? [r, g, b, a] : [b, g, r]);
    }
  });
}
