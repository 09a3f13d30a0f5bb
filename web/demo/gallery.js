/**
 * The gallery page: shows beside each picture which stage it has reached. Takes the events of <sdz-img>, changes only captions.
 */

/** @import { SdzImg } from "../page/element.js" */
/** @import { Stage } from "../decode.js" */

for (const element of document.querySelectorAll("sdz-img")) {
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
