/** Palettes through the whole decoder: the same payloads and the same errors as tests/format/test_palette.py. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateSync } from "node:zlib";

import { readPicture } from "../../web/decode.js";
import { file, neutralTables, thrown, varint } from "./support.js";

const RAW = Uint8Array.of(2, 1, 254, 128, 127, 0, 3, 0, 1, 2, 2, 2, 0);

/** @type {import("../../web/pack.js").Pack} */
const pack = {
  id: "010203", channels: 2, patch: 16, reconstruction: 7, l1Limit: 1 << 17, linearShift: 10, linear: new Uint8Array(2 * 2 * 768),
  quantizer: "palette", coder: neutralTables(2), denoiserMinStepIndex: null, halo: { denoiser: 0, decoder: 0 }, exact: true, tiling: null,
  lapping: null, octaves: null, coreBytes: null, graphBytes: () => Promise.reject(new Error("no graphs here")),
};

/** @param {Uint8Array} [zlib] */
const read = (zlib) => readPicture(file({ width: 48, height: 32 }, zlib ? [["P", zlib]] : []), pack);

/** @param {...number} extra @returns {Uint8Array} RAW and more bytes, as a zlib stream */
const compressed = (...extra) => new Uint8Array(deflateSync(Uint8Array.of(...RAW, ...extra)));

test("palette and rows", async () => {
  const picture = await read(compressed());
  const { values, plane } = await picture.known();
  assert.deepEqual([...values], [1, -128, 0, 0, 0, 1, -2, 127, 3, 3, 3, -2]);
  assert.deepEqual([picture.facts.complete, picture.facts.channels, picture.facts.rows, picture.facts.columns], [true, 2, 2, 3]);
  assert.ok(plane.every((lowest) => lowest === 0));
});

for (const [name, payload, problem] of /** @type {[string, Uint8Array, string][]} */ ([
  ["nothing", new Uint8Array(), "does not hold exactly a palette"],
  ["no zlib stream", new TextEncoder().encode("not zlib"), "does not hold exactly"],
  ["an empty stream", new Uint8Array(deflateSync(new Uint8Array())), "does not hold exactly"],
  ["one byte less", new Uint8Array(deflateSync(RAW.subarray(0, -1))), "does not hold exactly"],
  ["one byte more", compressed(0), "does not hold exactly"],
  ["a bomb", new Uint8Array(deflateSync(new Uint8Array(10_000_000))), "does not hold exactly"],
  ["a byte behind it", Uint8Array.of(...compressed(), 0), "does not hold exactly"],
  ["a cut stream", compressed().subarray(0, -1), "does not hold exactly"],
  ["a wrong checksum", Uint8Array.of(...compressed().subarray(0, -1), 255), "does not hold exactly"],
  ["an entry that is not there", new Uint8Array(deflateSync(Uint8Array.of(...RAW.subarray(0, 10), 3, 2, 0))), "names an entry that is not there"],
])) {
  test(`a wrong stream is one typed error: ${name}`, async () => {
    const error = await thrown(() => read(payload));
    // header, tag, length and checksum stand before it
    assert.deepEqual([error.code, error.offset, error.field], ["CorruptFileError", 10 + 1 + varint(payload.length).length + 4, "palette"]);
    assert.ok(error.message.includes(problem), error.message);
  });
}

test("nothing is known without the chunk", async () => {
  const picture = await read();
  const { values, plane } = await picture.known();
  assert.deepEqual([values.length, picture.facts.complete], [12, false]);
  assert.ok(values.every((value) => value === 0) && plane.every((lowest) => lowest === 15));
});
