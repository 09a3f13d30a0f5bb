/** All limits of the format and of this decoder, with their reasons. The twin of runtime/limits.py. */

/** Largest width or height in pixels: what WebP allows, and within the canvas sizes of every current browser. */
export const MAX_SIDE = 16_384;

/** Coarsest step: 2**(80/8) = 1,024 grey levels. */
export const MAX_STEP_INDEX = 80;

/** Eighths of an octave by which steps become finer or coarser for every octave of frequency. */
export const MAX_TILT = 3;

/** Largest distance, in sixteenths of an octave, of a channel's frequency from the one quantized with the file's own step. */
export const MAX_OCTAVE = 64;

/** Largest mean precision code for which networks run: a few dozen bytes are too little information for them. */
export const NETWORKS_COARSEST = 88;

/** Largest receptive field of a pack's network, latent positions on each side. */
export const MAX_HALO = 64;

/** A varint holds at most 32 bits: 5 groups of 7. */
export const MAX_VARINT_BYTES = 5;

/** Chunks of a file: a dozen times the kinds there are. Each costs some work however short it is. */
export const MAX_CHUNKS = 64;

/** Alternative text, UTF-8: several times the longest that accessibility guides advise. */
export const MAX_ALT_BYTES = 4_096;

/** What a JPEG's APP1 segment can hold. */
export const MAX_EXIF_BYTES = 65_536;

/** Pixels decoded in one call (a 16,384 x 8,192 image): a file of a few bytes must not cause more than about 2 GB to be allocated. */
export const MAX_PIXELS = 2 ** 27;

/** Latents decoded in one call: of files without networks, whose functions are four times as many, those of 44 megapixels. */
export const MAX_LATENTS = 2 ** 27;

/** Bytes downloaded for one picture: far more than any photo needs, and within a tab's memory. */
export const MAX_DOWNLOAD_BYTES = 2 ** 28;

/** Pixels from which the work of painting a picture whole is worth a question: how large is it shown? */
export const LARGE_PIXELS = 2 ** 21;

/** A denoiser's strength of 16 applies its change in full, smaller ones that many sixteenths of it. */
export const FULL_STRENGTH = 16;
