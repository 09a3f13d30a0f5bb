/** Properties of <sdz-img> that reflect its attributes, as those of <img> do. */

import { dimension, resolved } from "./layout.js";

/** The element's base class. Outside browsers an empty class, so that the module can be imported there. */
const Base = globalThis.HTMLElement ?? /** @type {typeof HTMLElement} */ (/** @type {unknown} */ (class {}));

/** Frameworks set properties to null to remove them. @param {HTMLElement} element @param {string} name @param {unknown} value */
function reflect(element, name, value) {
  if (value === null || value === undefined) element.removeAttribute(name);
  else element.setAttribute(name, String(value));
}

/**
 * As <img> has it: the rendered size, else the attribute's, else the picture's.
 * @param {HTMLElement} element @param {"width" | "height"} name @param {number} natural
 */
function sideOf(element, name, natural) {
  if (!element.getClientRects().length) return dimension(element.getAttribute(name))?.value ?? natural;
  const style = /** @type {Record<string, any>} */ (getComputedStyle(element));
  const around = (name === "width" ? ["Left", "Right"] : ["Top", "Bottom"]).flatMap((side) => [`padding${side}`, `border${side}Width`]);
  const outside = style.boxSizing === "border-box" ? around.reduce((sum, part) => sum + Number.parseFloat(style[part]), 0) : 0;
  return Math.round(Number.parseFloat(style[name]) - outside) || 0;
}

export class Reflecting extends Base {
  get src() {
    const value = this.getAttribute("src");
    return value === null ? "" : resolved(value) || value;
  }
  set src(value) {
    reflect(this, "src", value);
  }

  get srcset() {
    return this.getAttribute("srcset") ?? "";
  }
  set srcset(value) {
    reflect(this, "srcset", value);
  }

  get sizes() {
    return this.getAttribute("sizes") ?? "";
  }
  set sizes(value) {
    reflect(this, "sizes", value);
  }

  get alt() {
    return this.getAttribute("alt") ?? "";
  }
  set alt(value) {
    reflect(this, "alt", value);
  }

  get loading() {
    return this.getAttribute("loading")?.toLowerCase() === "lazy" ? "lazy" : "eager";
  }
  set loading(value) {
    reflect(this, "loading", value);
  }

  get width() {
    return sideOf(this, "width", this.naturalWidth);
  }
  set width(value) {
    reflect(this, "width", value);
  }

  get height() {
    return sideOf(this, "height", this.naturalHeight);
  }
  set height(value) {
    reflect(this, "height", value);
  }

  /** Takes what was set before the script was there: properties of the element's own, which hide these. */
  takeEarly() {
    const own = /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (this));
    for (const [name, value] of Object.entries(own)) {
      if (!Object.getOwnPropertyDescriptor(Reflecting.prototype, name)?.set) continue;
      delete own[name];
      own[name] = value;
    }
  }

  /** Of what is shown; the element knows. */
  get naturalWidth() {
    return 0;
  }
  get naturalHeight() {
    return 0;
  }
}
