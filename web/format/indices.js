/**
 * Embedded codebook indices -> nodes of the codebook's tree -> values in GRID units: for packs whose `quantizer` is "indices". The
 * model of each decision is in FORMAT.md ("Indices"); runtime/format/indices.py is the twin. Products that could pass 2**53 are bounded by the
 * tables' types.
 */

import { Decoder, INPUTS, arrayReader } from "./coder.js";
import { SdzError } from "../errors.js";
import { LEVEL_LIMIT, emptyLatents, guardL1 } from "./planes.js";

/** @import { Latents, Room, Window } from "./planes.js" */

/**
 * @typedef {object} Tree the codebook's, its nodes numbered from the root, 1, so that n's children are 2 n and 2 n + 1
 * @property {Int32Array} leaves codebook entries below each node, 0 where there is no such node
 * @property {Int32Array} first the first of them
 * @property {Int32Array} centre (N, C) their mean, GRID units
 * @property {Float64Array} usage how often they are used
 * @property {Int32Array} direction (N, C) from the first child's centre to the second's
 * @property {Float64Array} middle its product with their sum
 * @property {Float64Array} span and with itself
 *
 * @typedef {object} IndexTables a pack's codebook and what its coder knows before the first bit; field by field as in runtime/format/indices.py
 * @property {number} entries
 * @property {number} channels
 * @property {number} levels
 * @property {number} mixRate
 * @property {number} countLimit
 * @property {Uint8Array} precision (L + 1,)
 * @property {Uint16Array} halfWidth (L + 1,) GRID units
 * @property {Int16Array} pull (L, 8)
 * @property {Uint16Array} probability (S,) starting states, those of the nodes first
 * @property {Uint8Array} count (S,)
 * @property {Int16Array} weights (W,) starting mixing weights
 * @property {Tree} tree
 *
 * @typedef {object} KnownIndices what a prefix tells of codebook indices (h, w)
 * @property {Int32Array} node the node that is known of each, 1 where nothing is
 * @property {boolean} complete whether nothing was cut
 * @property {number} channels
 * @property {number} h
 * @property {number} w
 */

const HEAD_BYTES = 10;

/** The coarsest precision code that networks are made for. */
const MAX_PRECISION = 200;

/** W, N, NW, NE, of which one bit more is known, then E, S, SW, SE. */
const NEIGHBOURS = 8;

/** A neighbour's lean is -32 at the first child's mean, 32 at the second's, clipped at twice that. */
const LEAN_UNIT = 32;
const LEAN_LIMIT = 64;

/** Leans times pulls are stretches after this shift. */
const PULL_SHIFT = 5;

const LEAN_STEPS = Int32Array.of(16, 40, 72, 112, 160, 224, 304, 416, 576, 800, 1152);
const SIDE_STEPS = Int32Array.of(6, 14, 24, 36, 52);

/** By how many of the eight neighbours lie in the same subtree. */
const AGREE_BUCKETS = Uint8Array.of(0, 1, 2, 3, 3, 4, 4, 4, 4);

const LEANS = 23;
const SIDES = 12;
const AGREEMENTS = 5;
const PATTERNS = 324;
const JOINT_BITS = 13;
const JOINT_PREFIX = 4;

/** How many leading bits of W and N join the position's own in a context. @param {number} level */
const jointPrefix = (level) => Math.max(0, Math.min(level + 1, JOINT_PREFIX, (JOINT_BITS - level) >> 1));

/** The bits of the longest index. @param {number} entries */
const levelsOf = (entries) => 32 - Math.clz32(entries - 1);

/**
 * Where each kind of context state and each mixing weight set begins; the order and sizes are listed in FORMAT.md ("Indices").
 * @param {number} levels
 */
export function indexLayout(levels) {
  /** @param {number[]} sizes @param {number} first @param {number} unit */
  const starts = (sizes, first, unit) => sizes.reduce((list, size) => [...list, list[list.length - 1] + size * unit], [first]);
  const nodes = 1 << levels;
  const joint = Array.from({ length: levels }, (_, level) => 1 << (level + 2 * jointPrefix(level)));
  const bases = starts([nodes, nodes, levels * AGREEMENTS * LEANS, levels * SIDES * SIDES, levels * SIDES * SIDES, levels * PATTERNS], 0, 1);
  const jointBases = starts(joint, bases[6], 1);
  const setBases = starts([levels * AGREEMENTS, LEANS], 0, INPUTS);
  return { bases, jointBases, setBases, stored: jointBases[levels] - 2 * nodes };
}

/**
 * The tree over a codebook whose entries are used `usage` times. A node's first child has the larger half of its leaves.
 * @param {Int16Array} codebook (K, C) @param {Uint16Array} usage (K,)
 * @returns {Tree}
 */
export function buildTree(codebook, usage) {
  const entries = usage.length;
  const channels = codebook.length / entries;
  const size = 2 << levelsOf(entries);
  const leaves = new Int32Array(size);
  const first = new Int32Array(size);
  leaves[1] = entries;
  for (let n = 1; 2 * n < size; n++) {
    if (leaves[n] < 2) continue;
    leaves[2 * n] = (leaves[n] + 1) >> 1;
    leaves[2 * n + 1] = leaves[n] >> 1;
    first[2 * n] = first[n];
    first[2 * n + 1] = first[n] + leaves[2 * n];
  }
  const used = new Float64Array(size);
  const sums = new Float64Array(size * channels);
  const centre = new Int32Array(size * channels);
  const direction = new Int32Array(size * channels);
  const middle = new Float64Array(size);
  const span = new Float64Array(size);
  // children have larger numbers than their parents
  for (let n = size - 1; n > 0; n--) {
    if (leaves[n] === 0) continue;
    const [low, high] = [2 * n * channels, (2 * n + 1) * channels];
    const inner = leaves[n] > 1;
    used[n] = inner ? used[2 * n] + used[2 * n + 1] : usage[first[n]];
    for (let c = 0; c < channels; c++) {
      const sum = inner ? sums[low + c] + sums[high + c] : codebook[first[n] * channels + c] * used[n];
      sums[n * channels + c] = sum;
      centre[n * channels + c] = Math.floor((2 * sum + used[n]) / (2 * used[n]));
      if (!inner) continue;
      const towards = centre[high + c] - centre[low + c];
      direction[n * channels + c] = towards;
      middle[n] += towards * (centre[high + c] + centre[low + c]);
      span[n] += towards * towards;
    }
  }
  return { leaves, first, centre, usage: used, direction, middle, span };
}

/**
 * Parses an index pack's coder.bin: magic, channels u8, entries - 1 u16, mixing rate u8, count limit u8, usage limit u8, then the arrays in
 * the order of runtime/format/indices.py, little-endian, C order.
 * @param {Uint8Array} data
 * @returns {IndexTables}
 * @throws {SdzError} CorruptPackError
 */
export function parseIndexTables(data) {
  /** @param {string} problem @returns {never} */
  const fail = (problem) => {
    throw new SdzError("CorruptPackError", `index tables ${problem}; rebuild the pack`);
  };
  if (data.length < HEAD_BYTES || String.fromCharCode(...data.subarray(0, 4)) !== "sdzI") fail("do not begin with 'sdzI'");
  const channels = data[4];
  const entries = data[5] + (data[6] << 8) + 1;
  const usageLimit = data[9];
  if (channels === 0 || entries < 2) fail(`have ${entries} entries of ${channels} channels`);
  const levels = levelsOf(entries);
  const { stored, setBases } = indexLayout(levels);
  const { take, end } = arrayReader(data, HEAD_BYTES, fail);
  const codebook = take(Int16Array, entries * channels);
  const usage = take(Uint16Array, entries);
  const precision = take(Uint8Array, levels + 1);
  const halfWidth = take(Uint16Array, levels + 1);
  const pull = take(Int16Array, levels * NEIGHBOURS);
  const storedProbability = take(Uint16Array, stored);
  const storedCount = take(Uint8Array, stored);
  const weights = take(Int16Array, setBases[setBases.length - 1]);
  end();
  if (usage.includes(0)) fail(`have an entry, ${usage.indexOf(0)}, without usage`);
  if (precision.some((code) => code > MAX_PRECISION)) fail(`have a precision code over ${MAX_PRECISION}`);
  const tree = buildTree(codebook, usage);
  const nodes = 1 << levels;
  const probability = new Uint16Array(2 * nodes + stored).fill(32768, 0, 2 * nodes);
  const count = new Uint8Array(2 * nodes + stored);
  probability.set(storedProbability, 2 * nodes);
  count.set(storedCount, 2 * nodes);
  for (let n = 1; n < nodes; n++) {
    if (tree.leaves[n] < 2) continue;
    probability[n] = Math.min(65472, Math.max(64, Math.floor((tree.usage[2 * n + 1] * 65536) / tree.usage[n])));
    count[n] = Math.min(usageLimit, tree.usage[n] - tree.leaves[n]);
  }
  return {
    entries, channels, levels, mixRate: data[7], countLimit: data[8], precision, halfWidth, pull, probability, count, weights, tree,
  };
}

/**
 * 0 to twice the steps: how many of them |value| has reached, below the middle where it is negative.
 * @param {number} value @param {Int32Array} steps
 */
function signedBucket(value, steps) {
  const size = value < 0 ? -value : value;
  let reached = 0;
  while (reached < steps.length && size >= steps[reached]) reached++;
  return steps.length + (value < 0 ? -reached : reached);
}

/** @param {number} lean */
const sideBucket = (lean) => (lean > LEAN_LIMIT ? SIDES - 1 : signedBucket(lean, SIDE_STEPS));

/**
 * Decodes levels until the bytes end.
 * @param {Decoder} coder @param {number} h @param {number} w @param {IndexTables} tables
 * @param {Int32Array} node (h + 2, w + 2) the root everywhere but around the picture, filled in
 * @returns {number} levels finished
 */
function codeLevels(coder, h, w, { levels, channels, pull, tree }, node) {
  const { leaves, centre, direction, middle, span } = tree;
  const { bases, jointBases, setBases } = indexLayout(levels);
  const { slot } = coder;
  const width = w + 2;
  const shift = [-1, -width, -width - 1, -width + 1, 1, width, width - 1, width + 1];
  const lean = new Int32Array(NEIGHBOURS);
  for (let level = 0; level < levels; level++) {
    const prefix = jointPrefix(level);
    for (let y = 0; y < h; y++) {
      let at = (y + 1) * width + 1;
      for (let x = 0; x < w; x++, at++) {
        const here = node[at];
        if (leaves[here] === 1) continue;
        let total = 0;
        let agree = 0;
        let pattern = 0;
        for (let i = 0; i < NEIGHBOURS; i++) {
          const other = node[at + shift[i]];
          const bits = other >> 1 === here ? 1 + (other & 1) : 0;
          const same = bits !== 0 || other === here;
          if (same) agree++;
          if (i < 4) pattern = pattern * 3 + bits;
          else if (i < 6) pattern = pattern * 2 + (same ? 1 : 0);
          if (other === 0) {
            lean[i] = LEAN_LIMIT + 1;
            continue;
          }
          let towards = -middle[here];
          for (let c = 0, d = here * channels, o = other * channels; c < channels; c++) towards += 2 * direction[d + c] * centre[o + c];
          const value =
            span[here] === 0 ? 0 : Math.min(LEAN_LIMIT, Math.max(-LEAN_LIMIT, Math.floor((towards * LEAN_UNIT) / span[here])));
          lean[i] = value;
          total += value * pull[level * NEIGHBOURS + i];
        }
        const pulled = signedBucket(total >> PULL_SHIFT, LEAN_STEPS);
        const agreed = level * AGREEMENTS + AGREE_BUCKETS[agree];
        let joint = here - (1 << level);
        for (let i = 0; i < 2; i++) {
          const other = node[at + shift[i]];
          // a neighbour is known to `level` + 1 bits, but for an entry that ends one earlier
          const known = other >= 2 << level ? level + 1 : level;
          joint = (joint << prefix) + (other === 0 ? 0 : (other - (1 << known)) >> (known - prefix));
        }
        slot[0] = bases[0] + here;
        slot[1] = bases[1] + here;
        slot[2] = bases[2] + agreed * LEANS + pulled;
        slot[3] = bases[3] + (level * SIDES + sideBucket(lean[0])) * SIDES + sideBucket(lean[1]);
        slot[4] = bases[4] + (level * SIDES + sideBucket(lean[4])) * SIDES + sideBucket(lean[5]);
        slot[5] = bases[5] + level * PATTERNS + pattern;
        slot[6] = jointBases[level] + joint;
        const bit = coder.decide(7, setBases[0] + agreed * INPUTS, setBases[1] + pulled * INPUTS);
        if (coder.stopped) return level;
        node[at] = 2 * here + bit;
      }
    }
  }
  return levels;
}

/**
 * What `payload`, whole or cut anywhere, determines of indices (h, w).
 * @param {Uint8Array} payload @param {number} h @param {number} w @param {IndexTables} tables
 * @returns {KnownIndices}
 */
export function decodeIndices(payload, h, w, tables) {
  const width = w + 2;
  const padded = new Int32Array((h + 2) * width);
  for (let y = 1; y <= h; y++) padded.fill(1, y * width + 1, y * width + 1 + w);
  const finished = codeLevels(new Decoder(payload, tables), h, w, tables, padded);
  const node = new Int32Array(h * w);
  for (let y = 0; y < h; y++) node.set(padded.subarray((y + 1) * width + 1, (y + 1) * width + 1 + w), y * w);
  return { node, complete: finished === tables.levels, channels: tables.channels, h, w };
}

/**
 * The codebook entry of every position, in the tree's order; of one that is not wholly known, -1.
 * @param {KnownIndices} known @param {IndexTables} tables
 */
export function entriesOf({ node }, { tree }) {
  return node.map((n) => (tree.leaves[n] === 1 ? tree.first[n] : -1));
}

/** How many bits of an index are known at a node: all of them where an entry ends early. @param {number} node @param {IndexTables} tables */
const knownBits = (node, { levels, tree }) => (tree.leaves[node] === 1 ? levels : 31 - Math.clz32(node));

/** The sum of the positions' precision codes. @param {KnownIndices} known @param {IndexTables} tables */
export function precisionSum({ node }, tables) {
  let sum = 0;
  for (const n of node) sum += tables.precision[knownBits(n, tables)];
  return sum;
}

/**
 * Values, levels, precision codes and intervals of the positions in a window: the means of what is known of each.
 * @param {KnownIndices} known @param {IndexTables} tables @param {number} l1Limit
 * @param {Window} [window] all of it when left out
 * @param {Room} [room] where the results go, until its next use; new arrays when left out
 * @returns {Latents & {values: Int32Array}}
 */
export function dequantizeIndices(known, tables, l1Limit, window, room) {
  const { channels, tree, precision: codes, halfWidth: halves } = tables;
  const { top, left, rows: h, columns: w } = window ?? { top: 0, left: 0, rows: known.h, columns: known.w };
  const area = h * w;
  const { values, levels, precision, halfWidth } = emptyLatents(channels * area, room);
  for (let y = 0, position = 0; y < h; y++) {
    for (let x = 0; x < w; x++, position++) {
      const node = known.node[(top + y) * known.w + left + x];
      const bits = knownBits(node, tables);
      const interval = Math.max(1, 2 * halves[bits]);
      for (let c = 0, to = position; c < channels; c++, to += area) {
        const value = tree.centre[node * channels + c];
        const level = Math.min(LEVEL_LIMIT, Math.floor(Math.abs(value) / interval));
        values[to] = value;
        levels[to] = value < 0 ? -level : level;
        precision[to] = codes[bits];
        halfWidth[to] = halves[bits];
      }
    }
  }
  guardL1(values, area, l1Limit);
  return { values, levels, precision, halfWidth, channels, h, w };
}
