/**
 * Default addresses of the core, of pack files and of onnxruntime-web: beside the scripts, as in every built site. The npm package has its own
 * version of this module (written by npm/package.js), in which each address is a literal that bundlers understand.
 */

import { fetchReader } from "./pack.js";

/** @import { Read } from "./pack.js" */

/** @returns {string} the address of the exact core */
export const coreFile = () => new URL("sdz.wasm", import.meta.url).href;

/** @returns {string} the address of the lossless tail's coder */
export const exactFile = () => new URL("lossless.wasm", import.meta.url).href;

/** @param {string} id of a pack @returns {URL | undefined} the folder of its files; undefined where they are in none */
export const packFolder = (id) => new URL(`packs/${id}/`, import.meta.url);

/** @param {string} id of a pack @returns {Read} */
export const packReader = (id) => fetchReader(/** @type {URL} */ (packFolder(id)));

/** @param {string} name of one of onnxruntime-web's files @returns {string | undefined} its address; undefined where it is not provided */
export const runtimeFile = (name) => new URL(`ort/${name}`, import.meta.url).href;
