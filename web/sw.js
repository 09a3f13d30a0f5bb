/**
 * A service worker: once registered, plain <img src="a.sdz">, srcset and CSS backgrounds show .sdz files. It answers the page's image
 * requests with a PNG of the decoded pixels, and caches pages, pictures and what <sdz-img> loads, so that pages seen once work offline. A
 * site's root has a sw.js that imports this module; a page registers that one:
 *
 *     navigator.serviceWorker?.register("sw.js", { type: "module" });
 *
 * Where the browser is set to save data it decodes the linear stage only, which needs no networks. Pages that know of such a wish tell it:
 * {type: "sdz-save-data", value: true}; sdz.js does.
 *
 * Where decoding fails, it tries in turn: a picture decoded by the server, a.avif, a.webp, a.jpg, a.jpeg or a.png beside a.sdz, the linear
 * stage, and the request as it would be without a service worker.
 */

import { paint, reached, readContainer, readPicture } from "./work/stages.js";
import { SdzError } from "./errors.js";
import { MAX_DOWNLOAD_BYTES } from "./limits.js";
import { ACCEPT, MEDIA_TYPE, sha256 } from "./format/transfer.js";
import { PACK_CACHE, stored } from "./pack.js";
import { Sessions } from "./sessions.js";
import { reductionOf } from "./format/sparse.js";
import { enlarged } from "./work/enlarged.js";
import { withoutTail } from "./work/untailed.js";

/** @import { Stage } from "./work/stages.js" */

/**
 * @typedef {{waitUntil(task: Promise<unknown>): void}} LifeEvent
 * @typedef {LifeEvent & {request: Request, respondWith(response: Promise<Response>): void}} RequestEvent
 * @typedef {{id: string, url: string, navigate(url: string): Promise<unknown>}} WindowClient
 * @typedef {object} ServiceWorkerScope the parts of ServiceWorkerGlobalScope used here, which TypeScript's DOM library lacks
 * @property {{active: object | null}} registration
 * @property {() => Promise<void>} skipWaiting
 * @property {{claim(): Promise<void>, matchAll(options: object): Promise<WindowClient[]>}} clients
 * @property {(type: string, listener: (event: any) => void) => void} addEventListener
 */

const scope = /** @type {ServiceWorkerScope} */ (/** @type {unknown} */ (globalThis));

/** @typedef {{name: string, entries: number, bytes: number}} Bound limits of a cache; the least recently used entry is removed first */

/** Decoded pictures. @type {Bound} */
const PICTURES = { name: "sdz-pictures", entries: 200, bytes: 64 * 2 ** 20 };

/** Pages and their parts, used when the network fails. @type {Bound} */
const PAGES = { name: "sdz-pages", entries: 100, bytes: 32 * 2 ** 20 };

/** What <sdz-img> loads: files, the core, packs; used when the network fails. @type {Bound} */
const FILES = { name: "sdz-files", entries: 400, bytes: 32 * 2 ** 20 };

/** Packs, each of five files and some megabytes. @type {Bound} */
const MODELS = { name: PACK_CACHE, entries: 60, bytes: 64 * 2 ** 20 };

/** What pages said of their reader: service workers are ended and started at will, and remember nothing. @type {Bound} */
const WISHES = { name: "sdz-wishes", entries: 1, bytes: 100 };
const SAVE_DATA = new URL("/.sdz/save-data", location.href).href;

/** Parts of a page that are cached. Data fetched by its scripts is left to them. */
const PAGE_PARTS = new Set(["document", "style", "script", "image", "font", "manifest", "worker"]);

/** The files of <sdz-img>: pictures, the core, and packs, whose folders have eight digits for a name. */
const ELEMENT_FILES = /\.sdz$|\/sdz(?:\.[0-9a-f]+)?\.wasm$|\/[0-9a-f]{6}\/[^/]+\.(?:json|bin)$/;

/** Largest part that is cached, bytes. */
const MAX_PART_BYTES = 4 * 2 ** 20;

/** Largest picture decoded here: its canvas takes 128 MB. */
const MAX_PIXELS = 2 ** 25;

/** Endings of fallbacks beside the .sdz file, with the type that the browser must accept where not all browsers know it. */
const SIBLINGS = [[".avif", "image/avif"], [".webp", "image/webp"], [".jpg"], [".jpeg"], [".png"]];

const SUFFIX = ".sdz";

/** Headers of cached responses: the digest of the .sdz file a picture was made from, the response's own size in bytes. */
const SOURCE = "x-sdz-source";
/** And the last stage that was wanted. */
const STAGE = "x-sdz-stage";
const SIZE = "x-sdz-bytes";

const sessions = new Sessions();
/** Pictures are decoded one at a time, to bound memory. @type {Promise<unknown>} */
let decoding = Promise.resolve();
/** Caches are written one at a time, so that their bounds hold. @type {Promise<unknown>} */
let keeping = Promise.resolve();
/** Number of opened packs when their cache was last trimmed. */
let opened = 0;
/** Whether no other version of this service worker was active before. */
let first = false;

/** @param {Bound} bound @returns {Promise<Cache | undefined>} undefined where the browser refuses storage */
const open = ({ name }) => caches.open(name).catch(() => undefined);

/**
 * Caches a response under `key` as the newest entry, and removes the oldest ones beyond the bound.
 * @param {Bound} bound @param {string} key @param {Response} response
 */
function keep(bound, key, response) {
  keeping = keeping
    .then(async () => {
      const cache = await open(bound);
      const body = await response.blob();
      if (!cache || body.size > bound.bytes) return;
      const headers = new Headers(response.headers);
      // the body is already decoded
      headers.delete("content-encoding");
      headers.delete("content-length");
      headers.set(SIZE, String(body.size));
      await cache.delete(key);
      await cache.put(key, new Response(body, { status: response.status, headers }));
      await trim(bound);
    })
    // exceeding the storage quota must not fail the page
    .catch(() => {});
  return keeping;
}

/**
 * Caches a picture's file without its lossless tail: the page has that of the same download, if it wants it.
 * @param {Bound} bound @param {string} key @param {Response} response
 */
async function keepPicture(bound, key, response) {
  const bytes = await withoutTail(response, MAX_PART_BYTES).catch(() => null);
  if (bytes) await keep(bound, key, new Response(bytes, { headers: response.headers }));
}

/** @param {Bound} bound */
async function trim(bound) {
  const cache = await open(bound);
  if (!cache) return;
  let [entries, bytes] = [0, 0];
  for (const request of [...(await cache.keys())].reverse()) {
    const response = await cache.match(request);
    entries += 1;
    bytes += Number(response?.headers.get(SIZE) ?? (await response?.blob())?.size ?? 0);
    if (entries > bound.entries || bytes > bound.bytes) await cache.delete(request);
  }
}

/** @param {string} url @returns {Promise<Uint8Array | undefined>} undefined where the server cannot be reached */
async function download(url) {
  const response = await fetch(url, { headers: { Accept: ACCEPT }, credentials: "same-origin" }).catch(() => undefined);
  if (!response || response.status >= 500) return undefined;
  if (!response.ok) throw new SdzError("NetworkError", `${url}: HTTP status ${response.status}`);
  return withoutTail(response, MAX_DOWNLOAD_BYTES);
}

/**
 * The decoded pixels as a PNG: lossless, except for the canvas's rounding of translucent pixels. As an SVG with a smaller one in it where the file
 * says next to nothing of its pixels.
 * @param {Uint8Array} bytes @param {Stage} wanted
 * @returns {Promise<Blob>}
 */
function render(bytes, wanted) {
  const task = decoding.then(async () => {
    const container = readContainer(bytes);
    const { width, height, packId } = container.header;
    const session = sessions.session(await sessions.pack(packId));
    const reduce = reductionOf(container, session.pack.patch);
    if (reduce === 1 && width * height > MAX_PIXELS) {
      throw new SdzError("LimitError", `${width} x ${height} pixels, at most ${MAX_PIXELS} are decoded here`);
    }
    const picture = await readPicture(bytes, session.pack);
    try {
      const canvas = new OffscreenCanvas(Math.ceil(width / reduce), Math.ceil(height / reduce));
      const context = canvas.getContext("2d", { colorSpace: "srgb", willReadFrequently: true });
      if (!context) throw new SdzError("ProviderError", "this browser gives no canvas");
      const stage = reduce > 1 ? "linear" : reached(picture, wanted);
      for await (const tile of paint(picture, stage, session, undefined, null, reduce)) {
        context.putImageData(new ImageData(tile.pixels, tile.width, tile.height), tile.x, tile.y);
      }
      const image = await canvas.convertToBlob({ type: "image/png" });
      return reduce > 1 ? await enlarged(image, width, height, reduce) : image;
    } finally {
      picture.close();
    }
  });
  decoding = task.catch(() => {});
  return task;
}

/** @param {Blob} image @param {string} source @param {Stage} stage @returns {Response} */
const imageResponse = (image, source, stage) =>
  new Response(image, { headers: { "Content-Type": image.type, [SOURCE]: source, [STAGE]: stage } });

/** The last stage to be decoded for a request: the linear one where the reader wants to save data. @param {Request} request @returns {Promise<Stage>} */
async function stageFor(request) {
  const { connection } = /** @type {{connection?: {saveData?: boolean}}} */ (navigator);
  const saving = connection?.saveData || request.headers.get("save-data") === "on" || (await (await open(WISHES))?.match(SAVE_DATA));
  return saving ? "linear" : "denoised";
}

/**
 * Answers an image request for an .sdz file. Never rejects.
 * @param {RequestEvent} event
 * @returns {Promise<Response>}
 */
async function answerPicture(event) {
  const url = event.request.url.replace(/#.*$/, "");
  /** @type {Uint8Array | undefined} */
  let bytes;
  try {
    const stage = await stageFor(event.request);
    const kept = await (await open(PICTURES))?.match(url).catch(() => undefined);
    bytes = await download(url);
    const source = bytes && (await sha256(bytes));
    const fine = stage === "linear" || kept?.headers.get(STAGE) !== "linear";
    if (kept && (!source || (fine && kept.headers.get(SOURCE) === source))) {
      event.waitUntil(keep(PICTURES, url, kept.clone()));
      return kept;
    }
    if (!bytes || !source) throw new SdzError("NetworkError", `${url} cannot be reached`);
    const made = imageResponse(await render(bytes, stage), source, stage);
    event.waitUntil(keep(PICTURES, url, made.clone()));
    if (opened !== sessions.size) {
      opened = sessions.size;
      event.waitUntil(stored().then(() => trim(MODELS)));
    }
    return made;
  } catch {
    return (await fallback(event.request, bytes)) ?? fetch(event.request).catch(() => Response.error());
  }
}

/**
 * A picture in a format that the browser knows, instead of one that could not be decoded.
 * @param {Request} request @param {Uint8Array | undefined} bytes of the .sdz file, where it could be downloaded
 * @returns {Promise<Response | undefined>}
 */
async function fallback(request, bytes) {
  const url = new URL(request.url);
  const stem = url.pathname.slice(0, -SUFFIX.length);
  const accepted = request.headers.get("accept") ?? "";
  const siblings = SIBLINGS.filter(([, type]) => !type || accepted.includes(type)).map(([ending]) => new URL(stem + ending, url).href);
  // the original request first: a server with content negotiation answers it with a decoded picture
  for (const wanted of [request, ...siblings]) {
    const kept = async () => (await open(PAGES))?.match(wanted, { ignoreVary: true });
    const response = await fetch(wanted).catch(kept);
    const type = response?.headers.get("content-type") ?? "";
    if (response?.ok && type.startsWith("image/") && !type.startsWith(MEDIA_TYPE)) return response;
    response?.body?.cancel().catch(() => {});
  }
  return bytes && render(bytes, "linear").then((image) => imageResponse(image, "", "linear"), () => undefined);
}

/**
 * Answers any other request from the network, or from the cache where that fails.
 * @param {RequestEvent} event @param {Bound} bound of the cache
 * @returns {Promise<Response>}
 */
async function answerPart(event, bound) {
  const { request } = event;
  try {
    const response = await fetch(request);
    const length = Number(response.headers.get("content-length"));
    const secret = /no-store|private/.test(response.headers.get("cache-control") ?? "");
    if (response.status !== 200 || response.type !== "basic" || secret) return response;
    if (new URL(request.url).pathname.endsWith(SUFFIX)) event.waitUntil(keepPicture(bound, request.url, response.clone()));
    else if (length <= MAX_PART_BYTES) event.waitUntil(keep(bound, request.url, response.clone()));
    return response;
  } catch (error) {
    const kept = await (await open(bound))?.match(request.url, { ignoreVary: true });
    if (kept) return kept;
    throw error;
  }
}

scope.addEventListener("install", (/** @type {LifeEvent} */ event) => {
  first = !scope.registration.active;
  event.waitUntil(scope.skipWaiting());
});

/**
 * The window that registered this service worker: it asked for its pictures before there was one, and is loaded again. Nothing tells which one
 * it is, and no other may be touched: where several are open, it is the only one whose page speaks of a service worker, or none.
 * @returns {Promise<WindowClient | undefined>}
 */
async function registering() {
  const windows = await scope.clients.matchAll({ type: "window", includeUncontrolled: true });
  if (windows.length <= 1) return windows[0];
  const speaking = await Promise.all(
    windows.map(async ({ url }) => {
      // a page that the browser has not at hand may be it
      const response = await fetch(url, { cache: "only-if-cached", mode: "same-origin" }).catch(() => undefined);
      return !response?.ok || /\bserviceWorker\b/.test(await response.text().catch(() => "serviceWorker"));
    }),
  );
  const found = windows.filter((_, i) => speaking[i]);
  return found.length === 1 ? found[0] : undefined;
}

scope.addEventListener("activate", (/** @type {LifeEvent} */ event) => {
  event.waitUntil(
    (async () => {
      await scope.clients.claim();
      if (!first) return;
      const window = await registering();
      window?.navigate(window.url).catch(() => {});
    })(),
  );
});

scope.addEventListener("message", (/** @type {LifeEvent & {data: any}} */ event) => {
  const { type, value } = event.data ?? {};
  if (type !== "sdz-save-data") return;
  const note = async () => {
    const cache = await open(WISHES);
    await (value ? cache?.put(SAVE_DATA, new Response("yes")) : cache?.delete(SAVE_DATA));
  };
  event.waitUntil(note().catch(() => {}));
});

scope.addEventListener("fetch", (/** @type {RequestEvent} */ event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin || request.headers.has("range")) return;
  if (request.destination === "image" && url.pathname.endsWith(SUFFIX)) event.respondWith(answerPicture(event));
  else if (PAGE_PARTS.has(request.destination)) event.respondWith(answerPart(event, PAGES));
  else if (!request.destination && ELEMENT_FILES.test(url.pathname)) event.respondWith(answerPart(event, FILES));
});
