/**
 * Parses the container: bytes -> header and chunks, whose payloads it does not interpret. The layout is specified in FORMAT.md and at the
 * top of the twin, runtime/format/container.py.
 */

import { SdzError } from "../errors.js";
import { FULL_STRENGTH, MAX_ALT_BYTES, MAX_CHUNKS, MAX_EXIF_BYTES, MAX_SIDE, MAX_STEP_INDEX, MAX_TILT, MAX_VARINT_BYTES } from "../limits.js";

/**
 * @typedef {object} Header
 * @property {number} width pixels, 1..16384
 * @property {number} height pixels, 1..16384
 * @property {number} stepIndex 0..80
 * @property {string} packId 6 hexadecimal digits
 * @property {boolean} grey
 * @property {number} tilt -3..3, how much finer the steps become from one octave of frequency to the next
 * @property {number} realism 0..16, how many sixteenths of the denoiser's moves the file is meant to be shown with
 *
 * @typedef {object} Chunk `complete` is false where the end of the data cuts it; `payload` then holds what there is
 * @property {string} tag
 * @property {Uint8Array} payload
 * @property {boolean} complete
 * @property {number} offset position of the tag, or of the length where the only chunk has none
 * @property {number} start position of the payload
 *
 * @typedef {{header: Header, chunks: Chunk[], headerBytes: number}} Container
 */

export const LATENTS = "L";
export const PALETTE_LATENTS = "P";
export const ALPHA = "A";
export const ALT_TEXT = "T";
export const LOSSLESS = "X";
export const EXIF = "E";
export const REGIONS = "R";

/** Length of the longest header: once this many bytes have arrived, a header that is still incomplete is an error. */
export const MAX_HEADER_BYTES = 9 + 2 * MAX_VARINT_BYTES;

const VERSION = 2;
const FLAG_REALISM = 8;
const FLAG_GREY = 16;
const TILT_SHIFT = 5;
const FLAG_ALONE = 128;

/** @type {Record<string, string>} */
const TAGS = { L: "latents", P: "palette latents", A: "alpha", R: "regions", T: "alternative text", X: "lossless tail", E: "EXIF" };

/** @type {Record<string, number>} */
const MAX_PAYLOAD = { T: MAX_ALT_BYTES, E: MAX_EXIF_BYTES };

/** Reflected CRC-32 of every byte (polynomial 0xEDB88320, zlib's). */
const CRC_TABLE = new Int32Array(256).map((_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

/** @param {Uint8Array[]} parts @returns {number} zlib's CRC-32 of their concatenation */
function crc32(...parts) {
  let crc = -1;
  for (const part of parts) {
    for (let i = 0; i < part.length; i++) crc = CRC_TABLE[(crc ^ part[i]) & 0xff] ^ (crc >>> 8);
  }
  return ~crc >>> 0;
}

/** @param {number} value @param {number} digits */
const hex = (value, digits) => value.toString(16).padStart(digits, "0");

/**
 * Reads a varint at `offset`: its value and the offset after it, or null where the data ends inside it.
 * @param {Uint8Array} data @param {number} offset @param {string} field
 * @returns {[number, number] | null}
 */
function readVarint(data, offset, field) {
  let value = 0;
  for (let i = 0; i < MAX_VARINT_BYTES; i++) {
    if (offset + i >= data.length) return null;
    const byte = data[offset + i];
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) {
      if (byte === 0 && i > 0) {
        throw new SdzError("CorruptFileError", "a varint is longer than its value needs", { offset, field });
      }
      if (value >= 2 ** 32) break;
      return [value, offset + i + 1];
    }
  }
  throw new SdzError("CorruptFileError", "a varint exceeds 32 bits", { offset, field });
}

/** @param {Uint8Array} data @returns {[Header, number, boolean]} the header, its size in bytes, and whether one chunk without a tag follows */
function readHeader(data) {
  if (data[0] !== 0x53 || data[1] !== 0x44 || data[2] !== 0x5a) {
    throw new SdzError("NotAnSdzError", "not an .sdz file: it does not begin with 'SDZ'");
  }
  const cut = `the file ends at byte ${data.length}, inside the header`;
  const tilt = ((data[3] >> TILT_SHIFT) ^ 4) - 4;
  for (const [field, offset, size] of /** @type {[string, number, number][]} */ (
    [["version", 3, 1], ["pack id", 4, 3], ["step index", 7, 1]])) {
    if (data.length < offset + size) throw new SdzError("CorruptFileError", cut, { offset, field });
    if (offset > 3) continue;
    const version = data[3] & 7;
    if (version !== VERSION) {
      throw new SdzError("UnsupportedVersionError", `version ${version} of the format is not supported (this decoder reads ${VERSION})`);
    }
    // three bits in two's complement
    if (Math.abs(tilt) > MAX_TILT) {
      throw new SdzError("CorruptFileError", `${tilt} is not in -${MAX_TILT}..${MAX_TILT}`, { offset: 3, field: "tilt" });
    }
  }
  const stepIndex = data[7] & ~FLAG_ALONE;
  if (stepIndex > MAX_STEP_INDEX) {
    throw new SdzError("CorruptFileError", `${stepIndex} is over ${MAX_STEP_INDEX}`, { offset: 7, field: "step index" });
  }
  let [realism, offset] = [FULL_STRENGTH, 8];
  if (data[3] & FLAG_REALISM) {
    if (data.length === offset) throw new SdzError("CorruptFileError", cut, { offset, field: "realism" });
    realism = data[offset++];
    if (realism >= FULL_STRENGTH) {
      throw new SdzError("CorruptFileError", `${realism} is not below ${FULL_STRENGTH}`, { offset: 8, field: "realism" });
    }
  }
  const sides = [];
  for (const field of ["width", "height"]) {
    const read = readVarint(data, offset, field);
    if (!read) throw new SdzError("CorruptFileError", cut, { offset, field });
    if (read[0] >= MAX_SIDE) {
      throw new SdzError("LimitError", `${read[0] + 1} pixels, at most ${MAX_SIDE} are allowed`, { offset, field });
    }
    sides.push(read[0] + 1);
    offset = read[1];
  }
  const packId = hex(new DataView(data.buffer, data.byteOffset).getUint32(3) & 0xffffff, 6);
  const grey = (data[3] & FLAG_GREY) !== 0;
  return [{ width: sides[0], height: sides[1], stepIndex, packId, grey, tilt, realism }, offset, data[7] > stepIndex];
}

/**
 * Reads the chunk whose tag, or where it stands alone whose length, is at `offset`.
 * @param {Uint8Array} data @param {number} offset @param {Set<string>} seen @param {number} headerBytes @param {boolean} alone
 * @returns {Chunk}
 */
function readChunk(data, offset, seen, headerBytes, alone) {
  const lengthOffset = offset + (alone ? 0 : 1);
  const tag = alone ? LATENTS : String.fromCharCode(data[offset]);
  if (seen.has(tag)) throw new SdzError("CorruptFileError", `a second ${TAGS[tag]} chunk`, { offset, field: "chunk tag" });
  const read = readVarint(data, lengthOffset, "chunk length");
  if (!read) return { tag, payload: data.subarray(data.length), complete: false, offset, start: data.length };
  const [length, crcOffset] = read;
  if (length > (MAX_PAYLOAD[tag] ?? length)) {
    const problem = `${length} bytes of ${TAGS[tag]}, at most ${MAX_PAYLOAD[tag]} are allowed`;
    throw new SdzError("LimitError", problem, { offset: lengthOffset, field: "chunk length" });
  }
  const start = crcOffset + (alone ? 2 : 4);
  const payload = data.subarray(start, start + length);
  if (start > data.length || payload.length < length) {
    return { tag, payload, complete: false, offset, start: Math.min(start, data.length) };
  }
  const view = new DataView(data.buffer, data.byteOffset);
  const stated = alone ? view.getUint16(crcOffset, true) : view.getUint32(crcOffset, true);
  const whole = crc32(data.subarray(0, headerBytes), data.subarray(offset, lengthOffset), payload);
  const actual = alone ? whole & 0xffff : whole;
  if (actual !== stated) {
    const digits = alone ? 4 : 8;
    const problem = `chunk '${tag}' has CRC ${hex(actual, digits)}, stated is ${hex(stated, digits)}`;
    throw new SdzError("CorruptFileError", problem, { offset: crcOffset, field: "chunk crc" });
  }
  if (tag === ALT_TEXT) decodeText(payload, start);
  return { tag, payload, complete: true, offset, start };
}

/** @param {Uint8Array} payload @returns {string | null} null where it is not UTF-8 */
function utf8(payload) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(payload);
  } catch {
    return null;
  }
}

/** @param {Uint8Array} payload @param {number} start @returns {string} */
function decodeText(payload, start) {
  const text = utf8(payload);
  if (text !== null) return text;
  let end = payload.length - 1;
  while (utf8(payload.subarray(0, end)) === null) end--;
  throw new SdzError("CorruptFileError", "the text is not UTF-8", { offset: start + end, field: "alternative text" });
}

/**
 * Reads a whole .sdz file, or any prefix of one that contains the header. Payloads are views of `data`, not copies.
 * @param {Uint8Array} data
 * @returns {Container}
 * @throws {SdzError} NotAnSdzError, UnsupportedVersionError, LimitError or CorruptFileError
 */
export function parse(data) {
  const [header, headerBytes, alone] = readHeader(data);
  const chunks = [];
  const seen = /** @type {Set<string>} */ (new Set());
  for (let offset = headerBytes; offset < data.length; ) {
    if (chunks.length === MAX_CHUNKS) {
      throw new SdzError("LimitError", `more than ${MAX_CHUNKS} chunks`, { offset, field: "chunk tag" });
    }
    if (alone && chunks.length) throw new SdzError("CorruptFileError", "bytes behind the only chunk", { offset, field: "chunk tag" });
    const chunk = readChunk(data, offset, seen, headerBytes, alone);
    chunks.push(chunk);
    if (chunk.tag === REGIONS && seen.has(LATENTS)) {
      throw new SdzError("CorruptFileError", "the regions stand behind the latents", { offset, field: "chunk tag" });
    }
    if (chunk.tag in TAGS) seen.add(chunk.tag);
    offset = chunk.complete ? chunk.start + chunk.payload.length : data.length;
  }
  return { header, chunks, headerBytes };
}

/**
 * The chunk with that tag, where the file has a usable one: a complete one, or any part of the latents or of the lossless tail.
 * @param {Container} container @param {string} tag
 * @returns {Chunk | undefined}
 */
export function find(container, tag) {
  return container.chunks.find((chunk) => chunk.tag === tag && (chunk.complete || tag === LATENTS || tag === LOSSLESS));
}

/**
 * Where the lossless tail begins, behind all of the latents that it builds on.
 * @param {Container} container @returns {number} -1 where there is none yet
 */
export function tailStart({ chunks }) {
  const at = chunks.findIndex(({ tag }) => tag === LOSSLESS);
  return chunks.slice(0, at + 1).some(({ tag, complete }) => complete && (tag === LATENTS || tag === PALETTE_LATENTS)) ? chunks[at].offset : -1;
}

/** @param {Container} container @returns {string | undefined} the file's alternative text, where it carries one */
export function altText(container) {
  const chunk = find(container, ALT_TEXT);
  return chunk && decodeText(chunk.payload, chunk.start);
}
