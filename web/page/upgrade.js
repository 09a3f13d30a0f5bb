/**
 * One <img data-sdz="a.sdz">. Its src is replaced once the picture is decoded, and restored on any error. The pixels are set as blob: URLs, which a
 * content security policy must allow (img-src blob:). Events: `sdzprogress` {stage, bytes, total}, `sdzload`, `sdzerror` {code, message}; the plain
 * names belong to the <img>'s own src. Loaded where a page has such an image.
 */

import { wantedBy } from "./client.js";
import { resolved } from "./layout.js";
import { load } from "./load.js";
import { whenNear } from "./near.js";
import { canvasOf } from "./shown.js";

/** @import { Showing } from "./load.js" */

/** One image and what was done to it. */
export class Upgrade {
  #stop = () => {};
  /** A lazy picture is decoded although it is out of sight. */
  #hurry = () => {};
  #waiting = false;
  /** The address that is shown instead of the author's; empty where none is. */
  #url = "";
  /** What the author said. @type {{src: string | null, srcset: string | null, media: Map<Element, string | null>}} */
  #own = { src: null, srcset: null, media: new Map() };

  /** @param {HTMLImageElement} image */
  constructor(image) {
    this.image = image;
    this.follow();
  }

  /** Loads what data-sdz says; the picture shown stays until then. */
  follow() {
    const { image } = this;
    this.#stop();
    const source = image.dataset.sdz;
    if (source === undefined) return this.restore();
    const address = resolved(source);
    this.#waiting = true;
    const stop = whenNear(image, () => {
      this.#waiting = false;
      if (address) this.#load(address);
      else this.#fail({ code: "NetworkError", message: "'data-sdz' is no address" });
    });
    // what begins at once has put its own end there
    if (this.#waiting) this.#stop = stop;
  }

  /** After a change of `loading`. */
  hasten() {
    if (this.image.loading !== "eager") return;
    if (this.#waiting) this.follow();
    else this.#hurry();
  }

  /** After changes of src or srcset. @returns {boolean} whether they are the author's */
  changed() {
    const { image } = this;
    const own = image.getAttribute("src") === this.#url && image.getAttribute("srcset") === srcsetOf(this.#url);
    if (!this.#url || own) return false;
    // what was not changed by the author is as before
    for (const name of /** @type {const} */ (["src", "srcset"])) {
      const value = image.getAttribute(name);
      if (value !== (name === "src" ? this.#url : srcsetOf(this.#url))) this.#own[name] = value;
    }
    return true;
  }

  /** Shows the author's own picture. */
  restore() {
    this.#stop();
    if (!this.#url) return;
    URL.revokeObjectURL(this.#url);
    this.#url = "";
    for (const [source, media] of this.#own.media) set(source, "media", media);
    set(this.image, "srcset", this.#own.srcset);
    set(this.image, "src", this.#own.src);
  }

  /** @param {string} address */
  #load(address) {
    const { image } = this;
    const stood = !this.#url && image.complete && image.naturalWidth > 0;
    const { end, hurry } = load(
      image,
      address,
      wantedBy(image.dataset),
      {
        header({ alt }) {
          if (!image.hasAttribute("alt") && alt) image.alt = alt;
        },
        show: (showing) => {
          const { stage, bytes, total, final, skipped, url } = showing;
          this.#emit("sdzprogress", { stage, bytes, total });
          if (!skipped && !url) {
            this.#fail({ code: "ProviderError", message: "the picture could not be shown: does the page's policy allow img-src blob:?" });
          } else if (skipped || (stood && !final)) {
            // a picture already shown is not replaced by a coarser one
            URL.revokeObjectURL(url);
          } else {
            this.#show(showing);
          }
        },
        error: (error) => this.#fail(error),
      },
      { lazy: image.loading === "lazy", convert: png },
    );
    [this.#stop, this.#hurry] = [end, hurry];
  }

  /** @param {Showing} showing */
  #show({ url, final }) {
    const { image } = this;
    const before = this.#url;
    if (!before) {
      const sources = image.parentElement?.localName === "picture" ? image.parentElement.querySelectorAll("source") : [];
      const media = new Map([...sources].map((source) => [source, source.getAttribute("media")]));
      this.#own = { src: image.getAttribute("src"), srcset: image.getAttribute("srcset"), media };
      for (const source of sources) source.setAttribute("media", "not all");
    }
    this.#url = url;
    // set, not removed: without a srcset Chromium sometimes keeps the old candidate's density
    image.srcset = srcsetOf(url);
    image.src = url;
    if (before) URL.revokeObjectURL(before);
    if (final) image.decode().catch(() => {}).then(() => url === this.#url && this.#emit("sdzload"));
  }

  /** @param {{code: string, message: string}} error */
  #fail({ code, message }) {
    this.restore();
    this.#emit("sdzerror", { code, message });
  }

  /** @param {string} type @param {object} [detail] */
  #emit(type, detail) {
    this.image.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** @param {string} url @returns {string} */
const srcsetOf = (url) => `${url} 1x`;

/** @param {Element} element @param {string} name @param {string | null} value */
function set(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, value);
}

/** @param {Blob} image @returns {Promise<Blob>} the same, as people save pictures; as it is where that cannot be done */
const png = async (image) =>
  canvasOf(image).then((canvas) => new Promise((resolve) => canvas.toBlob((made) => resolve(made ?? image))), () => image);
