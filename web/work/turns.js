/** The order of the work on a page's pictures: one piece after another, so that memory stays that of one, what the reader waits for first. */

/**
 * @typedef {object} Piece
 * @property {number} rank the lowest goes first
 * @property {() => Promise<void>} work must not reject
 *
 * @typedef {object} Worked what has work to do
 * @property {boolean} seen
 * @property {number} pixels
 * @property {(ahead: number) => Piece | null} next the next piece, where it can be done now; `ahead`: pixels of all that are seen
 */

/** @template {Worked} T */
export class Turns {
  /** Milliseconds that a pixel of the last finished picture took to its last stage; null before. @type {number | null} */
  pace = null;
  /** In order of arrival. @type {Set<T>} */
  #waiting = new Set();
  #busy = false;

  /** @param {T} job */
  add(job) {
    this.#waiting.add(job);
    this.wake();
  }

  /** @param {T} job */
  remove(job) {
    this.#waiting.delete(job);
  }

  /** To be called whenever something may have become possible. */
  async wake() {
    if (this.#busy) return;
    this.#busy = true;
    for (let piece = this.#first(); piece; piece = this.#first()) await piece.work();
    this.#busy = false;
  }

  #first() {
    const jobs = [...this.#waiting];
    const ahead = jobs.reduce((sum, { seen, pixels }) => sum + (seen ? pixels : 0), 0);
    /** @type {Piece | null} */
    let first = null;
    for (const job of jobs) {
      const piece = job.next(ahead);
      if (piece && (!first || piece.rank < first.rank)) first = piece;
    }
    return first;
  }
}
