/** What stands in for a picture: an element's children, or what is inside their <noscript>. */

import { trustedHtml } from "../work/trusted.js";

/** Attributes copied from a fallback inside <noscript>: enough for a picture, none that runs scripts. */
const ATTRIBUTES = ["src", "srcset", "sizes", "alt", "width", "height", "type", "media", "loading", "decoding", "crossorigin"];

/**
 * A copy of the picture inside a <noscript>, whose content is text where scripts run.
 * @param {HTMLElement} noscript
 * @returns {Element | null}
 */
function copied(noscript) {
  const parsed = new DOMParser().parseFromString(trustedHtml(noscript.textContent ?? ""), "text/html");
  /** @param {Element} from @returns {Element} */
  const copy = (from) => {
    const to = document.createElement(from.localName);
    for (const name of ATTRIBUTES) {
      const value = from.getAttribute(name);
      if (value !== null) to.setAttribute(name, value);
    }
    to.append(...[...from.querySelectorAll(":scope > source, :scope > img")].map(copy));
    return to;
  };
  const found = parsed.querySelector("picture, img");
  return found && copy(found);
}

/**
 * Puts the picture inside a child <noscript> beside it, unless the element has a picture already.
 * @param {HTMLElement} element @param {boolean} lazy whether it waits until it is rendered
 */
export function restore(element, lazy) {
  const image = element.querySelector("img");
  if (image) {
    if (!lazy && image.dataset.fallback !== undefined) image.loading = "eager";
    return;
  }
  const noscript = element.querySelector("noscript");
  const fallback = noscript && copied(noscript);
  if (!fallback) return;
  const made = fallback.localName === "img" ? fallback : fallback.querySelector("img");
  made?.setAttribute("loading", lazy ? "lazy" : "eager");
  made?.setAttribute("data-fallback", "");
  element.append(fallback);
}

/** Children that are the fallback: all but <noscript>. @param {HTMLElement} element @returns {Element[]} */
export const fallbackOf = (element) => [...element.children].filter((child) => child.localName !== "noscript");

/** The picture that is there to be seen, where it is all of the fallback. @param {HTMLElement} element @returns {HTMLImageElement | null} */
export function standing(element) {
  const [only, ...others] = fallbackOf(element);
  const image = only?.localName === "picture" ? only.querySelector("img") : only;
  return image instanceof HTMLImageElement && !others.length && image.complete && image.naturalWidth > 0 ? image : null;
}

/** Pixels of files for one of CSS, by what tells them apart. @type {Map<string, number>} */
const densities = new Map();

/** Pixels of a picture's file for one of CSS. @param {HTMLImageElement} image @param {() => void} again called once more is known @returns {number} */
export function densityOf(image, again) {
  const { currentSrc: url, naturalWidth: width } = image;
  // without candidates there is only one
  if (!image.srcset && image.parentElement?.localName !== "picture") return 1;
  const key = `${width} ${url}`;
  const known = densities.get(key);
  if (known) return known;
  densities.set(key, 1);
  const file = new Image();
  file.onload = () => {
    densities.set(key, file.naturalWidth / width);
    again();
  };
  file.src = url;
  return 1;
}
