/**
 * Where elements are relative to the viewport: lazy pictures start when they come near, those in sight go first, and pictures that were scrolled
 * far away give their pixels back.
 */

import { PIXEL_BYTES } from "./shown.js";

/**
 * @typedef {object} Watched
 * @property {() => void} near
 * @property {() => void} far
 */

/**
 * Lazy pictures are downloaded within one screen's height of the viewport, to be decoded in sight: most readers never scroll there. Beyond two they
 * give their pixels back.
 */
const [NEAR, FAR] = ["100% 0px", "200% 100%"];

/** @type {Map<Element, () => void>} */
const awaited = new Map();

/** @type {WeakMap<Element, Watched>} */
const watched = new WeakMap();

/** @type {WeakMap<Element, (seen: boolean) => void>} */
const sighted = new WeakMap();

/** Tells when elements come within a margin of the viewport, or of what they scroll in, and when they leave it. */
class Observer {
  /** Bits of the observers that see an element. @type {WeakMap<Element, number>} */
  #seen = new WeakMap();
  #observers;

  /** @param {string} margin @param {(target: Element, inside: boolean) => void} tell also at the beginning */
  constructor(margin, tell) {
    // one observer with both margins would add them, percentages of what is enlarged already; not all browsers know the second
    const margins = [{ rootMargin: margin }, /** @type {object} */ ({ scrollMargin: margin })];
    this.#observers = margins.map((options, i) => {
      return new IntersectionObserver((entries) => {
        for (const { target, isIntersecting } of entries) {
          const before = this.#seen.get(target);
          const now = isIntersecting ? (before ?? 0) | (1 << i) : (before ?? 0) & ~(1 << i);
          this.#seen.set(target, now);
          if (before === undefined || !before !== !now) tell(target, now > 0);
        }
      }, options);
    });
  }

  /** @param {Element} element */
  observe(element) {
    for (const observer of this.#observers) observer.observe(element);
  }

  /** @param {Element} element */
  unobserve(element) {
    for (const observer of this.#observers) observer.unobserve(element);
    this.#seen.delete(element);
  }
}

/** @type {Observer | undefined} */
let starting;
/** @type {Observer | undefined} */
let keeping;
/** @type {IntersectionObserver | undefined} */
let looking;

/** @param {Element} element */
function begin(element) {
  const start = awaited.get(element);
  awaited.delete(element);
  starting?.unobserve(element);
  start?.();
}

/**
 * Calls `start` at once, or with loading="lazy" when the element comes near the viewport.
 * @param {Element} element @param {() => void} start
 * @returns {() => void} cancels it
 */
export function whenNear(element, start) {
  if (element.getAttribute("loading")?.toLowerCase() !== "lazy") {
    start();
    return () => {};
  }
  starting ??= new Observer(NEAR, (target, inside) => inside && begin(target));
  awaited.set(element, start);
  starting.observe(element);
  return () => {
    awaited.delete(element);
    starting?.unobserve(element);
  };
}

/** Tells an element when it comes near, also at the beginning, and when it is far away. @param {Element} element @param {Watched} tell */
export function watchDistance(element, tell) {
  keeping ??= new Observer(FAR, (target, inside) => (inside ? watched.get(target)?.near() : watched.get(target)?.far()));
  watched.set(element, tell);
  keeping.observe(element);
}

/** @param {Element} element */
export function unwatch(element) {
  watched.delete(element);
  keeping?.unobserve(element);
}

/**
 * Tells whether an element is in sight, soon, and whenever that changes.
 * @param {Element} element of which nobody else is told @param {(seen: boolean) => void} tell
 * @returns {() => void} ends it
 */
export function watchSight(element, tell) {
  // without a margin, so one does
  looking ??= new IntersectionObserver((entries) => entries.forEach(({ target, isIntersecting }) => sighted.get(target)?.(isIntersecting)));
  sighted.set(element, tell);
  looking.observe(element);
  return () => {
    if (sighted.get(element) !== tell) return;
    sighted.delete(element);
    looking?.unobserve(element);
  };
}

/** Bytes of pictures far away that are kept at hand: some ten pictures of 512 x 512. */
const KEPT_BYTES = 2 ** 25;

/** Pixels that may be given back, the least recently added first. */
export class Kept {
  /** @type {Map<Element, {bytes: number, release: () => void}>} */
  #entries = new Map();
  #bytes = 0;

  /** @param {Element} element @param {number} pixels @param {() => void} release called when others need the room */
  add(element, pixels, release) {
    this.remove(element);
    const bytes = PIXEL_BYTES * pixels;
    this.#entries.set(element, { bytes, release });
    this.#bytes += bytes;
    for (const [oldest, { release: giveBack }] of this.#entries) {
      if (this.#bytes <= KEPT_BYTES) return;
      this.remove(oldest);
      giveBack();
    }
  }

  /** @param {Element} element */
  remove(element) {
    this.#bytes -= this.#entries.get(element)?.bytes ?? 0;
    this.#entries.delete(element);
  }
}
