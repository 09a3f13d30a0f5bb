/**
 * Upgrade of <img data-sdz="a.sdz">: the same <img> shows the decoded picture, so style sheets, alt, menus and assistive technology
 * see what they always saw. Its own src stays until the decode succeeds, and on any error. Pixels reach it as blob: URLs (a policy
 * must allow img-src blob:). Events `sdzprogress` {stage, bytes, total}, `sdzload`, `sdzerror` {code, message}: an <img> already has
 * the plain names for its own src.
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
  /** The newest stage waiting to be shown: older ones are dropped when encoding takes longer than decoding. */
  let newest = 0;
  let shown = "";
  /** @param {string} type @param {object} [detail] */
  const emit = (type, detail) => image.dispatchEvent(new CustomEvent(type, { detail }));

  /** @param {string} url @param {number} number of the stage @returns {Promise<boolean>} whether it is in sight */
  const show = async (url, number) => {
    const probe = new Image();
    probe.src = url;
    // decoded before it is shown: no flash, and a policy that refuses blob: is found out here
    await probe.decode();
    if (number !== newest) {
      // a later stage was quicker
      URL.revokeObjectURL(url);
      return false;
    }
    for (const source of sources) source.remove();
    // removing srcset lets Chromium keep the old candidate's density now and then; naming one of density 1 does not
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
      // a picture that already stands is not exchanged for a coarser one
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

/** Upgrades every marked image of the page, and those that come later. */
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
