/**
 * Loads one picture: the pixels that were kept of it, or what the worker decodes, stage by stage. Takes the address of an .sdz file, hands on
 * images that are ready to be shown.
 */

import { asSdzError } from "../errors.js";
import { request } from "./client.js";
import { watchSight } from "./near.js";
import { find, keep } from "./pixels.js";
import { canvasOf, prepared } from "./shown.js";

/** @import { SdzError } from "../errors.js" */
/** @import { Shown } from "../work/stages.js" */
/** @import { Progress, Wanted } from "./client.js" */

/**
 * @typedef {object} Showing a stage that is ready
 * @property {string} url of the image, to be revoked when it is no longer shown; empty where there is none
 * @property {HTMLImageElement | null} image while it is referred to, the browser has it at hand; null where the page's policy refuses it, or
 *   where a newer stage is on its way
 * @property {HTMLCanvasElement | null} canvas the pixels where the page's policy refuses the image
 * @property {Shown} stage
 * @property {number} bytes
 * @property {number | null} total
 * @property {boolean} final
 * @property {number} reduce what the file's sides are divided by in the image, rounding up
 * @property {boolean} skipped whether a newer stage is on its way: this one is not to be shown
 *
 * @typedef {object} Receiver
 * @property {(size: {width: number, height: number, alt?: string}) => number | void} header called first, sometimes twice; returns what the sides
 *   may be divided by
 * @property {(showing: Showing) => void} show
 * @property {() => void} [late] called when the reader has waited for a while and seen nothing
 * @property {(error: SdzError) => void} error
 */

/** @typedef {(image: Blob) => Promise<Blob>} Convert */

/** Milliseconds in sight that are a while. */
const PATIENCE_MS = 2000;

/**
 * @param {Element} element in which the picture is shown @param {string | Promise<string>} address absolute, or once it is chosen @param {Wanted} wanted @param {Receiver} receiver
 * @param {{lazy?: boolean, convert?: Convert, head?: string}} [options] whether it is only downloaded until the element is in sight; what makes
 *   another image of the last stage's; the first bytes of a file of the same picture, in base64
 * @returns {{end(): void, hurry(): void}} `end` ends it, and nothing is called afterwards; `hurry`: as if the element were in sight from now on
 */
export function load(element, address, wanted, receiver, { lazy = false, convert, head } = {}) {
  const loading = new Loading(address, wanted, receiver, lazy, convert, head);
  const look = watchSight(element, (seen) => loading.see(seen));
  loading.run();
  return {
    end() {
      look();
      loading.end();
    },
    hurry() {
      look();
      loading.see(true);
    },
  };
}

class Loading {
  #live = true;
  #seen = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #patience;
  /** @type {ReturnType<typeof request> | null} */
  #request = null;
  /** Number of the newest stage: older ones are not shown where the browser takes longer to show them than the worker to decode. */
  #newest = 0;
  #showing = Promise.resolve();
  /** @type {{width: number, height: number, alt?: string}} */
  #size = { width: 0, height: 0 };

  /** @param {string | Promise<string>} address @param {Wanted} wanted @param {Receiver} receiver @param {boolean} lazy @param {Convert} [convert] @param {string} [head] */
  constructor(address, wanted, receiver, lazy, convert, head) {
    this.head = head;
    this.address = address;
    this.wanted = wanted;
    this.receiver = receiver;
    this.lazy = lazy;
    this.convert = convert;
  }

  end() {
    this.#live = false;
    clearTimeout(this.#patience);
    this.#request?.end();
  }

  /** @param {boolean} seen */
  see(seen) {
    if (seen === this.#seen) return;
    this.#seen = seen;
    clearTimeout(this.#patience);
    if (seen && this.receiver.late && !this.#newest) this.#patience = setTimeout(this.receiver.late, PATIENCE_MS);
    this.#request?.see(seen);
  }

  async run() {
    const { wanted, receiver } = this;
    const address = await Promise.resolve(this.address).catch((error) => this.#fail(asSdzError(error, "NetworkError")));
    if (address === undefined) return;
    const kept = await find(address, wanted);
    if (!this.#live) return;
    // one that was kept for a smaller box is passed over
    const fits = kept && kept.facts.reduce <= (receiver.header(kept.facts) ?? 1);
    const { url, image } = fits ? await this.#image(kept.blob) : NOTHING;
    if (!this.#live) return;
    if (kept && image) {
      clearTimeout(this.#patience);
      const { stage, bytes, reduce } = kept.facts;
      return receiver.show({ url, image, canvas: null, stage, bytes, total: bytes, final: true, reduce, skipped: false });
    }
    this.#request = request(address, wanted, {
      header: ({ width, height, alt }) => receiver.header((this.#size = { width, height, alt })),
      stage: (progress) => {
        const number = ++this.#newest;
        this.#showing = this.#showing.then(() => this.#show(address, progress, number));
      },
      error: (error) => this.#fail(error),
    }, { seen: this.#seen, lazy: this.lazy, head: bytesOf(this.head) });
  }

  /** @param {SdzError} error */
  #fail(error) {
    // what came before it is shown first
    this.#showing = this.#showing.then(() => {
      if (this.#live) this.receiver.error(error);
      this.end();
    });
  }

  /** @param {string} address @param {Progress} progress @param {number} number */
  async #show(address, { digest, image: made, sparse, ...progress }, number) {
    if (!this.#live) return;
    const skipped = number !== this.#newest;
    let pixels = skipped ? undefined : made;
    if (pixels && sparse) {
      const { width, height } = this.#size;
      // where the module is lost, one that is not quite of the size all the same
      const found = await import("../work/enlarged.js").catch(() => null);
      if (found) [pixels, progress.reduce] = [await found.enlarged(pixels, width, height, progress.reduce), 1];
    } else if (pixels && this.convert && progress.final) {
      pixels = await this.convert(pixels);
    }
    const { url, image } = pixels ? await this.#image(pixels) : NOTHING;
    const canvas = made && !skipped && !image ? await canvasOf(made).catch(() => null) : null;
    if (!this.#live) return URL.revokeObjectURL(url);
    clearTimeout(this.#patience);
    this.receiver.show({ ...progress, url, image, canvas, skipped });
    const { stage, bytes, reduce } = progress;
    if (progress.final && digest && pixels) keep(address, this.wanted, pixels, { ...this.#size, digest, bytes, stage, reduce });
  }

  /** An address for it and the image, ready to be shown; without either where the page's policy refuses it. @param {Blob} pixels */
  async #image(pixels) {
    const url = URL.createObjectURL(pixels);
    const image = await prepared(url, () => this.#seen).catch(() => null);
    if (this.#live && image) return { url, image };
    URL.revokeObjectURL(url);
    return NOTHING;
  }
}

/** @param {string} [base64] @returns {Uint8Array<ArrayBuffer> | undefined} none where it is no base64 */
function bytesOf(base64) {
  try {
    return base64 ? Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)) : undefined;
  } catch {
    return undefined;
  }
}

const NOTHING = { url: "", image: null };
