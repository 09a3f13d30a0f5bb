/** Codebook indices: the shared vectors of tests/vectors/make_indices.py, and what they do not reach. */

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

import * as indices from "../../web/format/indices.js";
import { find, parse } from "../../web/format/container.js";
import { decodeBytes, readPicture } from "../../web/decode.js";
import { SdzError } from "../../web/errors.js";
import { buildTree, decodeIndices, dequantizeIndices, entriesOf, indexLayout, parseIndexTables } from "../../web/format/indices.js";
import { codebook } from "../../web/quantizer.js";
import { sha256, thrown } from "./support.js";

/** @param {string} path */
const read = (path) => new Uint8Array(readFileSync(new URL(`../vectors/indices/${path}`, import.meta.url)));
/** @param {string} path */
const json = (path) => JSON.parse(new TextDecoder().decode(read(path)));
/** @param {string} kind */
const names = (kind) =>
  readdirSync(new URL(`../vectors/indices/${kind}/`, import.meta.url)).map((name) => name.slice(0, -4));

const parameters = json("pack/pack.json");
const quantizer = codebook(indices, read("pack/coder.bin"));
const tables = /** @type {import("../../web/format/indices.js").IndexTables} */ (quantizer.tables);
/** @type {import("../../web/pack.js").Pack} */
const pack = {
  id: sha256(read("pack/pack.json")).slice(0, 8),
  channels: parameters.channels,
  patch: parameters.patch,
  reconstruction: 0,
  l1Limit: parameters.l1_limit,
  linearShift: parameters.linear_shift,
  linear: new Int16Array(read("pack/linear.bin").slice().buffer),
  quantizer,
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
    const { known } = await readPicture(data, pack);
    assert.ok("node" in known);
    const { values, levels, precision, halfWidth } = dequantizeIndices(known, tables, pack.l1Limit);
    const image = await decodeBytes(data, { stage: "linear", pack });
    const rgb = image.data.filter((_, i) => (header.grey ? i % 4 === 0 : i % 4 < 3));
    assert.deepEqual(
      {
        known: { complete: known.complete, entries: sha256(entriesOf(known, tables)), nodes: sha256(known.node) },
        latents: sha256(...[values, levels, precision, halfWidth].map((a) => Int32Array.from(a))),
        linear: sha256(rgb),
      },
      expected,
    );
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
  const { known } = await readPicture(read("valid/plain.sdz"), pack);
  assert.ok("node" in known);
  const whole = dequantizeIndices(known, tables, pack.l1Limit);
  const part = dequantizeIndices(known, tables, pack.l1Limit, { top: 1, left: 2, rows: 3, columns: 4 });
  for (let c = 0, at = 0; c < 3; c++) {
    for (let y = 1; y < 4; y++) {
      for (let x = 2; x < 6; x++, at++) assert.equal(part.values[at], whole.values[(c * known.h + y) * known.w + x]);
    }
  }
});

test("any payload decodes, and a longer one never knows less", () => {
  let state = 7;
  const noise = Uint8Array.from({ length: 60 }, () => (state = (state * 1103515245 + 12345) & 0x7fffffff) >> 16);
  const whole = decodeIndices(noise, 5, 6, tables);
  for (let cut = 0; cut <= noise.length; cut++) {
    const less = decodeIndices(noise.subarray(0, cut), 5, 6, tables);
    less.node.forEach((node, i) => assert.equal(whole.node[i] >> (Math.clz32(node) - Math.clz32(whole.node[i])), node));
  }
});

test("the tree halves the codebook", () => {
  const tree = buildTree(Int16Array.of(0, 1, 2, 1, 10, -7), Uint16Array.of(1, 2, 5));
  assert.deepEqual([...tree.leaves], [0, 3, 2, 1, 1, 1, 0, 0]);
  assert.deepEqual([...tree.centre.subarray(2, 12)], [7, -4, 1, 1, 10, -7, 0, 1, 2, 1]);
  assert.deepEqual([tree.span[1], tree.middle[1]], [145, 147]);
});

test("broken tables are refused", () => {
  const good = read("pack/coder.bin");
  /** @param {number} at @param {...number} bytes */
  const edited = (at, ...bytes) => {
    const data = good.slice();
    data.set(bytes, at);
    return data;
  };
  const entries = 37;
  for (const [data, problem] of /** @type {[Uint8Array, RegExp][]} */ ([
    [edited(3, 0x54), /do not begin with 'sdzI'/],
    [good.slice(0, 9), /do not begin with 'sdzI'/],
    [edited(4, 0), /37 entries of 0 channels/],
    [edited(5, 0, 0), /1 entries of 3 channels/],
    [good.slice(0, -1), /end too early/],
    [Uint8Array.of(...good, 0), /1 bytes too many/],
    [edited(10 + entries * 6, 0, 0), /an entry, 0, without usage/],
    [edited(10 + entries * 8, 201), /precision code over 200/],
  ])) {
    assert.throws(() => parseIndexTables(data), { code: "CorruptPackError", message: problem });
  }
});

test("the largest codebook's layout", () => {
  const { bases, jointBases, setBases, stored } = indexLayout(16);
  assert.deepEqual([bases[2], jointBases[16] - jointBases[0], setBases[2]], [131072, 112932, 8 * (80 + 23)]);
  assert.equal(stored, 124564);
});

test("the vectors hold an index that ends early", () => {
  const known = decodeIndices(find(parse(read("valid/plain.sdz")), "L")?.payload ?? new Uint8Array(), 5, 8, tables);
  assert.ok(known.complete);
  assert.ok(known.node.some((node) => node < 64));
  assert.ok(known.node.some((node) => node >= 64));
});
