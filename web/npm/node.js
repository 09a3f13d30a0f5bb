/**
 * decode.js for Node, where `fetch` cannot read files: the core, packs and onnxruntime-web are read from the disk.
 */

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

import { decodeBytes as decode } from "../decode.js";
import { useCore } from "../engine.js";
import { SdzError } from "../errors.js";
import { useRuntime } from "../session.js";
import { useExact } from "../work/exact.js";

/** @import { DecodedImage, Options } from "../decode.js" */
/** @import { Read } from "../pack.js" */

export * from "../decode.js";

/** Readers by folder. Reusing them lets decode.js keep opened packs. @type {Map<string, (id: string) => Read>} */
const readers = new Map();

/** @param {URL} folder */
function diskReader({ href }) {
  const known = readers.get(href);
  if (known) return known;
  /** @param {string} id @returns {Read} */
  const reader = (id) => (name) =>
    readFile(new URL(`${id}/${name}`, href)).then(
      // a Buffer's slices are no copies
      (data) => new Uint8Array(data),
      (error) => {
        if (error.code === "ENOENT") return null;
        throw error;
      },
    );
  readers.set(href, reader);
  return reader;
}

/** @param {Options["packs"]} packs */
function readerOf(packs = new URL("../packs/", import.meta.url)) {
  if (typeof packs === "string" && !/^(https?|file):/.test(packs)) packs = pathToFileURL(`${packs}/`);
  return typeof packs === "function" || !String(packs).startsWith("file:") ? packs : diskReader(new URL(packs));
}

useCore(() => readFile(new URL("../sdz.wasm", import.meta.url)));
useExact(() => readFile(new URL("../lossless.wasm", import.meta.url)));

// only for packs that the core does not compute
useRuntime(async () => {
  const ort = await import("onnxruntime-web/wasm").catch(() => {
    throw new SdzError("ProviderError", "onnxruntime-web, which runs this pack's networks, is not installed: npm i onnxruntime-web");
  });
  ort.env.wasm.wasmBinary = await readFile(createRequire(import.meta.url).resolve("onnxruntime-web/ort-wasm-simd-threaded.wasm"));
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = "error";
  return ort;
});

/**
 * `decodeBytes` of decode.js; `packs` may be a path, and is the npm package's own folder when left out.
 * @param {Uint8Array} bytes
 * @param {Options} [options]
 * @returns {Promise<DecodedImage>}
 */
export async function decodeBytes(bytes, options = {}) {
  return decode(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length), { ...options, packs: readerOf(options.packs) });
}
