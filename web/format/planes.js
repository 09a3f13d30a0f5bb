/**
 * Embedded bit-planes -> integer latents: contexts, pass order, and what a prefix leaves known; then integers -> values in GRID
 * units with their intervals. The model of each decision is in FORMAT.md ("Contexts"); runtime/format/planes.py is the twin.
 */

import { BORDER, CROSS_TERMS, Decoder, ENERGY_LEVELS, INPUTS, PREDICTION_TERMS, tableLayout } from "./coder.js";
import { MAX_STEP_INDEX } from "../limits.js";

/** @import { CoderTables } from "./coder.js" */

/**
 * @typedef {object} Known what a prefix tells of latents (C, h, w)
 * @property {Uint16Array} magnitude with unknown low bits zero
 * @property {Uint8Array} negative 1 where the sign is minus
 * @property {Uint8Array} plane the lowest plane known of each latent
 * @property {boolean} complete whether nothing was cut
 * @property {number} channels
 * @property {number} h
 * @property {number} w
 *
 * @typedef {object} Latents all (C, h, w)
 * @property {Int32Array | Float32Array} values GRID units, the L1 guard applied
 * @property {Int8Array | Float32Array} levels signed known magnitude in units of its interval, within +-15
 * @property {Uint8Array | Float32Array} precision step index + 8 * plane
 * @property {Int32Array | Float32Array} halfWidth half the interval, GRID units
 * @property {number} channels
 * @property {number} h
 * @property {number} w
 *
 * @typedef {{top: number, left: number, rows: number, columns: number}} Window latent positions
 */

/** Levels from here on count as one. */
const MAGNITUDE_LIMIT = 4;

/** What a neighbour's level adds to the energy. */
const LEVEL_WEIGHT = Int32Array.of(0, 3, 5, 7, 9);

/** Energies from here on fall into the last bucket. */
const ENERGY_CEILING = 4095;

/**
 * How many boundaries each value has reached, for values up to the last boundary.
 * @param {number[]} steps
 */
const buckets = (...steps) =>
  Uint8Array.from({ length: steps[steps.length - 1] + 1 }, (_, value) => steps.filter((step) => value >= step).length);

/** @param {Uint8Array} table @param {number} value */
const bucket = (table, value) => table[value < table.length ? value : table.length - 1];

const PREDICTION_BUCKETS = buckets(1, 2, 3, 4, 5, 6, 8, 11, 16, 24, 36);
const SIGN_BUCKETS = buckets(1, 2, 4, 8, 16);
const DENSITY_BUCKETS = buckets(2, 5, 9, 15, 24, 36, 52, 74, 104, 140);
const COUNT_BUCKETS = buckets(1, 2, 3, 5, 8, 13, 21);

/** Density bucket of a pass that has not decided enough yet. */
const DENSITY_UNKNOWN = 11;

/**
 * All passes, first to last, as [plane, channel]: by 8 * plane + order[channel] downwards, then by channel.
 * @param {CoderTables} tables @param {number} planes
 * @returns {[number, number][]}
 */
export function passOrder(tables, planes) {
  /** @type {[number, number][]} */
  const passes = [];
  for (let plane = 0; plane < planes; plane++) {
    for (let channel = 0; channel < tables.channels; channel++) passes.push([plane, channel]);
  }
  /** @param {[number, number]} pass */
  const priority = ([plane, channel]) => 8 * plane + tables.order[channel];
  return passes.sort((a, b) => priority(b) - priority(a) || a[1] - b[1]);
}

/**
 * Decodes passes until the bytes end.
 * @param {Decoder} coder @param {[number, number][]} passes @param {number} h @param {number} w @param {number} stepIndex
 * @param {CoderTables} tables @param {Int16Array} value signed magnitudes (C, h + 4, w + 4), filled in
 * @param {Int32Array} reached positions coded in each pass, filled in
 * @returns {number} passes finished
 */
function codePasses(coder, passes, h, w, stepIndex, tables, value, reached) {
  const channels = tables.channels;
  const width = w + 2 * BORDER;
  const area = (h + 2 * BORDER) * width;
  const { bases, setBases } = tableLayout(channels);
  const { slot, probability } = coder;
  const magnitude = new Uint16Array(value.length);
  const active = new Uint8Array(channels);
  const significant = new Uint16Array(area);
  const energyBucket = new Uint8Array(ENERGY_CEILING + 1);
  for (let energy = 0, level = 0; energy <= ENERGY_CEILING; energy++) {
    while (level < ENERGY_LEVELS - 1 && energy >= tables.energyThresholds[level]) level++;
    energyBucket[energy] = level;
  }
  // the channel's tables, with offsets that hold for every position
  const crossWeight = new Int32Array(CROSS_TERMS);
  const crossOffset = new Int32Array(CROSS_TERMS);
  const guessWeight = new Int32Array(PREDICTION_TERMS);
  const guessOffset = new Int32Array(PREDICTION_TERMS);

  for (let number = 0; number < passes.length; number++) {
    const [plane, channel] = passes[number];
    const absolute = Math.min(15, (stepIndex >> 3) + plane);
    if (!active[channel]) {
      const p = Math.min(65000, Math.max(500, probability[bases[13] + channel * 16 + absolute]));
      active[channel] = coder.decodeBit(p);
      if (coder.stopped) return number;
      if (!active[channel]) {
        reached[number] = h * w;
        continue;
      }
    }
    const threshold = 1 << plane;
    const half = threshold >> 1;
    const band = channel < 6 ? 0 : channel < 24 ? 1 : channel < 54 ? 2 : 3;
    const base = channel * area;
    const [wWest, wNorth, wEast, wSouth, wUpper, wLower] = tables.energySpace.subarray(channel * 6, channel * 6 + 6);
    // a channel that is all zeros as yet adds nothing
    let crossTerms = 0;
    for (let i = channel * CROSS_TERMS; i < (channel + 1) * CROSS_TERMS; i++) {
      if (tables.energyCross[i] === 0 || !active[tables.energyCrossChannel[i]]) continue;
      crossWeight[crossTerms] = tables.energyCross[i];
      crossOffset[crossTerms++] = tables.energyCrossChannel[i] * area;
    }
    let guessTerms = 0;
    for (let i = channel * PREDICTION_TERMS; i < (channel + 1) * PREDICTION_TERMS; i++) {
      if (tables.prediction[i] === 0 || !active[tables.predictionChannel[i]]) continue;
      guessWeight[guessTerms] = tables.prediction[i];
      guessOffset[guessTerms++] = tables.predictionChannel[i] * area + tables.predictionDy[i] * width + tables.predictionDx[i];
    }
    const base0 = bases[0] + channel * ENERGY_LEVELS;
    const base1 = bases[1] + band;
    const base2 = bases[2] + channel * 16;
    const base3 = bases[3] + channel * 16 + absolute;
    const base5 = bases[5] + channel * 12;
    const base6 = bases[6] + band;
    const set0 = setBases[0];
    const set1 = setBases[1] + channel * INPUTS;
    let ones = 0;
    let seen = 0;
    for (let y = 0; y < h; y++) {
      const density = seen < 16 ? DENSITY_UNKNOWN : bucket(DENSITY_BUCKETS, Math.floor((ones * 256) / seen));
      const base4 = bases[4] + density * ENERGY_LEVELS;
      let here = (y + BORDER) * width + BORDER;
      // levels around the position, moved along with it: three new ones a step
      let northWest = 0;
      let north = level(magnitude[base + here - width - 1] >> plane);
      let northEast = level(magnitude[base + here - width] >> plane);
      let west = 0;
      let centre = level(magnitude[base + here - 1] >> plane);
      let east = level(magnitude[base + here] >> plane);
      let southWest = 0;
      let south = level(magnitude[base + here + width - 1] >> plane);
      let southEast = level(magnitude[base + here + width] >> plane);
      for (let x = 0; x < w; x++, here++) {
        const at = base + here;
        northWest = north;
        north = northEast;
        northEast = level(magnitude[at - width + 1] >> plane);
        west = centre;
        centre = east;
        east = level(magnitude[at + 1] >> plane);
        southWest = south;
        south = southEast;
        southEast = level(magnitude[at + width + 1] >> plane);
        const space =
          wWest * LEVEL_WEIGHT[west] + wNorth * LEVEL_WEIGHT[north] + wEast * LEVEL_WEIGHT[east] + wSouth * LEVEL_WEIGHT[south] +
          wUpper * (LEVEL_WEIGHT[northWest] + LEVEL_WEIGHT[northEast]) + wLower * (LEVEL_WEIGHT[southWest] + LEVEL_WEIGHT[southEast]);
        let across = 0;
        for (let i = 0; i < crossTerms; i++) {
          const other = magnitude[crossOffset[i] + here] >> plane;
          if (other !== 0) across += crossWeight[i] * LEVEL_WEIGHT[level(other)];
        }
        const energy = energyBucket[Math.min(ENERGY_CEILING, space + across)];
        let guess = 0;
        for (let i = 0; i < guessTerms; i++) {
          const v = value[guessOffset[i] + here];
          if (v !== 0) guess = (guess + Math.imul(guessWeight[i], v > 0 ? v + half : v - half)) | 0;
        }
        guess >>= 8;
        const known = magnitude[at];
        if (known === 0) {
          const guessSize = ((guess < 0 ? -guess : guess) << 2) >> plane;
          slot[0] = base0 + energy;
          slot[1] =
            base1 + ((energyBucket[Math.min(ENERGY_CEILING, space)] >> 1) * 12 + (energyBucket[Math.min(ENERGY_CEILING, across)] >> 1)) * 4;
          slot[2] = base2 + (west ? 1 : 0) + (north ? 2 : 0) + (east ? 4 : 0) + (south ? 8 : 0);
          slot[3] = base3;
          slot[4] = base4 + energy;
          slot[5] = base5 + bucket(PREDICTION_BUCKETS, guessSize);
          const beside = significant[here - 1] + significant[here - width] + significant[here + 1] + significant[here + width];
          slot[6] = base6 + (bucket(COUNT_BUCKETS, significant[here]) * 8 + bucket(COUNT_BUCKETS, beside >> 1)) * 4;
          const bit = coder.decide(7, set0 + energy * INPUTS, set1);
          if (coder.stopped) return number;
          seen++;
          if (bit) {
            ones++;
            const size = bucket(SIGN_BUCKETS, guessSize);
            const guessBucket = (guess < 0 ? -size : size) + 5;
            slot[0] = bases[7] + channel * 9 + (Math.sign(value[at - 1]) + 1) * 3 + Math.sign(value[at - width]) + 1;
            slot[1] = bases[8] + channel * 11 + guessBucket;
            slot[2] = bases[9] + channel * 9 + (Math.sign(value[at + 1]) + 1) * 3 + Math.sign(value[at + width]) + 1;
            const negative = coder.decide(3, setBases[2] + guessBucket * INPUTS, setBases[3] + channel * INPUTS);
            if (coder.stopped) return number;
            centre = 1;
            magnitude[at] = threshold;
            value[at] = negative ? -threshold : threshold;
            significant[here]++;
          }
        } else {
          const positive = value[at] > 0;
          const known4 = Math.min(3, known >> (plane + 1)) - 1;
          const away = (((positive ? guess : -guess) - known - threshold) << 1) >> plane;
          slot[0] = bases[10] + channel * 3 + known4;
          slot[1] = bases[11] + energy * 3 + known4;
          slot[2] = bases[12] + channel * 9 + Math.min(4, Math.max(-4, away)) + 4;
          const bit = coder.decide(3, setBases[4] + energy * INPUTS, setBases[5] + channel * INPUTS);
          if (coder.stopped) return number;
          if (bit) {
            centre = level((known + threshold) >> plane);
            magnitude[at] = known + threshold;
            value[at] = positive ? known + threshold : -known - threshold;
          }
        }
        reached[number]++;
      }
    }
  }
  return passes.length;
}

/** @param {number} known */
const level = (known) => (known < MAGNITUDE_LIMIT ? known : MAGNITUDE_LIMIT);

/**
 * What `payload`, whole or cut anywhere, determines of latents (C, h, w).
 * @param {Uint8Array} payload @param {number} h @param {number} w @param {number} planes @param {number} stepIndex
 * @param {CoderTables} tables
 * @returns {Known}
 */
export function decodePlanes(payload, h, w, planes, stepIndex, tables) {
  const { channels } = tables;
  const passes = passOrder(tables, planes);
  const reached = new Int32Array(passes.length);
  const width = w + 2 * BORDER;
  const area = (h + 2 * BORDER) * width;
  const value = new Int16Array(channels * area);
  const finished = codePasses(new Decoder(payload, tables), passes, h, w, stepIndex, tables, value, reached);
  const size = channels * h * w;
  const magnitude = new Uint16Array(size);
  const negative = new Uint8Array(size);
  for (let c = 0, to = 0; c < channels; c++) {
    for (let y = 0; y < h; y++) {
      let from = c * area + (y + BORDER) * width + BORDER;
      for (let x = 0; x < w; x++, from++, to++) {
        const v = value[from];
        if (v < 0) {
          magnitude[to] = -v;
          negative[to] = 1;
        } else magnitude[to] = v;
      }
    }
  }
  const plane = new Uint8Array(size).fill(planes);
  for (let number = 0; number < Math.min(finished + 1, passes.length); number++) {
    const [lowest, channel] = passes[number];
    plane.fill(lowest, channel * h * w, channel * h * w + reached[number]);
  }
  return { magnitude, negative, plane, complete: finished === passes.length, channels, h, w };
}

/**
 * Arrays by name that are used again and again: a picture's tiles would otherwise leave tens of megabytes behind each, which browsers
 * collect late. What networks read is float32 from the start.
 */
export class Room {
  /** @type {Map<string, ArrayBuffer>} */
  #buffers = new Map();

  /** @param {string} name @param {number} length @returns {Int32Array} of any content */
  integers(name, length) {
    return new Int32Array(this.#buffer(name, 4 * length), 0, length);
  }

  /** @param {string} name @param {number} length @returns {Float32Array} of any content */
  floats(name, length) {
    return new Float32Array(this.#buffer(name, 4 * length), 0, length);
  }

  /** @param {string} name @param {number} bytes */
  #buffer(name, bytes) {
    let buffer = this.#buffers.get(name);
    if (!buffer || buffer.byteLength < bytes) this.#buffers.set(name, (buffer = new ArrayBuffer(bytes)));
    return buffer;
  }
}

/** GRID units per grey level. */
const GRID = 4;

/** 2**(j/8) grey levels in GRID units, 12 fractional bits. */
const MANTISSA = Int32Array.from({ length: 8 }, (_, j) => Math.round(2 ** (j / 8) * GRID * 4096));

/** Signed levels are clipped here before a network sees them. */
export const LEVEL_LIMIT = 15;

/** @param {number} stepIndex 0..80 @returns {number} the quantization step, GRID units */
export function stepUnits(stepIndex) {
  return (MANTISSA[stepIndex % 8] << (stepIndex >> 3)) >> 12;
}

/**
 * Arrays for what `dequantize` gives, of any content.
 * @param {number} size @param {Room} [room] where they stand, until its next use; new arrays when left out
 */
export function emptyLatents(size, room) {
  return {
    values: room ? room.integers("values", size) : new Int32Array(size),
    levels: room ? room.floats("levels", size) : new Int8Array(size),
    precision: room ? room.floats("precision", size) : new Uint8Array(size),
    halfWidth: room ? room.floats("halfWidth", size) : new Int32Array(size),
  };
}

/**
 * The step index of each channel: the file's, lowered by `tilt` eighths of an octave of the step for every octave of the channel's frequency.
 * @param {{stepIndex: number, tilt: number}} header
 * @param {Int32Array | null} octaves sixteenths, the pack's; where it has none, all channels have the file's step
 * @param {number} channels
 * @returns {Int32Array}
 */
export function channelSteps({ stepIndex, tilt }, octaves, channels) {
  const steps = new Int32Array(channels).fill(stepIndex);
  octaves?.forEach((octave, c) => {
    steps[c] = Math.min(Math.max(stepIndex - ((tilt * octave + 8) >> 4), 0), MAX_STEP_INDEX);
  });
  return steps;
}

/**
 * Values, levels, precision codes and intervals of the latents in a window.
 * @param {Known} known @param {{stepIndex: number, tilt: number}} header
 * @param {{reconstruction: number, l1Limit: number, octaves: Int32Array | null}} pack `reconstruction`: where in its interval a latent is
 *   put, sixteenths
 * @param {Window} [window] all of it when left out
 * @param {Room} [room] where the results go, until its next use; new arrays when left out
 * @returns {Latents & {values: Int32Array}}
 */
export function dequantize(known, header, { reconstruction, l1Limit, octaves }, window, room) {
  const { channels, w: stride } = known;
  const { top, left, rows: h, columns: w } = window ?? { top: 0, left: 0, rows: known.h, columns: known.w };
  const steps = channelSteps(header, octaves, channels);
  const area = h * w;
  const { values, levels, precision, halfWidth } = emptyLatents(channels * area, room);
  for (let c = 0, to = 0; c < channels; c++) {
    const step = stepUnits(steps[c]);
    for (let y = 0; y < h; y++) {
      let from = (c * known.h + top + y) * stride + left;
      for (let x = 0; x < w; x++, from++, to++) {
        const plane = known.plane[from];
        const magnitude = known.magnitude[from];
        precision[to] = steps[c] + 8 * plane;
        if (magnitude === 0) {
          values[to] = 0;
          levels[to] = 0;
          halfWidth[to] = step << plane;
        } else {
          // (16 m s + r s (2**k - 1) + 8) >> 4 without the product that passes 32 bits
          const value = magnitude * step + ((((1 << plane) - 1) * reconstruction * step + 8) >> 4);
          const level = Math.min(LEVEL_LIMIT, magnitude >> plane);
          const negative = known.negative[from];
          values[to] = negative ? -value : value;
          levels[to] = negative ? -level : level;
          halfWidth[to] = (step << plane) >> 1;
        }
      }
    }
  }
  guardL1(values, area, l1Limit);
  return { values, levels, precision, halfWidth, channels, h, w };
}

/**
 * Halves all values of a position towards zero while the sum of their magnitudes is over the limit, in place.
 * @param {Int32Array | Float32Array} values (C, area) integers @param {number} area positions @param {number} l1Limit
 */
export function guardL1(values, area, l1Limit) {
  // sums over channels can pass 32 bits, doubles hold them exactly
  const sums = new Float64Array(area);
  for (let at = 0; at < values.length; ) {
    for (let position = 0; position < area; position++, at++) sums[position] += Math.abs(values[at]);
  }
  for (let position = 0; position < area; position++) {
    while (sums[position] > l1Limit) {
      sums[position] = 0;
      for (let at = position; at < values.length; at += area) {
        values[at] = Math.trunc(values[at] / 2);
        sums[position] += Math.abs(values[at]);
      }
    }
  }
}
