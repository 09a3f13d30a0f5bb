/**
 * A classic script for browsers that cannot run the modules, or do not get them: the pictures inside <noscript> take their places, at the
 * latest two seconds after the page. A module that comes later all the same finds them as the element's children. Takes and hands on nothing.
 */

(function () {
  /** As long as the element itself waits for something to paint. */
  const PATIENCE_MS = 2000;

  function standIn() {
    if (window.customElements && customElements.get("sdz-img")) return;
    document.querySelectorAll("sdz-img noscript").forEach(function (noscript) {
      const holder = document.createElement("div");
      // the page's own markup: a browser with scripts on keeps it as text
      holder.innerHTML = noscript.textContent || "";
      noscript.replaceWith(...holder.childNodes);
    });
  }

  addEventListener("load", standIn);
  // a module that hangs keeps the page from being loaded, and scripts after it from running: this one stands before it
  setTimeout(standIn, PATIENCE_MS);
})();
