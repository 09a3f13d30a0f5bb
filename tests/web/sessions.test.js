/** web/sessions.js: packs and sessions are opened once, and again after a failure. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { GraphNetworks, Sessions } from "../../web/sessions.js";
import { CoreNetworks } from "../../web/engine.js";
import { neutralTables, sha256, thrown, withGpu } from "./support.js";

/** The files of a small pack without a denoiser. */
function files() {
  const linear = new Uint8Array(2 * 4 * 768);
  const coder = neutralTables(4);
  /** @param {string} file @param {Uint8Array} data */
  const entry = (file, data) => ({ file, sha256: sha256(data), bytes: data.length });
  const manifest = {
    format: 2, name: "small", channels: 4, patch: 16, grid: 4, reconstruction: 7, l1_limit: 1 << 17, linear_shift: 12, halo: { decoder: 8 },
    tables: { linear: entry("linear.bin", linear), coder: entry("coder.bin", coder) },
  };
  return { "manifest.json": new TextEncoder().encode(JSON.stringify(manifest)), "linear.bin": linear, "coder.bin": coder };
}

test("each once, and again after a failure", async () => {
  /** @type {Record<string, Uint8Array>} */
  const stored = files();
  const id = sha256(stored["manifest.json"]).slice(0, 6);
  /** @type {string[]} */
  const reads = [];
  let broken = true;
  const sessions = new Sessions({
    packs: (asked) => async (name) => {
      reads.push(`${asked}/${name}`);
      return broken ? null : stored[name];
    },
  });
  assert.equal((await thrown(() => sessions.pack(id))).code, "MissingPackError");
  broken = false;
  const pack = await sessions.pack(id);
  assert.equal(await sessions.pack(id), pack);
  assert.deepEqual(reads, ["manifest.json", "manifest.json", "linear.bin", "coder.bin"].map((name) => `${id}/${name}`));
  assert.equal(sessions.size, 0);
  const session = sessions.session(pack);
  assert.ok(session instanceof GraphNetworks);
  assert.equal(sessions.session(pack), session);
  assert.equal(sessions.session({ ...pack }) === session, false);
  assert.equal(sessions.size, 2);
});

test("the core runs what it has weights for, onnxruntime-web what it has not, and what WebGPU is asked for", async () => {
  const stored = files();
  const id = sha256(stored["manifest.json"]).slice(0, 6);
  /** @type {Record<string, Uint8Array>} */
  const read = stored;
  const pack = await new Sessions({ packs: () => async (name) => read[name] }).pack(id);
  const weighted = { ...pack, coreBytes: async () => new Uint8Array() };
  assert.ok(new Sessions().session(pack) instanceof GraphNetworks);
  assert.ok(new Sessions().session(weighted) instanceof CoreNetworks);
  assert.ok(new Sessions({ provider: "webgpu" }).session(weighted) instanceof CoreNetworks);
  await withGpu(true, async () => assert.ok(new Sessions({ provider: "webgpu" }).session(weighted) instanceof GraphNetworks));
  assert.ok(new Sessions().session({ ...weighted, tiling: { whole: 4096, overlap: 8 } }) instanceof GraphNetworks);
});
