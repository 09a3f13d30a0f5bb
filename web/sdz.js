/**
 * The script that a page loads, with <script type="module"> or through a bundler: defines <sdz-img> and upgrades img[data-sdz]. Outside
 * browsers, in Node and in server-side rendering, importing it does nothing. Where a page loads two copies, the first one is used by both:
 * one worker, one core, one set of networks.
 */

import { watch } from "./page/auto.js";
import { tellServiceWorker } from "./page/client.js";
import { SdzImg as OwnElement } from "./page/element.js";
import { configure as ownConfigure, configureFromTag } from "./page/settings.js";

export { SdzError } from "./errors.js";

/** @typedef {OwnElement} SdzImg */

/** The same in all copies of this module. */
const SHARED = Symbol.for("sdz");

/** @typedef {{address: string, SdzImg: typeof OwnElement, configure: typeof ownConfigure}} Shared */

const page = /** @type {Record<symbol, Shared | undefined>} */ (/** @type {unknown} */ (globalThis));
const before = page[SHARED];

/** The first copy's. */
const { SdzImg, configure } = before ?? { SdzImg: OwnElement, configure: ownConfigure };

export { SdzImg, configure };

if (before) {
  console.warn(`sdz: this page loads the script twice, and the first copy is used: ${before.address}, not ${import.meta.url}`);
} else if (globalThis.customElements && globalThis.document) {
  page[SHARED] = { address: import.meta.url, SdzImg, configure };
  configureFromTag(import.meta.url);
  if (customElements.get("sdz-img")) console.warn("sdz: the page has an element <sdz-img> of another script, which stays");
  else customElements.define("sdz-img", SdzImg);
  // after the script that imports this one, which may call configure()
  queueMicrotask(() => {
    watch();
    tellServiceWorker();
  });
}
