/* The exact core of sdz: everything of a decoder, and of an encoder, that must give the same integers everywhere.
 *
 * One C11 library, compiled once to WebAssembly (`make core`), run by browsers, service workers, Node and Python; compiled natively only to
 * be tested under sanitizers. It knows no files, no clock and no randomness, imports nothing, and keeps no state but the objects that its
 * caller opens. The container, its checks and zlib stay with the caller. FORMAT.md says what each number means.
 *
 * Objects are opaque. Everything that a call returns as a pointer is the caller's and lives until `sdz_free`. A call that fails returns NULL
 * or a negative number, changes none of its objects, and leaves its reason in `sdz_reason`. Every pointer is checked to lie in memory that
 * was handed out, every size against it, every number against its range; what cannot be checked by a call that uses it (tables, weights) is
 * checked when it is opened. After a trap the instance is of no use any more.
 *
 * Positions are latent positions. A window is (top, left, rows, columns) of them and lies inside the picture. Integers are little-endian.
 */
#ifndef SDZ_CORE_H
#define SDZ_CORE_H
#include <stdint.h>

#ifdef __wasm__
#define SDZ_CALL(name) __attribute__((export_name(#name)))
#else
#define SDZ_CALL(name) __attribute__((visibility("default")))
#endif
/* Calls of encoders, tools and tests: the module that pages load (SDZ_READER) is without them, and without what they alone need. */
#ifdef SDZ_READER
#define SDZ_WRITER_CALL(name)
#else
#define SDZ_WRITER_CALL(name) SDZ_CALL(name)
#endif

/* Why a call failed. */
enum {
  SDZ_OK = 0,
  SDZ_NO_MEMORY = 1,        /* more than `sdz_limit` allows, or than there is */
  SDZ_BAD_CALL = 2,         /* the caller's own mistake: a pointer, size, window or number outside its range */
  SDZ_TOO_LARGE = 3,        /* a picture of more than MAX_LATENTS latents, upper functions among them; nothing was allocated */
  SDZ_TABLES_MAGIC = 10,    /* coder tables that begin with neither "sdzT" nor "sdzI" */
  SDZ_TABLES_LENGTH = 11,   /* too short or too long for what their head announces */
  SDZ_TABLES_CHANNEL = 12,  /* no channel, or the name of one that is not there */
  SDZ_TABLES_REACH = 13,    /* a prediction from further than two positions away */
  SDZ_TABLES_WEIGHTS = 14,  /* prediction weights whose sums could pass 32 bits */
  SDZ_TABLES_ORDER = 15,    /* thresholds that do not rise */
  SDZ_TABLES_USAGE = 16,    /* a codebook entry without usage */
  SDZ_TABLES_CODE = 17,     /* a precision code over 200 */
  SDZ_TABLES_PASSES = 18,   /* near passes brought forward by less than the far ones of their channel, or by a plane more */
  SDZ_LINEAR_LENGTH = 20,   /* a linear table of another size than channels and patch ask for */
  SDZ_LINEAR_MAGIC = 22,    /* a separable linear table that does not begin with "sdzS" or is another pack's */
  SDZ_LINEAR_FUNCTION = 23, /* a separable linear table with a function that is not there, or a value beyond 16 bits */
  SDZ_LINEAR_SUMS = 21,     /* a linear table or a lapping whose sums could leave the exact range */
  SDZ_NETWORK_LENGTH = 30,  /* weights that end too early or too late */
  SDZ_NETWORK_MAGIC = 31,   /* not "sdzN", or of another version */
  SDZ_NETWORK_SHAPE = 32,   /* layers that do not fit each other, or the pack */
  SDZ_NETWORK_SUMS = 33,    /* weights whose sums could pass the range in which they are exact */
  SDZ_NETWORK_SCALE = 34,   /* a scale that is not positive and finite, or a power of two that is out of range */
  SDZ_PALETTE_LENGTH = 40,  /* a palette's stream is shorter or longer than palette and indices are */
  SDZ_PALETTE_ENTRY = 41,   /* an index names an entry that is not there */
  SDZ_ALPHA_FILTER = 42,    /* a row names a filter that is not there */
  SDZ_LATENT_RANGE = 43,    /* a latent or an index to be coded is out of range */
  SDZ_TAIL_END = 44,        /* a band of a lossless tail ends too early (sdz_lossless.h) */
  SDZ_REGIONS = 45,         /* a map of regions that ends too early or too late */
};

typedef struct Tables Tables;   /* what a pack's coder knows before the first bit */
typedef struct Picture Picture; /* what a payload determines of a picture's latents */
typedef struct Linear Linear;   /* the linear stage of a pack */
typedef struct Network Network; /* a denoiser or a decoder */

/* ---- memory ---- */
/* Room of `bytes`, 16-byte aligned, not cleared; NULL where there is none. */
SDZ_CALL(sdz_alloc) void *sdz_alloc(uint32_t bytes);
/* Gives back what `sdz_alloc` or an opening call returned; NULL and what is not its own are ignored. */
SDZ_CALL(sdz_free) void sdz_free(void *object);
/* From now on no more than `bytes` are held at a time (at first 1 GiB; 0 changes nothing). Returns what is held now. */
SDZ_CALL(sdz_limit) uint32_t sdz_limit(uint32_t bytes);
/* Why the last call failed, and a number that helps to say it: row, layer, channel or entry; -1 without one. */
SDZ_CALL(sdz_reason) int32_t sdz_reason(void);
SDZ_CALL(sdz_where) int32_t sdz_where(void);

/* ---- coding ---- */
/* A pack's coder tables, FORMAT.md "Contexts" (sdzT) or "Indices" (sdzI), `bytes` of them at `data`, which are copied. */
SDZ_CALL(sdz_tables) Tables *sdz_tables(const uint8_t *data, uint32_t bytes);
/* What `payload`, whole or cut anywhere, determines of rows x columns positions. `step_index` (0..80) is the header's; tables of a codebook want
 * 0. `regions`: the payload of a map, of which a codebook knows nothing; NULL and 0 without one. */
SDZ_CALL(sdz_decode)
Picture *sdz_decode(const Tables *tables, const uint8_t *payload, uint32_t bytes, int32_t rows, int32_t columns, int32_t step_index, int32_t tilt,
    const uint8_t *regions, uint32_t regions_bytes);
/* The same from an inflated palette chunk: entries - 1, the palette, rows x columns indices. NULL for `raw`: nothing is known. */
SDZ_CALL(sdz_palette) Picture *sdz_palette(const uint8_t *raw, uint32_t bytes, int32_t channels, int32_t rows, int32_t columns);
/* Codes `source`: integers int32 (C, rows, columns) that, and whose pyramids, stay below 2^15, or codebook entries int32 (rows, columns) of
 * which the first `levels` bits are coded (0: all; 0 for integers). Writes at most `room` bytes to `out` and returns how many; `chances`, if
 * not NULL, u16 (C, rows, columns), gets the probability of a one, of 65,536, of every latent's decision in the lowest plane that
 * is coded at its position, 0 for means. `regions` as above: means are integers of so many planes higher, latents are zero below their floor.
 * With `learn`, tables keep what they have learned: their starting states change. */
SDZ_WRITER_CALL(sdz_encode)
int32_t sdz_encode(Tables *tables, const int32_t *source, int32_t rows, int32_t columns, int32_t levels, int32_t step_index, int32_t tilt,
    const uint8_t *regions, uint32_t regions_bytes, uint8_t *out, uint32_t room, uint16_t *chances, int32_t learn);
/* The floor of the means, and floors u8 (rows, columns), of a map's payload. */
SDZ_WRITER_CALL(sdz_floors) int32_t sdz_floors(const uint8_t *payload, uint32_t bytes, int32_t rows, int32_t columns, uint8_t *floors);
/* The payload of a map: the floor of the means and floors u8 (rows, columns), each 0 to 15, of at most `room` bytes. Returns bytes written. */
SDZ_WRITER_CALL(sdz_regions)
int32_t sdz_regions(int32_t means, uint8_t *floors, int32_t rows, int32_t columns, uint8_t *out, uint32_t room);
/* Where the starting states stand: u32 addresses of probability (u16), count (u8), weight (i16), and how many states and weights. */
SDZ_WRITER_CALL(sdz_states) const uint32_t *sdz_states(Tables *tables);

/* ---- what is known ---- */
/* {kind ('T' or 'I'), channels, rows, columns, planes or levels, complete, passes begun, channels that are not all zero} as int32, then the
 * address of int32 ends[passes begun], the coder's byte behind each pass, that of u32 passes[], kind << 28 | part << 24 | plane << 16 | band of
 * each, and, from `sdz_quantization` on, the sum of all precision codes, 64 bits. Kind 0: a band of the means, colour << 4 | level; kind 1: a
 * channel, part 0 near and 1 far. */
SDZ_CALL(sdz_facts) const int32_t *sdz_facts(const Picture *picture);
/* A window of it: int32 values (C, rows, columns) with unknown bits zero, and the lowest plane known, u8 (C, rows, columns); of a codebook
 * the tree's node, int32 (rows, columns), and nothing at `plane`. Each may be NULL. */
SDZ_CALL(sdz_known)
int32_t sdz_known(const Picture *picture, int32_t top, int32_t left, int32_t rows, int32_t columns, int32_t *value, uint8_t *plane);
/* How the picture is to be reconstructed (FORMAT.md): u8 steps[C], rho 0..16, and the pack's l1_limit up to 2^24. Of a codebook only the last
 * counts and `steps` may be NULL. Needed before the calls below. */
SDZ_CALL(sdz_quantization) int32_t sdz_quantization(Picture *picture, const uint8_t *steps, int32_t reconstruction, int32_t l1_limit);
/* Values, guarded, levels, precision codes and half widths of a window, int32 (C, rows, columns) each; any may be NULL. */
SDZ_CALL(sdz_latents)
int32_t sdz_latents(const Picture *picture, int32_t top, int32_t left, int32_t rows, int32_t columns, int32_t *values, int32_t *levels,
    int32_t *precision, int32_t *half_width);
/* The L1 guard over values int32 (C, positions) in place. Ends for every input: each round halves, and no number survives 31 of them. */
SDZ_CALL(sdz_guard) int32_t sdz_guard(int32_t *values, int32_t channels, uint32_t positions, int32_t l1_limit);

/* ---- pixels ---- */
/* A pack's linear stage: int16 (C, 3 p p), or separable as FORMAT.md has it, `shift`, and a lapping int32 (n, n), or NULL and 0. */
SDZ_CALL(sdz_linear)
Linear *sdz_linear(const uint8_t *table, uint32_t bytes, int32_t channels, int32_t patch, int32_t shift, int32_t l1_limit,
    const int32_t *lapping, int32_t overlap);
/* RGBA (p rows / reduce, p columns / reduce, 4) of a window, alpha 255; `reduce` a power of two up to the patch. */
SDZ_CALL(sdz_paint_linear)
int32_t sdz_paint_linear(const Picture *picture, const Linear *linear, int32_t top, int32_t left, int32_t rows, int32_t columns, int32_t reduce,
    uint8_t *rgba);
/* A network's weights ("sdzN", see docs/core.md), copied and prepared for pictures guarded by `l1_limit`. */
SDZ_CALL(sdz_network) Network *sdz_network(const uint8_t *data, uint32_t bytes, int32_t l1_limit);
/* RGBA (p rows, p columns, 4) of a window by the decoder, after `strength` sixteenths (0..16) of what the denoiser asks for; `denoiser` may be
 * NULL at 0. The networks see `margin` and `denoiser_margin` more positions on each side that the picture has: the pack's halos. */
SDZ_CALL(sdz_paint)
int32_t sdz_paint(const Picture *picture, const Linear *linear, const Network *decoder, const Network *denoiser, int32_t strength, int32_t margin,
    int32_t denoiser_margin, int32_t top, int32_t left, int32_t rows, int32_t columns, uint8_t *rgba);
/* A network over arrays of the caller's, int32 (C, rows, columns) each, as its graph takes them: a denoiser gives int32 (C, rows, columns),
 * latents + moves, not guarded, at `out`; a decoder, which takes no levels and half widths, RGBA with the `linear` it stands on. With `layer` >= 0
 * it stops there and gives that convolution's or addition's levels instead, u8 (height, width, channels), zero point added; they are counted
 * as the graph has them, from the stem at 0. Returns bytes written. `room` is that of `out`. */
SDZ_WRITER_CALL(sdz_run)
int32_t sdz_run(const Network *network, const Linear *linear, const int32_t *values, const int32_t *levels, const int32_t *precision,
    const int32_t *half_width, int32_t rows, int32_t columns, int32_t layer, uint8_t *out, uint32_t room);

/* ---- the small ones ---- */
/* Alpha: rows of one filter byte and `width` bytes -> the plane (height, width), and back with the least sum of differences. */
SDZ_CALL(sdz_unfilter) int32_t sdz_unfilter(const uint8_t *filtered, int32_t height, int32_t width, uint8_t *plane);
SDZ_WRITER_CALL(sdz_filter) int32_t sdz_filter(const uint8_t *plane, int32_t height, int32_t width, uint8_t *filtered);
/* The entry of a palette int8 (entries, C) for each of double source (rows, columns, C), dithered or not -> u8 (rows, columns). */
SDZ_WRITER_CALL(sdz_assign)
int32_t sdz_assign(const double *source, int32_t rows, int32_t columns, int32_t channels, const int8_t *palette, int32_t entries, int32_t dither,
    uint8_t *indices);
#endif
