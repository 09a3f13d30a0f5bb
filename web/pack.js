/**
 * Loads model packs: manifest, tables and graphs, each verified by its SHA-256 before use. An .sdz file identifies its pack by the first
 * three bytes of the manifest's digest, never by a URL; only the page decides where packs are loaded from. Verified files are kept in the
 * Cache API where the browser allows that. The twin of runtime/pack.py.
 */

import { SdzError } from "./errors.js";
import { sha256 } from "./format/transfer.js";
import { MAX_HALO, MAX_OCTAVE } from "./limits.js";
import { QUANTIZERS, tablesProblem } from "./quantizer.js";

/** @import { Tiling } from "./format/tiles.js" */

/**
 * @typedef {{file: string, sha256: string, bytes: number}} Entry
 * @typedef {(name: string, fresh: boolean) => Promise<Uint8Array | null>} Read reads the file `name` of a pack; null where it
 *   does not exist; `fresh` bypasses caches
 *
 * @typedef {object} Pack
 * @property {string} id 8 hexadecimal digits
 * @property {number} channels
 * @property {number} patch pixels on each side of a latent position
 * @property {number} reconstruction sixteenths of an interval
 * @property {number} l1Limit GRID units
 * @property {number} linearShift
 * @property {Uint8Array} linear as stored, dense or separable; the core checks it when it opens it
 * @property {Int32Array | null} lapping (n, n), the linear stage's filter across block borders; null where there is none
 * @property {Int32Array | null} octaves each channel's frequency in sixteenths of an octave above a quarter of the highest; null where
 *   the pack does not allow a tilt
 * @property {(typeof QUANTIZERS)[number]} quantizer how its files carry the latents
 * @property {Uint8Array} coder tables; the core checks them when it opens them
 * @property {number | null} denoiserMinStepIndex null where the pack has no denoiser
 * @property {{denoiser: number, decoder: number}} halo receptive fields, latent positions on each side
 * @property {boolean} exact whether the reference graphs give the same bytes everywhere
 * @property {Tiling | null} tiling how large pictures are split for networks that see the whole picture
 * @property {(name: string) => Promise<Uint8Array>} graphBytes
 * @property {((name: "decoder" | "denoiser") => Promise<Uint8Array>) | null} coreBytes reads the exact core's weights of a network; null
 *   where the core does not compute the pack's graphs
 */

const FORMAT = 2;
const PATCHES = [4, 8, 16, 32];

/** Names of the tables. */
export const TABLES = ["linear", "coder"];

/** File name of the manifest in every pack. */
export const MANIFEST = "manifest.json";

/** Binary places of the levels that a lapping filters. */
const LAP_PLACES = 4;

/** Most that a row of a lapping may sum to without signs: the networks' exact sums rest on it. */
const LAP_SUM = 232;

/** Hundreds of times the size of a usual manifest. */
const MAX_MANIFEST_BYTES = 2 ** 20;

/** Name of the cache that holds verified files by their digest. */
export const PACK_CACHE = "sdz-pack-files";

/** @param {string} problem @returns {SdzError} */
const corrupt = (problem) => new SdzError("CorruptPackError", `${problem}; rebuild or deploy the pack again`);

/**
 * Downloads a file of a pack.
 * @param {string | URL} url @param {boolean} fresh bypasses caches
 * @returns {Promise<Uint8Array | null>} null where it does not exist
 */
export async function fetchFile(url, fresh) {
  // a pack's URL contains its digest, so a cached copy is never out of date
  const response = await fetch(url, { cache: fresh ? "reload" : "force-cache" }).catch((error) => {
    throw new SdzError("NetworkError", `${url}: ${error.message}`);
  });
  if (response.status === 404) return null;
  if (!response.ok) throw new SdzError("NetworkError", `${url}: HTTP status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/**
 * Reads the files of one pack over HTTP.
 * @param {string | URL} base its folder, ends in "/"
 * @returns {Read}
 */
export const fetchReader = (base) => (name, fresh) => fetchFile(new URL(name, base), fresh);

/** @returns {Promise<Cache | null>} null where the Cache API is missing or refused */
async function storage() {
  try {
    return await caches.open(PACK_CACHE);
  } catch {
    return null;
  }
}

/** Files on their way into the cache. @type {Promise<unknown>} */
let storing = Promise.resolve();

/** Resolves when all files read so far are in the cache, or were refused there. */
export const stored = () => storing;

/** The cache's key for a file: a URL that no page has. @param {string} digest */
const cacheKey = (digest) => new URL(`/.sdz/${digest}`, globalThis.location?.href ?? "https://localhost/").href;

/**
 * Reads a file that the manifest lists.
 * @param {Entry} entry @param {Read} read
 * @returns {Promise<Uint8Array>}
 * @throws {SdzError} CorruptPackError where it is missing or has another digest
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
      // no picture waits for the disk, and exceeding the storage quota must not fail the page
      const storage = cache?.put(cacheKey(digest), new Response(/** @type {Uint8Array<ArrayBuffer>} */ (bytes))).catch(() => {});
      storing = Promise.all([storing, storage]);
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

/** Largest allowed number of latent positions decoded in one piece. */
const MAX_WHOLE = 2 ** 20;

/** Largest allowed overlap, pixels: products of two weights and a pixel value then stay below 2**31. */
const MAX_BLEND = 1024;

/** @param {Tiling} tiling @param {number} patch @returns {string | null} what is wrong with the numbers */
function tilingProblem({ whole, overlap }, patch) {
  if (overlap < 2 || overlap % 2 || overlap * patch > MAX_BLEND) {
    return `an overlap of ${overlap} is not an even number from 2 to ${Math.floor(MAX_BLEND / patch)}`;
  }
  if (whole < 9 * overlap * overlap || whole > MAX_WHOLE) {
    return `${whole} positions in one piece are not from ${9 * overlap * overlap} to ${MAX_WHOLE}`;
  }
  return null;
}

/** @param {any} value @param {number} patch @returns {Tiling} */
function tilingOf(value, patch) {
  const [whole, overlap] = ["whole", "overlap"].map((name) => integer(value?.[name], `tiling.${name}`, 0, 2 ** 30));
  const tiling = { whole, overlap };
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
  // a plain file name, so that nothing outside the pack's folder is ever read
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(file) || !/^[0-9a-f]{64}$/.test(digest)) {
    throw corrupt(`the manifest's '${field}' is malformed`);
  }
  return { file, sha256: digest, bytes: integer(bytes, `${field}.bytes`, 1, 2 ** 30) };
}

/** @param {any} value @param {boolean} denoises @returns {Record<string, Entry>} the core's weights by network */
function coreOf(value, denoises) {
  const networks = denoises ? ["decoder", "denoiser"] : ["decoder"];
  return Object.fromEntries(networks.map((name) => [name, entry(value?.[name], `core.${name}`)]));
}

/** @param {string} id @param {Read} read @returns {Promise<any>} */
async function readManifest(id, read) {
  for (const fresh of [false, true]) {
    const text = await read(MANIFEST, fresh);
    if (!text) {
      throw new SdzError("MissingPackError", `model pack ${id} is not installed: put it beside the others, in a folder of that name`);
    }
    if (text.length > MAX_MANIFEST_BYTES || (await sha256(text)).slice(0, 6) !== id) continue;
    try {
      return JSON.parse(new TextDecoder().decode(text));
    } catch {
      throw corrupt(`the manifest of pack ${id} is not JSON`);
    }
  }
  throw corrupt(`the manifest of pack ${id} does not have that digest`);
}

/**
 * Loads a pack's manifest and tables. Graphs are loaded when `graphBytes` asks for them.
 * @param {string} id 8 hexadecimal digits
 * @param {Read} read
 * @returns {Promise<Pack>}
 * @throws {SdzError} MissingPackError, CorruptPackError, NetworkError
 */
export async function loadPack(id, read) {
  const manifest = await readManifest(id, read);
  const [linear, coder] = await Promise.all(TABLES.map((name) => readEntry(tableOf(manifest, name), read)));
  return packOf(id, manifest, linear, coder, read);
}

/** @param {any} manifest @param {string} name of one of its tables @returns {Entry} @throws {SdzError} CorruptPackError */
export const tableOf = (manifest, name) => entry(manifest.tables?.[name], `tables.${name}`);

/**
 * A pack of what was read.
 * @param {string} id @param {any} manifest @param {Uint8Array} linear @param {Uint8Array} coder the tables
 * @param {Read} read reads the networks
 * @returns {Pack}
 * @throws {SdzError} CorruptPackError
 */
export function packOf(id, manifest, linear, coder, read) {
  integer(manifest.format, "format", FORMAT, FORMAT);
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(manifest.name ?? "")) throw corrupt("the manifest's 'name' is malformed");
  const patch = choice(manifest.patch, "patch", PATCHES);
  integer(manifest.grid, "grid", 4, 4);
  const channels = integer(manifest.channels, "channels", 1, 255);
  const l1Limit = integer(manifest.l1_limit, "l1_limit", 1, 2 ** 24);
  const lapping = manifest.lapping === undefined ? null : lappingOf(manifest.lapping, patch);
  const linearShift = integer(manifest.linear_shift, "linear_shift", lapping ? LAP_PLACES + 1 : 1, 20);
  const kind = manifest.quantizer === undefined ? QUANTIZERS[0] : choice(manifest.quantizer, "quantizer", QUANTIZERS);
  const problem = tablesProblem(kind, channels, coder);
  if (problem) throw corrupt(problem);
  /** @type {Map<string, Promise<Uint8Array>>} */
  const graphs = new Map();
  const denoises = manifest.denoiser !== undefined;
  const core = manifest.core === undefined ? null : coreOf(manifest.core, denoises);
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
    quantizer: kind,
    coder,
    denoiserMinStepIndex: denoises ? integer(manifest.denoiser?.min_step_index, "denoiser.min_step_index", 0, 255) : null,
    halo: {
      denoiser: denoises ? integer(manifest.halo?.denoiser, "halo.denoiser", 0, MAX_HALO) : 0,
      // with lapping, a block's pixels depend on its neighbours
      decoder: integer(manifest.halo?.decoder, "halo.decoder", lapping ? 1 : 0, MAX_HALO),
    },
    exact: manifest.exact === undefined ? true : choice(manifest.exact, "exact", [false, true]),
    tiling: manifest.tiling === undefined ? null : tilingOf(manifest.tiling, patch),
    coreBytes: core && ((name) => readEntry(core[name], read)),
    graphBytes(name) {
      const running = graphs.get(name) ?? readEntry(entry(manifest.graphs?.[name], `graphs.${name}`), read);
      graphs.set(name, running);
      // not kept: the session has its own copy, and a failed download may be repeated
      running.catch(() => {}).finally(() => graphs.delete(name));
      return running;
    },
  };
}
