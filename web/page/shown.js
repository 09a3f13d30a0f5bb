/**
 * An image as an element's `content`: the element is then a replaced one, as <img> is, and gets the box, the fit and the alignment that an
 * <img> would get from the same style sheets, in every kind of layout. Takes addresses, hands on images that are ready to be shown.
 */

/** @import { Showing } from "./load.js" */

/** What a browser holds at most of each pixel that is shown: the file, a copy of it in the page's process, and the decoded picture. */
export const PIXEL_BYTES = 3 * 4;

/** Bytes that no browser overlooks. */
const ENOUGH_BYTES = 2 ** 28;

/** @type {Map<string, string>} */
const empty = new Map();

/** The address of an image of this size in which nothing is seen. @param {number} width @param {number} height @returns {string} */
export function emptyImage(width, height) {
  const size = `width="${width}" height="${height}"`;
  const url = empty.get(size) ?? URL.createObjectURL(new Blob([`<svg xmlns="http://www.w3.org/2000/svg" ${size}/>`], { type: "image/svg+xml" }));
  empty.set(size, url);
  return url;
}

/**
 * Resolves once an image can be shown without a flash. Rejects where it is none, or where the page's policy refuses it.
 * @param {HTMLImageElement} image @param {() => boolean} seen whether its place is in sight @returns {Promise<void>}
 */
function ready(image, seen) {
  return new Promise((resolve, reject) => {
    const listening = new AbortController();
    const settle = () => {
      listening.abort();
      resolve();
    };
    const loaded = () => {
      // nothing is decoded that nobody sees
      if (document.hidden || !seen()) return settle();
      document.addEventListener("visibilitychange", settle, { signal: listening.signal });
      return void image.decode().then(settle, settle);
    };
    if (image.complete && image.naturalWidth) return loaded();
    image.onload = loaded;
    image.onerror = () => reject(new Error("the image could not be shown"));
  });
}

/** @param {string} url @param {() => boolean} seen whether its place is in sight @returns {Promise<HTMLImageElement>} ready to be shown */
export async function prepared(url, seen) {
  const image = new Image();
  image.src = url;
  await ready(image, seen);
  return image;
}

/**
 * An image on a canvas, for pages whose policy lets nothing else show it.
 * @param {Blob} image @returns {Promise<HTMLCanvasElement>}
 */
export async function canvasOf(image) {
  const pixels = await createImageBitmap(image);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [pixels.width, pixels.height];
  canvas.getContext("2d", { colorSpace: "srgb" })?.drawImage(pixels, 0, 0);
  pixels.close();
  return canvas;
}

/**
 * Gives the memory back now. The file and its copies hang on small objects, for which no browser hurries to collect rubbish: a buffer of their
 * size, never touched, says what there is to win.
 * @param {Partial<Showing>} showing which nothing refers to any more
 */
export function discard({ url, image, canvas }) {
  if (image) void new ArrayBuffer(Math.min(PIXEL_BYTES * image.naturalWidth * image.naturalHeight, ENOUGH_BYTES));
  image?.removeAttribute("src");
  if (url) URL.revokeObjectURL(url);
  if (!canvas) return;
  canvas.remove();
  canvas.width = canvas.height = 0;
}
