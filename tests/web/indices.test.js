/** Codebook indices: the shared vectors of tests/vectors/make_indices.py, through the whole decoder. */

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

import { parse } from "../../web/format/container.js";
import { decodeBytes, readPicture } from "../../web/decode.js";
import { SdzError } from "../../web/errors.js";
import { entriesOf, sha256, thrown } from "./support.js";

/** @param {string} path */
const read = (path) => new Uint8Array(readFileSync(new URL(`../vectors/indices/${path}`, import.meta.url)));
/** @param {string} path */
const json = (path) => JSON.parse(new TextDecoder().decode(read(path)));
/** @param {string} kind */
const names = (kind) =>
  readdirSync(new URL(`../vectors/indices/${kind}/`, import.meta.url)).map((name) => name.slice(0, -4));

const ENTRIES = 37;
const parameters = json("pack/pack.json");
/** @type {import("../../web/pack.js").Pack} */
const pack = {
  id: sha256(read("pack/pack.json")).slice(0, 6),
  channels: parameters.channels,
  patch: parameters.patch,
  reconstruction: 0,
  l1Limit: parameters.l1_limit,
  linearShift: parameters.linear_shift,
  linear: read("pack/linear.bin"),
  quantizer: "indices",
  coder: read("pack/coder.bin"),
  denoiserMinStepIndex: null,
  halo: { denoiser: 0, decoder: 0 },
  exact: true,
  tiling: null,
  lapping: null,
  octaves: null,
  coreBytes: null,
  graphBytes: () => Promise.reject(new Error("the vectors' pack has no networks")),
};

test("every vector has its expectation", () => {
  for (const kind of ["valid", "invalid"]) assert.deepEqual(names(kind).sort(), Object.keys(json(`${kind}.json`)).sort());
  assert.ok(names("valid").includes("plain-cut-20"));
});

for (const [name, expected] of Object.entries(json("valid.json"))) {
  test(`valid indices: ${name}`, async () => {
    const data = read(`valid/${name}.sdz`);
    const { header } = parse(data);
    const picture = await readPicture(data, pack);
    const { values: nodes } = await picture.known();
    const { values, levels, precision, halfWidth } = await picture.latents();
    const image = await decodeBytes(data, { stage: "linear", pack });
    const rgb = image.data.filter((_, i) => (header.grey ? i % 4 === 0 : i % 4 < 3));
    assert.deepEqual(
      {
        known: { complete: picture.facts.complete, entries: sha256(entriesOf(nodes, ENTRIES)), nodes: sha256(nodes) },
        latents: sha256(values, levels, precision, halfWidth),
        linear: sha256(rgb),
      },
      expected,
    );
    picture.close();
  });
}

for (const [name, expected] of Object.entries(json("invalid.json"))) {
  test(`invalid indices: ${name}`, async () => {
    const error = await thrown(() => decodeBytes(read(`invalid/${name}.sdz`), { stage: "linear", pack }));
    assert.ok(error instanceof SdzError, String(error));
    assert.deepEqual({ error: error.code, offset: error.offset ?? null, field: error.field }, expected);
  });
}

test("a window's latents are those of the whole", async () => {
  const picture = await readPicture(read("valid/plain.sdz"), pack);
  const whole = await picture.latents();
  const part = await picture.latents({ top: 1, left: 2, rows: 3, columns: 4 });
  for (let c = 0, at = 0; c < 3; c++) {
    for (let y = 1; y < 4; y++) {
      for (let x = 2; x < 6; x++, at++) assert.equal(part.values[at], whole.values[(c * whole.h + y) * whole.w + x]);
    }
  }
});

test("broken tables are refused when a picture needs them", async () => {
  const broken = { ...pack, coder: pack.coder.slice(0, -1) };
  const error = await thrown(() => decodeBytes(read("valid/plain.sdz"), { stage: "linear", pack: broken }));
  assert.deepEqual([error.code, /too short or too long/.test(error.message)], ["CorruptPackError", true]);
});
