/**
 * A picture's pixels, tile by tile, as an image file that costs next to nothing to write and to read: a BMP. Made in the worker, so that the page
 * has no work with pixels.
 */

/** @import { Tile } from "./stages.js" */

/** Bytes before the pixels: the file header and a BITMAPV4HEADER, the oldest with alpha. */
const HEADER_BYTES = 14 + 108;

/** "sRGB", as a BITMAPV4HEADER has it. */
const SRGB = 0x73524742;

export class Bitmap {
  /** @param {number} width @param {number} height @param {boolean} alpha browsers scale and compose opaque images better */
  constructor(width, height, alpha) {
    this.alpha = alpha;
    // rows begin at multiples of four bytes
    this.stride = alpha ? 4 * width : (3 * width + 3) & ~3;
    const bytes = this.stride * height;
    this.file = new Uint8Array(HEADER_BYTES + bytes);
    const header = new DataView(this.file.buffer);
    header.setUint16(0, 0x424d); // "BM"
    header.setUint32(2, this.file.length, true);
    header.setUint32(10, HEADER_BYTES, true);
    header.setUint32(14, 108, true);
    header.setInt32(18, width, true);
    header.setInt32(22, -height, true); // rows from top to bottom
    header.setUint16(26, 1, true);
    header.setUint16(28, alpha ? 32 : 24, true);
    header.setUint32(34, bytes, true);
    if (alpha) {
      header.setUint32(30, 3, true); // the masks say where the channels are
      [0xff, 0xff00, 0xff0000, 0xff000000].forEach((mask, i) => header.setUint32(54 + 4 * i, mask, true));
    }
    header.setUint32(70, SRGB, true);
  }

  /** @param {Tile} tile */
  put({ x, y, width, height, pixels }) {
    const { file, stride, alpha } = this;
    for (let row = 0, from = 0; row < height; row++) {
      let to = HEADER_BYTES + (y + row) * stride + (alpha ? 4 : 3) * x;
      if (alpha) {
        file.set(pixels.subarray(from, from + 4 * width), to);
        from += 4 * width;
        continue;
      }
      for (const end = from + 4 * width; from < end; from += 4, to += 3) {
        file[to] = pixels[from + 2];
        file[to + 1] = pixels[from + 1];
        file[to + 2] = pixels[from];
      }
    }
  }

  /** The file. */
  blob() {
    return new Blob([this.file], { type: "image/bmp" });
  }
}
