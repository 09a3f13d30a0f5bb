/** web/format/container.js: fields, chunks and what a cut leaves of them. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { altText, find, parse } from "../../web/format/container.js";
import { readContainer } from "../../web/decode.js";
import { file, thrown } from "./support.js";

const TEXT = new TextEncoder().encode("Füße");
const WHOLE = file({ width: 300, height: 200, flags: 16 }, [["T", TEXT], ["x", [1, 2]], ["L", [9, 8, 7]], ["E", [5]]]);
const HEADER_BYTES = 12;
const LATENTS_START = HEADER_BYTES + (6 + TEXT.length) + (6 + 2) + 6;

test("fields of the header", () => {
  const { header, headerBytes } = parse(WHOLE);
  assert.deepEqual(header, { width: 300, height: 200, stepIndex: 48, packId: "010203", grey: true, tilt: 0, realism: 16 });
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

test("the only chunk stands without its tag, with a CRC of two bytes, and nothing may follow it", async () => {
  const alone = file({ width: 300, height: 200 }, [["L", [9, 8, 7]]]);
  assert.equal(alone.length, HEADER_BYTES + 1 + 2 + 3);
  for (let cut = HEADER_BYTES + 1; cut <= alone.length; cut++) {
    const chunk = find(parse(alone.subarray(0, cut)), "L");
    assert.deepEqual([chunk?.payload.length, chunk?.complete, chunk?.offset], [Math.max(0, cut - 15), cut === alone.length, HEADER_BYTES]);
  }
  const longer = await thrown(() => parse(Uint8Array.from([...alone, 0])));
  assert.deepEqual([longer.code, longer.offset, longer.field], ["CorruptFileError", alone.length, "chunk tag"]);
  alone[alone.length - 1] ^= 1;
  const damaged = await thrown(() => parse(alone));
  assert.deepEqual([damaged.code, damaged.offset, damaged.field], ["CorruptFileError", HEADER_BYTES + 1, "chunk crc"]);
});

test("other versions are refused by their number", async () => {
  for (const version of [1, 3]) {
    const error = await thrown(() => parse(Uint8Array.from([0x53, 0x44, 0x5a, version])));
    assert.deepEqual([error.code, error.message.includes(`version ${version} `)], ["UnsupportedVersionError", true]);
  }
});

test("every cut inside the header names the field that is missing", async () => {
  const fields = { 3: "version", 4: "pack id", 7: "step index", 8: "width", 10: "height" };
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
