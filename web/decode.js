/**
 * The bytes of an .sdz, or of any prefix of one -> an image at one of three stages: `linear` needs no neural runtime, `decoded` adds
 * the decoder network, `denoised` the one-step denoiser before it. Large images go through in tiles with the margin that the pack's
 * receptive fields ask for: memory stays bounded and the pixels are those of the untiled image; a pack whose networks have no such
 * margin says how its tiles overlap, and those are blended. The twin of runtime/decode.py.
 */

import { ALPHA, LATENTS, PALETTE_LATENTS, altText, find, parse } from "./format/container.js";
import { SdzError } from "./errors.js";
import { DENOISER_COARSEST, MAX_PIXELS } from "./limits.js";
import { linearStage } from "./format/linear.js";
import { fetchReader, later, loadPack } from "./pack.js";
import { Room, channelSteps, decodePlanes, dequantize } from "./format/planes.js";
import { FULL_STRENGTH, Session } from "./session.js";
import { full, spans, weights } from "./format/tiles.js";

/** @import { Header } from "./format/container.js" */
/** @import { Pack } from "./pack.js" */
/** @import { IndexTables, KnownIndices } from "./format/indices.js" */
/** @import { Known, Latents, Window } from "./format/planes.js" */

/**
 * @typedef {"linear" | "decoded" | "denoised"} Stage
 *
 * @typedef {object} Picture what the bytes at hand tell, before any pixel
 * @property {Header} header
 * @property {Pack} pack
 * @property {Known | KnownIndices} known
 * @property {Uint8Array | null} alpha (H, W)
 * @property {string | undefined} alt
 *
 * @typedef {{x: number, y: number, width: number, height: number, pixels: Uint8ClampedArray<ArrayBuffer>}} Tile pixels are RGBA
 *
 * @typedef {object} DecodedImage
 * @property {number} width
 * @property {number} height
 * @property {Uint8ClampedArray<ArrayBuffer>} data RGBA in sRGB; a grey image has R = G = B
 * @property {Stage} stage the one reached: `denoised` falls back to `decoded` where the pack skips its denoiser
 * @property {boolean} complete whether the latents were there to the last bit
 * @property {Header} header
 * @property {string | undefined} alt
 */

/** @type {readonly Stage[]} */
export const STAGES = ["linear", "decoded", "denoised"];

/** Pixels on the side of a picture that goes through in one piece. */
const WHOLE = 512;

/** Pixels on a tile's side where there are several: with its margins, a tile is little more to the networks than `WHOLE`. */
const TILE = 384;

/** Where packs and onnxruntime-web lie unless the page says otherwise: beside the scripts. */
export const PACKS = new URL("./packs/", import.meta.url).href;
export const ORT = new URL("./ort/", import.meta.url).href;

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
 * Entropy decoding: everything exact and integer that needs no window.
 * @param {Uint8Array} bytes @param {Pack} pack
 * @returns {Promise<Picture>}
 */
export async function readPicture(bytes, pack) {
  const container = readContainer(bytes);
  const { header } = container;
  if (header.packId !== pack.id) {
    throw new SdzError("MissingPackError", `the file was made for model pack ${header.packId}, not ${pack.id}`);
  }
  const known = await decodeLatents(container, pack);
  const chunk = find(container, ALPHA);
  const alpha = chunk ? await (await later.alpha()).decodeAlpha(chunk.payload, header.height, header.width, chunk.start) : null;
  return { header, pack, known, alpha, alt: altText(container) };
}

/**
 * @param {import("./format/container.js").Container} container @param {Pack} pack
 * @returns {Promise<Known | KnownIndices>}
 */
async function decodeLatents(container, pack) {
  const { header } = container;
  const [h, w] = [Math.ceil(header.height / pack.patch), Math.ceil(header.width / pack.patch)];
  if (header.tilt && !pack.octaves) {
    const problem = `${header.tilt}, of a pack that tells no frequencies apart it must be 0`;
    throw new SdzError("CorruptFileError", problem, { offset: 8, field: "tilt" });
  }
  if (pack.palette) {
    const chunk = find(container, PALETTE_LATENTS);
    if (!chunk) return pack.palette.unknownLatents(pack.channels, h, w, header.planes);
    return pack.palette.decodePalette(chunk.payload, pack.channels, h, w, chunk.start);
  }
  const { coder } = pack;
  const { stepIndex, planes } = header;
  const payload = find(container, LATENTS)?.payload ?? new Uint8Array();
  if (!("tree" in coder)) return decodePlanes(payload, h, w, planes, stepIndex, coder);
  for (const [value, offset, field] of /** @type {[number, number, string][]} */ ([[stepIndex, 9, "step index"], [planes, 10, "planes"]])) {
    if (value) throw new SdzError("CorruptFileError", `${value}, of a pack with a codebook it must be 0`, { offset, field });
  }
  return indicesOf(pack).decodeIndices(payload, h, w, coder);
}

/**
 * Values, levels, precision codes and intervals of the latents in a window.
 * @param {Picture} picture @param {Window} [window] all of it when left out @param {Room} [room] where the results go, until its next use
 * @returns {Latents & {values: Int32Array}}
 */
export function latentsIn({ known, header, pack }, window, room) {
  if ("node" in known) return indicesOf(pack).dequantizeIndices(known, indexTables(pack), pack.l1Limit, window, room);
  return dequantize(known, header, pack, window, room);
}

/** The module for a pack with a codebook. @param {Pack} pack */
const indicesOf = ({ indices }) => /** @type {typeof import("./format/indices.js")} */ (indices);

/** The tables of a pack with a codebook. @param {Pack} pack */
const indexTables = ({ coder }) => /** @type {IndexTables} */ (coder);

/**
 * Sixteenths of the denoiser's moves for a realism from 0 (the most faithful) to 1 (the most natural), rounded half up.
 * @param {number} realism @throws {RangeError} outside 0..1
 */
export function strengthOf(realism) {
  if (!(realism >= 0 && realism <= 1)) throw new RangeError(`realism lies in 0..1; ${realism} was given`);
  return Math.floor(realism * FULL_STRENGTH + 0.5);
}

/**
 * Whether the denoiser runs: the pack has one, and the mean of all latents' precision codes lies between its minimum and
 * DENOISER_COARSEST.
 * @param {Picture} picture
 */
export function denoiserApplies({ known, header, pack }) {
  if (pack.denoiserMinStepIndex === null) return false;
  const count = known.channels * known.h * known.w;
  let codes = channelSteps(header, pack.octaves, known.channels).reduce((sum, step) => sum + step, 0) * known.h * known.w;
  if ("node" in known) codes = known.channels * indicesOf(pack).precisionSum(known, indexTables(pack));
  else for (const plane of known.plane) codes += 8 * plane;
  return pack.denoiserMinStepIndex * count <= codes && codes <= DENOISER_COARSEST * count;
}

/**
 * The stage that a picture reaches: `decoded` in place of `denoised` where the pack or the strength skips the denoiser.
 * @param {Picture} picture @param {Stage} stage @param {number} [strength]
 * @returns {Stage}
 */
export function reached(picture, stage, strength = FULL_STRENGTH) {
  return stage === "denoised" && !(strength && denoiserApplies(picture)) ? "decoded" : stage;
}

/**
 * The tile's side: by memory where nobody says.
 * @param {number | null | undefined} tile @param {{h: number, w: number}} known @param {number} patch @returns {number}
 */
function tileSide(tile, { h, w }, patch) {
  if (tile === undefined || tile === null) return (Math.max(h, w) * patch <= WHOLE ? WHOLE : TILE) / patch;
  if (Number.isInteger(tile) && tile >= 1) return tile;
  throw new RangeError(`a tile has a whole number of positions on a side, from 1 on; ${tile} was given`);
}

/**
 * Covers all positions with windows of at most `tile` positions a side.
 * @param {{h: number, w: number}} known @param {number} tile
 * @returns {Generator<Window>}
 */
function* windows({ h, w }, tile) {
  for (let top = 0; top < h; top += tile) {
    for (let left = 0; left < w; left += tile) {
      yield { top, left, rows: Math.min(tile, h - top), columns: Math.min(tile, w - left) };
    }
  }
}

/**
 * The window with `margin` more positions on each side, as far as there are any.
 * @param {Window} window @param {number} margin @param {{h: number, w: number}} known
 * @returns {Window}
 */
function grow({ top, left, rows, columns }, margin, { h, w }) {
  const [y, x] = [Math.max(0, top - margin), Math.max(0, left - margin)];
  return { top: y, left: x, rows: Math.min(h, top + rows + margin) - y, columns: Math.min(w, left + columns + margin) - x };
}

/**
 * The part of `source` (C, outer) that lies in `inner`; `source` itself where that is all of it.
 * @param {ArrayLike<number> & {subarray(from: number, to: number): ArrayLike<number>}} source
 * @param {Window} inner @param {Window} outer @param {number} channels @param {Room} room @param {string} name of the result's place there
 * @returns {ArrayLike<number>}
 */
function cut(source, inner, outer, channels, room, name) {
  if (inner.rows === outer.rows && inner.columns === outer.columns) return source;
  const out = room.floats(name, channels * inner.rows * inner.columns);
  for (let c = 0, to = 0; c < channels; c++) {
    for (let y = 0; y < inner.rows; y++, to += inner.columns) {
      const from = (c * outer.rows + inner.top - outer.top + y) * outer.columns + inner.left - outer.left;
      out.set(source.subarray(from, from + inner.columns), to);
    }
  }
  return out;
}

/**
 * The pixels of `core` as they stand in the picture: cropped at its edges, grey where it is grey, with its alpha.
 * @param {Uint8Array | Uint8ClampedArray<ArrayBuffer>} rgba pixels of `outer`; the clamped kind may become the tile's own
 * @param {Window} core @param {Window} outer @param {Picture} picture
 * @returns {Tile}
 */
function place(rgba, core, outer, { header, alpha, pack: { patch } }) {
  const [x, y] = [core.left * patch, core.top * patch];
  const width = Math.min(core.columns * patch, header.width - x);
  const height = Math.min(core.rows * patch, header.height - y);
  const whole = rgba instanceof Uint8ClampedArray && rgba.length === width * height * 4;
  const pixels = whole ? rgba : new Uint8ClampedArray(width * height * 4);
  const stride = outer.columns * patch * 4;
  for (let row = 0; row < height && !whole; row++) {
    const from = ((core.top - outer.top) * patch + row) * stride + (core.left - outer.left) * patch * 4;
    pixels.set(rgba.subarray(from, from + width * 4), row * width * 4);
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
 * The stage's pixels, tile by tile, top to bottom. Tiles share their arrays, so memory does not grow with the picture.
 * @param {Picture} picture @param {Stage} stage one that is `reached`
 * @param {Session | null} session not needed for `linear` @param {number} [strength] of the denoiser, from 1 on
 * @param {number | null} [tile] positions on a side, which do not change the pixels
 * @returns {AsyncGenerator<Tile>}
 * @throws {RangeError} for a `tile` that is no positive integer
 */
export async function* paint(picture, stage, session, strength = FULL_STRENGTH, tile) {
  const { known, pack } = picture;
  const room = new Room();
  const side = tileSide(tile, known, pack.patch);
  if (stage === "linear") {
    for (const core of windows(known, side)) {
      const seen = pack.lapping ? grow(core, 1, known) : core;
      const { values, h, w } = latentsIn(picture, seen, room);
      yield place(linearStage(values, h, w, pack), core, seen, picture);
    }
    return;
  }
  if (!session) throw new SdzError("ProviderError", `stage '${stage}' needs a session`);
  if (pack.tiling) {
    yield* blend(picture, stage === "denoised" ? strength : 0, session, room);
    return;
  }
  for (const core of windows(known, side)) {
    const decoded = grow(core, pack.halo.decoder, known);
    yield place(await runNetworks(picture, decoded, stage === "denoised" ? strength : 0, session, room), core, decoded, picture);
  }
}

/**
 * The decoder's pixels of a window; the denoiser sees its receptive field's margin around it.
 * @param {Picture} picture @param {Window} decoded @param {number} strength of the denoiser, 0 without it
 * @param {Session} session @param {Room} room
 * @returns {Promise<Uint8Array>} RGBA
 */
async function runNetworks(picture, decoded, strength, session, room) {
  const { known, pack } = picture;
  const widest = strength ? grow(decoded, pack.halo.denoiser, known) : decoded;
  const latents = latentsIn(picture, widest, room);
  const exact = room.floats("networks' values", latents.values.length);
  exact.set(latents.values);
  const values = strength ? await session.denoise({ ...latents, values: exact }, strength) : exact;
  return session.decode(
    cut(values, decoded, widest, pack.channels, room, "decoder's values"),
    cut(latents.precision, decoded, widest, pack.channels, room, "decoder's precision"),
    decoded.rows,
    decoded.columns,
  );
}

/**
 * The pixels of a pack with a tiling: a single tile as it is, several blended. What two rows of tiles share is held until the second is
 * there, so memory grows with the picture's width only.
 * @param {Picture} picture @param {number} strength @param {Session} session @param {Room} room
 * @returns {AsyncGenerator<Tile>}
 */
async function* blend(picture, strength, session, room) {
  const { known, pack } = picture;
  const { patch } = pack;
  const tiling = /** @type {import("./format/tiles.js").Tiling} */ (pack.tiling);
  const { down, across } = spans(tiling, known.h, known.w);
  const total = full(tiling, patch) ** 2;
  const stride = known.w * patch * 3;
  /** Weighted sums of the rows of pixels that wait for the next row of tiles. */
  let waiting = new Int32Array();
  for (const row of down) {
    const height = (row.stop - row.start) * patch;
    const sums = new Int32Array(height * stride);
    sums.set(waiting);
    for (const column of across) {
      const window = { top: row.start, left: column.start, rows: row.stop - row.start, columns: column.stop - column.start };
      const rgba = await runNetworks(picture, window, strength, session, room);
      if (down.length * across.length === 1) {
        yield place(rgba, window, window, picture);
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
    // below this the next row of tiles has a say
    const rows = row.stop - row.start - (row.after ? tiling.overlap : 0);
    waiting = sums.slice(rows * patch * stride);
    const pixels = new Uint8ClampedArray(rows * patch * known.w * patch * 4);
    for (let from = 0, to = 0; to < pixels.length; from += 3, to += 4) {
      for (let c = 0; c < 3; c++) pixels[to + c] = Math.floor((sums[from + c] + total / 2) / total);
      pixels[to + 3] = 255;
    }
    const core = { top: row.start, left: 0, rows, columns: known.w };
    yield place(pixels, core, core, picture);
  }
}

/**
 * Decodes a file, or any prefix of one that holds its header, in a page, a worker or Node.
 * @param {Uint8Array} bytes
 * @param {{stage?: Stage, pack?: Pack, session?: Session, packs?: string | URL, ort?: string | URL, tile?: number | null,
 *   realism?: number}} [options] `session` runs the networks and fixes the pack; without one, `pack` or else the pack of the file's id below `packs`
 * @returns {Promise<DecodedImage>}
 * @throws {SdzError} @throws {RangeError} for a `tile` that is no positive integer, a `realism` outside 0..1
 */
export async function decodeBytes(bytes, { stage = "denoised", pack, session, packs = PACKS, ort = ORT, tile, realism = 1 } = {}) {
  const strength = strengthOf(realism);
  const { header } = readContainer(bytes);
  pack ??= session?.pack ?? (await loadPack(header.packId, fetchReader(new URL(`${header.packId}/`, packs))));
  const picture = await readPicture(bytes, pack);
  stage = reached(picture, stage, strength);
  if (stage !== "linear") session ??= new Session(pack, { ort });
  const { width, height } = header;
  const data = new Uint8ClampedArray(width * height * 4);
  for await (const part of paint(picture, stage, session ?? null, strength, tile)) {
    for (let row = 0; row < part.height; row++) {
      data.set(part.pixels.subarray(row * part.width * 4, (row + 1) * part.width * 4), ((part.y + row) * width + part.x) * 4);
    }
  }
  return { width, height, data, stage, complete: picture.known.complete, header, alt: picture.alt };
}
