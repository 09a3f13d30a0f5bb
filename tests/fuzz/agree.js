/**
 * The JavaScript half of agree.py: reads records from standard input (kind u8, 0 planes, 1 palette, 2 indices, 3 fine; length u32; bytes) and answers
 * each with a line: the outcome, microseconds of processor time, and resident bytes.
 */

import { readFileSync } from "node:fs";

import { MAX_PIXELS } from "../../web/limits.js";
import { decodeBytes, readPicture } from "../../web/decode.js";
import { SdzError } from "../../web/errors.js";
import { find, parse } from "../../web/format/container.js";
import { exact } from "../../web/work/exact.js";
import { sha256 } from "../web/support.js";

/** Pixels beyond which a file's container alone is read: as in agree.py. */
const FEW = Number(process.argv[2]);

/** @param {string} folder @param {"planes" | "palette" | "indices"} quantizer @returns {import("../../web/pack.js").Pack} */
function pack(folder, quantizer) {
  /** @param {string} name */
  const read = (name) => new Uint8Array(readFileSync(new URL(`../vectors/${folder}/${name}`, import.meta.url)));
  const parameters = JSON.parse(new TextDecoder().decode(read("pack.json")));
  return {
    id: sha256(read("pack.json")).slice(0, 6),
    channels: parameters.channels,
    patch: parameters.patch ?? 16,
    reconstruction: parameters.reconstruction ?? 0,
    l1Limit: parameters.l1_limit,
    linearShift: parameters.linear_shift,
    linear: read("linear.bin"),
    quantizer,
    coder: read("coder.bin"),
    denoiserMinStepIndex: null,
    halo: { denoiser: 0, decoder: 0 },
    exact: true,
    tiling: null,
    lapping: parameters.lapping ? Int32Array.from(parameters.lapping.flat()) : null,
    octaves: quantizer === "planes" ? Int32Array.from(parameters.octaves ?? JSON.parse(new TextDecoder().decode(read("octaves.json")))) : null,
    coreBytes: null,
    graphBytes: () => Promise.reject(new Error("the vectors' pack has no networks")),
  };
}

const packs = [pack("pack", "planes"), pack("pack", "palette"), pack("indices/pack", "indices"), pack("fine/pack", "planes")];

/** @param {Uint8Array} data @param {import("../../web/pack.js").Pack} withPack */
async function outcome(data, withPack) {
  try {
    const container = parse(data);
    const { width, height, grey } = container.header;
    if (width * height > FEW && width * height <= MAX_PIXELS) return `large ${width} ${height} ${container.chunks.length}`;
    const image = await decodeBytes(data, { stage: "linear", pack: withPack });
    const channels = [...(grey ? [0] : [0, 1, 2]), ...(find(container, "A") ? [3] : [])];
    const pixels = new Uint8Array(width * height * channels.length);
    for (let from = 0, to = 0; from < image.data.length; from += 4) {
      for (const channel of channels) pixels[to++] = image.data[from + channel];
    }
    const told = `image ${width} ${height} ${image.complete ? 1 : 0} ${sha256(pixels).slice(0, 16)}`;
    if (!find(container, "X")) return told;
    const picture = await readPicture(data, withPack);
    const samples = [];
    let rows = 0;
    try {
      for await (const band of exact(container, picture)) {
        rows += band.height;
        for (let from = 0; from < band.pixels.length; from += 4) samples.push(...band.pixels.subarray(from, from + (grey ? 1 : 3)));
      }
    } finally {
      picture.close();
    }
    return `${told} exact ${rows} ${sha256(Uint8Array.from(samples)).slice(0, 16)}`;
  } catch (error) {
    if (!(error instanceof SdzError)) return `crash ${String(error)}`.replaceAll("\n", " ");
    // a field and an offset are told of what stands in a file
    return ["CorruptFileError", "LimitError"].includes(error.code) ? `${error.code} ${error.offset ?? "-"} ${error.field?.replace("×", "x")}` : error.code;
  }
}

let waiting = Buffer.alloc(0);
for await (const part of process.stdin) {
  waiting = Buffer.concat([waiting, part]);
  const lines = [];
  while (waiting.length >= 5 && waiting.length >= 5 + waiting.readUInt32LE(1)) {
    const data = new Uint8Array(waiting.subarray(5, 5 + waiting.readUInt32LE(1)));
    const chosen = packs[waiting[0]];
    waiting = waiting.subarray(5 + data.length);
    const start = process.cpuUsage();
    const said = await outcome(data, chosen);
    const { user, system } = process.cpuUsage(start);
    lines.push(`${said}\t${user + system}\t${process.memoryUsage.rss()}\n`);
  }
  if (lines.length) process.stdout.write(lines.join(""));
}
