/**
 * A classic script for browsers that cannot run the modules, or do not get them: the pictures inside <noscript> take their places, at the
 * latest two seconds after the page. A module that comes later all the same finds them as the element's children. Takes and hands on nothing.
 */

(function () {
  /** As long as the element itself waits for something to paint. */
  const PATIENCE_MS = 2000;

  /** The page's own markup, where a policy wants to know of it: a name of its own, since the modules may come after all and need theirs. */
  let trusted = function (/** @type {string} */ markup) {
    return markup;
  };
  let asked = false;

  function ask() {
    const types = /** @type {any} */ (window).trustedTypes;
    if (asked || !types) return;
    asked = true;
    try {
      const policy = types.createPolicy("sdz-fallback", { createHTML: trusted });
      trusted = function (markup) {
        return policy.createHTML(markup);
      };
    } catch {
      // the page does not allow it: where it requires one, the places stay empty
    }
  }

  function standIn() {
    if (window.customElements && customElements.get("sdz-img")) return;
    ask();
    document.querySelectorAll("sdz-img noscript").forEach(function (noscript) {
      const holder = document.createElement("div");
      // the page's own markup: a browser with scripts on keeps it as text
      holder.innerHTML = trusted(noscript.textContent || "");
      noscript.replaceWith(...holder.childNodes);
    });
  }

  addEventListener("load", standIn);
  // a module that hangs keeps the page from being loaded, and scripts after it from running: this one stands before it
  setTimeout(standIn, PATIENCE_MS);
})();
