/**
 * The panel of a photo's page: the picture from any prefix of its file at any stage, beside the original. Takes the numbers in the page's data
 * attributes, asks the shared worker for tiles, checks the finished pixels against the digest that Python computed.
 */

import { request, savingData } from "../page/client.js";
import { ACCEPT } from "../format/transfer.js";

/** @import { Stage } from "../work/stages.js" */

/** Smallest prefix the slider offers, where the file has as many: with less, not even the header is whole. */
const LEAST_BYTES = 24;

/** Milliseconds without a movement of the byte slider after which the networks run on the prefix. */
const REST_MS = 140;

/** @template {Element} T @param {string} selector @param {ParentNode} [root] @returns {T} */
const need = (selector, root = document) => /** @type {T} */ (root.querySelector(selector));

const study = /** @type {HTMLElement} */ (need(".study"));
const compare = /** @type {HTMLElement} */ (need(".compare"));
const canvas = /** @type {HTMLCanvasElement} */ (need("canvas", compare));
const other = /** @type {HTMLElement} */ (need(".other", compare));
const image = /** @type {HTMLImageElement} */ (need("img", other));
const divider = /** @type {HTMLInputElement} */ (need(".divider", compare));
const controls = /** @type {HTMLElement} */ (need(".controls"));
const slider = /** @type {HTMLInputElement} */ (need(".bytes input"));
const dial = /** @type {HTMLInputElement} */ (need(".dial input"));
const verdict = /** @type {HTMLElement} */ (need(".verdict"));
const total = Number(study.dataset.bytes);
/** The last stage that the pack has. */
const best = study.dataset.best;
const pixels = Number(study.dataset.width) * Number(study.dataset.height);
const context = canvas.getContext("2d", { colorSpace: "srgb" });

/** Empty until it has arrived. */
let file = new Blob();
let stop = () => {};

/** What is written here, in the panel's language. @type {Record<string, string>} */
const words = JSON.parse(study.dataset.words ?? "{}");
const language = /** @type {HTMLElement | null} */ (study.closest("[lang]"))?.lang;

/** @param {number} n @param {number} [places] @returns {string} */
const grouped = (n, places = 0) => n.toLocaleString(language, { minimumFractionDigits: places, maximumFractionDigits: places, numberingSystem: "latn" });

/** @param {string} name @param {Record<string, string>} [values] what stands for {…} in it @returns {string} */
const say = (name, values = {}) => words[name].replace(/\{(\w+)\}/g, (_, value) => values[value]);

/** @returns {number} the bytes that the slider stands for: each step adds the same share, as the eye counts quality */
const chosenBytes = () => {
  const least = Math.min(LEAST_BYTES, total);
  return Math.round(least * (total / least) ** (Number(slider.value) / Number(slider.max)));
};

/** @returns {Stage} */
const chosenStage = () => /** @type {Stage} */ (/** @type {HTMLInputElement} */ (need("input[name=stage]:checked")).value);

/** @param {string} stage @returns {HTMLElement} the label of a stage's button */
const badge = (stage) => /** @type {HTMLElement} */ (need(`input[value=${stage}]`).parentElement);

/**
 * Decodes the first `bytes` of the file and paints what comes.
 * @param {number} bytes @param {Stage} stage
 */
function show(bytes, stage) {
  stop();
  if (!file.size) return;
  const start = performance.now();
  const url = URL.createObjectURL(file.slice(0, bytes));
  const whole = bytes === total;
  let painting = new Uint8ClampedArray(4 * pixels);
  const realism = Number(dial.value) / Number(dial.max);
  const asked = request(url, { stage, realism }, {
    header: () => {},
    tile(tile) {
      context?.putImageData(new ImageData(tile.pixels, tile.width, tile.height), tile.x, tile.y);
      for (let row = 0; row < tile.height; row++) {
        const line = tile.pixels.subarray(4 * row * tile.width, 4 * (row + 1) * tile.width);
        painting.set(line, 4 * ((tile.y + row) * canvas.width + tile.x));
      }
    },
    stage(progress) {
      if (canvas.hidden) {
        canvas.hidden = false;
        // only now, so that the original does not stand in the picture's way
        beside();
      }
      const label = badge(progress.stage);
      label.dataset.reached = "";
      need("small", label).replaceChildren(
        ...[`${Math.round(performance.now() - start)} ms`, `${grouped(bytes)} ${say("B")}`].map((text) => {
          const part = document.createElement("span");
          part.textContent = text;
          return part;
        }),
      );
      if (!progress.final) return;
      URL.revokeObjectURL(url);
      study.dataset.shown = progress.stage;
      if (whole && stage === best && realism === 1) check(painting);
      painting = new Uint8ClampedArray();
    },
    error: fail,
  }, { seen: true, lazy: false });
  stop = () => {
    asked.end();
    URL.revokeObjectURL(url);
  };
}

/** @param {Uint8ClampedArray<ArrayBuffer>} rgba */
async function check(rgba) {
  if (!study.dataset.digest) {
    verdict.hidden = false;
    verdict.textContent = say("approximate");
    return;
  }
  const digest = await crypto.subtle.digest("SHA-256", rgba);
  const hex = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const same = hex === study.dataset.digest;
  study.dataset.pixels = hex;
  verdict.hidden = false;
  verdict.dataset.same = String(same);
  verdict.textContent = same ? say("same", { count: grouped(rgba.length) }) : say("differ");
}

/** @param {{code: string, message: string}} error */
function fail(error) {
  for (const part of [canvas, other, divider, controls, ...compare.querySelectorAll(".tag")]) /** @type {HTMLElement} */ (part).hidden = true;
  verdict.hidden = false;
  verdict.dataset.same = "false";
  verdict.textContent = `${error.code}: ${error.message}`;
}

/** Moves the divider: a property of CSS, so that no markup carries styles. */
function divide() {
  compare.style.setProperty("--split", `${divider.value}%`);
  divider.setAttribute("aria-valuetext", say("share", { share: grouped(Math.round(Number(divider.value))) }));
}

function beside() {
  const against = /** @type {HTMLInputElement} */ (need("input[name=against]:checked")).value;
  const source = canvas.hidden ? undefined : image.dataset[against];
  for (const part of [other, divider, need(".right", compare)]) /** @type {HTMLElement} */ (part).hidden = !source;
  if (!source) return;
  if (image.getAttribute("src") !== source) image.src = source;
  need(".right", compare).textContent = against === "original" ? say("original") : (image.dataset.fallbackName ?? against);
}

/** Writes what the byte slider stands for. */
function count() {
  const bytes = chosenBytes();
  need(".used").textContent = grouped(bytes);
  need(".bpp").textContent = grouped((8 * bytes) / pixels, 3);
  slider.setAttribute("aria-valuetext", say("used", { used: grouped(bytes), total: grouped(total) }));
  need(".left", compare).textContent = `sdz · ${grouped(bytes)} ${say("B")}`;
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let resting;

slider.addEventListener("input", () => {
  count();
  show(chosenBytes(), "linear");
  clearTimeout(resting);
  if (chosenStage() !== "linear") resting = setTimeout(() => show(chosenBytes(), chosenStage()), REST_MS);
});
for (const button of controls.querySelectorAll("input[name=stage]")) {
  button.addEventListener("change", () => {
    dial.disabled = chosenStage() !== "denoised";
    show(chosenBytes(), chosenStage());
  });
}
dial.addEventListener("input", () => {
  const text = dial.value === dial.max ? say("natural") : dial.value === "0" ? say("faithful") : say("used", { used: dial.value, total: dial.max });
  need(".dial output").textContent = text;
  dial.setAttribute("aria-valuetext", text);
  clearTimeout(resting);
  resting = setTimeout(() => show(chosenBytes(), chosenStage()), REST_MS);
});
for (const button of controls.querySelectorAll("input[name=against]")) button.addEventListener("change", beside);
divider.addEventListener("input", divide);

try {
  const response = await fetch(/** @type {string} */ (study.dataset.src), { headers: { Accept: ACCEPT } });
  if (!response.ok) throw new Error(`HTTP status ${response.status}`);
  file = await response.blob();
  const first = /** @type {HTMLInputElement} */ (need(`input[value=${savingData() ? "linear" : best}]`));
  first.checked = true;
  if (best !== "denoised") {
    for (const part of [badge("denoised"), need(".dial")]) /** @type {HTMLElement} */ (part).hidden = true;
  }
  dial.disabled = chosenStage() !== "denoised";
  /** @type {HTMLElement} */ (need(".left", compare)).hidden = false;
  count();
  divide();
  show(total, chosenStage());
} catch (error) {
  fail({ code: "NetworkError", message: String(error) });
}
