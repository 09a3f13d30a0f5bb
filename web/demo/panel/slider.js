/**
 * The byte slider of a photo's page: from a few bytes over the stops that have names to the last one, each step the same share more, as the eye
 * counts quality. Takes the slider and the stops' buttons, hands on a number of bytes.
 */

/** Per cent of the slider within which a stop attracts it: less than an arrow key moves. */
const ATTRACTS = 0.75;

export class ByteSlider {
  /** @type {readonly number[]} */
  #stops;
  /** @type {readonly HTMLButtonElement[]} */
  #buttons;

  /**
   * @param {HTMLInputElement} input @param {HTMLElement} stops holds their buttons, the last one's bytes are the most
   * @param {number} least bytes at the left end
   */
  constructor(input, stops, least) {
    this.input = input;
    this.least = least;
    this.#buttons = [...stops.querySelectorAll("button")];
    this.#stops = this.#buttons.map(({ value }) => Number(value));
    this.most = Math.max(...this.#stops);
    for (const [i, button] of this.#buttons.entries()) {
      button.addEventListener("click", () => {
        this.bytes = this.#stops[i];
        input.dispatchEvent(new Event("input"));
      });
    }
  }

  get bytes() {
    const at = Number(this.input.value);
    const near = this.#stops.find((bytes) => Math.abs(this.#place(bytes) - at) < ATTRACTS);
    return near ?? Math.round(this.least * (this.most / this.least) ** (at / 100));
  }
  set bytes(bytes) {
    this.input.value = String(this.#place(bytes));
    this.mark();
  }

  /** Says which stop it stands at. */
  mark() {
    const { bytes } = this;
    for (const [i, button] of this.#buttons.entries()) button.setAttribute("aria-pressed", String(this.#stops[i] === bytes));
  }

  /** @param {number} bytes @returns {number} where it is, in per cent */
  #place(bytes) {
    return this.most > this.least ? (100 * Math.log(bytes / this.least)) / Math.log(this.most / this.least) : 100;
  }
}
