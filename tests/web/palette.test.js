/** web/format/palette.js: the same payloads and the same errors as tests/format/test_palette.py. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateSync } from "node:zlib";

import { decodePalette, unknownLatents } from "../../web/format/palette.js";
import { thrown } from "./support.js";

const RAW = Uint8Array.of(2, 1, 254, 128, 127, 0, 3, 0, 1, 2, 2, 2, 0);

/** @param {...number} extra @returns {Uint8Array} RAW and more bytes, as a zlib stream */
const compressed = (...extra) => new Uint8Array(deflateSync(Uint8Array.of(...RAW, ...extra)));

test("palette and rows", async () => {
  const known = await decodePalette(compressed(), 2, 2, 3, 0);
  const values = Array.from(known.magnitude, (magnitude, i) => (known.negative[i] ? -magnitude : magnitude));
  assert.deepEqual(values, [1, -128, 0, 0, 0, 1, -2, 127, 3, 3, 3, -2]);
  assert.deepEqual([known.complete, known.channels, known.h, known.w], [true, 2, 2, 3]);
  assert.ok(known.plane.every((plane) => plane === 0));
});

for (const [name, payload, problem] of /** @type {[string, Uint8Array, string][]} */ ([
  ["nothing", new Uint8Array(), "does not hold exactly a palette of 2 channels and 2 rows of 3 indices"],
  ["no zlib stream", new TextEncoder().encode("not zlib"), "does not hold exactly"],
  ["an empty stream", new Uint8Array(deflateSync(new Uint8Array())), "does not hold exactly"],
  ["one byte less", new Uint8Array(deflateSync(RAW.subarray(0, -1))), "does not hold exactly"],
  ["one byte more", compressed(0), "does not hold exactly"],
  ["a bomb", new Uint8Array(deflateSync(new Uint8Array(10_000_000))), "does not hold exactly"],
  ["a byte behind it", Uint8Array.of(...compressed(), 0), "does not hold exactly"],
  ["a cut stream", compressed().subarray(0, -1), "does not hold exactly"],
  ["a wrong checksum", Uint8Array.of(...compressed().subarray(0, -1), 255), "does not hold exactly"],
  ["an entry that is not there", new Uint8Array(deflateSync(Uint8Array.of(...RAW.subarray(0, 10), 3, 2, 0))), "row 1 names entry 3 of 3"],
])) {
  test(`a wrong stream is one typed error: ${name}`, async () => {
    const error = await thrown(() => decodePalette(payload, 2, 2, 3, 77));
    assert.deepEqual([error.code, error.offset, error.field], ["CorruptFileError", 77, "palette"]);
    assert.ok(error.message.includes(problem), error.message);
  });
}

test("nothing is known without the chunk", () => {
  const known = unknownLatents(2, 3, 4, 7);
  assert.deepEqual([known.magnitude.length, known.complete], [24, false]);
  assert.ok(known.magnitude.every((m) => m === 0) && known.plane.every((p) => p === 7));
});
