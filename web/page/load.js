/**
 * Loads one picture: the pixels that were kept of it, or what the worker decodes, stage by stage. Takes the address of an .sdz file, hands on
 * images that are ready to be shown.
 */

import { painter, request } from "./client.js";
import { find, keep } from "./pixels.js";
import { bitmap, prepared } from "./shown.js";

/** @import { SdzError } from "../errors.js" */
/** @import { Stage } from "../decode.js" */
/** @import { Wanted } from "./client.js" */

/**
 * @typedef {object} Showing a stage that is ready
 * @property {string} url of the image, to be revoked when it is no longer shown; empty where there is none
 * @property {HTMLImageElement | null} image while it is referred to, the browser has it at hand; null where the page's policy refuses it, or
 *   where a newer stage is on its way
 * @property {HTMLCanvasElement | null} canvas the pixels; null of kept ones
 * @property {Stage} stage
 * @property {number} bytes
 * @property {number | null} total
 * @property {boolean} final
 * @property {number} reduce what the file's sides are divided by, rounding up
 * @property {boolean} skipped whether a newer stage is on its way: this one is not to be shown
 *
 * @typedef {object} Receiver
 * @property {(size: {width: number, height: number, alt?: string}) => number | void} header called first, sometimes twice; returns what the sides
 *   may be divided by
 * @property {(showing: Showing) => void} show
 * @property {(error: SdzError) => void} error
 */

/**
 * @param {Element} element in which the picture is shown @param {string} address absolute @param {Wanted} wanted @param {Receiver} receiver
 * @param {{lossless?: boolean}} [options] whether the last stage is a PNG, as people save it
 * @returns {() => void} ends it; nothing is called afterwards
 */
export function load(element, address, wanted, receiver, { lossless = false } = {}) {
  let live = true;
  let stop = () => {};
  find(address, wanted).then(async (kept) => {
    if (!live) return;
    const url = kept ? URL.createObjectURL(kept.blob) : "";
    // one that was kept for a smaller box is passed over
    const fits = kept && kept.facts.reduce <= (receiver.header(kept.facts) ?? 1);
    const image = fits && (await prepared(url, element).catch(() => null));
    if (!live || !kept || !image) {
      URL.revokeObjectURL(url);
      if (live) stop = decode(element, address, wanted, receiver, lossless);
      return;
    }
    const { stage, bytes, reduce } = kept.facts;
    receiver.show({ url, image, canvas: null, stage, bytes, total: bytes, final: true, reduce, skipped: false });
  });
  return () => {
    live = false;
    stop();
  };
}

/** @param {Element} element @param {string} address @param {Wanted} wanted @param {Receiver} receiver @param {boolean} lossless @returns {() => void} */
function decode(element, address, wanted, receiver, lossless) {
  const canvas = document.createElement("canvas");
  const surface = painter(canvas);
  let live = true;
  /** Number of the newest stage: older ones are not shown where the browser takes longer to show them than the worker to decode. */
  let newest = 0;
  let showing = Promise.resolve();
  /** @type {{width: number, height: number, alt?: string}} */
  let size;
  const stop = request(address, wanted, {
    header({ width, height, alt }) {
      size = { width, height, alt };
      return receiver.header(size);
    },
    tile(tile) {
      surface.resize(Math.ceil(size.width / tile.reduce), Math.ceil(size.height / tile.reduce));
      surface.put(tile);
    },
    stage({ digest, ...progress }) {
      const number = ++newest;
      showing = showing.then(async () => {
        if (!live) return;
        const skipped = number !== newest;
        const pixels = skipped ? null : await imageOf(canvas, lossless && progress.final);
        const url = pixels ? URL.createObjectURL(pixels) : "";
        const image = url ? await prepared(url, element).catch(() => null) : null;
        if (!live || !image) URL.revokeObjectURL(url);
        if (!live) return;
        receiver.show({ ...progress, url: image ? url : "", image, canvas, skipped });
        const { stage, bytes, final, reduce } = progress;
        if (final && digest && pixels) keep(address, wanted, pixels, { ...size, digest, bytes, stage, reduce });
      });
    },
    error(error) {
      // what came before it is shown first
      showing = showing.then(() => {
        if (live) receiver.error(error);
        live = false;
      });
    },
  });
  return () => {
    live = false;
    stop();
  };
}

/** @param {HTMLCanvasElement} canvas @param {boolean} lossless @returns {Promise<Blob>} */
const imageOf = (canvas, lossless) =>
  lossless
    ? new Promise((resolve) => canvas.toBlob((blob) => resolve(blob ?? bitmap(canvas))))
    : Promise.resolve(bitmap(canvas));
