/**
 * Starts the worker that is beside the scripts. The npm package has its own version of this module (written by npm/package.js), in which the address
 * is a literal that bundlers understand.
 */

import { trustedScript } from "./work/trusted.js";

/** @returns {Worker} */
export const startWorker = () => new Worker(trustedScript(new URL("worker.js", import.meta.url).href), { type: "module", name: "sdz" });
