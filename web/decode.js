/**
 * Decodes an .sdz file, or any prefix of one, to an image: at one of three stages (`work/stages.js`), or, where it has a lossless tail, to the
 * photo itself. The twin of runtime/decode.py.
 */

import { LOSSLESS, find } from "./format/container.js";
import { Sessions } from "./sessions.js";
import { exactReader } from "./work/later.js";
import { paint, reached, readContainer, readPicture, strengthOf } from "./work/stages.js";

/** @import { Header } from "./format/container.js" */
/** @import { Pack } from "./pack.js" */
/** @import { Networks, Sources } from "./sessions.js" */
/** @import { Stage, Tile } from "./work/stages.js" */

export * from "./work/stages.js";

/**
 * @typedef {object} DecodedImage
 * @property {number} width
 * @property {number} height
 * @property {Uint8ClampedArray<ArrayBuffer>} data RGBA in sRGB; a grey image has R = G = B
 * @property {Stage} stage the stage reached: `decoded` instead of `denoised` where the denoiser is skipped
 * @property {boolean} complete whether the file contained all bits of the latents, and of the lossless tail if it has one
 * @property {number} exactRows rows from the top that are the photo's own pixels
 * @property {Header} header
 * @property {string | undefined} alt
 */

/**
 * @typedef {object} Options
 * @property {Stage} [stage] the last one wanted, "denoised" when left out
 * @property {number} [realism] 0 (the most faithful) to 1 (the most natural); as the file says when left out
 * @property {Sources["packs"]} [packs] folder of the packs, ends in "/"; when left out, beside the scripts or in the npm package
 * @property {Sources["ort"]} [ort] the same for onnxruntime-web's files, or the module itself, set up by the caller
 * @property {Pack} [pack] an already loaded pack
 * @property {Networks} [session] runs the networks; its pack is used
 * @property {boolean} [lossless] false: the latents' pixels also where the file has a lossless tail
 * @property {number | null} [tile] latent positions on a tile's side; does not change the pixels
 */

/** Sources and sessions of the last call. @type {{packs: Sources["packs"], ort: Sources["ort"], sessions: Sessions} | undefined} */
let latest;

/** The sessions of the last call where this one has the same sources. @param {Sources["packs"]} packs @param {Sources["ort"]} ort */
function sessionsFor(packs, ort) {
  if (packs instanceof URL) packs = packs.href;
  if (ort instanceof URL) ort = ort.href;
  if (latest?.packs !== packs || latest?.ort !== ort || !latest) latest = { packs, ort, sessions: new Sessions({ packs, ort }) };
  return latest.sessions;
}

/**
 * Decodes a file, or any prefix of one that holds its header, in a page, a worker or Node.
 * @param {Uint8Array} bytes
 * @param {Options} [options]
 * @returns {Promise<DecodedImage>}
 * @throws {SdzError} @throws {RangeError} for a `tile` that is no positive integer, a `realism` outside 0..1
 */
export async function decodeBytes(bytes, { stage = "denoised", lossless = true, pack, session, packs, ort, tile, realism } = {}) {
  const asked = realism === undefined ? null : strengthOf(realism);
  const container = readContainer(bytes);
  const { header } = container;
  const strength = asked ?? header.realism;
  const sessions = sessionsFor(packs, ort);
  pack ??= session?.pack ?? (await sessions.pack(header.packId));
  const { width, height } = header;
  const picture = await readPicture(bytes, pack);
  try {
    const data = new Uint8ClampedArray(width * height * 4);
    /** @param {Tile} part */
    const put = (part) => {
      for (let row = 0; row < part.height; row++) {
        data.set(part.pixels.subarray(row * part.width * 4, (row + 1) * part.width * 4), ((part.y + row) * width + part.x) * 4);
      }
    };
    /** @type {Tile[]} */
    const bands = [];
    const tail = find(container, LOSSLESS);
    if (tail && lossless && stage === "denoised") {
      const { exact } = await exactReader();
      for await (const band of exact(container, picture)) bands.push(band);
    }
    const exactRows = bands.reduce((rows, band) => rows + band.height, 0);
    stage = reached(picture, stage, strength);
    if (exactRows < height) {
      if (stage !== "linear") session ??= sessions.session(pack);
      for await (const part of paint(picture, stage, session ?? null, strength, tile)) put(part);
    }
    bands.forEach(put);
    const complete = picture.facts.complete && (!tail || tail.complete);
    return { width, height, data, stage, complete, exactRows, header, alt: picture.alt };
  } finally {
    picture.close();
  }
}
