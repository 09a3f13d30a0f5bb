/**
 * Finished pictures, kept in the Cache API as they were shown (a bitmap costs no coding), so that a second visit costs what <img> costs. A kept
 * picture is used only while its .sdz file still has the bytes that it was decoded from. At most `ENTRIES` pictures and `BYTES` bytes are kept,
 * the newest.
 */

import { ACCEPT, sha256 } from "../format/transfer.js";

/** @import { Shown } from "../work/stages.js" */
/** @import { Wanted } from "./client.js" */

/**
 * @typedef {object} Facts what is known of a finished picture beside its pixels
 * @property {string} digest SHA-256 of the .sdz file
 * @property {number} width of the file
 * @property {number} height
 * @property {number} bytes of the .sdz file
 * @property {Shown} stage
 * @property {number} reduce what the file's sides are divided by in the picture
 * @property {string} [alt]
 */

const NAME = "sdz-pixels";
const [ENTRIES, BYTES] = [400, 64 * 2 ** 20];

/** Larger pictures would take the place of too many others: one of these takes an eighth of the room. */
const MAX_PIXELS = 2 ** 21;

/** Pictures are counted after the first that a page keeps, and after each so many bytes more. */
const COUNTED = BYTES / 4;

const FACTS = "x-sdz-facts";
const SIZE = "x-sdz-bytes";

/** Bytes since the last count. */
let written = COUNTED;

/** @returns {Promise<Cache | null>} null where the browser has no storage, or refuses it */
const open = async () => (globalThis.caches ? caches.open(NAME).catch(() => null) : null);

/** Whether anything was kept before this page: on a first visit nothing is looked for. @type {Promise<boolean> | undefined} */
let some;

/** An address that no page has. @param {string} address @param {Wanted} wanted */
const keyOf = (address, { stage, realism }) =>
  new URL(`/.sdz/pixels/${stage}/${realism}/${encodeURIComponent(address)}`, location.href).href;

/**
 * @param {string} address @param {Wanted} wanted
 * @returns {Promise<{blob: Blob, facts: Facts} | null>} null where there is none, or the file is another one now. Never rejects
 */
export async function find(address, wanted) {
  try {
    some ??= globalThis.caches ? caches.has(NAME) : Promise.resolve(false);
    if (!(await some)) return null;
    const kept = await (await open())?.match(keyOf(address, wanted));
    if (!kept) return null;
    /** @type {Facts} */
    const facts = JSON.parse(decodeURIComponent(kept.headers.get(FACTS) ?? ""));
    const response = await fetch(address, { headers: { Accept: ACCEPT } }).catch(() => null);
    // a server that cannot be reached does not make the picture another one
    if (response && (!response.ok || (await sha256(new Uint8Array(await response.arrayBuffer()))) !== facts.digest)) return null;
    return { blob: await kept.blob(), facts };
  } catch {
    return null;
  }
}

/**
 * Keeps a finished picture when the page has nothing else to do.
 * @param {string} address @param {Wanted} wanted @param {Blob} image @param {Facts} facts
 */
export function keep(address, wanted, image, facts) {
  if (!globalThis.caches || facts.width * facts.height > MAX_PIXELS * facts.reduce ** 2) return;
  const idle = globalThis.requestIdleCallback ?? ((/** @type {() => void} */ task) => setTimeout(task, 200));
  idle(async () => {
    const headers = { "content-type": image.type, [FACTS]: encodeURIComponent(JSON.stringify(facts)), [SIZE]: String(image.size) };
    // exceeding the storage quota must not fail the page
    some = Promise.resolve(true);
    await open()
      .then((cache) => cache?.put(keyOf(address, wanted), new Response(image, { headers })))
      .then(() => ((written += image.size) < COUNTED ? undefined : trim()))
      .catch(() => {});
  });
}

/** Removes the oldest beyond the bounds. */
async function trim() {
  written = 0;
  const cache = await open();
  if (!cache) return;
  let [entries, bytes] = [0, 0];
  for (const request of [...(await cache.keys())].reverse()) {
    entries += 1;
    if (entries <= ENTRIES) bytes += Number((await cache.match(request))?.headers.get(SIZE));
    if (entries > ENTRIES || bytes > BYTES) await cache.delete(request);
  }
}
