/**
 * The wall before onnxruntime-web: an ONNX file that would read other files, or loop, is refused before it is loaded. Walks its protobuf messages
 * by hand, as far as tensors may stand. The twin of runtime/onnx_files.py.
 */

import { SdzError } from "../errors.js";

/** Where tensors stand in an ONNX file (onnx.proto3): message -> field number -> message. @type {Record<string, Record<number, string>>} */
const INNER = {
  model: { 7: "graph", 25: "function" },
  graph: { 1: "node", 5: "tensor", 15: "sparse" },
  function: { 7: "node", 11: "attribute" },
  node: { 5: "attribute" },
  attribute: { 5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse" },
  sparse: { 1: "tensor", 2: "tensor" },
  tensor: {},
};

/** Operators that repeat a graph as often as a number in it says: no network of a decoder needs them. */
const LOOPS = ["Loop", "Scan"];

const OPERATOR = 4;
const EXTERNAL_DATA = 13;
const DATA_LOCATION = 14;

/** Messages inside one another: far more than a graph needs. */
const MAX_DEPTH = 100;

/** @param {string} name of the graph @param {string} problem */
const corrupt = (name, problem) => new SdzError("CorruptPackError", `the pack's graph '${name}': ${problem}; rebuild or deploy the pack again`);

/** @param {Uint8Array} bytes an ONNX file @param {string} name @throws {SdzError} CorruptPackError where it is none, or does what none may */
export function refuseUnsafe(bytes, name) {
  if (!walk(bytes, "model", name, 0)) throw corrupt(name, "not an ONNX file");
}

/** @param {Uint8Array} message @param {string} kind @param {string} name @param {number} depth @returns {boolean} whether it is well-formed */
function walk(message, kind, name, depth) {
  if (depth > MAX_DEPTH) return false;
  let at = 0;
  /** @returns {number} NaN where there is none */
  const varint = () => {
    for (let value = 0, scale = 1, count = 0; count < 10; count++, scale *= 128) {
      const byte = message[at++];
      if (byte === undefined) return NaN;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    return NaN;
  };
  while (at < message.length) {
    const key = varint();
    // parsers drop what is beyond 32 bits, and would see another field than this walk
    if (!(key < 2 ** 32)) return false;
    const [field, wire] = [Math.floor(key / 8), key % 8];
    if (kind === "tensor" && (field === EXTERNAL_DATA || field === DATA_LOCATION)) {
      throw corrupt(name, "a tensor is kept outside the file");
    }
    if (wire === 0) {
      if (Number.isNaN(varint())) return false;
    } else if (wire === 1 || wire === 5) {
      at += wire === 1 ? 8 : 4;
    } else if (wire === 2) {
      const size = varint();
      if (!(size <= message.length - at)) return false;
      const inner = message.subarray(at, at + size);
      const operator = kind === "node" && field === OPERATOR ? String.fromCharCode(...inner.subarray(0, 8)) : "";
      if (LOOPS.includes(operator)) throw corrupt(name, `operator ${operator} may run for ever`);
      const next = INNER[kind][field];
      if (next && !walk(inner, next, name, depth + 1)) return false;
      at += size;
    } else {
      return false;
    }
  }
  return at === message.length;
}
