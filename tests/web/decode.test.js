/** web/decode.js: tiles, crops, grey and stages, with networks of whole numbers in place of a pack's. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { decodeBytes, denoiserApplies, readPicture } from "../../web/decode.js";
import { engine } from "../../web/engine.js";
import { paintByGraphs } from "../../web/session.js";
import { blend } from "../../web/work/blend.js";
import { file, neutralTables, thrown } from "./support.js";

const CHANNELS = 4;
const BLOCK = 3 * 16 * 16;

/** @type {import("../../web/pack.js").Pack} */
const pack = {
  id: "010203",
  channels: CHANNELS,
  patch: 16,
  reconstruction: 7,
  l1Limit: 1 << 17,
  linearShift: 10,
  linear: new Uint8Array(Int16Array.from({ length: CHANNELS * BLOCK }, (_, i) => ((i * 37) % 23) - 11).buffer),
  quantizer: "planes",
  coder: neutralTables(CHANNELS),
  denoiserMinStepIndex: 24,
  halo: { denoiser: 1, decoder: 1 },
  exact: true,
  tiling: null,
  lapping: Int32Array.of(-40, 12, 7, -90),
  octaves: null,
  coreBytes: null,
  graphBytes: () => Promise.reject(new Error("no graphs here")),
};

/** The sum over each position's 3 x 3 neighbourhood, 0 outside. @param {ArrayLike<number>} a @param {number} h @param {number} w */
function around(a, h, w) {
  return Int32Array.from({ length: a.length }, (_, i) => {
    const [plane, y, x] = [i - (i % (h * w)), Math.floor((i % (h * w)) / w), i % w];
    let sum = 0;
    for (let dy = -1; dy <= 1; dy++) {
      for (let dx = -1; dx <= 1; dx++) {
        if (y + dy >= 0 && y + dy < h && x + dx >= 0 && x + dx < w) sum += a[plane + (y + dy) * w + x + dx];
      }
    }
    return sum;
  });
}

/** @param {Pick<import("../../web/session.js").Session, "pack" | "denoise" | "decode">} graphs */
const running = (graphs) => {
  /** @param {[any, any, number]} how */
  const paint = (...how) => paintByGraphs(graphs, ...how);
  /** @param {[any, number]} how */
  const blended = (...how) => blend({ paint }, ...how);
  return /** @type {import("../../web/session.js").Session} */ (/** @type {unknown} */ ({ ...graphs, paint, blend: blended }));
};

/** Networks that look one position around, so that tiles without margins would show. */
const session = running({
    pack,
    /** @param {import("../../web/engine.js").Latents} latents */
    async denoise({ values, halfWidth, h, w }, strength = 16) {
      const moved = around(halfWidth, h, w);
      return Int32Array.from(values, (value, i) => value + (strength * moved[i]) / 4096);
    },
    /** @param {ArrayLike<number>} values @param {ArrayLike<number>} precision @param {number} h @param {number} w */
    async decode(values, precision, h, w) {
      const [sums, codes] = [around(values, h, w), around(precision, h, w)];
      const out = new Uint8Array(16 * h * 16 * w * 4);
      for (let y = 0; y < 16 * h; y++) {
        for (let x = 0; x < 16 * w; x++) {
          for (let c = 0; c < 3; c++) {
            const at = c * h * w + (y >> 4) * w + (x >> 4);
            out[(y * 16 * w + x) * 4 + c] = sums[at] / 16 + codes[at] + (y % 16) + (x % 16);
          }
          out[(y * 16 * w + x) * 4 + 3] = 255;
        }
      }
      return out;
    },
});

/** Any bytes are latents; nine ones and a zero in front of them say that there are six planes. @param {number} length */
const noise = (length) => Uint8Array.from({ length }, (_, i) => (i === 0 ? 255 : (Math.imul(i + 1, 0x9e3779b1) >>> 24) & (i === 1 ? 63 : 255) | (i === 1 ? 128 : 0)));

const DATA = file({ width: 150, height: 100, stepIndex: 24 }, [["L", noise(120)]]);

for (const stage of /** @type {const} */ (["linear", "decoded", "denoised"])) {
  test(`tiles do not change the pixels: ${stage}`, async () => {
    const whole = await decodeBytes(DATA, { stage, pack, session });
    assert.deepEqual([whole.width, whole.height, whole.data.length, whole.stage], [150, 100, 150 * 100 * 4, stage]);
    assert.ok(new Set(whole.data).size > 20, "the picture has structure");
    for (const tile of [1, 2, 3, 5, 9]) {
      assert.deepEqual((await decodeBytes(DATA, { stage, pack, session, tile })).data, whole.data, `tiles of ${tile}`);
    }
  });
}

test("no tile's side is the usual one, an impossible one is refused", async () => {
  const whole = await decodeBytes(DATA, { stage: "linear", pack });
  assert.deepEqual((await decodeBytes(DATA, { stage: "linear", pack, tile: null })).data, whole.data);
  for (const tile of [0, -1, 1.5, NaN, Infinity]) {
    const error = await thrown(() => decodeBytes(DATA, { stage: "linear", pack, tile }));
    assert.ok(error instanceof RangeError);
    assert.match(error.message, new RegExp(`${tile} was given`));
  }
});

test("realism 0 is the decoded stage, and what lies outside 0..1 is refused", async () => {
  const none = await decodeBytes(DATA, { realism: 0, pack, session });
  const decoded = await decodeBytes(DATA, { stage: "decoded", pack, session });
  assert.deepEqual([none.stage, none.data], ["decoded", decoded.data]);
  const half = await decodeBytes(DATA, { realism: 0.5, pack, session });
  assert.equal(half.stage, "denoised");
  assert.notDeepEqual(half.data, decoded.data);
  for (const realism of [-0.1, 1.01, NaN]) {
    assert.ok((await thrown(() => decodeBytes(DATA, { realism, pack, session }))) instanceof RangeError);
  }
});

test("a file says how far the denoiser goes, and a caller may overrule it", async () => {
  const [whole, nine, none] = [16, 9, 0].map((realism) => file({ width: 150, height: 100, stepIndex: 24, realism }, [["L", noise(120)]]));
  const decoded = (/** @type {Uint8Array} */ data, options = {}) => decodeBytes(data, { ...options, pack, session });
  assert.deepEqual((await decoded(nine)).data, (await decoded(whole, { realism: 9 / 16 })).data);
  assert.notDeepEqual((await decoded(nine)).data, (await decoded(whole)).data);
  assert.deepEqual((await decoded(nine, { realism: 1 })).data, (await decoded(whole)).data);
  assert.equal((await decoded(none)).stage, "decoded");
  assert.equal((await decoded(none, { realism: 1 })).stage, "denoised");
  assert.equal((await decoded(none)).header.realism, 0);
});

test("no network runs where next to nothing is known", async () => {
  /** @param {number} stepIndex of six planes the first is told to be zero in all four channels, the second in two: the mean precision code is the index and 8 times 4.5 */
  const stage = async (stepIndex) => {
    const empty = file({ width: 40, height: 40, stepIndex }, [["L", Uint8Array.of(255, 191)]]);
    return (await decodeBytes(empty, { pack, session })).stage;
  };
  assert.deepEqual([await stage(52), await stage(53)], ["denoised", "linear"]);
});

test("stages differ", async () => {
  const [linear, decoded, denoised] = await Promise.all(
    /** @type {const} */ (["linear", "decoded", "denoised"]).map((stage) => decodeBytes(DATA, { stage, pack, session })),
  );
  assert.notDeepEqual(linear.data, decoded.data);
  assert.notDeepEqual(decoded.data, denoised.data);
});

test("a cut file is the picture of its prefix, an empty one mid-grey", async () => {
  const cut = await decodeBytes(DATA.subarray(0, 40), { stage: "linear", pack });
  assert.equal(cut.complete, false);
  const empty = await decodeBytes(DATA.subarray(0, 12), { stage: "linear", pack });
  assert.ok(empty.data.every((value, i) => value === (i % 4 === 3 ? 255 : 128)));
});

test("grey is luma, as Pillow rounds it", async () => {
  const colour = await decodeBytes(DATA, { stage: "linear", pack });
  const grey = await decodeBytes(file({ width: 150, height: 100, stepIndex: 24, flags: 16 }, [["L", noise(120)]]), { stage: "linear", pack });
  for (let i = 0; i < grey.data.length; i += 4) {
    const [r, g, b] = colour.data.subarray(i, i + 3);
    const luma = (r * 19595 + g * 38470 + b * 7471 + 32768) >> 16;
    assert.deepEqual([...grey.data.subarray(i, i + 4)], [luma, luma, luma, 255]);
  }
});

test("the denoiser is skipped where all is known finely", async () => {
  // what is known to the last plane has the step's own code: 24, and 23 is under the pack's least
  assert.equal(denoiserApplies(await readPicture(DATA, pack)), true);
  const fine = file({ stepIndex: 23 }, [["L", [255, 254]]]);
  assert.equal(denoiserApplies(await readPicture(fine, pack)), false);
  assert.equal((await decodeBytes(fine, { pack, session })).stage, "decoded");
});

test("a pack without a denoiser stops at the decoded stage", async () => {
  const plain = { ...pack, denoiserMinStepIndex: null };
  const image = await decodeBytes(DATA, { pack: plain, session: /** @type {any} */ ({ ...session, pack: plain }) });
  assert.equal(image.stage, "decoded");
  assert.deepEqual(image.data, (await decodeBytes(DATA, { stage: "decoded", pack, session })).data);
});

test("a pack with a tiling: one piece, and blended tiles", async () => {
  /** @param {number} whole the tiling's, @returns {Promise<[number[][], Uint8ClampedArray]>} what was decoded, and the pixels */
  const run = async (whole) => {
    const tiled = { ...pack, halo: { denoiser: 1, decoder: 0 }, tiling: { whole, overlap: 2 } };
    /** @type {number[][]} */
    const calls = [];
    // every tile is flat, of the level 20 times its number
    const flat = {
      pack: tiled,
      /** @param {ArrayLike<number>} _values @param {ArrayLike<number>} _precision @param {number} h @param {number} w */
      decode: async (_values, _precision, h, w) => new Uint8Array(h * w * 1024).fill(20 * calls.push([h, w])),
    };
    const image = await decodeBytes(DATA, { stage: "decoded", pack: tiled, session: running(/** @type {any} */ (flat)) });
    return [calls, image.data];
  };
  assert.deepEqual((await run(70))[0], [[7, 10]]);
  // 7 x 10 positions in tiles of at most 6: two rows of 3 + 4, three columns of 3 + 3 + 4, one more position on each side that has a neighbour
  const [calls, data] = await run(36);
  assert.deepEqual(calls, [[4, 4], [4, 5], [4, 5], [5, 4], [5, 5], [5, 5]]);
  /** @param {number} y @param {number} x */
  const at = (y, x) => data[(y * 150 + x) * 4];
  assert.deepEqual([at(0, 0), at(31, 31), at(0, 64), at(0, 112), at(64, 0), at(99, 149)], [20, 20, 40, 60, 80, 120]);
  // across the first seam, 32 pixels from x = 32 on: 1 to 63 of 64 parts of the right tile
  assert.deepEqual([32, 33, 47, 48, 63].map((x) => at(0, x)), [20, 21, 30, 30, 40]);
  // down the first column: 20 to 80, and both ways at once in the corner
  assert.deepEqual([32, 40, 63].map((y) => at(y, 0)), [21, 36, 79]);
  assert.equal(at(40, 40), 41);
});

test("a file of another pack is refused", async () => {
  const error = await thrown(() => decodeBytes(file({ packId: "0badc0" }), { stage: "linear", pack }));
  assert.equal(error.code, "MissingPackError");
  assert.match(error.message, /0badc0/);
});

test("a file with a broken alpha plane leaves nothing in the core", async () => {
  const broken = file({}, [["A", [1, 2, 3]], ["L", [9, 8, 7, 6]]]);
  await decodeBytes(file({}, [["L", [9, 8, 7, 6]]]), { stage: "linear", pack });
  const { core } = await engine();
  const before = core.held();
  for (let i = 0; i < 3; i++) {
    assert.equal((await thrown(() => decodeBytes(broken, { stage: "linear", pack }))).code, "CorruptFileError");
    assert.equal(core.held(), before);
  }
});

test("pictures give way to each other, and an instance that fails to a fresh one, without a trace", async () => {
  const picture = await readPicture(DATA, pack);
  const before = await picture.paintLinear(picture.whole);
  const held = await engine();
  held.close(picture);
  assert.deepEqual(await picture.paintLinear(picture.whole), before);
  held.core.usable = false;
  assert.deepEqual(await picture.paintLinear(picture.whole), before);
  assert.notEqual(await engine(), held);
  const open = (await engine()).core.held();
  picture.close();
  assert.ok((await engine()).core.held() < open);
});

test("an instance that a large picture has made large is dropped", async () => {
  const plain = { ...pack, lapping: null };
  const small = await readPicture(DATA, plain);
  small.close();
  const held = await engine();
  const large = await readPicture(file({ width: 16384, height: 16384 / 4 }, [["L", noise(500)]]), plain);
  await large.latents({ top: 0, left: 0, rows: 2, columns: 2 });
  assert.equal(await engine(), held);
  assert.ok(held.core.reserved() < 2 ** 27);
  // the plane of an alpha channel, for one, is as large as the picture
  held.core.free(held.core.call("sdz_alloc", 2 ** 28));
  large.close();
  assert.notEqual(await engine(), held);
});
