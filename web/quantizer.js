/**
 * The three kinds of quantizer: bit-planes, codebook indices, palettes. This is the only module that distinguishes them. It takes a parsed file
 * and its pack, and says what the core needs to open the latents.
 */

import { LATENTS, PALETTE_LATENTS, REGIONS, find } from "./format/container.js";
import { SdzError, located } from "./errors.js";
import { inflate } from "./format/inflate.js";
import { MAX_STEP_INDEX } from "./limits.js";

/** @import { Core } from "./core.js" */
/** @import { Container, Header } from "./format/container.js" */
/** @import { Pack } from "./pack.js" */

/**
 * @typedef {object} Source
 * @property {Uint8Array | null} steps the channels' step indices (C,); null of a codebook
 * @property {(core: Core, tables: number) => number} open the picture's handle. Throws CorruptFileError
 */

export const QUANTIZERS = /** @type {const} */ (["planes", "indices", "palette"]);

/** What a palette has at most. */
const MAX_ENTRIES = 256;

/**
 * What is wrong with coder tables before the core reads them.
 * @param {(typeof QUANTIZERS)[number]} kind @param {number} channels @param {Uint8Array} coder @returns {string | null}
 */
export function tablesProblem(kind, channels, coder) {
  const magic = kind === "indices" ? "sdzI" : "sdzT";
  if (String.fromCharCode(...coder.subarray(0, 4)) !== magic) return `the coder's tables do not begin with '${magic}'`;
  return coder[4] === channels ? null : "the coder's tables are for another number of channels";
}

/**
 * Whether a file has functions besides its channels', so that no network runs.
 * @param {number} stepIndex the file's @param {Pack} pack
 */
export const isFine = (stepIndex, { quantizer, coder }) => quantizer === "planes" && coder[5] >> 2 > 0 && stepIndex <= coder[8];

/**
 * The step index of each channel: the file's, lowered by its tilt for every octave of the channel's frequency.
 * @param {Header} header @param {Int32Array | null} octaves @param {number} channels
 * @returns {Uint8Array}
 */
export function channelSteps({ stepIndex, tilt }, octaves, channels) {
  return Uint8Array.from({ length: channels }, (_, c) =>
    octaves ? Math.max(0, Math.min(MAX_STEP_INDEX, stepIndex - ((tilt * octaves[c] + 8) >> 4))) : stepIndex);
}

/**
 * @param {Container} container @param {Pack} pack @param {number} h @param {number} w latent positions
 * @returns {Promise<Source>}
 * @throws {SdzError} CorruptFileError
 */
export async function latentsOf(container, pack, h, w) {
  const { header } = container;
  const { stepIndex, tilt } = header;
  if (tilt && !pack.octaves) throw new SdzError("CorruptFileError", `${tilt}, but the file's pack allows 0 only`, { offset: 3, field: "tilt" });
  const steps = pack.quantizer === "indices" ? null : channelSteps(header, pack.octaves, pack.channels);
  if (pack.quantizer === "palette") return { steps, open: await palette(container, pack.channels, h, w) };
  if (!steps && stepIndex) {
    const problem = `${stepIndex}, but packs with a codebook require 0`;
    throw new SdzError("CorruptFileError", problem, { offset: 7, field: "step index" });
  }
  const payload = find(container, LATENTS)?.payload ?? new Uint8Array();
  const map = steps ? find(container, REGIONS) : undefined;
  const open = (/** @type {Core} */ core, /** @type {number} */ tables) => core.decode(tables, payload, h, w, stepIndex, tilt, map?.payload);
  return { steps, open: (core, tables) => located(() => open(core, tables), map?.start, "regions") };
}

/** @param {Container} container @param {number} channels @param {number} h @param {number} w @returns {Promise<Source["open"]>} */
async function palette(container, channels, h, w) {
  const chunk = find(container, PALETTE_LATENTS);
  const raw = chunk ? await inflate(chunk.payload, 1 + MAX_ENTRIES * channels + h * w) : null;
  if (chunk && !raw?.length) {
    const problem = "the zlib stream does not hold exactly a palette and its indices";
    throw new SdzError("CorruptFileError", problem, { offset: chunk.start, field: "palette" });
  }
  return (core) => located(() => core.palette(raw, channels, h, w), chunk?.start, "palette");
}
