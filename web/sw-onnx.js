/**
 * The service worker for packs whose networks the core does not compute: sw.js, and onnxruntime-web, which a service worker cannot import later.
 */

// @ts-expect-error  it exists on a site only
import * as runtime from "./ort/ort.wasm.bundle.min.mjs";
import { runtimeFile } from "./assets.js";
import { Session, useRuntime } from "./session.js";
import { useGraphs } from "./sessions.js";
import "./sw.js";

/** @import { Ort } from "./session.js" */

const ort = /** @type {Ort} */ (runtime);
ort.env.wasm.wasmPaths = { wasm: runtimeFile("ort-wasm-simd-threaded.wasm") };
// a service worker cannot start workers
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";
useRuntime(async () => ort);
useGraphs(async () => Session);
