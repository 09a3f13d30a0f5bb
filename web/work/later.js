/**
 * Modules that are loaded when they are first needed. The npm package has its own version of this module (written by npm/package.js), in which no
 * import is a dynamic one: of a worker, several bundlers make a single file only.
 */

/** The module that runs graphs on onnxruntime-web. */
export const graphRunner = () => import("../session.js");

/** The module that reads lossless tails. */
export const exactReader = () => import("./exact.js");
