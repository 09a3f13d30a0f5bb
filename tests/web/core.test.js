/** The exact core in Node: the shared vectors to the same integers and pixels, both directions, typed errors, bounded memory. */

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { before, test } from "node:test";

import { find, parse } from "../../web/format/container.js";
import { Core, compileCore } from "../../web/core.js";
import { SdzError } from "../../web/errors.js";
import { inflate } from "../../web/format/inflate.js";
import { channelSteps } from "../../web/quantizer.js";
import { sha256 } from "./support.js";

/** @param {string} path */
const read = (path) => new Uint8Array(readFileSync(new URL(path, import.meta.url)));
/** @param {string} path */
const json = (path) => JSON.parse(new TextDecoder().decode(read(path)));
const VECTORS = "../vectors/";
/** @param {string} kind */
const names = (kind) =>
  readdirSync(new URL(VECTORS + kind, import.meta.url))
    .filter((name) => name.endsWith(".sdz"))
    .map((name) => name.slice(0, -4));

const parameters = json(`${VECTORS}pack/pack.json`);
const octaves = Int32Array.from(json(`${VECTORS}pack/octaves.json`));
const pack = {
  channels: parameters.channels,
  patch: 16,
  linearShift: parameters.linear_shift,
  l1Limit: parameters.l1_limit,
  reconstruction: parameters.reconstruction,
};

/** @type {WebAssembly.Module} */
let module;
before(async () => {
  module = await compileCore(read("../../core/sdz.wasm"));
});

/** What the core makes of a file's latents, as the vector's JSON has it. @param {Core} core @param {Uint8Array} data */
function expected(core, data) {
  const container = parse(data);
  const { header } = container;
  const [h, w] = [Math.ceil(header.height / 16), Math.ceil(header.width / 16)];
  const tables = core.tables(read(`${VECTORS}pack/coder.bin`));
  const payload = find(container, "L")?.payload ?? new Uint8Array();
  const picture = core.decode(tables, payload, h, w, header.stepIndex, header.tilt, find(container, "R")?.payload);
  core.quantization(picture, Uint8Array.from(channelSteps(header, octaves, pack.channels)), pack.reconstruction, pack.l1Limit);
  const { values, plane } = core.known(picture, core.facts(picture));
  for (const handle of [picture, tables]) core.free(handle);
  return { values, plane };
}

test("every valid vector gives the integers that its JSON has, and nothing stays in the core", async () => {
  const core = await Core.start(module);
  const idle = core.held();
  for (const name of names("valid")) {
    const { values, plane } = expected(core, read(`${VECTORS}valid/${name}.sdz`));
    const told = json(`${VECTORS}valid/${name}.json`);
    assert.equal(sha256(values.map(Math.abs), Uint8Array.from(values, (value) => Number(value < 0)), plane), told.known.sha256, name);
  }
  assert.equal(core.held(), idle);
});

test("the guard halves the positions that sum to more", async () => {
  const core = await Core.start(module);
  assert.deepEqual([...core.guard(Int32Array.of(5, 600, -7, 800), 2, 1000)], [5, 300, -7, 400]);
  assert.ok(core.reserved() >= core.held());
});

test("what is encoded comes back", async () => {
  const core = await Core.start(module);
  const tables = core.tables(read(`${VECTORS}pack/coder.bin`));
  const source = Int32Array.from({ length: pack.channels * 6 }, (_, i) => ((i * 2654435761) % 511) - 255);
  const payload = core.encode(tables, source, 2, 3, 40, 0, 10_000);
  const picture = core.decode(tables, payload, 2, 3, 40);
  const facts = core.facts(picture);
  assert.deepEqual(facts, { kind: "T", channels: pack.channels, rows: 2, columns: 3, planes: 9, complete: true, codes: 0, upper: 0 });
  assert.deepEqual(core.known(picture, facts).values, source);
});

test("palettes are the vectors' too", async () => {
  const core = await Core.start(module);
  for (const name of names("palette")) {
    const told = json(`${VECTORS}palette/${name}.json`);
    if (told.error) continue;
    const container = parse(read(`${VECTORS}palette/${name}.sdz`));
    const [h, w] = [Math.ceil(container.header.height / 16), Math.ceil(container.header.width / 16)];
    const chunk = find(container, "P");
    const raw = chunk ? await inflate(chunk.payload, 2 ** 20) : null;
    const picture = core.palette(raw, pack.channels, h, w);
    assert.equal(core.facts(picture).complete, told.known.complete, name);
    core.free(picture);
  }
});

test("tables that are not good are refused by name, and the instance goes on", async () => {
  const core = await Core.start(module);
  const good = read(`${VECTORS}pack/coder.bin`);
  const idle = core.held();
  /** @param {(bytes: Uint8Array) => Uint8Array | void} spoil @param {RegExp} message */
  const refused = (spoil, message) => {
    const bytes = good.slice();
    const spoilt = spoil(bytes) ?? bytes;
    assert.throws(() => core.tables(spoilt), (error) => error instanceof SdzError && error.code === "CorruptPackError" && message.test(error.message));
  };
  refused((bytes) => void (bytes[0] = 0), /begin with neither/);
  refused((bytes) => bytes.slice(0, -1), /too short or too long/);
  refused((bytes) => void (bytes[4] = 0), /channel/);
  refused((bytes) => void bytes.fill(255, 8 + pack.channels * 10, 8 + pack.channels * 11), /channel that does not exist/);
  refused((bytes) => void bytes.fill(127, 10, 12), /near and far passes of channel 0/);
  assert.equal(core.held(), idle);
  assert.ok(core.tables(good));
});

test("memory beyond the limit is a LimitError, and the instance is given up", async () => {
  const small = await Core.start(module, 2 ** 20);
  const tables = small.tables(read(`${VECTORS}pack/coder.bin`));
  assert.throws(
    () => small.decode(tables, new Uint8Array(), 1024, 1024, 0),
    (error) => error instanceof SdzError && error.code === "LimitError" && error.field === "memory",
  );
  assert.equal(small.usable, false);
  assert.throws(() => small.held(), (error) => error instanceof SdzError && error.code === "CoreError");
});

test("more latents than 2**27 are a LimitError, and nothing is allocated", async () => {
  const core = await Core.start(module);
  const tables = core.tables(read(`${VECTORS}pack/coder.bin`));
  const idle = core.held();
  assert.throws(
    () => core.decode(tables, new Uint8Array(), 1496, 1496, 0),
    (error) => error instanceof SdzError && error.code === "LimitError" && error.field === "width × height" && /more than 134217728 latents/.test(error.message),
  );
  assert.equal(core.held(), idle);
  core.free(core.decode(tables, new Uint8Array(), 1495, 1496, 0));
  assert.equal(core.held(), idle);
});

test("a trap is a CoreError", async () => {
  const core = await Core.start(module);
  const unreachable = () => {
    throw new WebAssembly.RuntimeError("unreachable");
  };
  core.exports = /** @type {import("../../web/core.js").Exports} */ (/** @type {unknown} */ ({ ...core.exports, sdz_guard: unreachable }));
  assert.throws(() => core.call("sdz_guard"), (error) => error instanceof SdzError && error.code === "CoreError" && /unreachable/.test(error.message));
  assert.equal(core.usable, false);
});
