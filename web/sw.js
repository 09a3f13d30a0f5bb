/**
 * A service worker: once registered, plain <img src="a.sdz">, srcset and CSS backgrounds show .sdz files. Takes the page's requests for
 * pictures, answers with a PNG of the decoded pixels, and keeps what it made, so that pages seen once work offline. A site's root has a
 * sw.js that imports this one; a page registers that, as a module:
 *
 *     navigator.serviceWorker?.register("sw.js", { type: "module" });
 *
 * Whatever fails here falls through: to a picture that the server decodes, to a.avif, a.webp, a.jpg, a.jpeg or a.png beside a.sdz, to the
 * linear stage, and at last to what the page would have got without a service worker.
 */

import "./eager.js";
import { runtimeFile } from "./assets.js";
import { ACCEPT, MEDIA_TYPE } from "./format/container.js";
import { paint, reached, readContainer, readPicture } from "./decode.js";
import { sha256 } from "./digest.js";
import { SdzError } from "./errors.js";
import { MAX_DOWNLOAD_BYTES } from "./limits.js";
import { PACK_CACHE } from "./pack.js";
import * as runtime from "./runtime.js";
import { Sessions } from "./sessions.js";

/** @import { Ort } from "./session.js" */
/** @import { Stage } from "./decode.js" */

/**
 * @typedef {{waitUntil(task: Promise<unknown>): void}} LifeEvent
 * @typedef {LifeEvent & {request: Request, respondWith(response: Promise<Response>): void}} RequestEvent
 * @typedef {{url: string, navigate(url: string): Promise<unknown>}} WindowClient
 * @typedef {object} ServiceWorkerScope the parts of ServiceWorkerGlobalScope used here, which TypeScript's DOM library lacks
 * @property {{active: object | null}} registration
 * @property {() => Promise<void>} skipWaiting
 * @property {{claim(): Promise<void>, matchAll(options: object): Promise<WindowClient[]>}} clients
 * @property {(type: string, listener: (event: any) => void) => void} addEventListener
 */

const scope = /** @type {ServiceWorkerScope} */ (/** @type {unknown} */ (globalThis));
const ort = /** @type {Ort} */ (/** @type {unknown} */ (runtime));

/** @typedef {{name: string, entries: number, bytes: number}} Bound of a cache; what was put or used longest ago goes first */

/** Decoded pictures: some hundred, or a few dozen large ones. @type {Bound} */
const PICTURES = { name: "sdz-pictures", entries: 200, bytes: 64 * 2 ** 20 };

/** Pages and what they load, for when there is no network. @type {Bound} */
const PAGES = { name: "sdz-pages", entries: 100, bytes: 32 * 2 ** 20 };

/** Models: a pack has five files and some megabytes. @type {Bound} */
const MODELS = { name: PACK_CACHE, entries: 60, bytes: 64 * 2 ** 20 };

/** What is kept of a page. Data that its scripts fetch is theirs to keep. */
const PAGE_PARTS = new Set(["document", "style", "script", "image", "font", "manifest", "worker"]);

/** Bytes of the largest part that is kept. */
const MAX_PART_BYTES = 4 * 2 ** 20;

/** Pixels decoded here: one picture is a canvas of 128 MB then. Larger ones fall through. */
const MAX_PIXELS = 2 ** 25;

/** A fallback beside the .sdz: its ending, and the type that the browser must have said it knows, where not all do. */
const SIBLINGS = [[".avif", "image/avif"], [".webp", "image/webp"], [".jpg"], [".jpeg"], [".png"]];

const SUFFIX = ".sdz";

/** Headers of kept responses: which bytes a picture was made from, and how many it has itself. */
const SOURCE = "x-sdz-source";
const SIZE = "x-sdz-bytes";

ort.env.wasm.wasmPaths = { wasm: runtimeFile("ort-wasm-simd-threaded.wasm") };
// a service worker may not start workers
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";

const sessions = new Sessions({ ort });
/** Pictures are decoded one after the other: memory is that of one. @type {Promise<unknown>} */
let decoding = Promise.resolve();
/** Caches are written one after the other: their bounds hold. @type {Promise<unknown>} */
let keeping = Promise.resolve();
/** Packs whose models have come, when the models were last counted. */
let opened = 0;
let first = false;

/** @param {Bound} bound @returns {Promise<Cache | undefined>} undefined where the browser refuses storage */
const open = ({ name }) => caches.open(name).catch(() => undefined);

/**
 * Keeps a response under `key`, as the newest, and drops the oldest beyond the bound.
 * @param {Bound} bound @param {string} key @param {Response} response
 */
function keep(bound, key, response) {
  keeping = keeping
    .then(async () => {
      const cache = await open(bound);
      const body = await response.blob();
      if (!cache || body.size > bound.bytes) return;
      const headers = new Headers(response.headers);
      // the body is no longer coded, whatever it was on its way
      headers.delete("content-encoding");
      headers.delete("content-length");
      headers.set(SIZE, String(body.size));
      await cache.delete(key);
      await cache.put(key, new Response(body, { status: response.status, headers }));
      await trim(bound);
    })
    // a quota that is used up must not stop a page
    .catch(() => {});
  return keeping;
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
  if (Number(response.headers.get("content-length")) > MAX_DOWNLOAD_BYTES) {
    throw new SdzError("LimitError", `${url} is larger than ${MAX_DOWNLOAD_BYTES} bytes`);
  }
  return new Uint8Array(await response.arrayBuffer());
}

/**
 * The pixels of a file as a PNG: known to every browser, and without loss (where they are translucent, to the canvas's rounding).
 * @param {Uint8Array} bytes @param {Stage} wanted
 * @returns {Promise<Blob>}
 */
function render(bytes, wanted) {
  const task = decoding.then(async () => {
    const { width, height, packId } = readContainer(bytes).header;
    if (width * height > MAX_PIXELS) {
      throw new SdzError("LimitError", `${width} x ${height} pixels, at most ${MAX_PIXELS} are decoded here`);
    }
    const session = sessions.session(await sessions.pack(packId));
    const picture = await readPicture(bytes, session.pack);
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", { colorSpace: "srgb", willReadFrequently: true });
    if (!context) throw new SdzError("ProviderError", "this browser gives no canvas");
    for await (const tile of paint(picture, reached(picture, wanted), session)) {
      context.putImageData(new ImageData(tile.pixels, tile.width, tile.height), tile.x, tile.y);
    }
    return canvas.convertToBlob({ type: "image/png" });
  });
  decoding = task.catch(() => {});
  return task;
}

/** @param {Blob} png @param {string} source @returns {Response} */
const pngResponse = (png, source) => new Response(png, { headers: { "Content-Type": "image/png", [SOURCE]: source } });

/**
 * The answer to a request for an .sdz as an image. Never rejects.
 * @param {RequestEvent} event
 * @returns {Promise<Response>}
 */
async function picture(event) {
  const url = event.request.url.replace(/#.*$/, "");
  /** @type {Uint8Array | undefined} */
  let bytes;
  try {
    const kept = await (await open(PICTURES))?.match(url).catch(() => undefined);
    bytes = await download(url);
    const source = bytes && (await sha256(bytes));
    if (kept && (!source || kept.headers.get(SOURCE) === source)) {
      event.waitUntil(keep(PICTURES, url, kept.clone()));
      return kept;
    }
    if (!bytes || !source) throw new SdzError("NetworkError", `${url} cannot be reached`);
    const made = pngResponse(await render(bytes, "denoised"), source);
    event.waitUntil(keep(PICTURES, url, made.clone()));
    if (opened !== sessions.size) {
      opened = sessions.size;
      event.waitUntil(trim(MODELS));
    }
    return made;
  } catch {
    return (await fallback(event.request, bytes)) ?? fetch(event.request).catch(() => Response.error());
  }
}

/**
 * A picture that the browser knows, in place of one that could not be decoded.
 * @param {Request} request @param {Uint8Array | undefined} bytes of the .sdz, where they arrived
 * @returns {Promise<Response | undefined>}
 */
async function fallback(request, bytes) {
  const url = new URL(request.url);
  const stem = url.pathname.slice(0, -SUFFIX.length);
  const accepted = request.headers.get("accept") ?? "";
  const siblings = SIBLINGS.filter(([, type]) => !type || accepted.includes(type)).map(([ending]) => new URL(stem + ending, url).href);
  // the request as it came: a server that negotiates answers it with a decoded picture
  for (const wanted of [request, ...siblings]) {
    const kept = async () => (await open(PAGES))?.match(wanted, { ignoreVary: true });
    const response = await fetch(wanted).catch(kept);
    const type = response?.headers.get("content-type") ?? "";
    if (response?.ok && type.startsWith("image/") && !type.startsWith(MEDIA_TYPE)) return response;
    response?.body?.cancel().catch(() => {});
  }
  return bytes && render(bytes, "linear").then((png) => pngResponse(png, ""), () => undefined);
}

/**
 * The answer to any other request: the network's, or what was kept of it.
 * @param {RequestEvent} event
 * @returns {Promise<Response>}
 */
async function part(event) {
  const { request } = event;
  try {
    const response = await fetch(request);
    const length = Number(response.headers.get("content-length"));
    const secret = /no-store|private/.test(response.headers.get("cache-control") ?? "");
    if (response.status === 200 && response.type === "basic" && !secret && length <= MAX_PART_BYTES) {
      event.waitUntil(keep(PAGES, request.url, response.clone()));
    }
    return response;
  } catch (error) {
    const kept = await (await open(PAGES))?.match(request.url, { ignoreVary: true });
    if (kept) return kept;
    throw error;
  }
}

scope.addEventListener("install", (/** @type {LifeEvent} */ event) => {
  first = !scope.registration.active;
  event.waitUntil(scope.skipWaiting());
});

scope.addEventListener("activate", (/** @type {LifeEvent} */ event) => {
  event.waitUntil(
    (async () => {
      await scope.clients.claim();
      if (!first) return;
      // the page that brought this service worker asked for its pictures too early: once, it is loaded again
      for (const client of await scope.clients.matchAll({ type: "window" })) client.navigate(client.url).catch(() => {});
    })(),
  );
});

scope.addEventListener("fetch", (/** @type {RequestEvent} */ event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin || request.headers.has("range")) return;
  if (request.destination === "image" && url.pathname.endsWith(SUFFIX)) event.respondWith(picture(event));
  else if (PAGE_PARTS.has(request.destination)) event.respondWith(part(event));
});
