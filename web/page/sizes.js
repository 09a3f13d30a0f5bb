/**
 * Which of the files in an element's `srcset` to load. The browser is asked: an <img> whose candidates are blank, with the same descriptors and the
 * same `sizes`, says which one it takes, so that all of it, media conditions, calc() and the device's pixels, is as it is there. Takes an element,
 * hands on addresses. Loaded where there is a `srcset`, or a picture that is shown smaller than it is.
 */

import { savingData } from "./client.js";
import { reduction, resolved } from "./layout.js";

/** @import { SdzImg } from "./element.js" */

/** @typedef {SdzImg | HTMLImageElement} Sized an <sdz-img>, or an <img data-sdz> */

/**
 * @typedef {object} Choice
 * @property {string} address
 * @property {number} density pixels of the file for one of CSS
 * @property {number} value of the descriptor: the larger one is the larger file
 * @property {string} [sizes] by which it was chosen
 * @property {number} [across] CSS pixels of the element's width then
 *
 * @typedef {{address: string, descriptor: string, value: number}} Candidate
 */

/** An address, which neither begins nor ends with a comma, and its descriptor. */
const CANDIDATE = /([^\s,](?:\S*[^\s,])?)(?:\s+([^\s,]+))?\s*(?:,|$)/g;

/** Width of the blank pictures: how wide the browser says they are, in whole pixels, tells the density. Firefox takes none over 32,767. */
const BLANK = 32_000;

/** What an element says of its .sdz files. @param {Sized} element */
function namesOf(element) {
  const [srcset, src] = element.localName === "img" ? ["data-sdz-srcset", "data-sdz"] : ["srcset", "src"];
  return { srcset: element.getAttribute(srcset), src: element.getAttribute(src) };
}

/** The element's candidates, `src` among them where HTML has it so. @param {Sized} element @returns {Candidate[]} */
function candidatesOf(element) {
  const { srcset, src: own } = namesOf(element);
  /** @type {Candidate[]} */
  const found = [];
  for (const [, text, descriptor = "1x"] of (srcset ?? "").matchAll(CANDIDATE)) {
    const address = resolved(text);
    const value = /^(\d+w|\d*\.?\d+x)$/.test(descriptor) ? Number.parseFloat(descriptor) : 0;
    if (address && value) found.push({ address, descriptor, value });
  }
  if (own !== null && !found.some(({ descriptor, value }) => descriptor.endsWith("w") || value === 1)) {
    found.push({ address: resolved(own), descriptor: "1x", value: 1 });
  }
  return found;
}

/** The element's `sizes`, in which "auto" is its own width, lazy or not. @param {Sized} element */
function sizesOf(element) {
  const sizes = element.getAttribute("sizes") ?? "";
  const width = element.offsetWidth;
  return /^\s*auto\s*(,|$)/i.test(sizes) ? (width ? `${width}px` : sizes.replace(/^\s*auto\s*,?/i, "")) : sizes;
}

/** A bitmap of one row with a bit for each pixel: nobody looks at it, only its header is read. */
function blankPicture() {
  const [head, palette] = [54, 8];
  const data = new DataView(new ArrayBuffer(head + palette + BLANK / 8));
  data.setUint16(0, 0x424d); // "BM"
  [data.byteLength, 0, head + palette, 40, BLANK, 1, 0x1_0001].forEach((value, i) => data.setUint32(2 + 4 * i, value, true));
  return new Blob([data.buffer], { type: "image/bmp" });
}

/** @type {Blob | undefined} */
let blank;

/** Answers of this moment: the pictures of a wall all ask the same. @type {Map<string, Promise<{index: number, density: number}>>} */
const answers = new Map();

/** Which of these the browser takes, and its density. @param {string[]} descriptors @param {string} sizes */
async function ask(descriptors, sizes) {
  blank ??= blankPicture();
  const picture = blank;
  const urls = descriptors.map(() => URL.createObjectURL(picture));
  const image = new Image();
  image.sizes = sizes;
  await new Promise((resolve) => {
    image.onload = image.onerror = resolve;
    image.srcset = urls.map((url, i) => `${url} ${descriptors[i]}`).join(", ");
  });
  const index = Math.max(0, urls.indexOf(image.currentSrc));
  // without a width where the page's policy refuses it; else some fraction of a pixel wider than it says
  const measured = image.naturalWidth ? BLANK / (image.naturalWidth + 0.5) : 1;
  image.removeAttribute("srcset");
  for (const url of urls) URL.revokeObjectURL(url);
  return { index, density: descriptors[index].endsWith("x") ? Number.parseFloat(descriptors[index]) : measured };
}

/** @param {Candidate[]} candidates @param {string} sizes @returns {Promise<Choice>} */
async function chosenOf(candidates, sizes) {
  const descriptors = candidates.map(({ descriptor }) => descriptor);
  const question = `${descriptors} ${sizes}`;
  if (!answers.size) setTimeout(() => answers.clear());
  const answer = answers.get(question) ?? ask(descriptors, sizes);
  answers.set(question, answer);
  const { index, density } = await answer;
  const { address, value } = candidates[index];
  return { address, density, value };
}

/**
 * What <img> would take; the next smaller one where the browser is set to save data.
 * @param {Sized} element @returns {Promise<Choice | null>} null where there is nothing to take
 */
export async function choose(element) {
  const candidates = candidatesOf(element);
  if (!candidates.length) return null;
  const { sizes, offsetWidth: across } = element;
  const chosen = { ...(await chosenOf(candidates, sizesOf(element))), sizes, across };
  if (!savingData()) return chosen;
  const smaller = candidates.filter(({ value }) => value < chosen.value).sort((a, b) => b.value - a.value)[0] ?? chosen;
  return { ...smaller, sizes, across, density: (chosen.density * smaller.value) / chosen.value };
}

/** @type {WeakMap<Element, () => void>} */
const watched = new WeakMap();
/** @type {ResizeObserver | undefined} */
let observer;

/**
 * Waits until the box asks for more than is shown: it has grown, or its `sizes` say so.
 * @param {Sized} element @param {Choice} shown @param {{width: number, height: number, reduce: number}} picture of the file, and as it is shown
 * @param {(choice: Choice) => void} take called once
 * @returns {{check: () => void, stop: () => void}}
 */
export function watch(element, shown, { width, height, reduce }, take) {
  let live = true;
  let seen = false;
  const check = async () => {
    const choice = namesOf(element).srcset === null ? shown : await choose(element);
    if (!live || !choice || (choice.value <= shown.value && reduction(element, width, height) >= reduce)) return;
    stop();
    // of other candidates the larger one stays
    take(choice.value > shown.value ? choice : shown);
  };
  const stop = () => {
    live = false;
    observer?.unobserve(element);
    removeEventListener("resize", check);
  };
  observer ??= new ResizeObserver((entries) => entries.forEach(({ target }) => watched.get(target)?.()));
  watched.set(element, () => {
    // an observer tells the size at once: the box may have grown since the choice
    if (seen || element.offsetWidth !== shown.across) check();
    seen = true;
  });
  observer.observe(element);
  addEventListener("resize", check);
  if ((shown.sizes ?? element.sizes) !== element.sizes) check();
  return { check, stop };
}
