/** web/pack.js: digests, limits and refusals, on packs made up here. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateSync } from "node:zlib";

import { readPicture } from "../../web/decode.js";
import { loadPack } from "../../web/pack.js";
import { isFine } from "../../web/quantizer.js";
import { file, neutralTables, sha256, thrown } from "./support.js";

/**
 * The files of a pack and its id.
 * @param {(manifest: any, files: Record<string, Uint8Array>) => void} [change] applied before the manifest is written
 */
function makePack(change = () => {}) {
  /** @type {Record<string, Uint8Array>} */
  const files = {
    "linear.bin": new Uint8Array(new Int16Array(4 * 768).fill(-5).buffer),
    "coder.bin": neutralTables(4),
    "decoder.onnx": Uint8Array.of(1, 2, 3),
  };
  /** @param {string} file */
  const entry = (file) => ({ file, sha256: sha256(files[file]), bytes: files[file].length });
  const manifest = {
    format: 2, name: "toy", channels: 4, patch: 16, grid: 4, reconstruction: 7, l1_limit: 1 << 17, linear_shift: 12,
    denoiser: { min_step_index: 9 }, halo: { denoiser: 5, decoder: 8 },
    tables: { linear: entry("linear.bin"), coder: entry("coder.bin") },
    graphs: { decoder: entry("decoder.onnx") },
  };
  change(manifest, files);
  files["manifest.json"] = new TextEncoder().encode(JSON.stringify(manifest));
  return { files, id: sha256(files["manifest.json"]).slice(0, 6) };
}

/** @param {Record<string, Uint8Array>} files */
const reader = (files) => async (/** @type {string} */ name) => files[name] ?? null;

test("a whole pack", async () => {
  const { files, id } = makePack();
  const pack = await loadPack(id, reader(files));
  assert.deepEqual(
    [pack.id, pack.channels, pack.patch, pack.reconstruction, pack.l1Limit, pack.linearShift, pack.denoiserMinStepIndex, pack.halo],
    [id, 4, 16, 7, 1 << 17, 12, 9, { denoiser: 5, decoder: 8 }],
  );
  assert.deepEqual([pack.exact, pack.tiling, pack.lapping, pack.octaves], [true, null, null, null]);
  assert.deepEqual([pack.quantizer, pack.linear, pack.coder], ["planes", files["linear.bin"], files["coder.bin"]]);
  assert.deepEqual([...(await pack.graphBytes("decoder"))], [1, 2, 3]);
});

test("a pack that laps its blocks", async () => {
  const { files, id } = makePack((manifest) => (manifest.lapping = [[-64, 32], [16, -128]]));
  assert.deepEqual((await loadPack(id, reader(files))).lapping, Int32Array.of(-64, 32, 16, -128));
  const tilting = makePack((manifest) => (manifest.octaves = Array.from({ length: manifest.channels }, (_, c) => c % 65)));
  assert.deepEqual((await loadPack(tilting.id, reader(tilting.files))).octaves?.slice(0, 3), Int32Array.of(0, 1, 2));
});

test("a pack of palettes", async () => {
  const { files, id } = makePack((manifest) => Object.assign(manifest, { quantizer: "palette" }));
  const pack = await loadPack(id, reader(files));
  // one position of two: entry 0 of a palette of one entry, the channels' values 1, -2, 3, -4
  const zlib = deflateSync(Uint8Array.of(0, 1, 254, 3, 252, 0, 0));
  const whole = await readPicture(file({ packId: id, width: 32, height: 16 }, [["P", zlib]]), pack);
  assert.deepEqual([...(await whole.known()).values], [1, 1, -2, -2, 3, 3, -4, -4]);
  const empty = await readPicture(file({ packId: id, width: 32, height: 16 }), pack);
  assert.equal((await empty.known()).plane[7], 15);
});

test("a pack of another patch, approximate, tiled, without a denoiser", async () => {
  const { files, id } = makePack((manifest, files) => {
    Object.assign(manifest, { patch: 8, exact: false, tiling: { whole: 4096, overlap: 8 }, quantizer: "planes", halo: { decoder: 0 } });
    delete manifest.denoiser;
    files["linear.bin"] = new Uint8Array(new Int16Array(4 * 192).fill(-5).buffer);
    manifest.tables.linear = { file: "linear.bin", sha256: sha256(files["linear.bin"]), bytes: files["linear.bin"].length };
  });
  const pack = await loadPack(id, reader(files));
  assert.deepEqual(
    [pack.patch, pack.linear.length, pack.exact, pack.tiling, pack.denoiserMinStepIndex, pack.halo],
    [8, 4 * 192 * 2, false, { whole: 4096, overlap: 8 }, null, { denoiser: 0, decoder: 0 }],
  );
});

test("a pack that is not there", async () => {
  const error = await thrown(() => loadPack("0badc0", reader({})));
  assert.equal(error.code, "MissingPackError");
  assert.match(error.message, /0badc0/);
});

test("a manifest of another digest", async () => {
  const { files } = makePack();
  assert.equal((await thrown(() => loadPack("0badc0", reader(files)))).code, "CorruptPackError");
});

for (const name of ["linear.bin", "coder.bin"]) {
  test(`a flipped bit in ${name}`, async () => {
    const { files, id } = makePack();
    files[name][100] ^= 1;
    const error = await thrown(() => loadPack(id, reader(files)));
    assert.equal(error.code, "CorruptPackError");
    assert.match(error.message, new RegExp(name));
  });
}

test("a graph of another digest, of another size, or missing", async () => {
  for (const bytes of [Uint8Array.of(1, 2, 4), Uint8Array.of(1, 2, 3, 4), undefined]) {
    const { files, id } = makePack();
    const pack = await loadPack(id, reader(files));
    if (bytes) files["decoder.onnx"] = bytes;
    else delete files["decoder.onnx"];
    assert.equal((await thrown(() => pack.graphBytes("decoder"))).code, "CorruptPackError");
  }
});

test("a stale copy is read again", async () => {
  const { files, id } = makePack();
  const fresh = async (/** @type {string} */ name, /** @type {boolean} */ again) => (again ? files[name] : Uint8Array.of(0));
  assert.equal((await loadPack(id, fresh)).id, id);
});

test("manifests that are refused", async () => {
  /** @type {[string, (manifest: any, files: Record<string, Uint8Array>) => void][]} */
  const changes = [
    ["another format", (m) => (m.format = 1)],
    ["a patch there is not", (m) => (m.patch = 12)],
    ["exactness that is no boolean", (m) => (m.exact = 1)],
    ["a quantizer there is not", (m) => (m.quantizer = "dice")],
    ["an odd overlap", (m) => (m.tiling = { whole: 4096, overlap: 7 })],
    ["tiles smaller than three overlaps", (m) => (m.tiling = { whole: 500, overlap: 8 })],
    ["a tiling without numbers", (m) => (m.tiling = {})],
    ["no channels", (m) => (m.channels = 0)],
    ["channels that are no number", (m) => (m.channels = "4")],
    ["channels unlike the tables'", (m) => (m.channels = 5)],
    ["a shift of zero", (m) => (m.linear_shift = 0)],
    ["octaves for other channels", (m) => (m.octaves = [0])],
    ["octaves of no integers", (m) => (m.octaves = Array(m.channels).fill(0.5))],
    ["octaves far beyond", (m) => (m.octaves = Array(m.channels).fill(65))],
    ["no rows of a lapping", (m) => (m.lapping = [])],
    ["a lapping that is not square", (m) => (m.lapping = [[1, 2]])],
    ["a lapping beyond half a patch", (m) => (m.lapping = Array(9).fill(Array(9).fill(0)))],
    ["a lapping of no integers", (m) => (m.lapping = [[0.5]])],
    ["a lapping whose sums may pass 2**24", (m) => (m.lapping = [[0, 0], [-116, 117]])],
    ["a lapping and a shift without its places", (m) => Object.assign(m, { lapping: [[1]], linear_shift: 4 })],
    ["a lapping and a decoder that sees no neighbours", (m) => Object.assign(m, { lapping: [[1]], halo: { denoiser: 5, decoder: 0 } })],
    ["a path for a name", (m) => (m.tables.linear.file = "../linear.bin")],
    ["a URL for a name", (m) => (m.tables.linear.file = "https://example.org/linear.bin")],
    ["a short digest", (m) => (m.tables.linear.sha256 = "00")],
    ["no tables", (m) => delete m.tables],
    ["no halo", (m) => delete m.halo],
    ["a decoder that sees further than the format allows", (m) => (m.halo.decoder = 65)],
    ["a denoiser that sees further than the format allows", (m) => (m.halo.denoiser = 65)],
  ];
  for (const [what, change] of changes) {
    const { files, id } = makePack(change);
    assert.equal((await thrown(() => loadPack(id, reader(files)))).code, "CorruptPackError", what);
  }
});

test("tables that are refused when a picture needs them", async () => {
  /** @type {[RegExp, (manifest: any, files: Record<string, Uint8Array>) => void][]} */
  const changes = [
    [/wrong size/, (m) => (m.patch = 8)],
    [/sums can leave the exact range/, (m, files) => {
      m.l1_limit = 1 << 24;
      files["linear.bin"] = new Uint8Array(new Int16Array(4 * 768).fill(1000).buffer);
      m.tables.linear.sha256 = sha256(files["linear.bin"]);
    }],
    [/too short or too long/, (m, files) => {
      files["coder.bin"] = files["coder.bin"].slice(0, -1);
      m.tables.coder = { file: "coder.bin", sha256: sha256(files["coder.bin"]), bytes: files["coder.bin"].length };
    }],
  ];
  for (const [message, change] of changes) {
    const { files, id } = makePack(change);
    const pack = await loadPack(id, reader(files));
    const error = await thrown(() => readPicture(file({ packId: id }, [["L", [1, 2, 3]]]), pack));
    assert.equal(error.code, "CorruptPackError");
    assert.match(error.message, message);
  }
});

test("a manifest that is not JSON", async () => {
  const manifest = new TextEncoder().encode("{");
  const error = await thrown(() => loadPack(sha256(manifest).slice(0, 6), reader({ "manifest.json": manifest })));
  assert.equal(error.code, "CorruptPackError");
});

test("files up to the coarsest step of a pack's upper functions are fine, and of a pack without them none is", () => {
  const pack = { quantizer: "planes", coder: new Uint8Array([0, 0, 0, 0, 192, 3 | (10 << 2), 0, 0, 37]) };
  assert.deepEqual([0, 37, 38].map((step) => isFine(step, /** @type {any} */ (pack))), [true, true, false]);
  assert.equal(isFine(0, /** @type {any} */ ({ ...pack, coder: new Uint8Array([0, 0, 0, 0, 192, 3, 0, 0, 37]) })), false);
  assert.equal(isFine(0, /** @type {any} */ ({ ...pack, quantizer: "indices" })), false);
});
