/** The styles of <sdz-img>: what an <img> has by default, what its attributes say, and the colours that stand in for the picture. */

import { LARGE_PIXELS } from "../limits.js";

const STYLE = `
  :host { display: inline-block; overflow: clip; overflow-clip-margin: content-box }
  :host([hidden]), slot[hidden] { display: none }
  div { display: contents }
  canvas { display: block; max-width: 100%; max-height: inherit; width: 100%; height: 100%; object-fit: inherit; object-position: inherit }
`;

/** Pixels times what the sides are divided by: from 8 megapixels for a half, 4 for a quarter, 2 for an eighth. */
const WORTH = 8 * LARGE_PIXELS;

/** @typedef {Window & typeof globalThis} View a window, with its classes */

/** @type {WeakMap<View, CSSStyleSheet>} */
const sheets = new WeakMap();

/** The style of all elements of a window: a constructed sheet, because a policy without 'unsafe-inline' refuses <style>. @param {View} view */
export function sharedSheet(view) {
  const sheet = sheets.get(view) ?? new view.CSSStyleSheet();
  if (!sheets.has(view)) sheet.replaceSync(STYLE);
  sheets.set(view, sheet);
  return sheet;
}

/**
 * An attribute's number, parsed as <img> does.
 * @param {string | null} text @returns {{value: number, unit: "px" | "%"} | null} null where it is no length
 */
export function dimension(text) {
  const found = /^[\t\n\f\r ]*(\d+(?:\.\d+)?)(%?)/.exec(text ?? "");
  return found && { value: Number(found[1]), unit: found[2] ? "%" : "px" };
}

/** @typedef {ReturnType<typeof dimension>} Dimension */

/** What the attributes `width` and `height` mean to layout. @param {Dimension} width @param {Dimension} height @returns {string} declarations */
export function boxRules(width, height) {
  const ratio = width?.unit === "px" && height?.unit === "px" && width.value && height.value;
  return (
    (width ? `width: ${width.value}${width.unit};` : "") +
    (height ? `height: ${height.value}${height.unit};` : "") +
    (ratio ? `aspect-ratio: auto ${width.value} / ${height.value};` : "")
  );
}

/** @param {string | undefined} colours up to eight CSS colours, from top to bottom @returns {string} declarations; none where one is no colour */
export function backdrop(colours) {
  // blanks inside rgb(…) are no separators
  const list = (colours ?? "").match(/[^\s()]+(?:\([^()]*\))?/g) ?? [];
  if (!list.length || list.length > 8 || !list.every((colour) => CSS.supports("color", colour))) return "";
  return list.length === 1 ? `background: ${list[0]};` : `background: linear-gradient(${list.join(", ")});`;
}

/** An image as a value of `content`. @param {string} url @param {number} density pixels of it for one of CSS @returns {string} */
export function contentOf(url, density) {
  const image = `url(${JSON.stringify(url)})`;
  return density === 1 ? image : `image-set(${image} ${density}x)`;
}

/**
 * What the sides of a picture may be divided by where its box shows no more: the networks, which fit no smaller one, are then left out, so this
 * is done only where they would take long.
 * @param {Element} element @param {number} width of the file @param {number} height @returns {number} a power of two
 */
export function reduction(element, width, height) {
  const box = element.getBoundingClientRect();
  const scale = Math.max(box.width / width, box.height / height) * devicePixelRatio;
  if (!scale || getComputedStyle(element).objectFit === "none") return 1;
  return [8, 4, 2].find((reduce) => scale * reduce <= 1 && width * height * reduce >= WORTH) ?? 1;
}

/** @param {string} src @returns {string} its address, empty where it is none */
export function resolved(src) {
  try {
    return src.trim() && new URL(src, document.baseURI).href;
  } catch {
    return "";
  }
}
