/**
 * The script that a page loads, with <script type="module"> or through a bundler: defines <sdz-img> and upgrades img[data-sdz]. Outside
 * browsers, in Node and in server-side rendering, importing it does nothing.
 */

import { watch } from "./page/auto.js";
import { SdzImg } from "./page/element.js";
import { configure, configureFromTag } from "./page/settings.js";

export { SdzError } from "./errors.js";
export { SdzImg, configure };

if (globalThis.customElements && globalThis.document) {
  configureFromTag(import.meta.url);
  if (!customElements.get("sdz-img")) customElements.define("sdz-img", SdzImg);
  // after the script that imports this one, which may call configure()
  queueMicrotask(watch);
}
