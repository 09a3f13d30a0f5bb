/**
 * Decodes an .sdz file, or any prefix of one, to an image at one of three stages: `linear` needs no neural network, `decoded` adds the
 * decoder network, `denoised` also runs the one-step denoiser before it. Large images are decoded in tiles. Each tile includes a margin as
 * wide as the networks' receptive fields, so memory stays bounded and the pixels equal those of the untiled image. Packs whose networks see
 * the whole image define overlapping tiles, which are blended. The twin of runtime/decode.py.
 */

import { ALPHA, altText, find, parse } from "./format/container.js";
import { Picture, engine } from "./engine.js";
import { SdzError } from "./errors.js";
import { decodeAlpha, reducedPlane } from "./format/alpha.js";
import { DENOISER_COARSEST, MAX_PIXELS } from "./limits.js";
import { latentsOf } from "./quantizer.js";
import { FULL_STRENGTH } from "./session.js";
import { Sessions } from "./sessions.js";
import { full, spans, weights } from "./format/tiles.js";

/** @import { Header } from "./format/container.js" */
/** @import { Window } from "./core.js" */
/** @import { Pack } from "./pack.js" */
/** @import { Networks, Sources } from "./sessions.js" */

/**
 * @typedef {"linear" | "decoded" | "denoised"} Stage
 *
 * @typedef {{x: number, y: number, width: number, height: number, pixels: Uint8ClampedArray<ArrayBuffer>}} Tile pixels are RGBA
 *
 * @typedef {{header: Header, alpha: Uint8Array | null, pack: {patch: number}}} Finished what a picture's pixels need besides
 *
 * @typedef {object} DecodedImage
 * @property {number} width
 * @property {number} height
 * @property {Uint8ClampedArray<ArrayBuffer>} data RGBA in sRGB; a grey image has R = G = B
 * @property {Stage} stage the stage reached: `decoded` instead of `denoised` where the denoiser is skipped
 * @property {boolean} complete whether the file contained all bits of the latents
 * @property {Header} header
 * @property {string | undefined} alt
 */

/** @type {readonly Stage[]} */
export const STAGES = ["linear", "decoded", "denoised"];

/** Pictures with sides up to this many pixels are decoded in one piece. */
const WHOLE = 512;

/** Side of a tile of larger pictures, pixels: with its margins, a tile is not much larger than `WHOLE`. */
const TILE = 384;

/** The same of pictures that are painted smaller. */
const REDUCED_TILE = 1024;

/**
 * The header of `bytes`, with every limit checked before anything is allocated for the image.
 * @param {Uint8Array} bytes
 */
export function readContainer(bytes) {
  const container = parse(bytes);
  const { width, height } = container.header;
  if (width * height > MAX_PIXELS) {
    throw new SdzError("LimitError", `${width} x ${height} pixels, at most ${MAX_PIXELS} are decoded`, { field: "width × height" });
  }
  return container;
}

/**
 * Entropy decoding of the whole file; `close` gives the result back.
 * @param {Uint8Array} bytes @param {Pack} pack
 * @returns {Promise<Picture>}
 */
export async function readPicture(bytes, pack) {
  const container = readContainer(bytes);
  const { header } = container;
  if (header.packId !== pack.id) {
    throw new SdzError("MissingPackError", `the file was made for model pack ${header.packId}, not ${pack.id}`);
  }
  const { width, height } = header;
  const source = await latentsOf(container, pack, Math.ceil(height / pack.patch), Math.ceil(width / pack.patch));
  const picture = new Picture(header, pack, source);
  await picture.open();
  try {
    const chunk = find(container, ALPHA);
    picture.alpha = chunk ? await decodeAlpha(chunk.payload, height, width, chunk.start, async () => (await engine()).core) : null;
    picture.alt = altText(container);
  } catch (error) {
    // nobody else knows of its latents in the core
    picture.close();
    throw error;
  }
  return picture;
}

/**
 * The denoiser's strength in sixteenths for a realism from 0 (the most faithful) to 1 (the most natural), rounded half up.
 * @param {number} realism @throws {RangeError} outside 0..1
 */
export function strengthOf(realism) {
  if (!(realism >= 0 && realism <= 1)) throw new RangeError(`realism must be between 0 and 1; ${realism} was given`);
  return Math.floor(realism * FULL_STRENGTH + 0.5);
}

/**
 * Whether the denoiser runs: the pack has one, and the mean of all latents' precision codes is between its minimum and
 * DENOISER_COARSEST.
 * @param {Picture} picture
 */
export function denoiserApplies({ facts, pack }) {
  if (pack.denoiserMinStepIndex === null) return false;
  const count = facts.channels * facts.rows * facts.columns;
  return pack.denoiserMinStepIndex * count <= facts.codes && facts.codes <= DENOISER_COARSEST * count;
}

/**
 * The stage that a picture reaches: `decoded` instead of `denoised` where the pack or a strength of 0 skips the denoiser.
 * @param {Picture} picture @param {Stage} stage @param {number} [strength]
 * @returns {Stage}
 */
export function reached(picture, stage, strength = FULL_STRENGTH) {
  return stage === "denoised" && !(strength && denoiserApplies(picture)) ? "decoded" : stage;
}

/**
 * The side of a tile, chosen to bound memory when none is given.
 * @param {number | null | undefined} tile @param {Window} whole @param {number} patch @returns {number}
 */
function tileSide(tile, { rows, columns }, patch) {
  if (tile === undefined || tile === null) return (Math.max(rows, columns) * patch <= WHOLE ? WHOLE : TILE) / patch;
  if (Number.isInteger(tile) && tile >= 1) return tile;
  throw new RangeError(`a tile's side must be a positive whole number of latent positions; ${tile} was given`);
}

/**
 * Covers all positions with windows of at most `tile` positions a side.
 * @param {Window} whole @param {number} tile
 * @returns {Generator<Window>}
 */
function* windows(whole, tile) {
  for (let top = 0; top < whole.rows; top += tile) {
    for (let left = 0; left < whole.columns; left += tile) {
      yield { top, left, rows: Math.min(tile, whole.rows - top), columns: Math.min(tile, whole.columns - left) };
    }
  }
}

/**
 * A finished tile: cropped at the picture's edges, grey in grey pictures, with its alpha.
 * @param {Uint8Array | Uint8ClampedArray<ArrayBuffer>} rgba pixels of `window`; a clamped array may become the tile's own
 * @param {Window} window @param {Finished} picture
 * @returns {Tile}
 */
export function finish(rgba, window, { header, alpha, pack: { patch } }) {
  const [x, y] = [window.left * patch, window.top * patch];
  const width = Math.min(window.columns * patch, header.width - x);
  const height = Math.min(window.rows * patch, header.height - y);
  const whole = rgba instanceof Uint8ClampedArray && rgba.length === width * height * 4;
  const pixels = whole ? rgba : new Uint8ClampedArray(width * height * 4);
  const stride = window.columns * patch * 4;
  for (let row = 0; row < height && !whole; row++) {
    pixels.set(rgba.subarray(row * stride, row * stride + width * 4), row * width * 4);
  }
  if (header.grey) {
    for (let i = 0; i < pixels.length; i += 4) {
      // BT.601 luma, as Pillow's mode L
      pixels.fill((pixels[i] * 19595 + pixels[i + 1] * 38470 + pixels[i + 2] * 7471 + 0x8000) >> 16, i, i + 3);
    }
  }
  if (alpha) {
    for (let row = 0, to = 3; row < height; row++) {
      for (let from = (y + row) * header.width + x, end = from + width; from < end; from++, to += 4) pixels[to] = alpha[from];
    }
  }
  return { x, y, width, height, pixels };
}

/**
 * Decodes a stage tile by tile, top to bottom.
 * @param {Picture} picture @param {Stage} stage as returned by `reached`
 * @param {Networks | null} session not needed for `linear` @param {number} [strength] of the denoiser, at least 1
 * @param {number | null} [tile] latent positions on a tile's side; does not change the pixels
 * @returns {AsyncGenerator<Tile>}
 * @throws {RangeError} for a `tile` that is no positive integer
 */
export async function* paint(picture, stage, session, strength = FULL_STRENGTH, tile) {
  const { pack, whole } = picture;
  const side = tileSide(tile, whole, pack.patch);
  if (stage === "linear") {
    for (const window of windows(whole, side)) yield finish(await picture.paintLinear(window), window, picture);
    return;
  }
  if (!session) throw new SdzError("ProviderError", `stage '${stage}' needs a session`);
  const applied = stage === "denoised" ? strength : 0;
  if (pack.tiling) {
    yield* blend(picture, applied, session);
    return;
  }
  for (const window of windows(whole, side)) yield finish(await session.paint(picture, window, applied), window, picture);
}

/**
 * The linear stage with the picture's sides divided by `reduce`, rounding up, tile by tile: the means of as many pixels.
 * @param {Picture} picture @param {number} reduce 2, 4 ... up to the pack's patch
 * @returns {AsyncGenerator<Tile>}
 */
export async function* paintReduced(picture, reduce) {
  const { header, alpha, pack: { patch }, whole } = picture;
  const { width, height } = header;
  /** @type {Finished} */
  const small = {
    header: { ...header, width: Math.ceil(width / reduce), height: Math.ceil(height / reduce) },
    alpha: alpha && reducedPlane(alpha, width, height, reduce),
    pack: { patch: patch / reduce },
  };
  for (const window of windows(whole, REDUCED_TILE / patch)) yield finish(await picture.paintLinear(window, reduce), window, small);
}

/**
 * Decodes a picture whose pack defines overlapping tiles, which are blended. Rows shared by two rows of tiles are kept until the second
 * one is decoded, so memory grows with the picture's width only.
 * @param {Picture} picture @param {number} strength @param {Networks} session
 * @returns {AsyncGenerator<Tile>}
 */
async function* blend(picture, strength, session) {
  const { pack, whole } = picture;
  const { patch } = pack;
  const tiling = /** @type {import("./format/tiles.js").Tiling} */ (pack.tiling);
  const { down, across } = spans(tiling, whole.rows, whole.columns);
  const total = full(tiling, patch) ** 2;
  const stride = whole.columns * patch * 3;
  /** Weighted sums of the pixel rows that the next row of tiles also covers. */
  let waiting = new Int32Array();
  for (const row of down) {
    const height = (row.stop - row.start) * patch;
    const sums = new Int32Array(height * stride);
    sums.set(waiting);
    for (const column of across) {
      const window = { top: row.start, left: column.start, rows: row.stop - row.start, columns: column.stop - column.start };
      const rgba = await session.paint(picture, window, strength);
      if (down.length * across.length === 1) {
        yield finish(rgba, window, picture);
        return;
      }
      const [vertical, horizontal] = [weights(tiling, row, patch), weights(tiling, column, patch)];
      for (let y = 0, from = 0; y < height; y++) {
        let to = y * stride + column.start * patch * 3;
        for (let x = 0; x < horizontal.length; x++, from += 4, to += 3) {
          const weight = vertical[y] * horizontal[x];
          sums[to] += weight * rgba[from];
          sums[to + 1] += weight * rgba[from + 1];
          sums[to + 2] += weight * rgba[from + 2];
        }
      }
    }
    // the next row of tiles also covers the rows below
    const rows = row.stop - row.start - (row.after ? tiling.overlap : 0);
    waiting = sums.slice(rows * patch * stride);
    const pixels = new Uint8ClampedArray(rows * patch * whole.columns * patch * 4);
    for (let from = 0, to = 0; to < pixels.length; from += 3, to += 4) {
      for (let c = 0; c < 3; c++) pixels[to + c] = Math.floor((sums[from + c] + total / 2) / total);
      pixels[to + 3] = 255;
    }
    yield finish(pixels, { top: row.start, left: 0, rows, columns: whole.columns }, picture);
  }
}

/**
 * @typedef {object} Options
 * @property {Stage} [stage] the last one wanted, "denoised" when left out
 * @property {number} [realism] 0 (the most faithful) to 1 (the most natural)
 * @property {Sources["packs"]} [packs] folder of the packs, ends in "/"; when left out, beside the scripts or in the npm package
 * @property {Sources["ort"]} [ort] the same for onnxruntime-web's files, or the module itself, set up by the caller
 * @property {Pack} [pack] an already loaded pack
 * @property {Networks} [session] runs the networks; its pack is used
 * @property {number | null} [tile] latent positions on a tile's side; does not change the pixels
 */

/** Sources and sessions of the last call. @type {{packs: Sources["packs"], ort: Sources["ort"], sessions: Sessions} | undefined} */
let latest;

/** The sessions of the last call where this one has the same sources. @param {Sources["packs"]} packs @param {Sources["ort"]} ort */
function sessionsFor(packs, ort) {
  if (packs instanceof URL) packs = packs.href;
  if (ort instanceof URL) ort = ort.href;
  if (latest?.packs !== packs || latest?.ort !== ort || !latest) latest = { packs, ort, sessions: new Sessions({ packs, ort }) };
  return latest.sessions;
}

/**
 * Decodes a file, or any prefix of one that holds its header, in a page, a worker or Node.
 * @param {Uint8Array} bytes
 * @param {Options} [options]
 * @returns {Promise<DecodedImage>}
 * @throws {SdzError} @throws {RangeError} for a `tile` that is no positive integer, a `realism` outside 0..1
 */
export async function decodeBytes(bytes, { stage = "denoised", pack, session, packs, ort, tile, realism = 1 } = {}) {
  const strength = strengthOf(realism);
  const { header } = readContainer(bytes);
  const sessions = sessionsFor(packs, ort);
  pack ??= session?.pack ?? (await sessions.pack(header.packId));
  const { width, height } = header;
  const picture = await readPicture(bytes, pack);
  try {
    stage = reached(picture, stage, strength);
    if (stage !== "linear") session ??= sessions.session(pack);
    const data = new Uint8ClampedArray(width * height * 4);
    for await (const part of paint(picture, stage, session ?? null, strength, tile)) {
      for (let row = 0; row < part.height; row++) {
        data.set(part.pixels.subarray(row * part.width * 4, (row + 1) * part.width * 4), ((part.y + row) * width + part.x) * 4);
      }
    }
    return { width, height, data, stage, complete: picture.facts.complete, header, alt: picture.alt };
  } finally {
    picture.close();
  }
}
