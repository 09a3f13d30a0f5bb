/**
 * A classic script for browsers that cannot run the modules, or could not load them: once everything else has had its chance, the
 * pictures inside <noscript> take their places. Takes and hands on nothing.
 */

addEventListener("load", function () {
  if (window.customElements && customElements.get("sdz-img")) return;
  document.querySelectorAll("sdz-img noscript").forEach(function (noscript) {
    const holder = document.createElement("div");
    // the page's own markup: a browser with scripts on keeps it as text
    holder.innerHTML = noscript.textContent || "";
    noscript.replaceWith(...holder.childNodes);
  });
});
