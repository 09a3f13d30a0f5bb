/** Gives the fuzzer's kept inputs (core/fuzz.c) to its WebAssembly build: `node replay.js fuzz.wasm SEEDS KEPT` says how many verdicts differ. */

import { readFileSync } from "node:fs";

const [wasm, seeds, kept] = process.argv.slice(2).map((path) => readFileSync(path));
const { instance } = await WebAssembly.instantiate(wasm);
const exports = /** @type {any} */ (instance.exports);

/** @param {Uint8Array} data @returns {number} where a copy of it stands in the core */
function give(data) {
  const at = exports.sdz_alloc(data.length);
  new Uint8Array(exports.memory.buffer).set(data, at);
  return at;
}

/** @param {Buffer} data @param {boolean} verdicts @returns {Generator<[Buffer, bigint]>} */
function* records(data, verdicts) {
  for (let at = 0; at < data.length; ) {
    const body = data.subarray(at + 4, at + 4 + data.readUInt32LE(at));
    at += 4 + body.length;
    yield [body, verdicts ? data.readBigUInt64LE(at) : 0n];
    if (verdicts) at += 8;
  }
}

let number = 0;
for (const [body] of records(seeds, false)) {
  if (number === 4) break;
  const at = give(body);
  if (exports.fuzz_setup("TILN".charCodeAt(number++), at, body.length) !== 1) throw new Error("the set-up was refused");
  exports.sdz_free(at);
}
exports.sdz_limit(2 ** 28);
let [count, wrong] = [0, 0];
for (const [body, verdict] of records(kept, true)) {
  const at = give(body);
  if (BigInt.asUintN(64, exports.fuzz_case(at, body.length)) !== verdict) wrong++;
  exports.sdz_free(at);
  count++;
}
console.log(`${count} verdicts, ${wrong} differ`);
