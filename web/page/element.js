/**
 * <sdz-img src alt width height loading data-stage data-realism data-colors>: shows an .sdz file. To layout it is a replaced element, as <img>
 * is: the picture is its `content`. Its children are the fallback: they are shown until the picture is decoded, and on any error.
 *
 * Events, which do not bubble, as those of <img>: `load` after the last stage; `progress` with detail {stage, bytes, total} after each;
 * `error` with detail {code, message}. Properties `src`, `alt`, `width`, `height`, `loading` reflect their attributes; `complete`,
 * `naturalWidth`, `naturalHeight`, `currentSrc`, `currentStage` and `decode()` describe the state.
 */

import { SdzError } from "../errors.js";
import { wantedBy } from "./client.js";
import { Description } from "./description.js";
import { restore, standing } from "./fallback.js";
import { backdrop, boxRules, dimension, resolved, sharedSheet } from "./layout.js";
import { load } from "./load.js";
import { Kept, unwatch, watchDistance, whenNear } from "./near.js";
import { prepareForPrint } from "./printing.js";
import { discard, emptyImage } from "./shown.js";

/** @import { Wanted } from "./client.js" */
/** @import { Receiver, Showing } from "./load.js" */
/** @import { Stage } from "../decode.js" */

/** The element's base class. Outside browsers an empty class, so that the module can be imported there. */
const Base = globalThis.HTMLElement ?? /** @type {typeof HTMLElement} */ (/** @type {unknown} */ (class {}));

/** All elements in documents. @type {Set<SdzImg>} */
const connected = new Set();

/** Pictures scrolled far away whose pixels are at hand all the same. */
const kept = new Kept();

export class SdzImg extends Base {
  static observedAttributes = [
    "src", "alt", "width", "height", "loading", "data-stage", "data-realism", "data-colors", "role", "aria-label", "aria-labelledby",
  ];

  #slot = document.createElement("slot");
  #frame = document.createElement("div");
  #rules = new CSSStyleSheet();
  #description = new Description(this);
  /** The address of `src`, resolved when it was set, as <img> does; null without one, "" where it is none. @type {string | null} */
  #address = null;
  /** What is shown; while a new source loads, the old one. @type {Showing | null} */
  #shown = null;
  #naturalWidth = 0;
  #naturalHeight = 0;
  /** @type {Stage | null} */
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
  #wanted = { stage: "denoised", realism: 1 };
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
    root.adoptedStyleSheets = [sharedSheet(), this.#rules];
    this.#frame.append(this.#slot);
    root.append(this.#frame);
    // the fallback's, which do not bubble
    for (const type of ["load", "error"]) this.addEventListener(type, ({ target }) => target !== this && this.#layOut(), true);
  }

  connectedCallback() {
    connected.add(this);
    this.#description.update();
    this.#layOut();
    this.#watch();
    this.#schedule();
  }

  disconnectedCallback() {
    // what is only moved goes on
    queueMicrotask(() => {
      if (this.isConnected) return;
      connected.delete(this);
      unwatch(this);
      if (this.#busy) this.#requested = "";
      if (this.#returning) this.#released = true;
      this.#end();
    });
  }

  /** @param {string} name @param {string | null} _old @param {string | null} value */
  attributeChangedCallback(name, _old, value) {
    if (name === "src") {
      this.#address = value === null ? null : resolved(value);
      this.#renewed = true;
    }
    if (!this.isConnected) return;
    if (name === "alt" || name === "role" || name.startsWith("aria-")) this.#description.update();
    else if (name === "width" || name === "height" || name === "data-colors") this.#layOut();
    else this.#schedule();
  }

  get src() {
    const value = this.getAttribute("src");
    return value === null ? "" : resolved(value) || value;
  }
  set src(value) {
    this.#reflect("src", value);
  }

  get currentSrc() {
    return this.#address ?? "";
  }

  get alt() {
    return this.getAttribute("alt") ?? "";
  }
  set alt(value) {
    this.#reflect("alt", value);
  }

  get width() {
    return this.#side("width", this.#naturalWidth);
  }
  set width(value) {
    this.#reflect("width", value);
  }

  get height() {
    return this.#side("height", this.#naturalHeight);
  }
  set height(value) {
    this.#reflect("height", value);
  }

  get loading() {
    return this.getAttribute("loading")?.toLowerCase() === "lazy" ? "lazy" : "eager";
  }
  set loading(value) {
    this.#reflect("loading", value);
  }

  /** Whether loading has ended: no source, the last stage painted, or an error. */
  get complete() {
    return this.#complete;
  }
  get naturalWidth() {
    return this.#naturalWidth;
  }
  get naturalHeight() {
    return this.#naturalHeight;
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

  /** Frameworks set properties to null to remove them. @param {string} name @param {unknown} value */
  #reflect(name, value) {
    if (value === null || value === undefined) this.removeAttribute(name);
    else this.setAttribute(name, String(value));
  }

  /** As <img> has it: the rendered size, else the attribute's, else the picture's. @param {"width" | "height"} name @param {number} natural */
  #side(name, natural) {
    if (!this.getClientRects().length) return dimension(this.getAttribute(name))?.value ?? natural;
    const style = /** @type {Record<string, any>} */ (getComputedStyle(this));
    const around = (name === "width" ? ["Left", "Right"] : ["Top", "Bottom"]).flatMap((side) => [`padding${side}`, `border${side}Width`]);
    const outside = style.boxSizing === "border-box" ? around.reduce((sum, part) => sum + Number.parseFloat(style[part]), 0) : 0;
    return Math.round(Number.parseFloat(style[name]) - outside) || 0;
  }

  /**
   * For the length of a printing: the picture, where nothing is shown yet.
   * @param {(address: string) => HTMLCanvasElement | null} paint at once
   * @returns {() => void} undoes it
   */
  print(paint) {
    const canvas = this.#shown || !this.#address || standing(this) ? null : paint(this.#address);
    if (!canvas) return () => {};
    const hidden = this.#slot.hidden;
    this.#show({ url: "", image: null, canvas, stage: "linear", bytes: 0, total: null, final: false, skipped: false });
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
    if (this.#address !== null && this.#renewed) this.#complete = false;
    queueMicrotask(() => this.#load(false));
  }

  /** @param {boolean} now whether to ignore loading="lazy" */
  #load(now) {
    const renewed = this.#renewed;
    this.#scheduled = this.#renewed = false;
    const address = this.#address;
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
    const begin = () => {
      this.#stop();
      this.#waiting = null;
      this.#request(address, wanted);
    };
    if (now || this.loading === "eager") {
      begin();
      if (now) this.#hurry();
      return;
    }
    this.#waiting = begin;
    this.#stop = whenNear(this, begin);
    prepareForPrint(connected);
  }

  /** Ends the current request. */
  #end() {
    this.#stop();
    this.#stop = this.#hurry = () => {};
    this.#waiting = null;
    this.#busy = this.#returning = false;
  }

  /** @param {string} address @param {Wanted} wanted */
  #request(address, wanted) {
    this.#begin(address, wanted, {
      header: ({ width, height, alt }) => {
        this.#naturalWidth = width;
        this.#naturalHeight = height;
        this.#description.fileAlt = alt;
        this.#layOut();
      },
      late: () => this.#shown || this.#standIn(),
      show: (showing) => {
        // a fallback already shown is not replaced by a coarser picture
        if (!showing.skipped && (showing.final || this.#shown || !standing(this))) this.#show(showing);
        else URL.revokeObjectURL(showing.url);
        const { stage, bytes, total, final } = showing;
        this.#stage = stage;
        this.#emit("progress", { stage, bytes, total });
        if (!final) return;
        this.#finish();
        this.#giveBack();
      },
      error: (error) => this.#fail(error),
    });
  }

  /** @param {string} address @param {Wanted} wanted @param {Receiver} receiver */
  #begin(address, wanted, receiver) {
    const { end, hurry } = load(this, address, wanted, receiver, { lazy: this.loading === "lazy" });
    [this.#stop, this.#hurry] = [end, hurry];
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
    if (damaged || this.#slot.assignedElements().some((child) => child.localName !== "noscript")) this.#clear();
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
        if (this.#released && !this.#busy && this.#address) this.#return(this.#address);
      },
    });
  }

  /** Far away, a finished picture may have to give its pixels back. */
  #giveBack() {
    if (!this.#far || this.#busy || !this.#shown?.image) return;
    kept.add(this, 4 * this.#naturalWidth * this.#naturalHeight, () => this.#release());
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
    this.#begin(address, this.#wanted, {
      header: () => {},
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
    const others = !this.#slot.hidden && this.#slot.assignedElements().some((child) => child.localName !== "noscript");
    let content = "";
    if (this.#shown?.url) content = this.#shown.url;
    else if (fallback) content = fallback.currentSrc;
    else if (this.#naturalWidth && !this.#shown && !others) content = emptyImage(this.#naturalWidth, this.#naturalHeight);
    const colours = this.#shown || fallback ? "" : backdrop(this.dataset.colors);
    this.#rules.replaceSync(`:host { ${boxRules(width, height)}${colours}${content && `display: inline; content: url(${JSON.stringify(content)});`} }`);
  }

  /** @param {string} type @param {object} [detail] */
  #emit(type, detail) {
    this.dispatchEvent(detail ? new CustomEvent(type, { detail }) : new Event(type));
  }
}
