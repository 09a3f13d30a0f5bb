/* One payload of bit-planes (FORMAT.md, "Planes"): what the kinds of bands share.
 *
 *   pyramid <- means, channels <- schedule
 *
 * A pass is (kind, part, plane, band). `schedule.c` puts the passes of all kinds in one order and walks it; each kind has a file that codes a
 * pass of it and opens its section of the coder tables. Means are the channels that go through a wavelet pyramid, their bands are a colour's
 * levels; the bands of all other channels are the channels themselves.
 */
#ifndef SDZ_PLANES_H
#define SDZ_PLANES_H
#include "../coder.h"

enum { MEANS, CHANNELS, UPPERS };
enum { A_PLANE = 10 };
#define PASS(kind, part, plane, band) ((u32)(kind) << 28 | (u32)(part) << 24 | (u32)(plane) << 16 | (u32)(band))
#define KIND(pass) ((i32)((pass) >> 28))
#define PART_OF(pass) ((i32)((pass) >> 24 & 15))
#define PLANE(pass) ((i32)((pass) >> 16 & 255))
#define BAND(pass) ((i32)((pass) & 65535))
/* A band of the means: colour and level. */
#define MEAN_BAND(colour, level) ((colour) << 4 | (level))
#define COLOUR(band) ((band) >> 4)
#define LEVEL_OF(band) ((band) & 15)

typedef struct {
  Coder coder;
  const Tables *tables;
  Picture *picture;
  i32 step_index;
  const i32 *source; /* encoder: (C, rows, columns) */
  u16 *chances;
  /* channels */
  u16 *significant;      /* how many of them are at each position, with the border */
  u8 active[256];
  u32 peak[256];         /* encoder: largest magnitude of each */
  i32 seen_plane;        /* the plane at which the means were last painted for their contexts */
  /* upper functions */
  u8 upper_active[UPPER_GROUPS];
  u32 upper_peak[UPPER_GROUPS]; /* encoder: largest magnitude of each group */
  const u16 *nothing;           /* cells that are all zero */
  /* means */
  i32 *detail[MEANS_MOST][LEVELS_MOST]; /* encoder: coefficients, laid out as the picture's cells are */
  u32 tall[MEANS_MOST][LEVELS_MOST];    /* encoder: the largest magnitude of each band */
} Run;

/* Where the arrays of coder tables stand in a file, and where they are copied to: 16-bit ones lie at even addresses there. */
typedef struct { const u8 *from; u8 *at; } Copying;
INLINE const void *copied(Copying *c, u32 count, u32 size) {
  c->at += (size_t)c->at & (size - 1);
  u8 *to = c->at;
  __builtin_memcpy(to, c->from, (size_t)count * size);
  c->at += count * size, c->from += count * size;
  return to;
}

INLINE i32 level(u32 cell, i32 plane) { return min32(4, (i32)(cell >> (plane + 1))); }
INLINE i32 sign_of(u32 cell) { return cell ? 1 - 2 * (i32)(cell & 1) : 0; }
static const i32 LEVEL_WEIGHT[5] = { 0, 3, 5, 7, 9 };

enum { FAR = 1, DENSITIES = 11 };
static const u16 DENSITY_STEPS[] = { 2, 5, 9, 15, 24, 36, 52, 74, 104, 140 };
/* How many of a pass's decisions of significance were ones as a row begins, in steps; DENSITIES while there were too few to tell. */
INLINE i32 density_of(u32 ones, u32 seen) { return seen < 16 ? DENSITIES : reached((i32)((u64)ones * 256 / seen), DENSITY_STEPS, DENSITIES - 1); }

/* A position's level and those of its eight neighbours, sliding along a row: three are looked up per position. */
typedef struct { i32 nw, n, ne, we, here, ea, sw, so, se; } Around;
/* Before the row whose first position is at `cell`, in lines of `line` cells. */
INLINE Around before_row(const u16 *cell, i32 line, i32 plane) {
  return (Around){ 0, level(cell[-line - 1], plane), level(cell[-line], plane), 0, level(cell[-1], plane), level(cell[0], plane),
    0, level(cell[line - 1], plane), level(cell[line], plane) };
}
INLINE void slide(Around *a, const u16 *cell, i32 line, i32 plane) {
  a->nw = a->n, a->n = a->ne, a->ne = level(cell[1 - line], plane);
  a->we = a->here, a->here = a->ea, a->ea = level(cell[1], plane);
  a->sw = a->so, a->so = a->se, a->se = level(cell[line + 1], plane);
}
/* Which of a plane's passes has the position: levels from 2 on were there before this plane, so whatever it has brought so far changes nothing. */
INLINE i32 part_of(const Around *a) { return (a->nw | a->n | a->ne | a->we | a->here | a->ea | a->sw | a->so | a->se) & 6 ? 0 : FAR; }

/* pyramid.c: the levels of a picture, the transform in both directions */
INLINE i32 grid(i32 side, i32 level) { return (side + (1 << level) - 1) >> level; }
/* Cells of one of the three orientations of a level, with their border of one. */
INLINE u32 plane_cells(const Picture *p, i32 level) {
  return level > p->levels ? 9 : (u32)(grid(p->rows, level) + 2) * (u32)(grid(p->columns, level) + 2);
}
u16 *level_cells(Picture *picture, i32 colour, i32 level);
/* Encoder: source -> detail, tall; 0 without memory. */
i32 split_means(Run *run);

/* Of each kind: where its states and weight sets begin, and the bytes of its own arrays; those arrays, with the reason why they are refused;
 * a pass, of which it returns how many places are known, all or fewer where the bytes end, -1 without memory. */
u32 lay_means(Tables *t);
i32 read_means(Tables *t, Copying *from);
i32 code_mean(Run *run, u32 pass); /* both directions in one: there are few of them */
u32 lay_channels(Tables *t);
i32 read_channels(Tables *t, Copying *from, i32 *where);
i32 decode_channel(Run *run, u32 pass);
i32 encode_channel(Run *run, u32 pass);
u32 lay_upper(Tables *t);
i32 read_upper(Tables *t, Copying *from, i32 *where);
i32 code_group(Run *run, u32 pass); /* its functions one after the other, of each every position */
#endif
