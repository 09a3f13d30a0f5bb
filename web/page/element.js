/**
 * <sdz-img src srcset sizes alt width height loading data-stage data-realism data-colors data-head>: shows an .sdz file. To layout it is a replaced element,
 * as <img> is: the picture is its `content`. Its children are the fallback: they are shown until the picture is decoded, and on any error.
 *
 * Events, which do not bubble, as those of <img>: `load` after the last stage; `progress` with detail {stage, bytes, total} after each;
 * `error` with detail {code, message}. Properties `src`, `srcset`, `sizes`, `alt`, `width`, `height`, `loading` reflect their attributes; `complete`,
 * `naturalWidth`, `naturalHeight`, `currentSrc`, `currentStage` and `decode()` describe the state.
 */

import { SdzError } from "../errors.js";
import { LARGE_PIXELS } from "../limits.js";
import { wantedBy } from "./client.js";
import { Description } from "./description.js";
import { densityOf, fallbackOf, restore, standing } from "./fallback.js";
import { backdrop, boxRules, contentOf, dimension, reduction, resolved, sharedSheet } from "./layout.js";
import { load } from "./load.js";
import { Kept, unwatch, watchDistance, whenNear } from "./near.js";
import { Reflecting } from "./reflecting.js";
import { discard, emptyImage } from "./shown.js";

/** @import { Wanted } from "./client.js" */
/** @import { Receiver, Showing } from "./load.js" */
/** @import { Choice } from "./sizes.js" */
/** @import { Shown } from "../work/stages.js" */

/** All elements in documents. @type {Set<SdzImg>} */
const connected = new Set();

/** Pictures scrolled far away whose pixels are at hand all the same. */
const kept = new Kept();

/** CSS pixels as <img> tells them, whole ones; the browser's own 64ths are forgiven. @param {number} side */
const whole = (side) => Math.floor(side + 1 / 64);

export class SdzImg extends Reflecting {
  static observedAttributes = [
    "src", "srcset", "sizes", "alt", "width", "height", "loading", "data-stage", "data-realism", "data-colors", "role", "aria-label", "aria-labelledby",
  ];

  #slot = document.createElement("slot");
  #frame = document.createElement("div");
  /** @type {CSSStyleSheet | null} */
  #rules = null;
  #description = new Description(this);
  /** The address of `src`, resolved when it was set, as <img> does; null without one, "" where it is none. @type {string | null} */
  #address = null;
  /** Which file is loaded, or was. @type {Choice} */
  #chosen = { address: "", density: 1, value: 1 };
  /** What its sides are divided by in the picture. */
  #reduce = 1;
  /** Pixels of the file that is shown for one of CSS. */
  #density = 1;
  /** Looks out for a larger picture. @type {{check: () => void, stop: () => void} | null} */
  #lookout = null;
  /** What is shown; while a new source loads, the old one. @type {Showing | null} */
  #shown = null;
  #naturalWidth = 0;
  #naturalHeight = 0;
  /** @type {Shown | null} */
  #stage = null;
  #complete = true;
  #scheduled = false;
  /** Whether `src` was set since it was last loaded, perhaps to the same value. */
  #renewed = false;
  /** Whether the pixels were given back when the picture was far away. */
  #released = false;
  /** Source and stage of the current or last request. */
  #requested = "";
  /** @type {Wanted} */
  #wanted = { stage: "exact", realism: null };
  /** Begins the request of a lazy picture. @type {(() => void) | null} */
  #waiting = null;
  #stop = () => {};
  /** A lazy picture is decoded although it is out of sight. */
  #hurry = () => {};
  /** Whether a request is not yet answered, or waits. */
  #busy = false;
  /** Whether the pixels are being taken again. */
  #returning = false;
  #far = false;
  /** The last request's error. @type {SdzError | null} */
  #failure = null;
  /** @type {{promise: Promise<void>, resolve: () => void, reject: (error: SdzError) => void} | null} */
  #decoding = null;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    this.#frame.append(this.#slot);
    root.append(this.#frame);
    this.#dress();
    // the fallback's, which do not bubble
    for (const type of ["load", "error"]) this.addEventListener(type, ({ target }) => target !== this && this.#layOut(), true);
  }

  /** Documents do not share their style sheets. */
  #dress() {
    const view = this.ownerDocument.defaultView;
    this.#rules = view && new view.CSSStyleSheet();
    if (view && this.#rules && this.shadowRoot) this.shadowRoot.adoptedStyleSheets = [sharedSheet(view), this.#rules];
  }

  adoptedCallback() {
    this.#dress();
  }

  connectedCallback() {
    this.takeEarly();
    connected.add(this);
    this.#description.update();
    this.#layOut();
    this.#watch();
    if (this.#shown && !this.#busy) this.#lookOut();
    this.#schedule();
  }

  disconnectedCallback() {
    // what is only moved goes on
    queueMicrotask(() => {
      if (this.isConnected) return;
      connected.delete(this);
      unwatch(this);
      this.#lookout?.stop();
      this.#lookout = null;
      if (this.#busy) this.#requested = "";
      if (this.#returning) this.#released = true;
      this.#end();
    });
  }

  /** @param {string} name @param {string | null} _old @param {string | null} value */
  attributeChangedCallback(name, _old, value) {
    if (name === "src") this.#address = value === null ? null : resolved(value);
    if (name === "src" || name === "srcset") this.#renewed = true;
    if (!this.isConnected) return;
    if (name === "alt" || name === "role" || name.startsWith("aria-")) this.#description.update();
    else if (name === "width" || name === "height" || name === "data-colors") this.#layOut();
    else if (name === "sizes") this.#lookout?.check();
    else this.#schedule();
  }

  get currentSrc() {
    return this.hasAttribute("srcset") ? this.#chosen.address : (this.#address ?? "");
  }

  /** Whether loading has ended: no source, the last stage painted, or an error. */
  get complete() {
    return this.#complete;
  }
  /** @override */
  get naturalWidth() {
    return whole(this.#naturalWidth);
  }
  /** @override */
  get naturalHeight() {
    return whole(this.#naturalHeight);
  }
  /** The stage shown, null before the first. */
  get currentStage() {
    return this.#stage;
  }

  /** @returns {Promise<void>} resolves after the last stage, rejects with an SdzError; also starts a lazy picture */
  decode() {
    this.#load(true);
    if (this.#complete && !this.#decoding) {
      return this.#stage ? Promise.resolve() : Promise.reject(this.#failure ?? new SdzError("NetworkError", "the element has no source"));
    }
    if (!this.#decoding) {
      let resolve = () => {};
      /** @type {(error: SdzError) => void} */
      let reject = () => {};
      const promise = /** @type {Promise<void>} */ (new Promise((yes, no) => ([resolve, reject] = [yes, no])));
      promise.catch(() => {});
      this.#decoding = { promise, resolve, reject };
    }
    return this.#decoding.promise;
  }

  /**
   * For the length of a printing: the picture, where nothing is shown yet.
   * @param {(address: string) => HTMLCanvasElement | null} paint at once
   * @returns {() => void} undoes it
   */
  print(paint) {
    const address = this.currentSrc || this.#address;
    const canvas = this.#shown || !address || standing(this) ? null : paint(address);
    if (!canvas) return () => {};
    const hidden = this.#slot.hidden;
    this.#show({ url: "", image: null, canvas, stage: "linear", bytes: 0, total: null, final: false, reduce: 1, skipped: false });
    return () => {
      if (this.#shown?.canvas !== canvas) return;
      this.#forget();
      this.#slot.hidden = hidden;
      this.#layOut();
    };
  }

  /** Several attributes are often set in a row: react once, afterwards. */
  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    if (this.#named !== null && this.#renewed) this.#complete = false;
    queueMicrotask(() => this.#load(false));
  }

  /** What names the file: the `srcset`, or else the address of `src`; null without either, "" where it is none. */
  get #named() {
    return this.hasAttribute("srcset") ? `${this.srcset} ${this.#address}` : this.#address;
  }

  /** @param {boolean} now whether to ignore loading="lazy" */
  #load(now) {
    const renewed = this.#renewed;
    this.#scheduled = this.#renewed = false;
    const address = this.#named;
    if (!address) {
      if (!this.#requested && !renewed) return;
      this.#end();
      this.#requested = "";
      this.#clear();
      if (address === "") this.#fail(new SdzError("NetworkError", "'src' is no address"));
      return;
    }
    const wanted = wantedBy(this.dataset);
    const what = `${wanted.stage} ${wanted.realism} ${address}`;
    if (what === this.#requested && !(renewed && this.#failure)) {
      if (now || this.loading === "eager") {
        this.#waiting?.();
        if (this.#busy) this.#hurry();
      }
      // as <img> does: nothing is loaded again, but it says so
      if (renewed && !this.#busy) this.#finish();
      return;
    }
    this.#end();
    this.#failure = null;
    this.#requested = what;
    this.#wanted = wanted;
    this.#complete = false;
    this.#busy = true;
    this.#released = false;
    this.#lookout?.stop();
    this.#lookout = null;
    const begin = () => {
      this.#stop();
      this.#waiting = null;
      if (this.hasAttribute("srcset")) return this.#request(this.#choose());
      this.#chosen = { address, density: 1, value: 1 };
      this.#request(address);
    };
    if (now || this.loading === "eager") {
      begin();
      if (now) this.#hurry();
      return;
    }
    this.#waiting = begin;
    this.#stop = whenNear(this, begin);
    // without it, what waits is not on paper
    import("./printing.js").then(({ prepareForPrint }) => prepareForPrint(connected), () => {});
  }

  /** Ends the current request. */
  #end() {
    this.#stop();
    this.#stop = this.#hurry = () => {};
    this.#waiting = null;
    this.#busy = this.#returning = false;
  }

  /** Chooses among the candidates. @returns {Promise<string>} the address of one */
  async #choose() {
    const requested = this.#requested;
    const { choose } = await import("./sizes.js");
    const choice = (await choose(this)) ?? { address: this.#address ?? "", density: 1, value: 1 };
    if (requested === this.#requested) this.#chosen = choice;
    return choice.address;
  }

  /** Takes a larger picture in place of the finished one, when its box asks for it. */
  async #lookOut() {
    const [shown, reduce] = [this.#chosen, this.#reduce];
    if (!this.hasAttribute("srcset") && reduce === 1) return;
    const { watch } = await import("./sizes.js").catch(() => ({ watch: null }));
    if (!watch || this.#lookout || this.#busy || shown !== this.#chosen) return;
    const [width, height] = [this.#naturalWidth * shown.density, this.#naturalHeight * shown.density];
    this.#lookout = watch(this, shown, { width, height, reduce }, (choice) => {
      this.#end();
      this.#lookout = null;
      this.#busy = true;
      this.#complete = false;
      this.#chosen = choice;
      this.#request(choice.address, true);
    });
  }

  /**
   * Loads what is chosen.
   * @param {string | Promise<string>} address @param {boolean} [larger] whether what is shown is finished, and stays until the larger picture is
   */
  #request(address, larger = false) {
    this.#begin(address, {
      header: ({ width, height, alt }) => {
        const { density } = this.#chosen;
        this.#naturalWidth = width / density;
        this.#naturalHeight = height / density;
        this.#description.fileAlt = alt;
        this.#reduce = this.#reduction(width, height);
        this.#layOut();
        return this.#reduce;
      },
      late: () => larger || this.#shown || this.#standIn(),
      show: (showing) => {
        // neither a fallback already shown nor a finished picture is replaced by a coarser one
        if (!showing.skipped && (showing.final || (!larger && (this.#shown || !standing(this))))) {
          this.#density = this.#chosen.density;
          this.#show(showing);
        } else {
          URL.revokeObjectURL(showing.url);
        }
        const { stage, bytes, total, final } = showing;
        if (final || !larger) this.#stage = stage;
        this.#emit("progress", { stage, bytes, total });
        if (!final) return;
        this.#finish();
        this.#giveBack();
        this.#lookOut();
      },
      // what is shown is good all the same
      error: (error) => (larger ? this.#finish() : this.#fail(error)),
    });
  }

  /** @param {string | Promise<string>} address @param {Receiver} receiver */
  #begin(address, receiver) {
    const { end, hurry } = load(this, address, this.#wanted, receiver, { lazy: this.loading === "lazy", head: this.dataset.head });
    [this.#stop, this.#hurry] = [end, hurry];
  }

  /** What the sides of a file may be divided by in the box that it will have. @param {number} width @param {number} height */
  #reduction(width, height) {
    if (width * height < LARGE_PIXELS) return 1;
    // an image would have its size too late
    const natural = `width: ${this.#naturalWidth}px; aspect-ratio: ${width} / ${height};`;
    this.#rules?.replaceSync(`:host { ${natural}${boxRules(dimension(this.getAttribute("width")), dimension(this.getAttribute("height")))} }`);
    return reduction(this, width, height);
  }

  #finish() {
    this.#end();
    this.#complete = true;
    this.#decoding?.resolve();
    this.#decoding = null;
    this.#emit("load");
  }

  /** @param {SdzError} error */
  #fail(error) {
    this.#end();
    this.#complete = true;
    this.#failure = error;
    restore(this, false);
    const damaged = error.code !== "NetworkError" && error.code !== "ProviderError";
    // without a fallback, a picture decoded before the network or the runtime failed stays
    if (damaged || fallbackOf(this).length) this.#clear();
    this.#decoding?.reject(error);
    this.#decoding = null;
    this.#emit("error", { code: error.code, message: error.message });
  }

  /** Shows the children. */
  #standIn() {
    restore(this, false);
    this.#slot.hidden = false;
    this.#layOut();
  }

  /** @param {Showing} showing */
  #show(showing) {
    this.#forget();
    this.#shown = showing;
    this.#slot.hidden = true;
    if (showing.canvas) {
      showing.canvas.part.add("canvas");
      this.#frame.append(showing.canvas);
    }
    this.#layOut();
  }

  /** Gives back what is shown. */
  #forget() {
    const shown = this.#shown;
    this.#shown = null;
    // the style that refers to it goes first
    if (shown) queueMicrotask(() => discard(shown));
  }

  /** Back to the beginning: nothing decoded, the children shown. */
  #clear() {
    this.#forget();
    this.#stage = null;
    this.#complete = true;
    this.#naturalWidth = this.#naturalHeight = 0;
    this.#slot.hidden = false;
    this.#layOut();
  }

  #watch() {
    watchDistance(this, {
      far: () => {
        this.#far = true;
        if (this.#returning) {
          this.#end();
          this.#released = true;
        } else {
          this.#giveBack();
        }
      },
      near: () => {
        this.#far = false;
        kept.remove(this);
        if (this.#released && !this.#busy && this.#chosen.address) this.#return(this.#chosen.address);
      },
    });
  }

  /** Far away, a finished picture may have to give its pixels back. */
  #giveBack() {
    if (!this.#far || this.#busy || !this.#shown?.image) return;
    const scale = this.#density / this.#shown.reduce;
    kept.add(this, this.#naturalWidth * this.#naturalHeight * scale ** 2, () => this.#release());
  }

  /** Gives the pixels back; the box stays. */
  #release() {
    this.#released = true;
    this.#forget();
    this.#layOut();
  }

  /** Takes the pixels again, without a word. @param {string} address */
  #return(address) {
    this.#released = false;
    this.#returning = true;
    this.#begin(address, {
      header: () => this.#reduce,
      show: (showing) => {
        if (!showing.skipped) this.#show(showing);
        if (!showing.final) return;
        this.#end();
        this.#giveBack();
      },
      error: () => {
        this.#returning = false;
        this.#standIn();
      },
    });
  }

  /** What is seen, and the room it takes. */
  #layOut() {
    const [width, height] = [this.getAttribute("width"), this.getAttribute("height")].map(dimension);
    const fallback = this.#slot.hidden ? null : standing(this);
    const others = !this.#slot.hidden && fallbackOf(this).length > 0;
    let content = "";
    let density = 1;
    if (this.#shown?.url) {
      content = this.#shown.url;
      density = this.#density / this.#shown.reduce;
    } else if (fallback) {
      content = fallback.currentSrc;
      density = densityOf(fallback, () => this.#layOut());
    } else if (this.#naturalWidth && !this.#shown && !others) content = emptyImage(this.#naturalWidth, this.#naturalHeight);
    this.#description.fallbackAlt = fallback?.alt;
    const colours = this.#shown || fallback ? "" : backdrop(this.dataset.colors);
    this.#rules?.replaceSync(`:host { ${boxRules(width, height)}${colours}${content && `display: inline; content: ${contentOf(content, density)};`} }`);
  }

  /** @param {string} type @param {object} [detail] */
  #emit(type, detail) {
    this.dispatchEvent(detail ? new CustomEvent(type, { detail }) : new Event(type));
  }
}
