/**
 * The gallery page: shows beside each picture which stage it has reached, and goes on with the album's next page where its end comes near. Takes
 * the events of <sdz-img> and the link to the next page, changes only captions and the wall.
 */

import { trustedHtml } from "../work/trusted.js";

/** @import { SdzImg } from "../page/element.js" */
/** @import { Stage } from "../work/stages.js" */

/** The next page is fetched when its link is this near. */
const NEAR = "200% 0px";

const wall = document.querySelector(".wall");

/** @param {ParentNode} within */
function mark(within) {
  for (const element of within.querySelectorAll("sdz-img")) {
    const picture = /** @type {SdzImg} */ (element);
    const mark = picture.closest("figure")?.querySelector(".mark");
    if (!(mark instanceof HTMLElement)) continue;
    /** @param {Event} event @returns {{stage: Stage, message: string}} */
    const detail = (event) => /** @type {CustomEvent} */ (event).detail;
    picture.addEventListener("progress", (event) => {
      mark.dataset.stage = detail(event).stage;
    });
    picture.addEventListener("load", () => {
      mark.dataset.stage = "done";
    });
    picture.addEventListener("error", (event) => {
      mark.dataset.stage = "error";
      mark.title = detail(event).message;
    });
  }
}

/** Puts the next page's figures behind these, and its link in place of ours. @param {HTMLAnchorElement} link */
async function goOn(link) {
  const response = await fetch(link.href);
  if (!response.ok) return;
  // the pages of an album lie in one folder: relative addresses hold
  const next = new DOMParser().parseFromString(trustedHtml(await response.text()), "text/html");
  const figures = document.createDocumentFragment();
  figures.append(...(next.querySelector(".wall")?.children ?? []));
  mark(figures);
  wall?.append(document.adoptNode(figures));
  const further = next.querySelector("a[rel=next]");
  if (!further) return void link.closest(".more")?.remove();
  link.href = /** @type {string} */ (further.getAttribute("href"));
  // an observer tells only of changes
  near.unobserve(link);
  near.observe(link);
}

const near = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      // where it fails, the link is there to be followed
      if (isIntersecting) goOn(/** @type {HTMLAnchorElement} */ (target)).catch(() => {});
    }
  },
  { rootMargin: NEAR },
);

mark(document);
for (const link of document.querySelectorAll("a[rel=next]")) near.observe(link);
