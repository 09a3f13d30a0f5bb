/** Every limit of the format and of this decoder, each with its reason: the twin of runtime/limits.py. */

/** Largest width or height in pixels: what WebP allows, and within the canvas sizes of every current browser. */
export const MAX_SIDE = 16_384;

/** Coarsest step: 2**(80/8) = 1,024 grey levels. */
export const MAX_STEP_INDEX = 80;

/** Eighths of an octave by which steps become finer or coarser for every octave of frequency. */
export const MAX_TILT = 3;

/** Sixteenths of an octave that a pack may place a channel above or below the frequency whose step is the file's. */
export const MAX_OCTAVE = 64;

/** Mean precision code up to which a denoiser runs: in a picture of a few dozen bytes it has nothing to go by. */
export const DENOISER_COARSEST = 88;

/** Bit-planes per file. Latents then stay below 2**15, so that integers times steps fit 32 bits. */
export const MAX_PLANES = 15;

/** Largest receptive field of a pack's network, latent positions on each side. */
export const MAX_HALO = 64;

/** A varint holds at most 32 bits: 5 groups of 7. */
export const MAX_VARINT_BYTES = 5;

/** Alternative text, UTF-8: several times the longest that accessibility guides advise. */
export const MAX_ALT_BYTES = 4_096;

/** What a JPEG's APP1 segment can hold. */
export const MAX_EXIF_BYTES = 65_536;

/** Pixels decoded in one call (a 16,384 x 8,192 image): a file of a few bytes must not demand more than about 2 GB. */
export const MAX_PIXELS = 2 ** 27;

/** Bytes fetched for one picture: far more than any photo's, and less than a tab can hold. */
export const MAX_DOWNLOAD_BYTES = 2 ** 28;
