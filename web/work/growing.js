/** Bytes that arrive part by part, in one buffer that grows. */
export class Growing {
  #buffer;
  size = 0;

  /** @param {number} room bytes that are expected */
  constructor(room = 1 << 14) {
    this.#buffer = new Uint8Array(room);
  }

  /** @param {Uint8Array} part */
  add(part) {
    const size = this.size + part.length;
    if (size > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(2 * this.#buffer.length, size));
      larger.set(this.bytes);
      this.#buffer = larger;
    }
    this.#buffer.set(part, this.size);
    this.size = size;
  }

  /** What has arrived so far: of the buffer itself, whose bytes stay as they are. */
  get bytes() {
    return this.#buffer.subarray(0, this.size);
  }
}
