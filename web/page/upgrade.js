/**
 * One <img data-sdz="a.sdz" data-sdz-srcset="…" sizes="…">. Its src is replaced once the picture is decoded, and restored on any error. The pixels are set as blob: URLs, which a
 * content security policy must allow (img-src blob:). Events: `sdzprogress` {stage, bytes, total}, `sdzload`, `sdzerror` {code, message}; the plain
 * names belong to the <img>'s own src. Loaded where a page has such an image.
 */

import { LARGE_PIXELS } from "../limits.js";
import { wantedBy } from "./client.js";
import { reduction, resolved } from "./layout.js";
import { load } from "./load.js";
import { whenNear } from "./near.js";
import { canvasOf } from "./shown.js";

/** @import { Showing } from "./load.js" */
/** @import { Choice } from "./sizes.js" */

/** One image and what was done to it. */
export class Upgrade {
  #stop = () => {};
  /** A lazy picture is decoded although it is out of sight. */
  #hurry = () => {};
  #waiting = false;
  /** Counts requests: an older one's choice comes too late. */
  #turn = 0;
  /** Which file is loaded, or was. @type {Choice} */
  #chosen = { address: "", density: 1, value: 1 };
  /** The file's size, and what its sides are divided by in the picture. */
  #picture = { width: 0, height: 0, reduce: 1 };
  /** Looks out for a larger picture. @type {{check: () => void, stop: () => void} | null} */
  #lookout = null;
  /** The address that is shown instead of the author's; empty where none is. */
  #url = "";
  /** What the image says of it. */
  #shown = { src: "", srcset: "" };
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
    this.#end();
    const source = image.dataset.sdz;
    if (source === undefined) return this.restore();
    const address = resolved(source);
    this.#waiting = true;
    const stop = whenNear(image, () => {
      this.#waiting = false;
      if (image.dataset.sdzSrcset !== undefined) this.#load(this.#choose(address));
      else if (address) {
        this.#chosen = { address, density: 1, value: 1 };
        this.#load(address);
      } else this.#fail({ code: "NetworkError", message: "'data-sdz' is no address" });
    });
    // what begins at once has put its own end there
    if (this.#waiting) this.#stop = stop;
  }

  /** After a change of `sizes`. */
  resize() {
    this.#lookout?.check();
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
    if (!this.#url) return false;
    let changed = false;
    // what was not changed by the author is as before
    for (const name of /** @type {const} */ (["src", "srcset"])) {
      const value = image.getAttribute(name);
      if (value === this.#shown[name]) continue;
      this.#own[name] = value;
      changed = true;
    }
    return changed;
  }

  /** Shows the author's own picture. */
  restore() {
    this.#end();
    if (!this.#url) return;
    URL.revokeObjectURL(this.#url);
    this.#url = "";
    for (const [source, media] of this.#own.media) set(source, "media", media);
    set(this.image, "srcset", this.#own.srcset);
    set(this.image, "src", this.#own.src);
  }

  #end() {
    this.#turn++;
    this.#stop();
    this.#lookout?.stop();
    this.#lookout = null;
  }

  /** Chooses among the candidates. @param {string} address where there are none @returns {Promise<string>} the address of one */
  async #choose(address) {
    const turn = this.#turn;
    const { choose } = await import("./sizes.js");
    const choice = (await choose(this.image)) ?? { address, density: 1, value: 1 };
    if (turn === this.#turn) this.#chosen = choice;
    return choice.address;
  }

  /** Takes a larger picture in place of the finished one, when its box asks for it. */
  async #lookOut() {
    const [shown, picture] = [this.#chosen, this.#picture];
    if (this.image.dataset.sdzSrcset === undefined && picture.reduce === 1) return;
    const { watch } = await import("./sizes.js").catch(() => ({ watch: null }));
    if (!watch || this.#lookout || shown !== this.#chosen || picture !== this.#picture || !this.#url) return;
    this.#lookout = watch(this.image, shown, picture, (choice) => {
      this.#end();
      this.#chosen = choice;
      this.#load(choice.address, true);
    });
  }

  /** @param {string | Promise<string>} address @param {boolean} [larger] whether what is shown is finished, and stays until this is */
  #load(address, larger = false) {
    const { image } = this;
    const stood = larger || (!this.#url && image.complete && image.naturalWidth > 0);
    const { end, hurry } = load(
      image,
      address,
      wantedBy(image.dataset),
      {
        header: ({ width, height, alt }) => {
          if (!image.hasAttribute("alt") && alt) image.alt = alt;
          const reduce = width * height < LARGE_PIXELS ? 1 : reduction(image, width, height);
          this.#picture = { width, height, reduce };
          return reduce;
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
        // what is shown is good all the same
        error: (error) => larger || this.#fail(error),
      },
      { lazy: image.loading === "lazy", convert: png },
    );
    [this.#stop, this.#hurry] = [end, hurry];
  }

  /** @param {Showing} showing */
  #show({ url, final, reduce }) {
    const { image } = this;
    const before = this.#url;
    this.#picture = { ...this.#picture, reduce };
    if (!before) {
      const sources = image.parentElement?.localName === "picture" ? image.parentElement.querySelectorAll("source") : [];
      const media = new Map([...sources].map((source) => [source, source.getAttribute("media")]));
      this.#own = { src: image.getAttribute("src"), srcset: image.getAttribute("srcset"), media };
      for (const source of sources) source.setAttribute("media", "not all");
    }
    this.#url = url;
    // set, not removed: without a srcset Chromium sometimes keeps the old candidate's density
    const density = this.#chosen.density / reduce;
    // the src would be another candidate, of 1x
    this.#shown = { src: density === 1 ? url : "", srcset: `${url} ${density}x` };
    image.srcset = this.#shown.srcset;
    image.src = this.#shown.src;
    if (before) URL.revokeObjectURL(before);
    if (!final) return;
    image.decode().catch(() => {}).then(() => url === this.#url && this.#emit("sdzload"));
    this.#lookOut();
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

/** @param {Element} element @param {string} name @param {string | null} value */
function set(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, value);
}

/** @param {Blob} image @returns {Promise<Blob>} the same, as people save pictures; as it is where that cannot be done */
const png = async (image) =>
  canvasOf(image).then((canvas) => new Promise((resolve) => canvas.toBlob((made) => resolve(made ?? image))), () => image);
