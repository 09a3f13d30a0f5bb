/**
 * The page's worker: receives addresses of .sdz files and sends back their pixels, stage by stage. While bytes arrive, the linear stage
 * paints them without any network; the networks are loaded meanwhile and then run one picture at a time.
 *
 * In: {type: "configure", packs?, ort?, threads?, provider?, pack?} once; {type: "decode", id, src, stage, realism}; {type: "reduce", id,
 * reduce} in answer to a header that `asks`, which waits for it: what the sides may be divided by; {type: "abort", id}.
 * Out: {type: "header", id, width, height, alt, asks}; {type: "tile", id, x, y, width, height, pixels, reduce}; {type: "stage", id, stage,
 * bytes, total, final, reduce, digest} after the tiles of that stage; {type: "error", id, code, message}.
 */

import { ACCEPT, MAX_HEADER_BYTES, altText } from "./format/container.js";
import { paint, reached, readContainer, readPicture, strengthOf } from "./decode.js";
import { engine } from "./engine.js";
import { SdzError, asSdzError } from "./errors.js";
import { LARGE_PIXELS, MAX_DOWNLOAD_BYTES } from "./limits.js";
import { sha256 } from "./pack.js";
import { Sessions } from "./sessions.js";

/** @import { Stage } from "./decode.js" */
/** @import { Picture } from "./engine.js" */
/** @import { Pack } from "./pack.js" */

const scope =
  /** @type {{onmessage: ((event: MessageEvent) => void) | null, postMessage(message: unknown, transfer?: Transferable[]): void}} */ (
    /** @type {unknown} */ (globalThis)
  );

/** A prefix is painted once the data has grown by this factor, so that all repaints together cost as much as one more decode. */
const REPAINT_GROWTH = 2;

/** @type {Sessions} */
let sessions;
/** @type {Map<number, Job>} */
const running = new Map();
/** Networks run one picture at a time. @type {Promise<unknown>} */
let networks = Promise.resolve();

/** Lets pending messages be handled, such as an abort between two tiles. @returns {Promise<void>} */
const breathe = () =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });

/** Downloads and decodes one picture. */
class Job {
  /** @param {number} id @param {string} src @param {Stage} stage @param {number} realism */
  constructor(id, src, stage, realism) {
    this.id = id;
    this.src = src;
    this.stage = stage;
    this.strength = strengthOf(realism);
    this.ending = new AbortController();
    this.signal = this.ending.signal;
    /** What the sides are divided by. */
    this.reduce = 1;
    /** Takes the page's answer. @type {(reduce: number) => void} */
    this.answer = () => {};
    this.bytes = new Uint8Array();
    /** @type {number | null} */
    this.total = null;
    this.done = false;
    this.headerSent = false;
    /** SHA-256 of the whole file. @type {string | undefined} */
    this.digest = undefined;
    this.paintAt = 0;
    /** How many bytes `picture` was decoded from. */
    this.painted = 0;
    /** @type {Picture | null} */
    this.picture = null;
    /** @type {Pack | null} */
    this.pack = null;
    /** @type {Promise<Pack> | null} */
    this.loading = null;
    /** @type {Promise<void>} */
    this.painting = Promise.resolve();
  }

  async run() {
    await this.receive();
    this.pack = await /** @type {Promise<Pack>} */ (this.loading);
    this.digest = await sha256(this.bytes).catch(() => undefined);
    await this.painting;
    const linear = this.stage === "linear" || this.reduce > 1;
    if (this.painted !== this.bytes.length) {
      await this.send(await this.read(this.bytes, this.pack), "linear", linear);
    } else if (linear) {
      this.tell("linear", true);
    }
    if (linear) return undefined;
    const picture = /** @type {Picture} */ (this.picture);
    const session = sessions.session(this.pack);
    const stage = reached(picture, this.stage, this.strength);
    const task = networks.then(async () => {
      this.signal.throwIfAborted();
      await session.prepare("decoder");
      if (stage === "denoised" && !session.isReady("denoiser")) {
        // downloaded while the decoder runs
        session.prepare("denoiser").catch(() => {});
        await this.send(picture, "decoded", false);
      }
      await this.send(picture, stage, true);
    });
    networks = task.catch(() => {});
    return task;
  }

  /** Takes the place of what an earlier prefix told. @param {Uint8Array} bytes @param {Pack} pack */
  async read(bytes, pack) {
    const picture = await readPicture(bytes, pack);
    this.picture?.close();
    return (this.picture = picture);
  }

  /** Downloads the file and paints prefixes of it meanwhile. */
  async receive() {
    const { signal } = this;
    const response = await fetch(this.src, { headers: { Accept: ACCEPT }, signal }).catch((error) => this.refuse(error.message));
    if (!response.ok || !response.body) this.refuse(`HTTP status ${response.status}`);
    const length = Number(response.headers.get("content-length"));
    this.total = length > 0 && !response.headers.get("content-encoding") ? length : null;
    let buffer = new Uint8Array(this.total !== null && this.total <= MAX_DOWNLOAD_BYTES ? this.total : 1 << 14);
    let size = 0;
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read().catch((error) => this.refuse(error.message));
      if (done) break;
      if (size + value.length > MAX_DOWNLOAD_BYTES) {
        reader.cancel().catch(() => {});
        throw new SdzError("LimitError", `${this.src} is larger than ${MAX_DOWNLOAD_BYTES} bytes`);
      }
      if (size + value.length > buffer.length) {
        const larger = new Uint8Array(Math.max(2 * buffer.length, size + value.length));
        larger.set(buffer.subarray(0, size));
        buffer = larger;
      }
      buffer.set(value, size);
      size += value.length;
      this.bytes = buffer.subarray(0, size);
      if (size >= MAX_HEADER_BYTES) this.look();
    }
    this.done = true;
    this.look();
  }

  /** @param {string} problem @returns {never} */
  refuse(problem) {
    this.signal.throwIfAborted();
    throw new SdzError("NetworkError", `${this.src}: ${problem}`);
  }

  /** Reads the header once it has arrived, and paints the prefix when it has grown enough. */
  look() {
    if (!this.headerSent) {
      const container = readContainer(this.bytes);
      const { width, height, packId } = container.header;
      this.headerSent = true;
      const asks = width * height >= LARGE_PIXELS;
      /** @type {Promise<number>} */
      const answered = asks ? new Promise((resolve) => (this.answer = resolve)) : Promise.resolve(1);
      scope.postMessage({ type: "header", id: this.id, width, height, alt: altText(container), asks });
      this.loading = Promise.all([sessions.pack(packId), answered]).then(([pack, reduce]) => {
        this.reduce = Math.min(reduce, pack.patch);
        return pack;
      });
      this.loading.then(
        (pack) => {
          this.pack = pack;
          this.repaint();
        },
        () => {},
      );
    }
    this.repaint();
  }

  repaint() {
    // run() paints the whole file
    if (!this.pack || this.done || this.bytes.length < this.paintAt) return;
    const { pack, bytes } = this;
    this.paintAt = Infinity;
    this.painting = (async () => {
      await this.send(await this.read(bytes, pack), "linear", false);
      this.painted = bytes.length;
      this.paintAt = bytes.length * REPAINT_GROWTH;
    })();
    // run() awaits this and reports its error
    this.painting.catch(() => {});
  }

  /** @param {Picture} picture @param {Stage} stage @param {boolean} final */
  async send(picture, stage, final) {
    const session = stage === "linear" ? null : sessions.session(picture.pack);
    for await (const tile of paint(picture, stage, session, this.strength, null, this.reduce)) {
      await breathe();
      this.signal.throwIfAborted();
      scope.postMessage({ type: "tile", id: this.id, ...tile, reduce: this.reduce }, [tile.pixels.buffer]);
    }
    this.tell(stage, final);
  }

  /** @param {Stage} stage @param {boolean} final */
  tell(stage, final) {
    const { id, reduce, digest } = this;
    const bytes = this.bytes.length;
    scope.postMessage({ type: "stage", id, stage, bytes, total: this.total ?? (this.done ? bytes : null), final, reduce, digest });
  }
}

scope.onmessage = async ({ data }) => {
  if (data.type === "configure") {
    sessions = new Sessions(data);
    // compiled while the first picture and its pack are on their way; what fails here fails again, and is told, with a picture
    engine().catch(() => {});
    // loading the page's pack now saves a round trip
    if (data.pack) sessions.pack(data.pack).catch(() => {});
  } else if (data.type === "abort") {
    const job = running.get(data.id);
    job?.ending.abort();
    job?.answer(1);
  } else if (data.type === "reduce") {
    running.get(data.id)?.answer(data.reduce);
  } else if (data.type === "decode") {
    const job = new Job(data.id, data.src, data.stage, data.realism);
    running.set(data.id, job);
    try {
      await job.run();
    } catch (error) {
      if (!job.signal.aborted) {
        const { code, message } = asSdzError(error, "ProviderError");
        scope.postMessage({ type: "error", id: data.id, code, message });
      }
    } finally {
      job.ending.abort();
      await job.painting.catch(() => {});
      job.picture?.close();
      running.delete(data.id);
    }
  }
};
