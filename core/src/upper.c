/* The functions of the transform that no channel has, in two passes over each block (FORMAT.md, "Upper functions").
 *
 * They are linear only, so nothing but exactness asks anything of their numbers: sums are modulo 2^32, and what stands between two passes is held
 * within 16 bits. A picture's values keep far below both. Values are quarters of a level; behind the first pass stand sixteenths, behind the
 * second 64ths, of the planes, and at last the sixteenths of the colours that a lapping filters.
 */
#include "internal.h"

enum { SIDE = UPPER_SIDE, RUN = 64, GAIN_PLACES = 14, PASS_PLACES = 14, COLOUR_PLACES = 17 };

i32 list_upper(const u8 *plane, const u8 *row, const u8 *column, i32 channels, u16 *place) {
  u8 taken[UPPER_FUNCTIONS] = { 0 };
  for (i32 c = 0; c < channels; c++) {
    if (plane[c] > 2 || row[c] >= SIDE || column[c] >= SIDE) return -1 - c;
    u8 *at = taken + UPPER_PLACE(plane[c], row[c], column[c]);
    if (*at) return -1 - c;
    *at = 1;
  }
  i32 count = 0;
  for (i32 k = 0; k < 3; k++) {
    i32 next[SIDE] = { 0 }; /* of each u the v that comes next */
    for (i32 squares = 0; squares <= 2 * (SIDE - 1) * (SIDE - 1); squares++) for (i32 u = 0; u < SIDE; u++) {
      if (next[u] == SIDE || u * u + next[u] * next[u] != squares) continue;
      i32 at = UPPER_PLACE(k, u, next[u]++);
      if (!taken[at]) place[count++] = (u16)at;
    }
  }
  return count;
}

static i32 rounded(u32 sum, i32 places) { return ((i32)(sum + (1u << (places - 1)))) >> places; }
static i16 held(i32 v) { return (i16)clamp32(-32767, v, 32767); }

/* One plane of a block: values (u, v), which this changes, to pixels (y, x). */
static OUTLINE void transform(const i16 waves[SIDE][SIDE], const i16 *values, i16 *pixels) {
  i16 half[SIDE][SIDE];
  u32 sum[SIDE][SIDE] = { { 0 } };
  for (i32 u = 0; u < SIDE; u++) {
    i32 some = 0;
    for (i32 v = 0; v < SIDE; v++) some |= values[u * SIDE + v];
    for (i32 y = 0; some && y < SIDE; y++) for (i32 v = 0; v < SIDE; v++) sum[y][v] += (u32)(waves[u][y] * values[u * SIDE + v]);
  }
  for (i32 y = 0; y < SIDE; y++) for (i32 v = 0; v < SIDE; v++) half[y][v] = held(rounded(sum[y][v], PASS_PLACES));
  for (i32 y = 0; y < SIDE; y++) {
    u32 line[SIDE] = { 0 };
    for (i32 v = 0; v < SIDE; v++) {
      i32 h = half[y][v];
      if (h) for (i32 x = 0; x < SIDE; x++) line[x] += (u32)(h * waves[v][x]);
    }
    for (i32 x = 0; x < SIDE; x++) pixels[y * SIDE + x] = held(rounded(line[x], PASS_PLACES));
  }
}

void add_upper(const Linear *l, const Picture *p, i32 y, i32 left, i32 columns, i16 *blocks, i16 *levels) {
  const Upper *up = &l->upper;
  __builtin_memset(blocks, 0, 2 * (size_t)columns * UPPER_FUNCTIONS);
  for (i32 f = 0; f < up->count; f++) {
    i32 gain = up->gain[up->place[f] / (SIDE * SIDE)], value[RUN];
    for (i32 from = 0; from < columns; from += RUN) {
      i32 n = min32(RUN, columns - from);
      if (!upper_values(p, f, y, left + from, n, value)) break;
      for (i32 x = 0; x < n; x++) {
        blocks[(from + x) * UPPER_FUNCTIONS + up->place[f]] = held(rounded((u32)(clamp32(-32767, value[x], 32767) * gain), GAIN_PLACES));
      }
    }
  }
  i32 line = 3 * SIDE * columns;
  for (i32 x = 0; x < columns; x++) {
    i16 plane[3][SIDE * SIDE];
    for (i32 k = 0; k < 3; k++) transform(up->waves, blocks + x * UPPER_FUNCTIONS + k * SIDE * SIDE, plane[k]);
    for (i32 r = 0; r < SIDE; r++) for (i32 i = 0; i < SIDE; i++) for (i32 c = 0; c < 3; c++) {
      u32 sum = 0;
      for (i32 k = 0; k < 3; k++) sum += (u32)(plane[k][r * SIDE + i] * up->colours[k][c]);
      i16 *o = levels + (size_t)r * (size_t)line + (size_t)(3 * (SIDE * x + i) + c);
      *o = (i16)clamp32(-LAP_LIMIT, *o + rounded(sum, COLOUR_PLACES), LAP_LIMIT);
    }
  }
}
