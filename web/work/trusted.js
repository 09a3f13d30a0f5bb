/** What a page whose policy requires Trusted Types accepts: a policy named "sdz", for the worker's own address and for markup of the site's own. */

/** @typedef {{createHTML(text: string): string, createScriptURL(address: string): string}} Policy */

/** @returns {Policy | undefined} undefined where the browser has none, or the page does not allow it */
function made() {
  const { trustedTypes } = /** @type {{trustedTypes?: {createPolicy(name: string, rules: Policy): Policy}}} */ (/** @type {unknown} */ (globalThis));
  try {
    return trustedTypes?.createPolicy("sdz", { createHTML: (text) => text, createScriptURL: (address) => address });
  } catch {
    return undefined;
  }
}

const policy = made();

/** @param {string} text the page's own markup */
export const trustedHtml = (text) => policy?.createHTML(text) ?? text;

/** @param {string} address of the library's own worker */
export const trustedScript = (address) => policy?.createScriptURL(address) ?? address;
