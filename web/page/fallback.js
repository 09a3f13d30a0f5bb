/** What stands in for a picture: an element's children, or what is inside their <noscript>. */

import { trustedHtml } from "./trusted.js";

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

/** The child picture that is there to be seen. @param {HTMLElement} element @returns {HTMLImageElement | null} */
export function standing(element) {
  const image = element.querySelector("img");
  return image && image.complete && image.naturalWidth > 0 ? image : null;
}
