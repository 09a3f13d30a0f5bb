/**
 * The photo itself: the pixels of a file's lossless tail, band by band from the top. Loaded where a file has one, with a module of the core of
 * its own (core/sdz_lossless.h). The twin of runtime/lossless.
 */

import { exactFile } from "../assets.js";
import { Core, compileCore } from "../core.js";
import { fetchModule } from "../engine.js";
import { SdzError } from "../errors.js";
import { LATENTS, LOSSLESS, PALETTE_LATENTS, find } from "../format/container.js";
import { finish } from "./stages.js";

export { toTheEnd } from "./rest.js";

/** @import { Picture } from "../engine.js" */
/** @import { Chunk, Container } from "../format/container.js" */
/** @import { Tile } from "./stages.js" */

const BAND_ENDS = 44;
const LENGTH_BYTES = 4;
const LARGEST_BAND = 14;

/** Where lossless.wasm comes from. @type {() => Promise<BufferSource | Response>} */
let load = () => fetchModule(exactFile());
/** @type {Promise<WebAssembly.Module> | null} */
let compiling = null;

/** Takes the module's bytes from `from` instead of from beside the scripts. @param {() => Promise<BufferSource | Response>} from */
export function useExact(from) {
  [load, compiling] = [from, null];
}

/** @param {string} problem @param {number} offset @returns {never} */
function corrupt(problem, offset) {
  throw new SdzError("CorruptFileError", problem, { offset, field: "lossless tail" });
}

/**
 * The file's lossless tail, whole or cut; undefined without one, and where the whole latents that it builds on do not stand before it.
 * @param {Container} container @param {Picture} picture @returns {Chunk | undefined}
 */
function tailOf(container, { pack }) {
  const [latents, tail] = [find(container, pack.quantizer === "palette" ? PALETTE_LATENTS : LATENTS), find(container, LOSSLESS)];
  return tail && latents?.complete && latents.offset < tail.offset ? tail : undefined;
}

/**
 * The rows that a file's tail brings, of a cut one those of its whole bands: tiles of the picture's width, with its alpha.
 * @param {Container} container @param {Picture} picture of the same file
 * @returns {AsyncGenerator<Tile>}
 * @throws {SdzError} CorruptFileError, LimitError, CoreError, NetworkError
 */
export async function* exact(container, picture) {
  const tail = tailOf(container, picture);
  if (!tail) return;
  const { payload, complete, start } = tail;
  if (!payload.length && !complete) return;
  if (!payload.length || payload[0] > LARGEST_BAND) corrupt("the size of its bands is missing or over 2**14 rows", start);
  compiling ??= load().then(compileCore);
  compiling.catch(() => (compiling = null));
  const core = await Core.start(await compiling);
  const { width, height, grey } = picture.header;
  const planes = grey ? 1 : 3;
  const handle = core.open("sdz_tail", width, height, planes, payload[0]);
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  for (let at = 1; ; ) {
    const [from, to, top, bottom] = core.integers(core.call("sdz_tail_band", handle), 6);
    // behind the last band
    if (!to && !bottom) {
      if (at < payload.length) corrupt(`${payload.length - at} bytes behind the last band`, start + at);
      return;
    }
    const first = at + LENGTH_BYTES;
    const end = first <= payload.length ? first + view.getUint32(at, true) : Infinity;
    if (end > payload.length) {
      if (complete) corrupt("the chunk ends within a band", start + at);
      return;
    }
    const base = await baseOf(picture, from, to, planes);
    const count = (bottom - top) * width * planes;
    const samples = core.given([payload.subarray(first, end), base, count], (bytes, under, out) => {
      const status = core.call("sdz_tail_decode", handle, bytes, end - first, under, out);
      if (status === -BAND_ENDS) corrupt("a band ends before its pixels do", start + first);
      core.checked(status);
      return core.bytes(out, count);
    });
    at = end;
    if (top < bottom) yield tileOf(samples, top, bottom, planes, picture);
  }
}

/** The linear stage's samples of rows, (rows, width, planes). @param {Picture} picture @param {number} from @param {number} to @param {number} planes */
async function baseOf(picture, from, to, planes) {
  const { pack, header, whole } = picture;
  const base = new Uint8Array((to - from) * header.width * planes);
  if (from === to) return base;
  const top = Math.floor(from / pack.patch);
  const window = { top, left: 0, rows: Math.ceil(to / pack.patch) - top, columns: whole.columns };
  const { pixels, y } = finish(await picture.paintLinear(window), window, picture);
  for (let i = (from - y) * header.width * 4, at = 0; at < base.length; i += 4) {
    for (let c = 0; c < planes; c++) base[at++] = pixels[i + c];
  }
  return base;
}

/** @param {Uint8Array} samples @param {number} top @param {number} bottom @param {number} planes @param {Picture} picture @returns {Tile} */
function tileOf(samples, top, bottom, planes, { header: { width }, alpha }) {
  const pixels = new Uint8ClampedArray((bottom - top) * width * 4);
  for (let i = 0, at = 0, a = top * width; i < pixels.length; i += 4, at += planes, a++) {
    for (let c = 0; c < 3; c++) pixels[i + c] = samples[at + (planes > 1 ? c : 0)];
    pixels[i + 3] = alpha ? alpha[a] : 255;
  }
  return { x: 0, y: top, width, height: bottom - top, pixels };
}
