/**
 * What the panel of a photo's page shows of protected regions: their outline, and the largest of them beside the same place in a file of as many
 * bytes without.
 */

import { Painting, fetched } from "./painting.js";

/** @import { Shown } from "../../work/stages.js" */

/**
 * Makes the outline's switch work.
 * @param {HTMLElement} fieldset @param {HTMLElement} compare holds the outline
 */
export function outline(fieldset, compare) {
  const box = /** @type {HTMLInputElement} */ (fieldset.querySelector("input[type=checkbox]"));
  const show = () => compare.toggleAttribute("data-outlined", box.checked);
  box.addEventListener("change", show);
  // a page that comes back keeps it
  show();
}

/** Two crops: of the picture's file, and of the unprotected one, both of as many bytes. */
export class Pair {
  #plain = new Blob();
  /** @type {readonly Painting[]} */
  #paintings;
  /** @type {readonly HTMLCanvasElement[]} */
  #crops;
  /** @type {readonly HTMLElement[]} */
  #figures;
  /** What is shown, or on its way. */
  #shown = "";

  /** @param {HTMLElement} fieldset @param {HTMLCanvasElement} canvas for the whole of the unprotected picture */
  constructor(fieldset, canvas) {
    const own = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
    this.address = /** @type {string} */ (fieldset.dataset.plain);
    this.box = (fieldset.dataset.box ?? "").split(" ").map(Number);
    this.#paintings = [own, canvas].map((whole) => new Painting(whole));
    this.#crops = [...fieldset.querySelectorAll("canvas")];
    this.#figures = [...fieldset.querySelectorAll("small")];
  }

  /** The rest of the panel does without, where it does not arrive. */
  async load() {
    this.#plain = await fetched(this.address).catch(() => this.#plain);
  }

  /**
   * Shows what so many bytes are with protection and without.
   * @param {Blob} file the picture's @param {number} bytes @param {{stage: Shown, realism: number | null}} wanted
   */
  show(file, bytes, wanted) {
    const what = `${bytes} ${wanted.stage} ${wanted.realism}`;
    if (!this.#plain.size || what === this.#shown) return;
    this.#shown = what;
    // the figures are those of the whole files
    for (const figures of this.#figures) figures.hidden = bytes !== file.size;
    const [left, top, width, height] = this.box;
    for (const [i, painting] of this.#paintings.entries()) {
      const context = this.#crops[i].getContext("2d", { colorSpace: "srgb" });
      painting.show([file, this.#plain][i].slice(0, bytes), wanted, {
        painted: ({ final }) => final && context?.drawImage(painting.canvas, left, top, width, height, 0, 0, width, height),
        error: () => (this.#shown = ""),
      });
    }
  }
}
