/**
 * Upgrades <img data-sdz="a.sdz">: the element stays an <img>, so style sheets, alt, context menus and assistive technology work as before.
 * Its src is replaced once the picture is decoded, and restored on any error. The pixels are set as blob: URLs, which a content security
 * policy must allow (img-src blob:). Events: `sdzprogress` {stage, bytes, total}, `sdzload`, `sdzerror` {code, message}; the plain names
 * belong to the <img>'s own src.
 */

import { painter, request, wantedBy, whenNear } from "./client.js";

const MARK = "img[data-sdz]";

/** @type {WeakSet<HTMLImageElement>} */
const upgraded = new WeakSet();

/** @param {HTMLImageElement} image */
export function upgrade(image) {
  if (upgraded.has(image)) return;
  upgraded.add(image);
  whenNear(image, () => load(image));
}

/** @param {HTMLImageElement} image */
function load(image) {
  const { src, srcset } = image;
  const sources = image.parentElement?.localName === "picture" ? [...image.parentElement.querySelectorAll("source")] : [];
  const stood = image.complete && image.naturalWidth > 0;
  const canvas = document.createElement("canvas");
  const surface = painter(canvas);
  /** Number of the newest stage: older ones are dropped where encoding takes longer than decoding. */
  let newest = 0;
  let shown = "";
  /** @param {string} type @param {object} [detail] */
  const emit = (type, detail) => image.dispatchEvent(new CustomEvent(type, { detail }));

  /** @param {string} url @param {number} number of the stage @returns {Promise<boolean>} whether it is shown */
  const show = async (url, number) => {
    const probe = new Image();
    probe.src = url;
    // decoded before it is shown, which avoids a flash and detects a policy that refuses blob:
    await probe.decode();
    if (number !== newest) {
      // a later stage was faster
      URL.revokeObjectURL(url);
      return false;
    }
    for (const source of sources) source.remove();
    // set, not removed: without a srcset Chromium sometimes keeps the old candidate's density
    image.srcset = `${url} 1x`;
    image.src = url;
    if (shown) URL.revokeObjectURL(shown);
    shown = url;
    await image.decode().catch(() => {});
    return number === newest;
  };
  /** @param {{code: string, message: string}} error */
  const fail = ({ code, message }) => {
    newest = Infinity;
    if (shown) {
      image.before(...sources);
      image.srcset = srcset;
      image.src = src;
      URL.revokeObjectURL(shown);
    }
    emit("sdzerror", { code, message });
  };

  request(new URL(image.dataset.sdz ?? "", document.baseURI).href, wantedBy(image.dataset), {
    header({ width, height, alt }) {
      surface.resize(width, height);
      if (!image.hasAttribute("alt") && alt) image.alt = alt;
    },
    tile: (tile) => surface.put(tile),
    stage(progress) {
      emit("sdzprogress", { stage: progress.stage, bytes: progress.bytes, total: progress.total });
      // a picture already shown is not replaced by a coarser one
      if (stood && !progress.final) return;
      const number = ++newest;
      canvas.toBlob(async (blob) => {
        if (!blob || number !== newest) return;
        try {
          if ((await show(URL.createObjectURL(blob), number)) && progress.final) emit("sdzload");
        } catch {
          fail({ code: "ProviderError", message: "the picture could not be shown: does the page's policy allow img-src blob:?" });
        }
      });
    },
    error: fail,
  });
}

/** Upgrades all marked images of the page, also those added later. */
export function watch() {
  for (const image of document.querySelectorAll(MARK)) upgrade(/** @type {HTMLImageElement} */ (image));
  new MutationObserver((records) => {
    for (const node of records.flatMap(({ addedNodes }) => [...addedNodes])) {
      if (!(node instanceof Element)) continue;
      if (node.matches(MARK)) upgrade(/** @type {HTMLImageElement} */ (node));
      for (const image of node.querySelectorAll(MARK)) upgrade(/** @type {HTMLImageElement} */ (image));
    }
  }).observe(document, { childList: true, subtree: true });
}
