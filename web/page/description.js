/** What assistive technology is told: an image with its `alt`, or the text of the file or the fallback. What the page's author says of it stands. */

const ATTRIBUTES = /** @type {const} */ (["role", "aria-label"]);

export class Description {
  /** The text inside the file. @type {string | undefined} */
  #fileAlt;
  /** The text of a fallback that is shown. @type {string | undefined} */
  #fallbackAlt;
  /** What was set here, and may be changed here. @type {Record<string, string | null>} */
  #own = { role: null, "aria-label": null };

  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
  }

  /** @param {string | undefined} text */
  set fileAlt(text) {
    this.#fileAlt = text;
    this.update();
  }

  /** @param {string | undefined} text */
  set fallbackAlt(text) {
    if (text === this.#fallbackAlt) return;
    this.#fallbackAlt = text;
    this.update();
  }

  /** To be called after each change of `alt`, `role` or an `aria-` attribute. */
  update() {
    const { element } = this;
    const alt = element.getAttribute("alt");
    const [role, label] = ATTRIBUTES.map((name) => element.getAttribute(name));
    const named = (label !== null && label !== this.#own["aria-label"]) || element.hasAttribute("aria-labelledby");
    const decoration = alt === "" && !named;
    this.#set("role", role, decoration ? "presentation" : "img");
    // a name would make an image of a decoration again
    const silent = /^(none|presentation)$/.test(element.getAttribute("role") ?? "") || element.hasAttribute("aria-labelledby");
    this.#set("aria-label", label, silent ? null : (alt ?? (this.#fileAlt || this.#fallbackAlt)) || null);
  }

  /** @param {(typeof ATTRIBUTES)[number]} name @param {string | null} now @param {string | null} value */
  #set(name, now, value) {
    if (now !== null && now !== this.#own[name]) return;
    this.#own[name] = value;
    if (now === value) return;
    if (value === null) this.element.removeAttribute(name);
    else this.element.setAttribute(name, value);
  }
}
