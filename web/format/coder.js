/**
 * The binary arithmetic decoder and its adaptive, logistically mixed probabilities: 32-bit integers only. FORMAT.md ("Coder") is
 * the specification, runtime/format/coder.py the twin. Products that could pass 31 bits are bounded where a pack's tables are parsed.
 */

import { SdzError } from "../errors.js";

/** Largest |stretch(p)|: ln(p / (1 - p)) * 256. */
const STRETCH_LIMIT = 2047;

/** Least probability of a bit, of 65536. */
const PROBABILITY_FLOOR = 24;

/** Weights stay within +-2 (16384 is 1.0): eight products with stretches stay below 2**29. */
const WEIGHT_LIMIT = (1 << 15) - 1;

/** Mixing step: weight += (stretch * error * rate + 2**17) >> 18; a rate is one byte, so the product stays below 2**31. */
const MIX_RATE_SHIFT = 18;
const HALF_STEP = 1 << (MIX_RATE_SHIFT - 1);

const HEAD_BYTES = 8;

/** Largest sum of a channel's |prediction weights|: times 1.5 * 2**15, below 2**31. */
const PREDICTION_LIMIT = 43_690;

export const CROSS_TERMS = 8;
export const PREDICTION_TERMS = 12;
export const ENERGY_LEVELS = 24;
export const INPUTS = 8;

/** How far, in positions, a prediction may reach: the width of the border that planes.js lays around each channel. */
export const BORDER = 2;

/** @param {number} low @param {number} value @param {number} high */
const clamp = (low, value, high) => Math.max(low, Math.min(high, value));

/** stretch(p) for p = (i + 1/2) / 4096. */
const STRETCH = Int32Array.from({ length: 4096 }, (_, i) =>
  clamp(-STRETCH_LIMIT, Math.floor(Math.log((i + 0.5) / (4095.5 - i)) * 256 + 0.5), STRETCH_LIMIT));

/** Inverse of stretch for -2047..2047 (offset 2048), of 65536. */
const SQUASH = Int32Array.from({ length: 4096 }, (_, i) =>
  clamp(PROBABILITY_FLOOR, Math.floor(65536 / (1 + Math.exp((2048 - i) / 256)) + 0.5), 65536 - PROBABILITY_FLOOR));

/** Adaptation rate of a state that has seen n bits, of 65536. The first, halved below, is the only one that passes 2**15. */
const RATES = Int32Array.from({ length: 256 }, (_, n) => Math.floor(65536 / (n + 1.5)));

/**
 * Where each kind of context state and each mixing weight set begins; the order and sizes are listed in FORMAT.md ("Contexts").
 * @param {number} channels
 */
export function tableLayout(channels) {
  /** @param {number[]} sizes @param {number} unit */
  const starts = (sizes, unit) => sizes.reduce((list, size) => [...list, list[list.length - 1] + size * unit], [0]);
  const bases = starts(
    [
      channels * ENERGY_LEVELS, 12 * 12 * 4, channels * 16, channels * 16, 12 * ENERGY_LEVELS, channels * 12, 8 * 8 * 4,
      channels * 9, channels * 11, channels * 9, channels * 3, ENERGY_LEVELS * 3, channels * 9, channels * 16,
    ],
    1,
  );
  const setBases = starts([ENERGY_LEVELS, channels, 11, channels, ENERGY_LEVELS, channels], INPUTS);
  return { bases, setBases };
}

/**
 * @typedef {object} CoderTables what a pack's coder knows before the first bit; field by field as in runtime/format/coder.py
 * @property {number} channels
 * @property {number} mixRate
 * @property {number} countLimit
 * @property {Int16Array} order (C,) how many eighths of a plane a channel's passes are brought forward
 * @property {Uint8Array} energySpace (C, 6)
 * @property {Uint8Array} energyCrossChannel (C, 8)
 * @property {Uint8Array} energyCross (C, 8)
 * @property {Uint8Array} predictionChannel (C, 12)
 * @property {Int8Array} predictionDy (C, 12)
 * @property {Int8Array} predictionDx (C, 12)
 * @property {Int16Array} prediction (C, 12), 256 is 1.0
 * @property {Uint16Array} energyThresholds (23,)
 * @property {Uint16Array} probability (S,) starting states
 * @property {Uint8Array} count (S,)
 * @property {Int16Array} weights (W,) starting mixing weights
 */

/**
 * Reads the arrays of a pack's tables one after the other, little-endian: `take` the next, `end` when that was all.
 * @param {Uint8Array} data @param {number} at where they begin @param {(problem: string) => never} fail for too few or too many bytes
 */
export function arrayReader(data, at, fail) {
  return {
    /** @template {Uint8Array | Int8Array | Uint16Array | Int16Array} T @param {new (buffer: ArrayBuffer) => T} kind @param {number} length */
    take(kind, length) {
      const bytes = length * /** @type {{BYTES_PER_ELEMENT: number}} */ (/** @type {unknown} */ (kind)).BYTES_PER_ELEMENT;
      if (at + bytes > data.length) fail(`end too early (byte ${data.length})`);
      // a copy: the array may start at an odd byte
      const part = data.slice(at, (at += bytes));
      return new kind(/** @type {ArrayBuffer} */ (part.buffer));
    },
    end() {
      if (at !== data.length) fail(`have ${data.length - at} bytes too many`);
    },
  };
}

/**
 * Parses coder.bin: magic, channels u8, a zero, mixing rate u8, count limit u8, then every array in the order above, little-endian, C order.
 * @param {Uint8Array} data
 * @returns {CoderTables}
 * @throws {SdzError} CorruptPackError
 */
export function parseTables(data) {
  /** @param {string} problem @returns {never} */
  const fail = (problem) => {
    throw new SdzError("CorruptPackError", `coder tables ${problem}; rebuild the pack`);
  };
  if (data.length < HEAD_BYTES || String.fromCharCode(...data.subarray(0, 4)) !== "sdzT") fail("do not begin with 'sdzT'");
  const channels = data[4];
  const { bases, setBases } = tableLayout(channels);
  const { take, end } = arrayReader(data, HEAD_BYTES, fail);
  /** @type {CoderTables} */
  const tables = {
    channels,
    mixRate: data[6],
    countLimit: data[7],
    order: take(Int16Array, channels),
    energySpace: take(Uint8Array, channels * 6),
    energyCrossChannel: take(Uint8Array, channels * CROSS_TERMS),
    energyCross: take(Uint8Array, channels * CROSS_TERMS),
    predictionChannel: take(Uint8Array, channels * PREDICTION_TERMS),
    predictionDy: take(Int8Array, channels * PREDICTION_TERMS),
    predictionDx: take(Int8Array, channels * PREDICTION_TERMS),
    prediction: take(Int16Array, channels * PREDICTION_TERMS),
    energyThresholds: take(Uint16Array, ENERGY_LEVELS - 1),
    probability: take(Uint16Array, bases[bases.length - 1]),
    count: take(Uint8Array, bases[bases.length - 1]),
    weights: take(Int16Array, setBases[setBases.length - 1]),
  };
  end();
  if (channels === 0 || [...tables.energyCrossChannel, ...tables.predictionChannel].some((c) => c >= channels)) {
    fail("name a channel that does not exist");
  }
  if ([...tables.predictionDy, ...tables.predictionDx].some((d) => Math.abs(d) > BORDER)) fail("reach further than two positions");
  for (let c = 0; c < channels; c++) {
    const row = tables.prediction.subarray(c * PREDICTION_TERMS, (c + 1) * PREDICTION_TERMS);
    if (row.reduce((sum, weight) => sum + Math.abs(weight), 0) > PREDICTION_LIMIT) fail(`predict channel ${c} with weights too large`);
  }
  return tables;
}

/** Bits from bytes, each with the probability that the mixed states of its context give it. */
export class Decoder {
  /**
   * @param {Uint8Array} data the payload, whole or cut
   * @param {Pick<CoderTables, "mixRate" | "countLimit" | "probability" | "count" | "weights">} tables
   */
  constructor(data, tables) {
    this.data = data;
    this.position = 0;
    this.low = 0;
    this.high = -1;
    this.code = 0;
    /** Mask of the bits of `code` that lie behind the end of the data. */
    this.unknown = 0;
    /** Set when the bytes at hand do not determine the next bit. */
    this.stopped = false;
    for (let i = 0; i < 4; i++) this.shiftIn();
    this.rate = tables.mixRate;
    this.countLimit = tables.countLimit;
    this.probability = tables.probability.slice();
    this.count = tables.count.slice();
    this.weights = tables.weights.slice();
    /** States of the decision at hand: the caller fills in the first n. */
    this.slot = new Int32Array(INPUTS);
    this.stretched = new Int32Array(INPUTS);
  }

  shiftIn() {
    const known = this.position < this.data.length;
    this.code = (this.code << 8) | (known ? this.data[this.position] : 0);
    this.unknown = (this.unknown << 8) | (known ? 0 : 0xff);
    this.position++;
  }

  /**
   * The next bit, or 0 with `stopped` set. Interval bounds are unsigned 32-bit numbers kept in signed ones.
   * @param {number} p probability of a one, of 65536
   * @returns {number}
   */
  decodeBit(p) {
    let low = this.low;
    let high = this.high;
    const range = (high - low) | 0;
    const middle = (low + Math.imul(range >>> 16, p) + (Math.imul(range & 0xffff, p) >>> 16)) | 0;
    const bit = this.code >>> 0 <= middle >>> 0 ? 1 : 0;
    // missing bytes may be anything: the bit is known only if all of them agree on it
    if (this.unknown !== 0 && ((this.code | this.unknown) >>> 0 <= middle >>> 0 ? 1 : 0) !== bit) {
      this.stopped = true;
      return 0;
    }
    if (bit) high = middle;
    else low = (middle + 1) | 0;
    while (((low ^ high) & 0xff000000) === 0) {
      low <<= 8;
      high = (high << 8) | 0xff;
      this.shiftIn();
    }
    this.low = low;
    this.high = high;
    return bit;
  }

  /**
   * Decodes one decision from the `n` states in `slot` and two weight sets, and updates all of them.
   * @param {number} n @param {number} setA @param {number} setB
   * @returns {number} the bit, or 0 with `stopped` set
   */
  decide(n, setA, setB) {
    const { slot, stretched, probability, count, weights } = this;
    let dotA = weights[setA + n] << 8;
    let dotB = weights[setB + n] << 8;
    for (let i = 0; i < n; i++) {
      const s = STRETCH[probability[slot[i]] >> 4];
      stretched[i] = s;
      dotA = (dotA + Math.imul(weights[setA + i], s)) | 0;
      dotB = (dotB + Math.imul(weights[setB + i], s)) | 0;
    }
    stretched[n] = 256;
    dotA >>= 14;
    dotB >>= 14;
    const a = dotA > STRETCH_LIMIT ? STRETCH_LIMIT : dotA < -STRETCH_LIMIT ? -STRETCH_LIMIT : dotA;
    const b = dotB > STRETCH_LIMIT ? STRETCH_LIMIT : dotB < -STRETCH_LIMIT ? -STRETCH_LIMIT : dotB;
    const bit = this.decodeBit(SQUASH[((a + b) >> 1) + 2048]);
    if (this.stopped) return 0;
    const target = bit << 12;
    const errorA = Math.imul(target - (SQUASH[a + 2048] >> 4), this.rate);
    const errorB = Math.imul(target - (SQUASH[b + 2048] >> 4), this.rate);
    for (let i = 0; i <= n; i++) {
      const s = stretched[i];
      const wA = weights[setA + i] + ((Math.imul(s, errorA) + HALF_STEP) >> MIX_RATE_SHIFT);
      weights[setA + i] = wA > WEIGHT_LIMIT ? WEIGHT_LIMIT : wA < -WEIGHT_LIMIT ? -WEIGHT_LIMIT : wA;
      const wB = weights[setB + i] + ((Math.imul(s, errorB) + HALF_STEP) >> MIX_RATE_SHIFT);
      weights[setB + i] = wB > WEIGHT_LIMIT ? WEIGHT_LIMIT : wB < -WEIGHT_LIMIT ? -WEIGHT_LIMIT : wB;
    }
    const full = bit * 65535;
    for (let i = 0; i < n; i++) {
      const k = slot[i];
      const c = count[k];
      const p = probability[k];
      probability[k] = p + (c === 0 ? Math.imul(full - p, RATES[0] >> 1) >> 15 : Math.imul(full - p, RATES[c]) >> 16);
      if (c < this.countLimit) count[k] = c + 1;
    }
    return bit;
  }
}
