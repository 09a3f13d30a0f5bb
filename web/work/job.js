/**
 * One picture of the worker's: its download, and the stages that are painted of it, each when its turn has come. While bytes arrive, the linear
 * stage paints what is in sight, without any network. Out of sight a lazy picture is downloaded and no more, and of others only bytes are kept.
 */

import { paint, reached, readContainer, readPicture, strengthOf } from "./stages.js";
import { SdzError } from "../errors.js";
import { MAX_HEADER_BYTES, altText, tailStart } from "../format/container.js";
import { reductionOf } from "../format/sparse.js";
import { ACCEPT, sha256 } from "../format/transfer.js";
import { LARGE_PIXELS, MAX_DOWNLOAD_BYTES } from "../limits.js";
import { isFine } from "../quantizer.js";
import { Bitmap } from "./bitmap.js";
import { Growing } from "./growing.js";
import { exactReader } from "./later.js";

/** @import { Shown, Stage } from "./stages.js" */
/** @import { Picture } from "../engine.js" */
/** @import { Pack } from "../pack.js" */
/** @import { Networks, Sessions } from "../sessions.js" */
/** @import { Piece, Turns } from "./turns.js" */

/** A prefix is painted once the data has grown by this factor, so that all repaints together cost as much as one more decode. */
const REPAINT_GROWTH = 2;

/** Pictures of more pixels wait for smaller ones: the work on one of them holds up a screen full of others. */
const MANY_PIXELS = 2 ** 22;

/** Milliseconds after the decoder's network in which the denoiser's is worth waiting for: a picture takes about as long. */
const DENOISER_MS = 150;

/** Milliseconds within which all pictures in sight are finished where none of them needs a first paint. */
const SOON_MS = 1000;

/** Milliseconds that a pixel takes to the last stage where none has been timed: those of a phone. */
const SLOW = 1e-3;

/** What goes first: pictures in sight, among these the smaller ones, of each a first paint. */
const RANKS = { unseen: 8, many: 4, networks: 1 };

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

/**
 * @typedef {object} Request
 * @property {string} src absolute address
 * @property {Shown} stage
 * @property {number | null} realism null: as the file says
 * @property {boolean} seen whether the picture is in sight
 * @property {boolean} lazy whether it is only downloaded until it is
 * @property {boolean} tiles whether pixels are sent as tiles, not as an image
 * @property {Uint8Array<ArrayBuffer>} [head] the first bytes of a file of the same picture, of any size: painted before its own have arrived
 */

export class Job {
  #bytes = new Uint8Array();
  /** @type {number | null} */
  #total = null;
  /** Of the whole file, where it goes on behind `#total`. @type {number | null} */
  #size = null;
  /** Whether the last byte is there, and whether all is known that the last stage needs. */
  #received = false;
  #done = false;
  #headerSent = false;
  #stepIndex = 0;
  /** SHA-256 of the whole file. @type {string | undefined} */
  #digest = undefined;
  /** Whether the file goes on, with a lossless tail, behind the bytes at hand; all that came of it, and in which answer. */
  #cut = false;
  /** @type {Uint8Array<ArrayBuffer>} */
  #arrived = new Uint8Array();
  /** @type {Response | undefined} */
  #answer;
  /** Size of the prefix that is worth a paint. */
  #paintAt = 0;
  /** Size of the prefix that the last paint was of. */
  #painted = 0;
  /** The last stage painted of the whole file. @type {Stage | null} */
  #stage = null;
  /** Of the picture, known once its header is. */
  pixels = 0;
  /** Of the prefix of `#opened` bytes. @type {Picture | null} */
  #picture = null;
  #opened = 0;
  /** What the page lets the sides be divided by, because it shows no more; null until it has said so. @type {number | null} */
  #allowed = 1;
  /** What they are divided by because the file says next to nothing. */
  #sparse = 1;
  /** @type {Pack | null} */
  #pack = null;
  /** @type {Promise<Pack> | null} */
  #loading = null;
  /** Whether networks are being loaded, or could not be. */
  #preparing = false;
  /** Why they could not: told when nothing else is to be done. @type {{error: unknown} | null} */
  #problem = null;
  /** Whether the denoiser's is taking its time. */
  #late = false;
  /** What is to be done about the photo itself, behind the latents: nothing, or when these are shown, to load and then to paint it. */
  #original = /** @type {"" | "wanted" | "loading" | "there"} */ ("");
  #working = false;
  #ended = false;
  #abort = new AbortController();

  /**
   * @param {Request} request @param {Sessions} sessions @param {Turns<Job>} turns
   * @param {(message: Record<string, unknown>, transfer?: Transferable[]) => void} tell
   */
  constructor({ src, stage, realism, seen, lazy, tiles, head }, sessions, turns, tell) {
    this.src = src;
    this.head = head ?? new Uint8Array();
    /** The last stage of the latents. */
    this.wanted = stage === "exact" ? "denoised" : stage;
    /** Whether the photo itself is wanted, where the file has it. */
    this.exact = stage === "exact";
    /** The denoiser's; the file's own, once its header is there, where the page asks for none. */
    this.strength = realism === null ? undefined : strengthOf(realism);
    this.lazy = lazy;
    this.tiles = tiles;
    this.sessions = sessions;
    this.turns = turns;
    this.tell = tell;
    /** Whether the picture is in sight. */
    this.seen = seen;
  }

  /** Downloads and decodes. @returns {Promise<void>} when the file has arrived, or failed */
  async run() {
    this.turns.add(this);
    this.#begin();
    try {
      await this.#receive();
      const loading = /** @type {Promise<Pack>} */ (this.#loading);
      // what is compared with the whole file cannot be told of a part
      const [pack, digest] = await Promise.all([loading, this.#cut ? undefined : sha256(this.#bytes).catch(() => undefined)]);
      this.#pack = pack;
      this.#digest = digest;
      this.#sparse = reductionOf(readContainer(this.#bytes), pack.patch);
      this.#done = true;
      this.turns.wake();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Paints the head that the page brought, if it is one. */
  #begin() {
    this.#bytes = this.head;
    try {
      if (this.head.length) this.#look();
    } catch {
      this.head = this.#bytes = new Uint8Array();
    }
    // the file tells its own size
    this.#headerSent = false;
  }

  /** Ends it, without a word. */
  end() {
    this.#ended = true;
    this.#abort.abort();
    this.turns.remove(this);
    if (!this.#working) this.#forget();
  }

  /** Takes the page's answer. @param {number} reduce what the sides may be divided by */
  allow(reduce) {
    this.#allowed = reduce;
    this.turns.wake();
  }

  /** @param {boolean} seen whether the picture is in sight now */
  see(seen) {
    this.seen = seen;
    if (!seen && !this.#working) this.#forget();
    this.turns.wake();
  }

  /** @param {unknown} error */
  #fail(error) {
    if (this.#ended) return;
    this.end();
    this.tell({ type: "error", error });
  }

  /** Gives back what the core holds of it. */
  #forget() {
    this.#picture?.close();
    this.#picture = null;
  }

  /** Downloads the file, and looks at prefixes of it meanwhile. */
  async #receive() {
    const { signal } = this.#abort;
    const response = await fetch(this.src, { headers: { Accept: ACCEPT }, signal }).catch((error) => this.#refuse(error.message));
    if (!response.ok || !response.body) this.#refuse(`HTTP status ${response.status}`);
    const length = Number(response.headers.get("content-length"));
    this.#total = length > 0 && !response.headers.get("content-encoding") ? length : null;
    this.#answer = response;
    const arrived = new Growing(this.#total !== null && this.#total <= MAX_DOWNLOAD_BYTES ? this.#total : undefined);
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read().catch((error) => this.#refuse(error.message));
      if (done) break;
      if (arrived.size + value.length > MAX_DOWNLOAD_BYTES) {
        reader.cancel().catch(() => {});
        throw new SdzError("LimitError", `${this.src} is larger than ${MAX_DOWNLOAD_BYTES} bytes`);
      }
      arrived.add(value);
      const { size } = arrived;
      if (size >= this.head.length || size === this.#total) this.#bytes = arrived.bytes;
      // the whole file is no prefix, of which a first paint would be made
      this.#received = size === this.#total;
      if (this.#received) break;
      if (size < Math.max(MAX_HEADER_BYTES, this.head.length)) continue;
      this.#look();
      if (this.#endBeforeTail()) {
        reader.cancel().catch(() => {});
        break;
      }
      this.turns.wake();
    }
    this.#received = true;
    this.#arrived = arrived.bytes;
    if (!this.#cut) this.#bytes = this.#arrived;
    this.#look();
    this.#total ??= arrived.size;
    if (!this.#cut) this.#endBeforeTail();
  }

  /** Forgets what stands behind the latents where that is a lossless tail: the photo is painted without. @returns {boolean} whether it is */
  #endBeforeTail() {
    const end = tailStart(readContainer(this.#bytes));
    if (end < 0) return false;
    this.#bytes = this.#bytes.subarray(0, end);
    this.#size = this.#total;
    this.#total = end;
    this.#cut = true;
    if (this.exact) this.#original = "wanted";
    return true;
  }

  /** @param {string} problem @returns {never} */
  #refuse(problem) {
    this.#abort.signal.throwIfAborted();
    throw new SdzError("NetworkError", `${this.src}: ${problem}`);
  }

  /** Reads the header once it has arrived. */
  #look() {
    if (this.#headerSent) return;
    const container = readContainer(this.#bytes);
    const { width, height, packId, stepIndex, realism } = container.header;
    this.#headerSent = true;
    this.#stepIndex = stepIndex;
    this.strength ??= realism;
    this.pixels = width * height;
    const asks = this.pixels >= LARGE_PIXELS;
    if (asks) this.#allowed = null;
    this.tell({ type: "header", width, height, alt: altText(container), asks });
    this.#loading = this.sessions.pack(packId);
    this.#loading.then(
      (pack) => {
        this.#pack = pack;
        this.turns.wake();
      },
      () => {},
    );
  }

  /** @returns {Networks} */
  get #session() {
    return this.sessions.session(/** @type {Pack} */ (this.#pack));
  }

  /** What the sides are divided by. */
  get #reduce() {
    return Math.max(this.#sparse, Math.min(this.#allowed ?? 1, this.#pack?.patch ?? 1));
  }

  /** The stage that is the last one, as far as is known. @returns {Stage} */
  get #last() {
    const { wanted } = this;
    const fine = this.#picture ? this.#picture.facts.upper : this.#pack && isFine(this.#stepIndex, this.#pack);
    if (this.#reduce > 1 || fine) return "linear";
    if (this.#picture && this.#opened === this.#bytes.length) return reached(this.#picture, wanted, this.strength);
    return wanted === "denoised" && !(this.strength && this.#pack?.denoiserMinStepIndex !== null) ? "decoded" : wanted;
  }

  /** @param {number} ahead @returns {Piece | null} */
  next(ahead) {
    if (!this.#pack || this.#allowed === null || (this.lazy && !this.seen) || this.#original === "loading") return null;
    const last = this.#last;
    const { pace } = this.turns;
    const rank = (this.seen ? 0 : RANKS.unseen) + (this.pixels > MANY_PIXELS ? RANKS.many : 0);
    const [decoder, denoiser] = last === "linear" ? [true, true] : [this.#session.isReady("decoder"), last === "decoded" || this.#session.isReady("denoiser")];
    if (this.#original === "there") return { rank: rank + RANKS.networks, work: () => this.#paintOriginal(last) };
    // most of all that is loaded: in time to spare the others a first paint where the network is fast
    if (!(decoder && denoiser) && !this.#preparing) this.#prepare(last);
    const ready = this.#done && decoder && denoiser;
    const grown = this.#done ? this.#stage === null && this.#painted !== this.#bytes.length : !this.#received && this.#bytes.length >= this.#paintAt;
    // the first paint is not worth its work where the last one comes soon, or tells how long the others take; who takes tiles compares stages
    const soon = last === "linear" || (!this.tiles && (pace === null ? SLOW * this.pixels : pace * ahead) < SOON_MS);
    const first = this.seen && grown && !(ready && soon);
    if (first) return { rank, work: () => this.#step("linear") };
    if (ready) return { rank: rank + (last === "linear" ? 0 : RANKS.networks), work: () => this.#step(last) };
    if (!this.#done) return null;
    if (this.#problem) return { rank, work: async () => this.#fail(this.#problem?.error) };
    if (this.seen && decoder && this.#late && this.#stage !== "decoded") return { rank: rank + RANKS.networks, work: () => this.#step("decoded") };
    return null;
  }

  /** Begins to load the networks, the decoder's first: it paints alone where the denoiser's takes its time. @param {Stage} last */
  #prepare(last) {
    this.#preparing = true;
    const session = this.#session;
    const loading = async () => {
      await session.prepare("decoder");
      if (last !== "denoised") return;
      const late = setTimeout(() => {
        this.#late = true;
        this.turns.wake();
      }, DENOISER_MS);
      await session.prepare("denoiser").finally(() => clearTimeout(late));
    };
    loading().then(
      () => {
        this.#preparing = false;
        this.turns.wake();
      },
      (error) => {
        this.#problem = { error };
        this.turns.wake();
      },
    );
  }

  /** Paints a stage of what has arrived. @param {Stage} stage */
  async #step(stage) {
    this.#working = true;
    const start = performance.now();
    try {
      const bytes = this.#bytes;
      const done = this.#done;
      const picture = await this.#open(bytes);
      const last = this.#last;
      // not every picture reaches the denoiser
      if (stage === "denoised") stage = last;
      // a picture that is shown smaller shows nothing of it
      const more = this.#original === "wanted" && this.#reduce === 1;
      await this.#send(picture, stage, bytes.length, done && stage === last && !more);
      this.#painted = bytes.length;
      this.#paintAt = bytes.length * REPAINT_GROWTH;
      if (done) this.#stage = stage;
      if (!done || stage !== last) return;
      if (stage !== "linear") this.turns.pace = (performance.now() - start) / this.pixels;
      if (more) this.#loadOriginal();
      else this.end();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#working = false;
      if (this.#ended || !this.seen) this.#forget();
    }
  }

  /** Downloads what is missing of the file. */
  async #loadOriginal() {
    this.#original = "loading";
    try {
      const { toTheEnd } = await exactReader();
      this.#bytes = await toTheEnd(this.src, this.#arrived, this.#size, this.#answer, this.#abort.signal);
      this.#total = this.#bytes.length;
      this.#original = "there";
      this.turns.wake();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Paints the photo itself. @param {Stage} last of the latents, which stands where the tail is cut */
  async #paintOriginal(last) {
    this.#working = true;
    const { signal } = this.#abort;
    try {
      const bytes = this.#bytes;
      const picture = await this.#open(bytes);
      const { width, height } = picture.header;
      const bitmap = this.tiles ? null : new Bitmap(width, height, picture.alpha !== null);
      const { exact } = await exactReader();
      const bands = [];
      for await (const band of exact(readContainer(bytes), picture)) {
        bands.push(band);
        await breathe();
        signal.throwIfAborted();
      }
      const whole = bands.reduce((rows, band) => rows + band.height, 0) === height;
      if (!whole && bitmap) for await (const tile of paint(picture, last, this.#session, this.strength, null)) bitmap.put(tile);
      for (const band of bands) {
        bitmap?.put(band);
        if (!bitmap) this.tell({ type: "tile", ...band }, [band.pixels.buffer]);
      }
      const stage = whole ? "exact" : last;
      this.tell({ type: "stage", stage, bytes: bytes.length, total: this.#total, final: true, reduce: 1, sparse: false, image: bitmap?.blob() });
      this.end();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#working = false;
      if (this.#ended || !this.seen) this.#forget();
    }
  }

  /** Takes the place of what an earlier prefix told. @param {Uint8Array} bytes */
  async #open(bytes) {
    if (this.#picture && this.#opened === bytes.length) return this.#picture;
    const pack = /** @type {Pack} */ (this.#pack);
    const sparse = reductionOf(readContainer(bytes), pack.patch);
    const picture = await readPicture(bytes, pack);
    this.#picture?.close();
    this.#opened = bytes.length;
    this.#sparse = sparse;
    return (this.#picture = picture);
  }

  /** @param {Picture} picture @param {Stage} stage @param {number} bytes of which it was opened @param {boolean} final */
  async #send(picture, stage, bytes, final) {
    const { signal } = this.#abort;
    const reduce = this.tiles ? 1 : this.#reduce;
    const sparse = this.#sparse > 1;
    const { width, height } = picture.header;
    const bitmap = this.tiles ? null : new Bitmap(Math.ceil(width / reduce), Math.ceil(height / reduce), picture.alpha !== null);
    const session = stage === "linear" ? null : this.#session;
    for await (const tile of paint(picture, stage, session, this.strength, null, reduce)) {
      bitmap?.put(tile);
      await breathe();
      signal.throwIfAborted();
      if (!bitmap) this.tell({ type: "tile", ...tile }, [tile.pixels.buffer]);
    }
    // a whole picture of few bytes is nothing to be kept
    const digest = sparse ? undefined : this.#digest;
    this.tell({ type: "stage", stage, bytes, total: this.#total, final, reduce, sparse, digest, image: bitmap?.blob() });
  }
}
