/**
 * An image as an element's `content`: the element is then a replaced one, as <img> is, and gets the box, the fit and the alignment that an
 * <img> would get from the same style sheets, in every kind of layout. Takes canvases and addresses, hands on addresses that are ready to be
 * shown.
 */

/** @import { Showing } from "./load.js" */

/** Bytes before the pixels: the file header and a BITMAPV4HEADER, the oldest with alpha. */
const BMP_HEADER_BYTES = 14 + 108;

/** What a browser holds of each pixel that is shown: the file, a copy of it in the page's process, and the decoded picture. */
export const PIXEL_BYTES = 3 * 4;

/** "sRGB", as a BITMAPV4HEADER has it. */
const SRGB = 0x73524742;

/**
 * A canvas's pixels as an image that costs next to nothing to write and to read.
 * @param {HTMLCanvasElement} canvas @returns {Blob}
 */
export function bitmap(canvas) {
  const { width, height } = canvas;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const { data } = context.getImageData(0, 0, width, height);
  const header = new DataView(new ArrayBuffer(BMP_HEADER_BYTES));
  header.setUint16(0, 0x424d); // "BM"
  header.setUint32(2, BMP_HEADER_BYTES + data.length, true);
  header.setUint32(10, BMP_HEADER_BYTES, true);
  header.setUint32(14, 108, true);
  header.setInt32(18, width, true);
  header.setInt32(22, -height, true); // rows from top to bottom
  header.setUint16(26, 1, true);
  header.setUint16(28, 32, true);
  header.setUint32(30, 3, true); // the masks say where the channels are
  header.setUint32(34, data.length, true);
  // browsers scale and compose opaque images better
  [0xff, 0xff00, 0xff0000, isOpaque(data) ? 0 : 0xff000000].forEach((mask, i) => header.setUint32(54 + 4 * i, mask, true));
  header.setUint32(70, SRGB, true);
  return new Blob([header.buffer, data], { type: "image/bmp" });
}

/** @param {Uint8ClampedArray} data RGBA @returns {boolean} */
function isOpaque(data) {
  for (let i = 3; i < data.length; i += 4) if (data[i] !== 255) return false;
  return true;
}

/** @type {Map<string, string>} */
const empty = new Map();

/** The address of an image of this size in which nothing is seen. @param {number} width @param {number} height @returns {string} */
export function emptyImage(width, height) {
  const size = `width="${width}" height="${height}"`;
  const url = empty.get(size) ?? URL.createObjectURL(new Blob([`<svg xmlns="http://www.w3.org/2000/svg" ${size}/>`], { type: "image/svg+xml" }));
  empty.set(size, url);
  return url;
}

/** Whether any of an element is in the viewport. @param {Element} element */
function inSight(element) {
  const { top, bottom, left, right } = element.getBoundingClientRect();
  return !document.hidden && bottom >= 0 && right >= 0 && top <= innerHeight && left <= innerWidth;
}

/**
 * Resolves once an image can be shown in place of `element` without a flash. Rejects where it is none, or where the page's policy refuses it.
 * @param {HTMLImageElement} image @param {Element} element @returns {Promise<void>}
 */
function ready(image, element) {
  return new Promise((resolve, reject) => {
    const listening = new AbortController();
    const settle = () => {
      listening.abort();
      resolve();
    };
    const loaded = () => {
      // nothing is decoded that nobody sees
      if (!inSight(element)) return settle();
      document.addEventListener("visibilitychange", settle, { signal: listening.signal });
      return void image.decode().then(settle, settle);
    };
    if (image.complete && image.naturalWidth) return loaded();
    image.onload = loaded;
    image.onerror = () => reject(new Error("the image could not be shown"));
  });
}

/** @param {string} url @param {Element} element @returns {Promise<HTMLImageElement>} the image, ready to be shown in place of `element` */
export async function prepared(url, element) {
  const image = new Image();
  image.src = url;
  await ready(image, element);
  return image;
}

/** Gives the memory back now, not when rubbish is collected. @param {HTMLCanvasElement | null} canvas */
export function discardCanvas(canvas) {
  if (!canvas) return;
  canvas.remove();
  canvas.width = canvas.height = 0;
}

/**
 * @param {Partial<Showing>} showing which nothing refers to any more. The file and its copies hang on small objects, for which no browser hurries
 * to collect rubbish: a buffer of their size, never touched, says what there is to win.
 */
export function discard({ url, image, canvas }) {
  if (image) void new ArrayBuffer(PIXEL_BYTES * image.naturalWidth * image.naturalHeight);
  image?.removeAttribute("src");
  if (url) URL.revokeObjectURL(url);
  discardCanvas(canvas ?? null);
}
