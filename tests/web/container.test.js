/** web/format/container.js: fields, chunks and what a cut leaves of them. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { altText, find, parse } from "../../web/format/container.js";
import { readContainer } from "../../web/decode.js";
import { file, thrown } from "./support.js";

const TEXT = new TextEncoder().encode("Füße");
const WHOLE = file({ width: 300, height: 200, flags: 1 }, [["T", TEXT], ["x", [1, 2]], ["L", [9, 8, 7]], ["E", [5]]]);
const HEADER_BYTES = 15;
const LATENTS_START = HEADER_BYTES + (6 + TEXT.length) + (6 + 2) + 6;

test("fields of the header", () => {
  const { header, headerBytes } = parse(WHOLE);
  assert.deepEqual(header, { width: 300, height: 200, stepIndex: 48, planes: 9, packId: "01020304", grey: true, tilt: 0 });
  assert.equal(headerBytes, HEADER_BYTES);
});

test("chunks in file order, unknown ones included", () => {
  const container = parse(WHOLE);
  assert.deepEqual(container.chunks.map(({ tag, complete }) => [tag, complete]), [["T", true], ["x", true], ["L", true], ["E", true]]);
  assert.deepEqual([...(find(container, "L")?.payload ?? [])], [9, 8, 7]);
  assert.equal(find(container, "L")?.start, LATENTS_START);
  assert.equal(find(container, "A"), undefined);
  assert.equal(altText(container), "Füße");
});

test("a view in the middle of a buffer reads like a buffer of its own", () => {
  const larger = new Uint8Array(WHOLE.length + 7);
  larger.set(WHOLE, 3);
  assert.equal(find(parse(larger.subarray(3, 3 + WHOLE.length)), "L")?.start, LATENTS_START);
});

test("every cut behind the header is read, and the latents are a prefix", () => {
  for (let cut = HEADER_BYTES; cut < WHOLE.length; cut++) {
    const container = parse(WHOLE.subarray(0, cut));
    const there = Math.max(0, Math.min(3, cut - LATENTS_START));
    assert.equal(find(container, "L")?.payload.length ?? 0, there, `cut at ${cut}`);
    assert.equal(altText(container), cut >= HEADER_BYTES + 6 + TEXT.length ? "Füße" : undefined, `cut at ${cut}`);
    assert.ok(container.chunks.slice(0, -1).every(({ complete }) => complete), `cut at ${cut}`);
  }
});

test("every cut inside the header names the field that is missing", async () => {
  const fields = { 3: "version", 4: "pack id", 8: "flags", 9: "step index", 10: "planes", 11: "width", 13: "height" };
  const offsets = Object.keys(fields).map(Number);
  for (let cut = 0; cut < HEADER_BYTES; cut++) {
    const error = await thrown(() => parse(WHOLE.subarray(0, cut)));
    if (cut < 3) {
      assert.equal(error.code, "NotAnSdzError", `cut at ${cut}`);
    } else {
      const offset = Math.max(...offsets.filter((start) => start <= cut));
      assert.deepEqual([error.code, error.offset, error.field], ["CorruptFileError", offset, /** @type {any} */ (fields)[offset]], `cut at ${cut}`);
    }
  }
});

test("any flipped bit behind the header is an error or leaves other chunks alone", async () => {
  for (let at = HEADER_BYTES; at < WHOLE.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const damaged = WHOLE.slice();
      damaged[at] ^= 1 << bit;
      try {
        // a longer length swallows what follows: the last chunk is then a cut one
        assert.ok(parse(damaged).chunks.some(({ complete }) => !complete), `bit ${bit} of byte ${at}`);
      } catch (/** @type {any} */ error) {
        if (error.name === "AssertionError") throw error;
        assert.ok(["CorruptFileError", "LimitError"].includes(error.code), `bit ${bit} of byte ${at}: ${error}`);
      }
    }
  }
});

test("sides: the largest is read, more is refused by the header alone", async () => {
  assert.equal(parse(file({ width: 16384, height: 16384 })).header.width, 16384);
  assert.equal((await thrown(() => parse(file({ width: 16385 })))).code, "LimitError");
  assert.equal((await thrown(() => parse(file({ height: 70000 })))).code, "LimitError");
  assert.equal((await thrown(() => readContainer(file({ width: 16384, height: 16384 })))).code, "LimitError");
});
