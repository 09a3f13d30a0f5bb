/**
 * The page's worker: receives addresses of .sdz files and sends back their pictures, stage by stage, what is in sight first.
 *
 * In: {type: "configure", packs?, ort?, threads?, provider?, pack?} once; {type: "decode", id, src, stage, realism, seen, lazy, tiles};
 * {type: "reduce", id, reduce} in answer to a header that `asks`, which waits for it: what the sides may be divided by; {type: "see", id, seen};
 * {type: "abort", id}.
 * Out: {type: "header", id, width, height, alt, asks}; {type: "stage", id, stage, bytes, total, final, reduce, sparse, digest, image}, the image a
 * Blob, its sides divided by `reduce`, or with `tiles` none, but before it {type: "tile", id, x, y, width, height, pixels} for all parts of the
 * picture; {type: "error", id, code, message}.
 */

import { engine } from "./engine.js";
import { asSdzError } from "./errors.js";
import { Sessions } from "./sessions.js";
import { Job } from "./work/job.js";
import { Turns } from "./work/turns.js";

const scope =
  /** @type {{onmessage: ((event: MessageEvent) => void) | null, postMessage(message: unknown, transfer?: Transferable[]): void}} */ (
    /** @type {unknown} */ (globalThis)
  );

/** @type {Sessions} */
let sessions;
/** @type {Turns<Job>} */
const turns = new Turns();
/** @type {Map<number, Job>} */
const running = new Map();

scope.onmessage = ({ data: { type, id, ...data } }) => {
  if (type === "configure") {
    sessions = new Sessions(data);
    // compiled while the first picture and its pack are on their way; what fails here fails again, and is told, with a picture
    engine().catch(() => {});
    // loading the page's pack now saves a round trip
    if (data.pack) sessions.pack(data.pack).catch(() => {});
  } else if (type === "abort") {
    running.get(id)?.end();
    running.delete(id);
  } else if (type === "reduce") {
    running.get(id)?.allow(data.reduce);
  } else if (type === "see") {
    running.get(id)?.see(data.seen);
  } else if (type === "decode") {
    const job = new Job(data, sessions, turns, ({ error, ...message }, transfer) => {
      if (error || message.final) running.delete(id);
      if (!error) return scope.postMessage({ id, ...message }, transfer);
      const { code, message: problem } = asSdzError(error, "ProviderError");
      scope.postMessage({ type: "error", id, code, message: problem });
    });
    running.set(id, job);
    job.run();
  }
};
