/** The shared vectors, run by the JavaScript decoder; tests/format/test_vectors.py runs the same files. tests/vectors/make.py explains them. */

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

import { altText, find, parse } from "../../web/format/container.js";
import { decodeBytes, reached, readPicture } from "../../web/decode.js";
import { SdzError } from "../../web/errors.js";
import { exact } from "../../web/work/exact.js";
import { sha256, thrown } from "./support.js";

/** @param {string} path */
const read = (path) => new Uint8Array(readFileSync(new URL(`../vectors/${path}`, import.meta.url)));
/** @param {string} path */
const json = (path) => JSON.parse(new TextDecoder().decode(read(path)));
/** @param {string} kind */
const names = (kind) =>
  readdirSync(new URL(`../vectors/${kind}/`, import.meta.url))
    .filter((name) => name.endsWith(".sdz"))
    .map((name) => name.slice(0, -4));

const parameters = json("pack/pack.json");
/** @type {import("../../web/pack.js").Pack} */
const pack = {
  id: sha256(read("pack/pack.json")).slice(0, 6),
  channels: parameters.channels,
  patch: 16,
  reconstruction: parameters.reconstruction,
  l1Limit: parameters.l1_limit,
  linearShift: parameters.linear_shift,
  linear: read("pack/linear.bin"),
  quantizer: "planes",
  coder: read("pack/coder.bin"),
  denoiserMinStepIndex: 0,
  halo: { denoiser: 0, decoder: 0 },
  exact: true,
  tiling: null,
  lapping: null,
  octaves: Int32Array.from(json("pack/octaves.json")),
  coreBytes: null,
  graphBytes: () => Promise.reject(new Error("the vectors' pack has no networks")),
};

const fineParameters = json("fine/pack/pack.json");
/** Of files with upper functions. @type {import("../../web/pack.js").Pack} */
const finePack = {
  ...pack,
  id: sha256(read("fine/pack/pack.json")).slice(0, 6),
  channels: fineParameters.channels,
  reconstruction: fineParameters.reconstruction,
  l1Limit: fineParameters.l1_limit,
  linearShift: fineParameters.linear_shift,
  linear: read("fine/pack/linear.bin"),
  coder: read("fine/pack/coder.bin"),
  lapping: Int32Array.from(fineParameters.lapping.flat()),
  octaves: Int32Array.from(fineParameters.octaves),
};

/** @type {import("../../web/pack.js").Pack} */
const paletted = { ...pack, quantizer: "palette", octaves: null };

/**
 * What this decoder makes of a file, as its JSON has it.
 * @param {Uint8Array} data
 */
async function expectValid(data, withPack = pack) {
  const container = parse(data);
  const { header } = container;
  const picture = await readPicture(data, withPack);
  const [latents, { values, plane }] = [await picture.latents(), await picture.known()];
  picture.close();
  const image = await decodeBytes(data, { stage: "linear", pack: withPack });
  const channels = [...(header.grey ? [0] : [0, 1, 2]), ...(find(container, "A") ? [3] : [])];
  const pixels = new Uint8Array(image.width * image.height * channels.length);
  for (let from = 0, to = 0; from < image.data.length; from += 4) {
    for (const channel of channels) pixels[to++] = image.data[from + channel];
  }
  return {
    header: {
      width: header.width,
      height: header.height,
      stepIndex: header.stepIndex,
      packId: header.packId,
      grey: header.grey,
      tilt: header.tilt,
      realism: header.realism,
      bytes: container.headerBytes,
    },
    chunks: container.chunks.map(({ tag, offset, start, payload, complete }) => ({ tag, offset, start, bytes: payload.length, complete })),
    alt: altText(container) ?? null,
    alpha: picture.alpha && sha256(picture.alpha),
    known: {
      complete: picture.facts.complete,
      sha256: sha256(values.map(Math.abs), Uint8Array.from(values, (value) => Number(value < 0)), plane),
    },
    latents: sha256(latents.values, latents.levels, latents.precision, latents.halfWidth),
    linear: sha256(pixels),
  };
}

test("there are vectors", () => {
  assert.ok(names("valid").length > 0);
  assert.ok(names("invalid").length > 0);
});

for (const name of names("valid")) {
  test(`valid: ${name}`, async () => {
    assert.deepEqual(await expectValid(read(`valid/${name}.sdz`)), json(`valid/${name}.json`));
  });
}

for (const name of names("fine")) {
  test(`fine: ${name}`, async () => {
    assert.deepEqual(await expectValid(read(`fine/${name}.sdz`), finePack), json(`fine/${name}.json`));
  });
}

test("the linear stage is the last of a file with upper functions, and of no other", async () => {
  for (const [name, stage] of [["plain", "linear"], ["plain-cut-0", "linear"], ["without-them", "decoded"]]) {
    const picture = await readPicture(read(`fine/${name}.sdz`), { ...finePack, denoiserMinStepIndex: null });
    assert.equal(reached(picture, "denoised"), stage);
    assert.equal(picture.facts.upper > 0, stage === "linear");
    picture.close();
  }
});

/**
 * Asserts that this decoder throws the error that a file's JSON has.
 * @param {Uint8Array} data @param {any} expected
 */
async function assertInvalid(data, expected, withPack = pack) {
  const error = await thrown(() => decodeBytes(data, { stage: "linear", pack: withPack }));
  assert.ok(error instanceof SdzError, String(error));
  const place = "field" in expected ? { offset: error.offset ?? null, field: error.field } : {};
  assert.deepEqual({ error: error.code, ...place }, expected);
}

for (const name of names("invalid")) {
  test(`invalid: ${name}`, () => assertInvalid(read(`invalid/${name}.sdz`), json(`invalid/${name}.json`)));
}

for (const name of names("palette")) {
  test(`palette: ${name}`, async () => {
    const [data, expected] = [read(`palette/${name}.sdz`), json(`palette/${name}.json`)];
    if ("error" in expected) await assertInvalid(data, expected, paletted);
    else assert.deepEqual(await expectValid(data, paletted), expected);
  });
}

const exactPixels = json("lossless/valid.json");
for (const name of names("lossless/valid")) {
  test(`lossless: ${name}`, async () => {
    const withPack = name === "of-a-palette" ? paletted : pack;
    const data = read(`lossless/valid/${name}.sdz`);
    const { header } = parse(data);
    const picture = await readPicture(data, withPack);
    const channels = header.grey ? 1 : 3;
    /** @type {number[]} */
    const samples = [];
    let rows = 0;
    for await (const { y, height, width, pixels } of exact(parse(data), picture)) {
      assert.deepEqual([y, width], [rows, header.width]);
      rows += height;
      for (let i = 0; i < pixels.length; i += 4) samples.push(...pixels.subarray(i, i + channels));
    }
    picture.close();
    assert.deepEqual({ rows, sha256: sha256(Uint8Array.from(samples)) }, exactPixels[name]);
    if (rows === header.height) {
      const image = await decodeBytes(data, { pack: withPack });
      assert.deepEqual([image.exactRows, image.complete], [rows, true]);
      assert.deepEqual(Array.from(image.data.filter((_, i) => i % 4 < channels)), samples);
    }
  });
}

const refusedTails = json("lossless/invalid.json");
for (const name of names("lossless/invalid")) {
  test(`lossless, invalid: ${name}`, async () => {
    const error = await thrown(() => decodeBytes(read(`lossless/invalid/${name}.sdz`), { pack }));
    assert.ok(error instanceof SdzError);
    assert.deepEqual({ error: error.code, offset: error.offset, field: error.field }, refusedTails[name]);
  });
}
