/**
 * A canvas of a photo's page and the picture on it: asks the page's worker for the tiles of a prefix of a file. Takes the file's bytes, hands on
 * which stage was reached and the pixels.
 */

import { ACCEPT } from "../../format/transfer.js";
import { request } from "../../page/client.js";

/** @import { SdzError } from "../../errors.js" */
/** @import { Shown } from "../../work/stages.js" */

/** @typedef {{stage: Shown, final: boolean, rgba: Uint8ClampedArray<ArrayBuffer>}} Painted the pixels are the whole picture's, row by row */

/** @param {string} address of a file @returns {Promise<Blob>} @throws {Error} where it does not arrive */
export async function fetched(address) {
  const response = await fetch(address, { headers: { Accept: ACCEPT } });
  if (!response.ok) throw new Error(`HTTP status ${response.status}`);
  return response.blob();
}

export class Painting {
  #stop = () => {};

  /** @param {HTMLCanvasElement} canvas of the picture's size */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { colorSpace: "srgb" });
  }

  /**
   * Decodes a file, or a prefix of one, and paints what comes; what was asked for before is given up.
   * @param {Blob} file @param {{stage: Shown, realism: number | null}} wanted
   * @param {{painted: (painted: Painted) => void, error: (error: SdzError) => void}} tell `painted` after each stage
   */
  show(file, wanted, { painted, error }) {
    this.#stop();
    const { width, height } = this.canvas;
    const url = URL.createObjectURL(file);
    const rgba = new Uint8ClampedArray(4 * width * height);
    const asked = request(url, wanted, {
      header: () => {},
      tile: (tile) => {
        this.context?.putImageData(new ImageData(tile.pixels, tile.width, tile.height), tile.x, tile.y);
        for (let row = 0; row < tile.height; row++) {
          const line = tile.pixels.subarray(4 * row * tile.width, 4 * (row + 1) * tile.width);
          rgba.set(line, 4 * ((tile.y + row) * width + tile.x));
        }
      },
      stage: ({ stage, final }) => {
        if (final) URL.revokeObjectURL(url);
        painted({ stage, final, rgba });
      },
      error,
    }, { seen: true, lazy: false });
    this.#stop = () => {
      asked.end();
      URL.revokeObjectURL(url);
    };
  }

  /** Gives up what was asked for. */
  stop() {
    this.#stop();
    this.#stop = () => {};
  }
}
