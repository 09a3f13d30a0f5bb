/** What the tests share: the checkout's core, hashing as the vectors do, and bytes to build files from. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

import { useCore } from "../../web/engine.js";
import { useExact } from "../../web/work/exact.js";

useExact(async () => new Uint8Array(readFileSync(new URL("../../core/lossless.wasm", import.meta.url))));
useCore(async () => new Uint8Array(readFileSync(new URL("../../core/sdz.wasm", import.meta.url))));

/** @param {...(ArrayBufferView)} arrays @returns {string} SHA-256 of their bytes one after the other, hexadecimal */
export function sha256(...arrays) {
  const hash = createHash("sha256");
  for (const { buffer, byteOffset, byteLength } of arrays) hash.update(new Uint8Array(/** @type {ArrayBuffer} */ (buffer), byteOffset, byteLength));
  return hash.digest("hex");
}

/**
 * What a promise or a function throws.
 * @param {() => unknown} run
 * @returns {Promise<any>}
 */
export async function thrown(run) {
  try {
    await run();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

/** @param {Uint8Array} bytes @returns {number} CRC-32, bit by bit: independent of the decoder's table */
function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

/** @param {number} value @returns {number[]} LEB128 */
export const varint = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...varint(Math.floor(value / 128))]);

/**
 * A file's bytes.
 * @param {{width?: number, height?: number, stepIndex?: number, packId?: string, flags?: number, realism?: number}} header flags: the upper half of the version's byte
 * @param {[string, ArrayLike<number>][]} chunks
 * @returns {Uint8Array}
 */
export function file({ width = 20, height = 10, stepIndex = 48, packId = "010203", flags = 0, realism = 16 }, chunks = []) {
  const id = [0, 2, 4].map((at) => parseInt(packId.slice(at, at + 2), 16));
  const alone = chunks.length === 1 && chunks[0][0] === "L";
  const part = realism < 16 ? [realism] : [];
  const header = [0x53, 0x44, 0x5a, 2 | flags | (part.length ? 8 : 0), ...id, stepIndex | (alone ? 128 : 0), ...part, ...varint(width - 1), ...varint(height - 1)];
  const out = [...header];
  for (const [tag, payload] of chunks) {
    const code = alone ? [] : [tag.charCodeAt(0)];
    const crc = crc32(Uint8Array.from([...header, ...code, ...Array.from(payload)]));
    out.push(...code, ...varint(payload.length), ...(alone ? [0, 8] : [0, 8, 16, 24]).map((shift) => (crc >>> shift) & 255), ...Array.from(payload));
  }
  return Uint8Array.from(out);
}

/** Coder tables for `channels` channels that know nothing: even odds, equal weights. @param {number} channels */
export function neutralTables(channels) {
  // FORMAT.md, "Contexts": states that each channel has, states that all share; sets of eight weights
  const states = channels * (24 + 16 + 16 + 12 + 9 + 11 + 9 + 3 + 9 + 16) + 12 * 12 * 4 + 12 * 24 + 8 * 8 * 4 + 24 * 3 + 32;
  const weights = 8 * (24 + 11 + 24 + 3 * channels);
  const sizes = [4, 6, 8, 8, 12, 12, 12, 24].map((bytes) => bytes * channels);
  const out = new Uint8Array(8 + sizes.reduce((a, b) => a + b) + 46 + 3 * states + 2 * weights);
  out.set([0x73, 0x64, 0x7a, 0x54, channels, 0, 3, 127]);
  const view = new DataView(out.buffer);
  let at = 8 + sizes.reduce((a, b) => a + b);
  // thresholds of the energy
  for (let i = 1; i < 24; i++, at += 2) view.setUint16(at, 8 * i, true);
  for (let i = 0; i < states; i++, at += 2) view.setUint16(at, 32768, true);
  at += states;
  for (let i = 0; i < weights; i++, at += 2) view.setInt16(at, 4096, true);
  return out;
}

/** The codebook entry of each node that is a leaf, -1 of the others. @param {Int32Array} nodes @param {number} entries of the codebook */
export function entriesOf(nodes, entries) {
  /** @type {Map<number, number>} */
  const leaves = new Map();
  /** @param {number} node @param {number} first @param {number} count */
  const split = (node, first, count) => {
    if (count === 1) return void leaves.set(node, first);
    const half = (count + 1) >> 1;
    split(2 * node, first, half);
    split(2 * node + 1, first + half, count - half);
  };
  split(1, 0, entries);
  return nodes.map((node) => leaves.get(node) ?? -1);
}

/** With a navigator that has WebGPU, or has not. @param {boolean} present @param {() => Promise<void>} run */
export async function withGpu(present, run) {
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { value: present ? { gpu: {} } : {}, configurable: true });
  try {
    await run();
  } finally {
    if (before) Object.defineProperty(globalThis, "navigator", before);
    else Reflect.deleteProperty(globalThis, "navigator");
  }
}
