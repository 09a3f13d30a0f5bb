/**
 * The page's side of the worker: one worker for all pictures, started with the first request. Takes the address of an .sdz file, and passes
 * on its header and stages. Tells the worker where packs and onnxruntime-web are, which only the page may decide.
 */

import { SdzError } from "../errors.js";
import { useSettings } from "./settings.js";
import { startWorker } from "../start.js";
import { trustedScript } from "../work/trusted.js";

/** @import { Shown, Tile } from "../work/stages.js" */

/**
 * @typedef {object} Progress
 * @property {Shown} stage
 * @property {number} bytes
 * @property {number | null} total
 * @property {boolean} final
 * @property {number} reduce what the file's sides are divided by in the image, rounding up
 * @property {boolean} sparse whether that is because the file says next to nothing, not because its box is small
 * @property {string} [digest] the file's SHA-256, where the picture may be kept
 * @property {Blob} [image] of that stage
 *
 * @typedef {object} Receiver
 * @property {(size: {width: number, height: number, alt?: string}) => number | void} header called once, before any stage; what it returns,
 *   a power of two, is what a large picture's sides may be divided by
 * @property {(tile: Tile) => void} [tile] takes the pixels, in place of an image at each stage
 * @property {(progress: Progress) => void} stage
 * @property {(error: SdzError) => void} error
 */

/** What to do about a worker that is not where a bundler's output looks for it. */
const BUNDLED = ": is worker.js where configure({ base }) says, or Vite's optimizeDeps.exclude missing? See the npm package's README";

/** @type {Map<number, Receiver>} */
const receivers = new Map();
let lastId = 0;
/** @type {Worker | undefined} */
let worker;

/** @param {string | undefined} path @returns {string | undefined} the folder's address, which ends in "/" */
export const folder = (path) => (path === undefined ? undefined : new URL(path.replace(/\/*$/, "/"), document.baseURI).href);

/** @returns {Worker} */
function sharedWorker() {
  if (worker) return worker;
  const { base: path, packs, ort, pack, provider, threads } = useSettings();
  const base = folder(path);
  worker = base ? new Worker(trustedScript(`${base}worker.js`), { type: "module", name: "sdz" }) : startWorker();
  worker.onmessage = ({ data: { type, id, ...message } }) => {
    const receiver = receivers.get(id);
    if (!receiver) return;
    if (type === "error" || message.final) receivers.delete(id);
    if (type === "header") {
      const reduce = receiver.header(message) ?? 1;
      if (message.asks) worker?.postMessage({ type: "reduce", id, reduce });
    } else if (type === "tile") receiver.tile?.(message);
    else if (type === "stage") receiver.stage(message);
    else receiver.error(new SdzError(message.code, message.message));
  };
  worker.onerror = (event) => {
    // the worker's script did not load or run: no request will be answered
    const error = new SdzError("ProviderError", event.message || `the sdz worker could not start${BUNDLED}`);
    worker = undefined;
    const waiting = [...receivers.values()];
    receivers.clear();
    for (const receiver of waiting) receiver.error(error);
  };
  worker.postMessage({
    type: "configure",
    packs: folder(packs) ?? (base && `${base}packs/`),
    ort: folder(ort) ?? (base && `${base}ort/`),
    pack,
    provider,
    threads,
  });
  return worker;
}

/**
 * Requests a picture.
 * @param {string} src absolute URL @param {Wanted} wanted @param {Receiver} receiver
 * @param {{seen: boolean, lazy: boolean, head?: Uint8Array<ArrayBuffer>}} options whether it is in sight; whether it is only downloaded until it
 *   is; the first bytes of a file of the same picture
 * @returns {{end(): void, see(seen: boolean): void}} `end` ends the request, and nothing is called afterwards; `see` tells whether the
 *   picture is in sight now
 */
export function request(src, { stage, realism }, receiver, { seen, lazy, head }) {
  const id = ++lastId;
  receivers.set(id, receiver);
  try {
    sharedWorker().postMessage({ type: "decode", id, src, stage, realism, seen, lazy, head, tiles: Boolean(receiver.tile) });
  } catch (error) {
    // a worker's script must be of the page's origin
    receivers.delete(id);
    queueMicrotask(() => receiver.error(new SdzError("ProviderError", `the sdz worker could not start: ${error}`)));
  }
  return {
    end() {
      if (receivers.delete(id)) worker?.postMessage({ type: "abort", id });
    },
    see(now) {
      if (receivers.has(id)) worker?.postMessage({ type: "see", id, seen: now });
    },
  };
}

/**
 * @typedef {{stage: Shown, realism: number | null}} Wanted the last stage, and the realism: 0 for the most faithful picture, 1 for the
 *   most natural one, null for what the file says
 */

/** Whether the browser is set to save data. */
export function savingData() {
  const connection = /** @type {{saveData?: boolean} | undefined} */ (/** @type {any} */ (navigator).connection);
  return Boolean(connection?.saveData) || matchMedia("(prefers-reduced-data: reduce)").matches;
}

/** Tells the page's service worker, which cannot ask for media features, whether to save data. */
export function tellServiceWorker() {
  const workers = navigator.serviceWorker;
  const tell = () => workers.controller?.postMessage({ type: "sdz-save-data", value: savingData() });
  if (!workers) return;
  tell();
  workers.addEventListener("controllerchange", tell);
}

/**
 * The element's data-stage and data-realism; only the linear stage where the browser is set to save data.
 * @param {DOMStringMap} dataset
 * @returns {Wanted}
 */
export function wantedBy({ stage, realism }) {
  const saving = savingData();
  const part = Number.parseFloat(realism ?? "");
  return {
    stage: saving ? "linear" : stage === "linear" || stage === "decoded" || stage === "denoised" ? stage : "exact",
    realism: part >= 0 ? Math.min(part, 1) : null,
  };
}
