/**
 * The latents of an .sdz file, or of any prefix of one, and their pixels at one of three stages: `linear` needs no neural network, `decoded` adds the
 * decoder network, `denoised` also runs the one-step denoiser before it. Large images are decoded in tiles. Each tile includes a margin as
 * wide as the networks' receptive fields, so memory stays bounded and the pixels equal those of the untiled image. Packs whose networks see
 * the whole image define overlapping tiles, which are blended.
 */

import { ALPHA, altText, find, parse } from "../format/container.js";
import { Picture, engine } from "../engine.js";
import { SdzError } from "../errors.js";
import { decodeAlpha } from "../format/alpha.js";
import { FULL_STRENGTH, MAX_PIXELS, NETWORKS_COARSEST } from "../limits.js";
import { latentsOf } from "../quantizer.js";

/** @import { Window } from "../core.js" */
/** @import { Pack } from "../pack.js" */
/** @import { GraphNetworks, Networks } from "../sessions.js" */

/**
 * @typedef {"linear" | "decoded" | "denoised"} Stage
 * @typedef {Stage | "exact"} Shown what of a file is shown: a stage of its latents, or the photo's own pixels
 *
 * @typedef {{x: number, y: number, width: number, height: number, pixels: Uint8ClampedArray<ArrayBuffer>}} Tile pixels are RGBA
 */

/** @type {readonly Stage[]} */
export const STAGES = ["linear", "decoded", "denoised"];

/** Pictures with sides up to this many pixels are decoded in one piece. */
const WHOLE = 512;

/** Side of a tile of larger pictures, pixels: with its margins, a tile is not much larger than `WHOLE`. */
const TILE = 384;

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

/** The mean of all latents' precision codes. @param {Picture} picture */
const coarseness = ({ facts }) => facts.codes / (facts.channels * facts.rows * facts.columns);

/**
 * Whether the denoiser runs where networks do: the pack has one, and the picture is at least as coarse as its minimum.
 * @param {Picture} picture
 */
export function denoiserApplies(picture) {
  const least = picture.pack.denoiserMinStepIndex;
  return least !== null && least <= coarseness(picture);
}

/**
 * The stage that a picture reaches: `decoded` instead of `denoised` where the pack or a strength of 0 skips the denoiser, `linear` instead of
 * both where the file is so fine, or as yet so coarse, that no network runs.
 * @param {Picture} picture @param {Stage} stage @param {number} [strength]
 * @returns {Stage}
 */
export function reached(picture, stage, strength = picture.header.realism) {
  if (picture.facts.upper || coarseness(picture) > NETWORKS_COARSEST) return "linear";
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
 * @param {Window} window @param {Pick<Picture, "header" | "alpha" | "pack">} picture @param {number} [reduce] what the picture's sides are divided by, rounding up
 * @returns {Tile}
 */
export function finish(rgba, window, { header, alpha, pack }, reduce = 1) {
  const patch = pack.patch / reduce;
  const whole = Math.ceil(header.width / reduce);
  const [x, y] = [window.left * patch, window.top * patch];
  const width = Math.min(window.columns * patch, whole - x);
  const height = Math.min(window.rows * patch, Math.ceil(header.height / reduce) - y);
  const cropped = rgba instanceof Uint8ClampedArray && rgba.length === width * height * 4;
  const pixels = cropped ? rgba : new Uint8ClampedArray(width * height * 4);
  const stride = window.columns * patch * 4;
  for (let row = 0; row < height && !cropped; row++) {
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
      for (let from = (y + row) * whole + x, end = from + width; from < end; from++, to += 4) pixels[to] = alpha[from];
    }
  }
  return { x, y, width, height, pixels };
}

/**
 * Decodes a stage tile by tile, top to bottom.
 * @param {Picture} picture @param {Stage} stage as returned by `reached`
 * @param {Networks | null} session not needed for `linear` @param {number} [strength] of the denoiser, at least 1
 * @param {number | null} [tile] latent positions on a tile's side; does not change the pixels
 * @param {number} [reduce] of `linear`: divides the sides, rounding up; a power of two up to the pack's patch
 * @returns {AsyncGenerator<Tile>}
 * @throws {RangeError} for a `tile` that is no positive integer
 */
export async function* paint(picture, stage, session, strength = picture.header.realism, tile, reduce = 1) {
  const { pack, whole } = picture;
  const side = tileSide(tile, whole, pack.patch);
  if (stage === "linear") {
    const { header, alpha } = picture;
    const small = { header, pack, alpha };
    if (alpha && reduce > 1) {
      const { reducedPlane } = await import("../format/reduced.js");
      small.alpha = reducedPlane(alpha, header.width, header.height, reduce);
    }
    for (const window of windows(whole, side * reduce)) yield finish(await picture.paintLinear(window, reduce), window, small, reduce);
    return;
  }
  if (!session) throw new SdzError("ProviderError", `stage '${stage}' needs a session`);
  const applied = stage === "denoised" ? strength : 0;
  if (pack.tiling) {
    // what sees the whole picture does not run in the core
    const parts = /** @type {GraphNetworks} */ (session).blend(picture, applied);
    for await (const { rgba, window } of parts) yield finish(rgba, window, picture);
    return;
  }
  for (const window of windows(whole, side)) yield finish(await session.paint(picture, window, applied), window, picture);
}
