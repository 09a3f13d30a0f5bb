/**
 * <sdz-img src alt width height loading data-stage data-realism>: shows an .sdz file, painted on a canvas in its shadow tree. Its children
 * are the fallback: they are shown until the picture is decoded, and on any error.
 *
 * Events, which do not bubble, as those of <img>: `load` after the last stage; `progress` with detail {stage, bytes, total} after each;
 * `error` with detail {code, message}. Properties `src`, `alt`, `width`, `height`, `loading` reflect their attributes; `complete`,
 * `naturalWidth`, `naturalHeight`, `currentStage` and `decode()` describe the state.
 */

import { painter, request, wantedBy, whenNear } from "./client.js";
import { SdzError } from "../errors.js";

/** @import { Wanted } from "./client.js" */
/** @import { Stage } from "../decode.js" */

const STYLE = `
  :host { display: inline-block; position: relative; max-width: 100%; overflow: hidden; vertical-align: bottom; object-fit: fill }
  :host([hidden]), slot[hidden] { display: none }
  canvas, .sized ::slotted(img), .sized ::slotted(picture) {
    position: absolute; inset: 0; display: block; width: 100%; height: 100%; object-fit: inherit; object-position: inherit;
  }
`;

/** @type {CSSStyleSheet | undefined} */
let sheet;

/** The style of all elements: a constructed sheet, because a policy without 'unsafe-inline' refuses <style>. */
function sharedSheet() {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
  }
  return sheet;
}

/** The element's base class. Outside browsers an empty class, so that the module can be imported there. */
const Base = globalThis.HTMLElement ?? /** @type {typeof HTMLElement} */ (/** @type {unknown} */ (class {}));

/** Attributes copied from a fallback inside <noscript>: enough for a picture, none that runs scripts. */
const FALLBACK_ATTRIBUTES = ["src", "srcset", "sizes", "alt", "width", "height", "type", "media", "loading", "decoding"];

/**
 * A copy of the picture inside a <noscript>, whose content is text where scripts run.
 * @param {HTMLElement} noscript
 * @returns {Element | null}
 */
function fallbackFrom(noscript) {
  const parsed = new DOMParser().parseFromString(noscript.textContent ?? "", "text/html");
  /** @param {Element} from @returns {Element} */
  const copy = (from) => {
    const to = document.createElement(from.localName);
    for (const name of FALLBACK_ATTRIBUTES) {
      const value = from.getAttribute(name);
      if (value !== null) to.setAttribute(name, value);
    }
    to.append(...[...from.querySelectorAll(":scope > source, :scope > img")].map(copy));
    return to;
  };
  const found = parsed.querySelector("picture, img");
  return found && copy(found);
}

/** @param {string | null} text @returns {number} pixels, parsed as <img> does; 0 where it is no length */
const parseLength = (text) => (text !== null && /^\s*\d+\s*$/.test(text) ? Number(text) : 0);

export class SdzImg extends Base {
  static observedAttributes = ["src", "alt", "width", "height", "loading", "data-stage", "data-realism"];

  #slot = document.createElement("slot");
  #frame = document.createElement("div");
  #size = new CSSStyleSheet();
  /** The canvas shown; while a new source loads, that of the old one. @type {HTMLCanvasElement | null} */
  #canvas = null;
  #naturalWidth = 0;
  #naturalHeight = 0;
  /** @type {string | undefined} */
  #fileAlt;
  /** @type {Stage | null} */
  #stage = null;
  #complete = true;
  #scheduled = false;
  /** Source and stage of the current or last request. */
  #requested = "";
  #stop = () => {};
  /** The last request's error. @type {SdzError | null} */
  #failure = null;
  /** @type {{promise: Promise<void>, resolve: () => void, reject: (error: SdzError) => void} | null} */
  #decoding = null;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sharedSheet(), this.#size];
    this.#frame.append(this.#slot);
    root.append(this.#frame);
  }

  connectedCallback() {
    this.#describe();
    this.#layOut();
    this.#schedule();
  }

  disconnectedCallback() {
    this.#stop();
    if (!this.#complete) this.#requested = "";
  }

  /** @param {string} name */
  attributeChangedCallback(name) {
    if (!this.isConnected) return;
    if (name === "alt") this.#describe();
    else if (name === "width" || name === "height") this.#layOut();
    else this.#schedule();
  }

  get src() {
    const src = this.getAttribute("src");
    return src === null ? "" : new URL(src, document.baseURI).href;
  }
  set src(value) {
    this.setAttribute("src", value);
  }

  get alt() {
    return this.getAttribute("alt") ?? "";
  }
  set alt(value) {
    this.setAttribute("alt", value);
  }

  get width() {
    return parseLength(this.getAttribute("width")) || this.clientWidth;
  }
  set width(value) {
    this.setAttribute("width", String(value));
  }

  get height() {
    return parseLength(this.getAttribute("height")) || this.clientHeight;
  }
  set height(value) {
    this.setAttribute("height", String(value));
  }

  get loading() {
    return this.getAttribute("loading") === "lazy" ? "lazy" : "eager";
  }
  set loading(value) {
    this.setAttribute("loading", value);
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

  /** Several attributes are often set in a row: react once, afterwards. */
  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    if (this.hasAttribute("src")) this.#complete = false;
    queueMicrotask(() => this.#load(false));
  }

  /** @param {boolean} now whether to ignore loading="lazy" */
  #load(now) {
    this.#scheduled = false;
    const src = this.src;
    const wanted = wantedBy(this.dataset);
    const what = `${wanted.stage} ${wanted.realism} ${src} `;
    const key = src && `${what}${now || this.loading === "eager" ? "now" : "near"}`;
    if (key === this.#requested || (this.#complete && this.#requested.startsWith(what))) {
      this.#complete ||= !src;
      return;
    }
    this.#stop();
    this.#failure = null;
    this.#requested = key;
    this.#complete = !src;
    if (!src) return;
    const begin = () => {
      this.#stop = this.#request(src, wanted);
    };
    this.#stop = () => {};
    const forget = now ? void begin() : whenNear(this, begin);
    if (forget) {
      const stop = this.#stop;
      this.#stop = () => {
        forget();
        stop();
      };
    }
  }

  /** @param {string} src @param {Wanted} wanted @returns {() => void} */
  #request(src, wanted) {
    const canvas = document.createElement("canvas");
    canvas.part.add("canvas");
    const surface = painter(canvas);
    return request(src, wanted, {
      header: ({ width, height, alt }) => {
        this.#naturalWidth = width;
        this.#naturalHeight = height;
        this.#fileAlt = alt;
        surface.resize(width, height);
        this.#describe();
        this.#layOut();
      },
      tile: (tile) => surface.put(tile),
      stage: ({ stage, bytes, total, final }) => {
        // a fallback already shown is not replaced by a coarser picture
        if (final || !this.#fallbackShown()) this.#show(canvas);
        this.#stage = stage;
        this.#emit("progress", { stage, bytes, total });
        if (!final) return;
        this.#complete = true;
        this.#decoding?.resolve();
        this.#decoding = null;
        this.#emit("load");
      },
      error: (error) => this.#fail(error),
    });
  }

  /** @param {SdzError} error */
  #fail(error) {
    this.#complete = true;
    this.#failure = error;
    this.#restoreFallback();
    const damaged = error.code !== "NetworkError" && error.code !== "ProviderError";
    // without a fallback, a picture decoded before the network or the runtime failed stays
    if (damaged || this.#slot.assignedElements().some((child) => child.localName !== "noscript")) {
      this.#canvas?.remove();
      this.#canvas = null;
      this.#stage = null;
      this.#slot.hidden = false;
    }
    this.#decoding?.reject(error);
    this.#decoding = null;
    this.#emit("error", { code: error.code, message: error.message });
  }

  /** @param {HTMLCanvasElement} canvas */
  #show(canvas) {
    if (this.#canvas === canvas) return;
    this.#canvas?.remove();
    this.#canvas = canvas;
    this.#frame.append(canvas);
    this.#slot.hidden = true;
  }

  #fallbackShown() {
    const image = this.querySelector("img");
    return this.#canvas === null && image !== null && image.complete && image.naturalWidth > 0;
  }

  #restoreFallback() {
    const noscript = this.querySelector("noscript");
    if (!noscript || this.querySelector("img")) return;
    const fallback = fallbackFrom(noscript);
    if (fallback) this.append(fallback);
  }

  /** Reserves the picture's area from the attributes, or from the header once it is known. */
  #layOut() {
    const [w, h] = [parseLength(this.getAttribute("width")), parseLength(this.getAttribute("height"))];
    const [ratioW, ratioH] = w && h ? [w, h] : [this.#naturalWidth, this.#naturalHeight];
    const sized = ratioW > 0 && ratioH > 0;
    this.#frame.classList.toggle("sized", sized);
    const width = w || (sized && (h ? Math.round((h * ratioW) / ratioH) : ratioW));
    const rules = (width ? `width: ${width}px;` : "") + (sized ? `aspect-ratio: ${ratioW} / ${ratioH};` : h ? `height: ${h}px;` : "");
    this.#size.replaceSync(`:host { ${rules} }`);
  }

  /** Presents itself to assistive technology as an <img>: with its alt, or the file's own text; alt="" marks decoration. */
  #describe() {
    const alt = this.getAttribute("alt");
    this.setAttribute("role", alt === "" ? "presentation" : "img");
    const label = alt ?? this.#fileAlt;
    if (label) this.setAttribute("aria-label", label);
    else this.removeAttribute("aria-label");
  }

  /** @param {string} type @param {object} [detail] */
  #emit(type, detail) {
    this.dispatchEvent(detail ? new CustomEvent(type, { detail }) : new Event(type));
  }
}
