/* What the core's files share: types, objects, and the functions by which its layers know each other.
 *
 *   memory <- coder <- planes/, indices <- reconstruction <- linear <- weights, network
 *
 * Each layer uses those left of it only. `kernels.h` stands beside them: the loops that want vectors.
 */
#ifndef SDZ_INTERNAL_H
#define SDZ_INTERNAL_H
#include <stddef.h>
#include <stdint.h>

#include "../sdz_core.h"

typedef int8_t i8;
typedef int16_t i16;
typedef int32_t i32;
typedef int64_t i64;
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define INLINE static inline __attribute__((always_inline))
#define OUTLINE __attribute__((noinline))
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

INLINE i32 min32(i32 a, i32 b) { return a < b ? a : b; }
INLINE i32 max32(i32 a, i32 b) { return a > b ? a : b; }
INLINE i32 clamp32(i32 low, i32 v, i32 high) { return v < low ? low : v > high ? high : v; }
INLINE u32 magnitude_of(i32 v) { return v < 0 ? 0u - (u32)v : (u32)v; }

/* memory.c ---------------------------------------------------------------------------------------------------------------------------- */
enum { FREE, BUFFER, SCRATCH, PART, TABLES, PICTURE, LINEAR, NETWORK, TAIL };
/* `bytes`, cleared, for an object of this kind; PARTs are given back with their `owner`. NULL, and the reason set, where there is no room. */
void *take(u64 bytes, u32 kind, const void *owner);
void give(void *memory);
/* Gives back all SCRATCH: every call of the interface that takes some ends with it. */
void give_scratch(void);
/* Whether `count` units of `size` bytes at `memory` lie in one block that was handed out. */
i32 holds(const void *memory, u64 count, u32 size);
i32 is_a(const void *object, u32 kind);
i32 fail(i32 reason, i32 where); /* returns -reason */
#define CHECK(condition, reason, where) do { if (!(condition)) { fail(reason, where); return 0; } } while (0)
#define CHECK_CALL(condition) do { if (!(condition)) return fail(SDZ_BAD_CALL, -1); } while (0)

/* coder.c ----------------------------------------------------------------------------------------------------------------------------- */
enum { CROSS_TERMS = 8, PREDICTION_TERMS = 12, ENERGY_LEVELS = 24, STRIDE = 8, MAX_PLANES = 15, MAX_STEP = 80, MAX_CODE = 200, MAX_LEVEL = 15 };
enum { CHANNEL_SLOTS = 14, CHANNEL_SETS = 6, MEAN_SLOTS = 16, MEAN_SETS = 8, MEANS_MOST = 3, FILLS = 4, LEVELS_MOST = 14, MEAN_LIMIT = 32767 * 16 };
enum { UPPER_SLOTS = 11, UPPER_SETS = 4, UPPER_GROUPS = 16, UPPER_TERMS = 11, UPPER_SIDE = 16, UPPER_FUNCTIONS = 3 * UPPER_SIDE * UPPER_SIDE };
#define UPPER_PLACE(plane, u, v) (((plane) * UPPER_SIDE + (u)) * UPPER_SIDE + (v))
enum { MAX_TILT = 3, MAX_POSITIONS = 1 << 24, MAX_SIDE = 4096, MAX_L1 = 1 << 24, MAX_LATENTS = 1 << 27 };

struct Tables {
  i32 kind, channels, rate, count_limit, states, weights;
  u16 *probability; /* starting states; a run works on copies */
  u8 *count;
  i16 *weight;
  u32 addresses[5];
  i32 bases[CHANNEL_SLOTS + 1], sets[CHANNEL_SETS + 1];
  /* planes: the first `means` channels are coded as pyramids */
  i32 means, mean_bases[MEAN_SLOTS + 1], mean_sets[MEAN_SETS + 1], plane_states;
  /* upper functions, in so many groups; 0 of tables without them. Pictures have them whose step index is at most upper_step. */
  i32 groups, upper, upper_step, upper_bases[UPPER_SLOTS], upper_sets[UPPER_SETS];
  u16 upper_first[UPPER_GROUPS + 1], upper_place[UPPER_FUNCTIONS], function_at[UPPER_FUNCTIONS];
  const i16 *upper_order;
  const u8 *function; /* plane, row and column of each channel */
  const i8 *upper_octaves, *fine_order; /* fine_order: of channels in such pictures, in place of their order */
  const u8 *upper_weights;
  const i16 *order, *prediction, *mean_order;
  const u8 *mean_fill;
  const u8 *space, *cross_channel, *cross, *prediction_channel;
  const i8 *dy, *dx;
  u8 bucket[4096]; /* of an energy, below 24 */
  /* indices */
  i32 entries, levels, usage_limit, joint[17];
  const u8 *precision;
  const u16 *half_width, *usage;
  const i16 *pull;
  i32 *leaves, *first, *centre, *direction;
  i64 *used, *middle, *span;
};

/* The whole passes, the cut one, and what all of them found. Magnitude << 1 | negative stands in a cell, so that a level is one shift. */
struct Picture {
  i32 facts[13];
  i32 kind, channels, rows, columns, planes, complete, begun, active_count;
  u16 *cells[256];  /* planes: (rows + 4, columns + 4) of a channel with a border of zeros; NULL where all is zero */
  u8 floor[256];    /* the lowest plane known of all of a channel ... */
  u8 near[256];     /* ... and whether the positions near its values are known one plane further */
  i32 cut_channel, cut_reached; /* of this channel's next pass the first positions are known; -1 without one */
  /* means: the first channels' coefficients, by level from 1, the finest: (3, places + 2, places + 2) of a level, NULL where all is zero */
  i32 means, levels, cut_mean; /* cut_mean: as cut_channel, a band */
  u16 *pyramid[MEANS_MOST][LEVELS_MOST];
  u8 mean_floor[MEANS_MOST][LEVELS_MOST], mean_top[MEANS_MOST][LEVELS_MOST]; /* mean_top: bits of the largest magnitude */
  u8 fill[MEANS_MOST][FILLS]; /* channels that are painted from means while nothing is known of them; 0 for none */
  i32 *mean[MEANS_MOST]; /* int32 (rows, columns), sixteenths, from sdz_quantization on; NULL where all is zero */
  /* upper functions, in groups of which each is known as a channel is; 0 in a picture without them */
  i32 groups, upper, cut_group;
  u16 upper_first[UPPER_GROUPS + 1], *upper_cells[UPPER_FUNCTIONS];
  u8 upper_floor[UPPER_GROUPS], upper_near[UPPER_GROUPS], upper_steps[UPPER_GROUPS];
  /* regions: the lowest plane that is coded at each position, u8 (rows, columns), NULL where it is 0 everywhere; means count from `base` on */
  u8 *floors;
  i32 base;
  i32 *ends;
  u32 *passes;
  i32 *node; /* indices: (rows + 2, columns + 2) with a border of zeros */
  const Tables *tables;
  i32 reconstruction, l1_limit; /* 0 until sdz_quantization */
  u8 steps[256];
};
enum { BORDER = 2, PARTS = 2, MIDDLE = 8 };

/* A map's payload; NULL and 0 without one. */
typedef struct { const u8 *payload; u32 bytes; } Regions;

Picture *new_picture(i32 kind, i32 channels, i32 rows, i32 columns, i32 planes, i32 passes);
u16 *cells_of(Picture *picture, i32 channel);
Picture *finish_picture(Picture *picture);
Picture *decode_planes(const Tables *t, const u8 *payload, u32 bytes, i32 rows, i32 columns, i32 step_index, i32 tilt, Regions regions);
i32 encode_planes(Tables *t, const i32 *source, i32 rows, i32 columns, i32 step_index, i32 tilt, Regions regions, u8 *out, u32 room, u16 *chances,
    i32 learn);
/* Whether a picture has upper functions: by the step of the blocks outside its regions. */
INLINE i32 is_fine(const Tables *t, i32 step_index, Regions map) {
  return t->groups && step_index + 8 * (map.bytes ? map.payload[0] : 0) <= t->upper_step;
}
/* Channels and upper functions of a picture, times its positions: what its bytes can make a decoder hold two bytes of each. */
INLINE u64 latents_of(const Tables *t, i32 rows, i32 columns, i32 step_index, Regions map) {
  u64 each = t->kind == 'T' ? (u64)t->channels + (is_fine(t, step_index, map) ? (u64)t->upper : 0) : 1;
  return (u64)rows * (u64)columns * each;
}
Tables *open_planes(const u8 *data, u32 bytes);
Tables *open_indices(const u8 *data, u32 bytes);
void keep_states(Tables *tables);

/* planes/pyramid.c: whether anything of a mean is known; int32 (rows, columns), sixteenths, with `middle` sixteenths of every interval, to +-MEAN_LIMIT */
i32 has_mean(const Picture *picture, i32 colour);
i32 paint_mean(const Picture *picture, i32 colour, i32 middle, i32 *out);

/* reconstruction.c -------------------------------------------------------------------------------------------------------------------- */
typedef struct { i32 top, left, rows, columns; } Window;
i32 inside(const Picture *picture, Window window);
Window grown(const Picture *picture, Window window, i32 margin);
typedef struct { i32 rows, columns; i32 *values, *levels, *precision, *half_width; } Latents; /* (C, rows, columns) each, or NULL */
i32 reconstruct(const Picture *picture, Window window, Latents *latents);
/* Puts slopes and curves that means suggest where channels have none (FORMAT.md, "Fill"); values of a window, guarded before and after. */
void fill(const Picture *picture, Window window, i32 *values);
/* Values of one upper function, as channels have them but not guarded; 0 where all of them are zero. */
i32 upper_values(const Picture *picture, i32 function, i32 y, i32 left, i32 n, i32 *values);
void guard(i32 *values, i32 channels, u32 positions, i32 l1_limit);

/* linear.c ---------------------------------------------------------------------------------------------------------------------------- */
/* Two neighbouring inputs of a weighted sum, the first in the low half; inputs beyond 16 bits come in several parts. */
typedef struct { u32 pair; u32 values; } Entry;
/* `outputs` sums of `inputs` products, weights in blocks of 32 outputs: [outputs / 32][pairs][32][2], both padded with zeros. */
typedef struct { i32 inputs, pairs, outputs; const i16 *weight; } Patterns;
i32 pattern_blocks(i32 outputs);
i16 *new_patterns(Patterns *patterns, i32 inputs, i32 outputs, const void *owner);
void set_pattern(const Patterns *patterns, i32 input, i32 output, i32 weight);
/* What is not zero of one row of planes (inputs, area), as entries of position x at entries[x * room] with count[x]; starts at pair `from`. */
void append_entries(const i32 *plane, i32 inputs, u32 area, i32 columns, i32 from, Entry *entries, i32 room, i32 *count);
i32 entry_room(i32 pairs, i32 l1_limit);

/* upper.c: the functions of a separable transform that no channel has. */
typedef struct {
  i32 count;
  u16 place[UPPER_FUNCTIONS]; /* UPPER_PLACE of each, in their order */
  i16 waves[UPPER_SIDE][UPPER_SIDE], colours[3][3], gain[3];
} Upper;
/* The places, in order, of all functions but those of `channels` channels, and how many they are; -1 less the channel whose function does not
 * exist or is another's too. */
i32 list_upper(const u8 *plane, const u8 *row, const u8 *column, i32 channels, u16 *place);

struct Linear {
  i32 channels, patch, shift, l1_limit, overlap; /* overlap: of the lapping, brought to an even number; 0 without one */
  i32 lapping[256], reach; /* reach: of the lapping as it was given */
  Patterns patterns;
  const i16 *table; /* (C, 3 p p) as the pack has it, for reductions */
  Upper upper;
};
enum { LAP_LIMIT = 1 << 13 };
/* Adds a row of positions' upper functions to its levels, (p, 3 p columns), not yet lapped; `blocks` is room for them. */
void add_upper(const Linear *linear, const Picture *picture, i32 y, i32 left, i32 columns, i16 *blocks, i16 *levels);
/* Levels of a window times 16, from mid-grey, lapped, saturated to int16: (p rows, p columns, 3); without a lapping int32 sums. Of a `picture`
 * that is given, the upper functions are added. */
i32 linear_levels(const Linear *linear, const Picture *picture, const i32 *values, Window window, i16 **levels, i32 **sums);

#endif
