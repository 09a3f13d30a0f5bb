/**
 * What the panel of a photo's page shows of protected regions: their outline, and the largest of them beside the same place in a file of as many
 * bytes without. Takes the picture's canvas whenever it has changed.
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

/** The unprotected file, and the two crops. */
export class Pair {
  #file = new Blob();
  /** @type {readonly number[]} */
  #box;
  /** @type {readonly HTMLCanvasElement[]} */
  #crops;
  /** @type {readonly HTMLElement[]} */
  #figures;

  /** @param {HTMLElement} fieldset @param {HTMLCanvasElement} canvas for the whole of the unprotected picture */
  constructor(fieldset, canvas) {
    this.address = /** @type {string} */ (fieldset.dataset.plain);
    this.#box = (fieldset.dataset.box ?? "").split(" ").map(Number);
    this.#crops = [...fieldset.querySelectorAll("canvas")];
    this.#figures = [...fieldset.querySelectorAll("small")];
    this.painting = new Painting(canvas);
  }

  /** The rest of the panel does without, where it does not arrive. */
  async load() {
    this.#file = await fetched(this.address).catch(() => this.#file);
  }

  /**
   * Shows what is painted now beside what as many bytes are without protection.
   * @param {HTMLCanvasElement} canvas @param {number} bytes @param {boolean} all whether these are all of either file, of which the figures
   *   are @param {{stage: Shown, realism: number}} wanted
   */
  show(canvas, bytes, all, wanted) {
    for (const figures of this.#figures) figures.hidden = !all;
    this.#crop(canvas, 0);
    if (!this.#file.size) return;
    this.painting.show(this.#file.slice(0, bytes), wanted, {
      painted: ({ final }) => final && this.#crop(this.painting.canvas, 1),
      error: () => {},
    });
  }

  /** @param {HTMLCanvasElement} from @param {number} index */
  #crop(from, index) {
    const [left, top, width, height] = this.#box;
    this.#crops[index].getContext("2d", { colorSpace: "srgb" })?.drawImage(from, left, top, width, height, 0, 0, width, height);
  }
}
