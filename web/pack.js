/**
 * A model pack: id -> manifest, tables and graphs, each verified by its SHA-256 before use. An .sdz names its pack by the first
 * four bytes of the manifest's digest and never by a URL; where packs lie is the page's to say. Verified files are kept in the
 * Cache API, or for the life of the worker where storage is refused. The twin of runtime/pack.py.
 */

import { parseTables } from "./format/coder.js";
import { SdzError } from "./errors.js";
import { MAX_HALO, MAX_OCTAVE } from "./limits.js";
import { LAP_PLACES, LAP_SUM } from "./format/linear.js";
import { tilingProblem } from "./format/tiles.js";

/** @import { CoderTables } from "./format/coder.js" */
/** @import { IndexTables } from "./format/indices.js" */
/** @import { Tiling } from "./format/tiles.js" */

/**
 * @typedef {{file: string, sha256: string, bytes: number}} Entry
 * @typedef {(name: string, fresh: boolean) => Promise<Uint8Array | null>} Read the file `name` of a pack, null where there is none;
 *   `fresh`: not from a cache
 *
 * @typedef {object} Pack
 * @property {string} id 8 hexadecimal digits
 * @property {number} channels
 * @property {number} patch pixels on each side of a latent position
 * @property {number} reconstruction sixteenths of an interval
 * @property {number} l1Limit GRID units
 * @property {number} linearShift
 * @property {Int16Array} linear (C, 3 p p)
 * @property {Int32Array | null} lapping (n, n), what the linear stage does over the borders of blocks; null where they stand alone
 * @property {Int32Array | null} octaves each channel's frequency as octaves above a quarter of the highest, sixteenths; null where files have
 *   no tilt
 * @property {CoderTables | IndexTables} coder the latter for a pack with a codebook
 * @property {number | null} denoiserMinStepIndex null where the pack has no denoiser
 * @property {{denoiser: number, decoder: number}} halo latent positions of receptive field on each side
 * @property {boolean} exact whether the reference graphs give the same bytes everywhere
 * @property {Tiling | null} tiling how large pictures go through networks that have no finite receptive field
 * @property {typeof import("./format/indices.js") | null} indices where files carry the indices of a codebook
 * @property {typeof import("./format/palette.js") | null} palette where they carry a palette; neither: bit-planes
 * @property {(name: string) => Promise<Uint8Array>} graphBytes
 */

const FORMAT = 1;
const PATCHES = [4, 8, 16, 32];
const QUANTIZERS = ["planes", "indices", "palette"];

/**
 * Modules that no page loads before it meets a pack or a picture that asks for them. A service worker, which may not load any later, puts
 * its own here.
 */
export const later = {
  indices: () => import("./format/indices.js"),
  palette: () => import("./format/palette.js"),
  alpha: () => import("./format/alpha.js"),
};

/** Hundreds of times a manifest's size. */
const MAX_MANIFEST_BYTES = 2 ** 20;

/** Verified files by their digest. */
export const PACK_CACHE = "sdz-pack-files";

/** @param {string} problem @returns {SdzError} */
const corrupt = (problem) => new SdzError("CorruptPackError", `${problem}; rebuild or deploy the pack again`);

/** @param {Uint8Array} bytes @returns {Promise<string>} hexadecimal */
async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) {
    throw new SdzError("ProviderError", "digests need a secure context: serve the page over https or from localhost");
  }
  const digest = await crypto.subtle.digest("SHA-256", /** @type {Uint8Array<ArrayBuffer>} */ (bytes));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Reads the files below `base` over HTTP.
 * @param {string | URL} base ends in "/"
 * @returns {Read}
 */
export function fetchReader(base) {
  return async (name, fresh) => {
    const url = new URL(name, base);
    // a pack's URL holds its digest, so any copy that the browser kept is the right one
    const response = await fetch(url, { cache: fresh ? "reload" : "force-cache" }).catch((error) => {
      throw new SdzError("NetworkError", `${url}: ${error.message}`);
    });
    if (response.status === 404) return null;
    if (!response.ok) throw new SdzError("NetworkError", `${url}: HTTP status ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  };
}

/** @returns {Promise<Cache | null>} null where the platform has none or refuses it */
async function storage() {
  try {
    return await caches.open(PACK_CACHE);
  } catch {
    return null;
  }
}

/** @param {string} digest a URL that no page has, only to name the entry */
const cacheKey = (digest) => new URL(`/.sdz/${digest}`, globalThis.location?.href ?? "https://localhost/").href;

/**
 * The bytes of a manifest entry: right digest, or CorruptPackError.
 * @param {Entry} entry @param {Read} read
 * @returns {Promise<Uint8Array>}
 */
async function readEntry({ file, sha256: digest, bytes: size }, read) {
  const cache = await storage();
  const kept = await cache?.match(cacheKey(digest)).catch(() => undefined);
  const sources = [
    async () => (kept ? new Uint8Array(await kept.arrayBuffer()) : null),
    () => read(file, false),
    () => read(file, true),
  ];
  for (const source of sources) {
    const bytes = await source();
    if (!bytes || bytes.length !== size || (await sha256(bytes)) !== digest) continue;
    if (!kept) {
      // a quota that is used up must not stop the page
      await cache?.put(cacheKey(digest), new Response(/** @type {Uint8Array<ArrayBuffer>} */ (bytes))).catch(() => {});
    }
    return bytes;
  }
  throw corrupt(`the pack's file '${file}' is missing or does not have the digest ${digest}`);
}

/** @param {any} value @param {string} field @param {number} low @param {number} high @returns {number} */
function integer(value, field, low, high) {
  if (!Number.isInteger(value) || value < low || value > high) throw corrupt(`the manifest's '${field}' is not in ${low}..${high}`);
  return value;
}

/** @template T @param {any} value @param {string} field @param {readonly T[]} allowed @returns {T} */
function choice(value, field, allowed) {
  if (!allowed.includes(value)) throw corrupt(`the manifest's '${field}' is not ${allowed.join(" or ")}`);
  return value;
}

/** @param {any} value @param {number} patch @returns {Tiling} */
function tilingOf(value, patch) {
  const tiling = { whole: integer(value?.whole, "tiling.whole", 0, 2 ** 30), overlap: integer(value?.overlap, "tiling.overlap", 0, 2 ** 30) };
  const problem = tilingProblem(tiling, patch);
  if (problem) throw corrupt(`the manifest's 'tiling' cannot be: ${problem}`);
  return tiling;
}

/** @param {any} value @param {number} patch @returns {Int32Array} */
function lappingOf(value, patch) {
  const size = Array.isArray(value) ? value.length : 0;
  const square = size >= 1 && size <= patch / 2 && value.every((/** @type {any} */ row) => Array.isArray(row) && row.length === size);
  if (!square || !value.flat().every(Number.isInteger)) throw corrupt("the manifest's 'lapping' is not a square of integers");
  for (const row of value) {
    if (row.reduce((/** @type {number} */ sum, /** @type {number} */ entry) => sum + Math.abs(entry), 0) > LAP_SUM) {
      throw corrupt(`a row of the manifest's 'lapping' sums to more than ${LAP_SUM}`);
    }
  }
  return Int32Array.from(value.flat());
}

/** @param {any} value @param {number} channels @returns {Int32Array} */
function octavesOf(value, channels) {
  const fits = (/** @type {any} */ entry) => Number.isInteger(entry) && Math.abs(entry) <= MAX_OCTAVE;
  if (!Array.isArray(value) || value.length !== channels || !value.every(fits)) {
    throw corrupt(`the manifest's 'octaves' is not one integer in -${MAX_OCTAVE}..${MAX_OCTAVE} for each of ${channels} channels`);
  }
  return Int32Array.from(value);
}

/** @param {any} value @param {string} field @returns {Entry} */
function entry(value, field) {
  const { file, sha256: digest, bytes } = value ?? {};
  // a name, not a path: nothing outside the pack's folder is ever read
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(file) || !/^[0-9a-f]{64}$/.test(digest)) throw corrupt(`the manifest's '${field}' is malformed`);
  return { file, sha256: digest, bytes: integer(bytes, `${field}.bytes`, 1, 2 ** 30) };
}

/** @param {string} id @param {Read} read @returns {Promise<any>} */
async function readManifest(id, read) {
  for (const fresh of [false, true]) {
    const text = await read("manifest.json", fresh);
    if (!text) {
      throw new SdzError("MissingPackError", `model pack ${id} is not installed: put it beside the others, in a folder of that name`);
    }
    if (text.length > MAX_MANIFEST_BYTES || (await sha256(text)).slice(0, 8) !== id) continue;
    try {
      return JSON.parse(new TextDecoder().decode(text));
    } catch {
      throw corrupt(`the manifest of pack ${id} is not JSON`);
    }
  }
  throw corrupt(`the manifest of pack ${id} does not have that digest`);
}

/**
 * Loads a pack's manifest and tables; graphs follow when asked for.
 * @param {string} id 8 hexadecimal digits
 * @param {Read} read
 * @returns {Promise<Pack>}
 * @throws {SdzError} MissingPackError, CorruptPackError, NetworkError
 */
export async function loadPack(id, read) {
  const manifest = await readManifest(id, read);
  integer(manifest.format, "format", FORMAT, FORMAT);
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(manifest.name ?? "")) throw corrupt("the manifest's 'name' is malformed");
  const patch = choice(manifest.patch, "patch", PATCHES);
  integer(manifest.grid, "grid", 4, 4);
  const channels = integer(manifest.channels, "channels", 1, 255);
  const l1Limit = integer(manifest.l1_limit, "l1_limit", 1, 2 ** 24);
  const lapping = manifest.lapping === undefined ? null : lappingOf(manifest.lapping, patch);
  const linearShift = integer(manifest.linear_shift, "linear_shift", lapping ? LAP_PLACES + 1 : 1, 20);
  const [linearBytes, coderBytes] = await Promise.all(
    ["linear", "coder"].map((name) => readEntry(entry(manifest.tables?.[name], `tables.${name}`), read)),
  );
  if (linearBytes.length !== channels * 3 * patch * patch * 2) throw corrupt("the linear table has a wrong size");
  const linear = new Int16Array(linearBytes.buffer, linearBytes.byteOffset, channels * 3 * patch * patch);
  const largest = linear.reduce((most, weight) => Math.max(most, Math.abs(weight)), 0);
  if (l1Limit * largest + 2 ** (linearShift + 8) >= 2 ** 31) throw corrupt("the linear table's sums can pass 32 bits");
  const quantizer = manifest.quantizer === undefined ? QUANTIZERS[0] : choice(manifest.quantizer, "quantizer", QUANTIZERS);
  const indices = quantizer === "indices" ? await later.indices() : null;
  const palette = quantizer === "palette" ? await later.palette() : null;
  const coder = indices ? indices.parseIndexTables(coderBytes) : parseTables(coderBytes);
  if (coder.channels !== channels) throw corrupt("the coder's tables are for another number of channels");
  /** @type {Map<string, Promise<Uint8Array>>} */
  const graphs = new Map();
  const denoises = manifest.denoiser !== undefined;
  return {
    id,
    channels,
    patch,
    reconstruction: integer(manifest.reconstruction, "reconstruction", 0, 16),
    l1Limit,
    linearShift,
    linear,
    lapping,
    octaves: manifest.octaves === undefined ? null : octavesOf(manifest.octaves, channels),
    coder,
    denoiserMinStepIndex: denoises ? integer(manifest.denoiser?.min_step_index, "denoiser.min_step_index", 0, 255) : null,
    halo: {
      denoiser: denoises ? integer(manifest.halo?.denoiser, "halo.denoiser", 0, MAX_HALO) : 0,
      // a block's pixels depend on its neighbours'
      decoder: integer(manifest.halo?.decoder, "halo.decoder", lapping ? 1 : 0, MAX_HALO),
    },
    exact: manifest.exact === undefined ? true : choice(manifest.exact, "exact", [false, true]),
    tiling: manifest.tiling === undefined ? null : tilingOf(manifest.tiling, patch),
    indices,
    palette,
    graphBytes(name) {
      const running = graphs.get(name) ?? readEntry(entry(manifest.graphs?.[name], `graphs.${name}`), read);
      graphs.set(name, running);
      // a failed download may be tried again, and a session keeps its own copy
      running.catch(() => {}).finally(() => graphs.delete(name));
      return running;
    },
  };
}
