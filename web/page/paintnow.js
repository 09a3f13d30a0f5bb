/**
 * A picture's linear stage, painted before the call returns: for printing, which waits for nothing. Synchronous requests are what there is for
 * that; the browser has most of the answers in its cache.
 */

import { coreFile, packFolder } from "../assets.js";
import { Core, MEMORY_LIMIT } from "../core.js";
import { finish, readContainer } from "../work/stages.js";
import { ALPHA, LATENTS, REGIONS, find } from "../format/container.js";
import { ACCEPT } from "../format/transfer.js";
import { MANIFEST, TABLES, packOf, tableOf } from "../pack.js";
import { channelSteps } from "../quantizer.js";
import { folder } from "./client.js";
import { useSettings } from "./settings.js";

/** @import { Picture } from "../engine.js" */
/** @import { Pack } from "../pack.js" */

/** Latent positions from top to bottom that are painted at a time. */
const ROWS = 16;

/** @param {string | URL} address @param {string} [accept] @returns {Uint8Array<ArrayBuffer>} */
function read(address, accept = "*/*") {
  const request = new XMLHttpRequest();
  request.open("GET", address, false);
  request.setRequestHeader("Accept", accept);
  // a synchronous request gives text only: one character for each byte
  request.overrideMimeType("text/plain; charset=x-user-defined");
  request.send();
  if (request.status !== 200) throw new Error(`${address}: HTTP status ${request.status}`);
  return Uint8Array.from(request.responseText, (character) => character.charCodeAt(0) & 0xff);
}

/** @type {Core | undefined} */
let core;
/** @type {Map<string, {pack: Pack, tables: number, linear: number}>} */
const packs = new Map();

/** @param {Core} held @param {string} id */
function opened(held, id) {
  const known = packs.get(id);
  if (known) return known;
  const { base, packs: own } = useSettings();
  const path = folder(own) ?? (base && `${folder(base)}packs/`);
  const at = path ? new URL(`${id}/`, path) : packFolder(id);
  if (!at) throw new Error("the pack is in no folder");
  const manifest = JSON.parse(new TextDecoder().decode(read(new URL(MANIFEST, at))));
  const [linear, coder] = TABLES.map((name) => read(new URL(tableOf(manifest, name).file, at)));
  const pack = packOf(id, manifest, linear, coder, () => Promise.resolve(null));
  const open = { pack, tables: held.tables(pack.coder), linear: held.linear(pack.linear, pack) };
  packs.set(id, open);
  return open;
}

/** @param {string} address of an .sdz file @returns {HTMLCanvasElement | null} null where that cannot be done at once */
export function paintNow(address) {
  try {
    const container = readContainer(read(address, ACCEPT));
    const { header } = container;
    // alpha and palettes are deflated, which browsers inflate when they like
    if (find(container, ALPHA)) return null;
    if (!core?.usable) {
      const base = folder(useSettings().base);
      core = new Core(new WebAssembly.Instance(new WebAssembly.Module(read(base ? `${base}sdz.wasm` : coreFile())), {}));
      core.call("sdz_limit", MEMORY_LIMIT);
      packs.clear();
    }
    const { pack, tables, linear } = opened(core, header.packId);
    if (pack.quantizer !== "planes") return null;
    const [rows, columns] = [header.height, header.width].map((side) => Math.ceil(side / pack.patch));
    const payload = find(container, LATENTS)?.payload ?? new Uint8Array();
    const handle = core.decode(tables, payload, rows, columns, header.stepIndex, header.tilt, find(container, REGIONS)?.payload);
    core.quantization(handle, channelSteps(header, pack.octaves, pack.channels), pack.reconstruction, pack.l1Limit);
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width: header.width, height: header.height });
    const context = canvas.getContext("2d", { colorSpace: "srgb", willReadFrequently: true });
    for (let top = 0; top < rows; top += ROWS) {
      const window = { top, left: 0, rows: Math.min(ROWS, rows - top), columns };
      const tile = finish(core.paintLinear(handle, linear, window, pack.patch), window, /** @type {Picture} */ ({ header, pack, alpha: null }));
      context?.putImageData(new ImageData(tile.pixels, tile.width, tile.height), tile.x, tile.y);
    }
    core.free(handle);
    return canvas;
  } catch {
    return null;
  }
}
