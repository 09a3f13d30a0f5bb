/**
 * The panel of a photo's page: the picture from any prefix of its file at any stage, up to the photo itself, beside the original. Takes the
 * numbers in the page's data attributes, asks the shared worker for tiles, checks finished pixels against the digests that Python computed.
 */

import { savingData } from "../page/client.js";
import { Painting, fetched } from "./panel/painting.js";
import { Pair, outline } from "./panel/protected.js";
import { ByteSlider } from "./panel/slider.js";

/** @import { Shown } from "../work/stages.js" */
/** @import { Painted } from "./panel/painting.js" */

/** Milliseconds without a movement of the byte slider after which the networks run on the prefix, or the lossless tail is read. */
const REST_MS = 140;

/** @template {Element} T @param {string} selector @param {ParentNode} [root] @returns {T} */
const need = (selector, root = document) => /** @type {T} */ (root.querySelector(selector));

const study = /** @type {HTMLElement} */ (need(".study"));
const compare = /** @type {HTMLElement} */ (need(".compare"));
const canvas = /** @type {HTMLCanvasElement} */ (need(".decoded", compare));
const other = /** @type {HTMLElement} */ (need(".other", compare));
const image = /** @type {HTMLImageElement} */ (need("img", other));
const plain = /** @type {HTMLCanvasElement | null} */ (need(".plain", other));
const divider = /** @type {HTMLInputElement} */ (need(".divider", compare));
const controls = /** @type {HTMLElement} */ (need(".controls"));
const dial = /** @type {HTMLInputElement} */ (need(".dial input"));
const guarded = /** @type {HTMLElement | null} */ (need(".protected", controls));
const verdict = /** @type {HTMLElement} */ (need(".verdict"));
const tag = /** @type {HTMLElement} */ (need(".left", compare));
const slider = new ByteSlider(need(".bytes input"), need(".stops"), Number(study.dataset.least));
/** Bytes of the picture's file; what is beyond is of the file that ends in the photo itself. */
const total = Number(study.dataset.bytes);
/** The last stage that the pack has. */
const best = study.dataset.best;
const pixels = canvas.width * canvas.height;
const painting = new Painting(canvas);
const pair = guarded && plain && guarded.dataset.plain ? new Pair(guarded, plain) : null;

/** Empty until it has arrived. */
let file = new Blob();
/** The file that ends in the photo itself, once it has been asked for. @type {Promise<Blob> | null} */
let whole = null;
/** The last stage of the latents that was chosen. */
let below = /** @type {Shown} */ (best);
/** Number of the newest request. */
let newest = 0;

/** What is written here, in the panel's language. @type {Record<string, string>} */
const words = JSON.parse(study.dataset.words ?? "{}");
const language = /** @type {HTMLElement | null} */ (study.closest("[lang]"))?.lang;

/** @param {number} n @param {number} [places] @returns {string} */
const grouped = (n, places = 0) => n.toLocaleString(language, { minimumFractionDigits: places, maximumFractionDigits: places, numberingSystem: "latn" });

/** @param {string} name @param {Record<string, string>} [values] what stands for {…} in it @returns {string} */
const say = (name, values = {}) => words[name].replace(/\{(\w+)\}/g, (_, value) => values[value]);

/** @returns {Shown} */
const chosenStage = () => /** @type {Shown} */ (/** @type {HTMLInputElement} */ (need("input[name=stage]:checked")).value);

/** @param {Shown} stage */
const choose = (stage) => (/** @type {HTMLInputElement} */ (need(`input[value=${stage}]`)).checked = true);

/** @param {string} stage @returns {HTMLElement} the label of a stage's button */
const badge = (stage) => /** @type {HTMLElement} */ (need(`input[value=${stage}]`).parentElement);

/** null: as the file says, where the dial stood at first. */
const realism = () => (dial.value === dial.defaultValue ? null : Number(dial.value) / Number(dial.max));

/** The file that goes on to the photo itself: asked for when a reader wants it. @returns {Promise<Blob>} */
function toTheEnd() {
  whole ??= fetched(/** @type {string} */ (study.dataset.exact));
  whole.catch(() => (whole = null));
  return whole;
}

/** Decodes what the slider stands for and paints what comes. @param {Shown} stage */
async function show(stage) {
  const number = ++newest;
  const { bytes } = slider;
  const start = performance.now();
  let from = file;
  painting.stop();
  verdict.hidden = true;
  if (bytes > total) {
    if (!whole) tag.textContent = say("fetching", { bytes: `${grouped(slider.most / 1000)} ${say("kB")}` });
    try {
      from = await toTheEnd();
    } catch (error) {
      if (number === newest) tell({ code: "NetworkError", message: String(error) });
      return;
    }
    if (number !== newest) return;
    label(bytes);
  }
  if (!from.size) return;
  const wanted = { stage: bytes > total ? "exact" : stage, realism: realism() };
  painting.show(from.slice(0, bytes), wanted, {
    painted: (painted) => took(painted, wanted.stage, bytes, performance.now() - start),
    error: fail,
  });
}

/**
 * A stage is on the canvas.
 * @param {Painted} painted @param {Shown} wanted @param {number} bytes @param {number} milliseconds since it was asked for
 */
function took({ stage, final, rgba }, wanted, bytes, milliseconds) {
  if (canvas.hidden) {
    canvas.hidden = false;
    // only now, so that the original does not stand in the picture's way
    beside();
  }
  // of a tail that is cut, rows of the photo itself: the stage is that of the others
  const exact = final && wanted === "exact";
  const reached = badge(exact ? "exact" : stage);
  reached.dataset.reached = "";
  const [time, size] = [`${Math.round(milliseconds)} ms`, `${grouped(exact ? bytes : Math.min(bytes, total))} ${say("B")}`].map((text) => {
    const part = document.createElement("span");
    part.textContent = text;
    return part;
  });
  need("small", reached).replaceChildren(time, " ", size);
  if (!final) return;
  study.dataset.shown = stage;
  if (stage === "exact") check(rgba, study.dataset.exactDigest, "same_exact");
  else if (bytes === total && wanted === best && realism() === null) check(rgba, study.dataset.digest, "same");
  // the photo itself has no regions
  pair?.show(file, Math.min(bytes, total), { stage: wanted === "exact" ? below : wanted, realism: realism() });
}

/** @param {Uint8ClampedArray<ArrayBuffer>} rgba @param {string | undefined} expected @param {string} praise */
async function check(rgba, expected, praise) {
  if (!expected) {
    verdict.hidden = false;
    verdict.textContent = say("approximate");
    return;
  }
  const number = newest;
  const digest = await crypto.subtle.digest("SHA-256", rgba);
  if (number !== newest) return;
  const hex = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const same = hex === expected;
  study.dataset.pixels = hex;
  verdict.hidden = false;
  verdict.dataset.same = String(same);
  verdict.textContent = same ? say(praise, { count: grouped(rgba.length) }) : say("differ");
}

/** @param {{code: string, message: string}} error */
function tell({ code, message }) {
  verdict.hidden = false;
  verdict.dataset.same = "false";
  verdict.textContent = `${code}: ${message}`;
}

/** @param {{code: string, message: string}} error */
function fail(error) {
  for (const part of [canvas, other, divider, controls, ...compare.querySelectorAll(".tag")]) /** @type {HTMLElement} */ (part).hidden = true;
  compare.removeAttribute("data-outlined");
  tell(error);
}

/** Moves the divider: a property of CSS, so that no markup carries styles. */
function divide() {
  compare.style.setProperty("--split", `${divider.value}%`);
  divider.setAttribute("aria-valuetext", say("share", { share: grouped(Math.round(Number(divider.value))) }));
}

function beside() {
  const { value, dataset } = /** @type {HTMLInputElement} */ (need("input[name=against]:checked"));
  const source = image.dataset[value];
  const shown = !canvas.hidden && value !== "none";
  for (const part of [other, divider, need(".right", compare)]) /** @type {HTMLElement} */ (part).hidden = !shown;
  if (!shown) return;
  image.hidden = !source;
  if (plain) plain.hidden = value !== "plain";
  if (source && image.getAttribute("src") !== source) image.src = source;
  need(".right", compare).textContent = dataset.tag ?? "";
}

/** @param {number} bytes */
const label = (bytes) => (tag.textContent = `sdz · ${grouped(bytes)} ${say("B")}`);

/** Writes what the byte slider stands for. */
function count() {
  const { bytes, most } = slider;
  need(".used").textContent = grouped(bytes);
  const bpp = (8 * bytes) / pixels;
  need(".bpp").textContent = grouped(bpp, bpp < 0.01 ? 4 : 3);
  slider.input.setAttribute("aria-valuetext", say("used", { used: grouped(bytes), total: grouped(most) }));
  slider.mark();
  label(bytes);
}

/** Chooses the stage that the bytes have. */
function follow() {
  if (slider.bytes > total) choose("exact");
  else if (chosenStage() === "exact") choose(below);
  dial.disabled = chosenStage() !== "denoised";
}

/** Says where the dial stands. */
function turned() {
  const text = dial.value === dial.max ? say("natural") : dial.value === "0" ? say("faithful") : say("used", { used: dial.value, total: dial.max });
  need(".dial output").textContent = text;
  dial.setAttribute("aria-valuetext", text);
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let resting;

slider.input.addEventListener("input", () => {
  count();
  follow();
  clearTimeout(resting);
  const stage = chosenStage();
  if (stage !== "exact") void show("linear");
  if (stage !== "linear") resting = setTimeout(() => show(stage), REST_MS);
});
for (const button of controls.querySelectorAll("input[name=stage]")) {
  button.addEventListener("change", () => {
    const stage = chosenStage();
    if (stage === "exact") slider.bytes = slider.most;
    else {
      below = stage;
      if (slider.bytes > total) slider.bytes = total;
    }
    count();
    follow();
    clearTimeout(resting);
    void show(stage);
  });
}
dial.addEventListener("input", () => {
  turned();
  clearTimeout(resting);
  resting = setTimeout(() => show(chosenStage()), REST_MS);
});
for (const button of controls.querySelectorAll("input[name=against]")) button.addEventListener("change", beside);
divider.addEventListener("input", divide);
if (guarded) outline(guarded, compare);

try {
  [file] = await Promise.all([fetched(/** @type {string} */ (study.dataset.src)), pair?.load()]);
  below = savingData() ? "linear" : /** @type {Shown} */ (best);
  choose(below);
  if (best !== "denoised") {
    for (const part of [badge("denoised"), need(".dial")]) /** @type {HTMLElement} */ (part).hidden = true;
  }
  tag.hidden = false;
  slider.bytes = total;
  count();
  follow();
  divide();
  // a browser that comes back to the page may have kept another place
  dial.value = dial.defaultValue;
  turned();
  void show(below);
} catch (error) {
  fail({ code: "NetworkError", message: String(error) });
}
