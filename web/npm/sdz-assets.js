#!/usr/bin/env node
/**
 * `npx sdz-assets FOLDER`: copies the modules, the core and the default pack into a folder of a site, for pages without a bundler, for bundlers
 * that do not handle workers (esbuild), and for the service worker; onnxruntime-web as well, where it is installed. `configure({ base })` names
 * that folder.
 */

import { cpSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const WEB = fileURLToPath(new URL("../", import.meta.url));
/** The site's versions of modules that differ in the npm package. */
const SITE = fileURLToPath(new URL("site/", import.meta.url));

const [folder, ...more] = process.argv.slice(2);
if (!folder || folder.startsWith("-") || more.length) {
  console.error("usage: sdz-assets FOLDER\n\nCopies sdz's scripts, core and default pack into FOLDER of a site, and onnxruntime-web if it is installed.");
  process.exit(2);
}
mkdirSync(folder, { recursive: true });
cpSync(WEB, folder, { recursive: true, filter: (path) => basename(path) !== "npm" && !path.endsWith(".d.ts") });
cpSync(SITE, folder, { recursive: true });
const runtime = onnxruntime();
for (const name of runtime ? ["ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"] : []) cpSync(join(runtime, name), join(folder, "ort", name));
console.log(`${folder}: sdz.js, sw.js, sdz.wasm${runtime ? ", packs/ and ort/" : " and packs/"} are there`);

/** onnxruntime-web's folder, "" where it is not installed. */
function onnxruntime() {
  try {
    return dirname(createRequire(import.meta.url).resolve("onnxruntime-web/wasm"));
  } catch {
    return "";
  }
}
