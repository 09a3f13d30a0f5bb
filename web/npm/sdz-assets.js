#!/usr/bin/env node
/**
 * `npx sdz-assets FOLDER`: puts the scripts, the default pack and onnxruntime-web's two files into a folder of a site, for pages without a
 * bundler, for bundlers that leave workers alone (esbuild), and for the service worker. `configure({ base })` names the folder.
 */

import { cpSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const WEB = fileURLToPath(new URL("../", import.meta.url));
/** Modules that differ between a site and the npm package; here are the site's. */
const SITE = fileURLToPath(new URL("site/", import.meta.url));

const [folder, ...more] = process.argv.slice(2);
if (!folder || folder.startsWith("-") || more.length) {
  console.error("usage: sdz-assets FOLDER\n\nCopies sdz's scripts, default pack and onnxruntime-web into FOLDER of a site.");
  process.exit(2);
}
mkdirSync(folder, { recursive: true });
cpSync(WEB, folder, { recursive: true, filter: (path) => basename(path) !== "npm" && !path.endsWith(".d.ts") });
cpSync(SITE, folder, { recursive: true });
const find = createRequire(import.meta.url);
for (const [name, file] of [["onnxruntime-web/wasm", "ort.wasm.bundle.min.mjs"], ["onnxruntime-web/ort-wasm-simd-threaded.wasm", "ort-wasm-simd-threaded.wasm"]]) {
  // the entry found is the one for require(); its neighbour is for import
  cpSync(join(find.resolve(name), "..", file), join(folder, "ort", file));
}
console.log(`${folder}: sdz.js, sw.js, packs/ and ort/ are there`);
