/* The means' wavelet pyramid (FORMAT.md, "Pyramid"): reversible 5/3 lifting in two dimensions, level after level, until one value is left.
 *
 * Level l has a grid of ceil(rows / 2^l) x ceil(columns / 2^l) places, each with a detail of three orientations: across, down, both. A detail
 * that an odd side lacks is a cell that stays zero. The top, level `levels` + 1, is the one value.
 *
 * Bounds. A level adds to the largest magnitude at most 5.25 times that of its details and some units: 1.5 (1 + 1.5) + 1.5. Coefficients below
 * 2^15, times 16, over twelve levels stay below 2^26. The other way a level makes values at most 2.25 times as large: 2^15 * 2.25^12 < 2^30.
 */
#include "planes.h"

u16 *level_cells(Picture *p, i32 colour, i32 level) {
  u16 **cells = &p->pyramid[colour][level];
  if (!*cells) *cells = take(6 * (u64)plane_cells(p, level), PART, p);
  return *cells;
}

/* One line: `low` values and `high` details, ceil(n / 2) and floor(n / 2) of them, to n values. */
static void merge_line(const i32 *low, const i32 *high, i32 *out, i32 n) {
  i32 highs = n >> 1, lows = n - highs;
  for (i32 i = 0; i < lows; i++) {
    out[2 * i] = highs ? low[i] - ((high[max32(i - 1, 0)] + high[min32(i, highs - 1)] + 2) >> 2) : low[i];
  }
  for (i32 i = 0; i < highs; i++) out[2 * i + 1] = high[i] + ((out[2 * i] + out[2 * min32(i + 1, lows - 1)] + 1) >> 1);
}

static void split_line(const i32 *line, i32 *low, i32 *high, i32 n) {
  i32 highs = n >> 1, lows = n - highs;
  for (i32 i = 0; i < highs; i++) high[i] = line[2 * i + 1] - ((line[2 * i] + line[2 * min32(i + 1, lows - 1)] + 1) >> 1);
  for (i32 i = 0; i < lows; i++) low[i] = line[2 * i] + (highs ? (high[max32(i - 1, 0)] + high[min32(i, highs - 1)] + 2) >> 2 : 0);
}

/* The same between rows of `width` values: rows 2 i hold lows, rows 2 i + 1 details. */
static void merge_rows(i32 *rows, i32 n, i32 width) {
  i32 highs = n >> 1, lows = n - highs;
#define ROW(i) (rows + (size_t)(i) * (size_t)width)
  for (i32 i = 0; i < lows && highs; i++) {
    i32 *here = ROW(2 * i), *before = ROW(2 * max32(i - 1, 0) + 1), *after = ROW(2 * min32(i, highs - 1) + 1);
    for (i32 x = 0; x < width; x++) here[x] -= (before[x] + after[x] + 2) >> 2;
  }
  for (i32 i = 0; i < highs; i++) {
    i32 *here = ROW(2 * i + 1), *before = ROW(2 * i), *after = ROW(2 * min32(i + 1, lows - 1));
    for (i32 x = 0; x < width; x++) here[x] += (before[x] + after[x] + 1) >> 1;
  }
}

static void split_rows(i32 *rows, i32 n, i32 width) {
  i32 highs = n >> 1, lows = n - highs;
  for (i32 i = 0; i < highs; i++) {
    i32 *here = ROW(2 * i + 1), *before = ROW(2 * i), *after = ROW(2 * min32(i + 1, lows - 1));
    for (i32 x = 0; x < width; x++) here[x] -= (before[x] + after[x] + 1) >> 1;
  }
  for (i32 i = 0; i < lows && highs; i++) {
    i32 *here = ROW(2 * i), *before = ROW(2 * max32(i - 1, 0) + 1), *after = ROW(2 * min32(i, highs - 1) + 1);
    for (i32 x = 0; x < width; x++) here[x] += (before[x] + after[x] + 2) >> 2;
  }
}

i32 has_mean(const Picture *p, i32 colour) {
  i32 some = 0;
  for (i32 l = 1; l <= p->levels + 1; l++) some |= p->pyramid[colour][l] != 0;
  return some;
}

/* The coefficients of a row of a level's places, times 16 where `places` is 4, with `middle` sixteenths of what is not known of each. */
static void coefficients(const Picture *p, i32 colour, i32 l, i32 orientation, i32 y, i32 places, i32 middle, i32 *out) {
  const u16 *cell = p->pyramid[colour][l];
  i32 plane = p->mean_floor[colour][l], w = l > p->levels ? 1 : grid(p->columns, l);
  if (cell) cell += (u32)orientation * plane_cells(p, l) + (u32)((y + 1) * (w + 2) + 1);
  /* what a cut pass has reached is known one plane further */
  i32 reached = p->cut_mean == MEAN_BAND(colour, l) ? p->cut_reached - 3 * y * w - orientation : 0;
  for (i32 x = 0; x < w; x++) {
    i32 v = cell ? cell[x] : 0, m = v >> 1;
    if (m && places) m = 16 * m + ((1 << (plane - (3 * x < reached))) - 1) * middle;
    out[x] = v & 1 ? -m : m;
  }
}

i32 paint_mean(const Picture *p, i32 colour, i32 middle, i32 *out) {
  u32 area = (u32)p->rows * (u32)p->columns;
  i32 *other = take(4 * (u64)area, SCRATCH, 0), *line = take(8 * (u64)p->columns, SCRATCH, 0);
  if (!other || !line) {
    give(other), give(line);
    return -SDZ_NO_MEMORY;
  }
  /* the last of them ends in `out` */
  i32 *low = p->levels & 1 ? other : out, *high = p->levels & 1 ? out : other;
  /* whole numbers as long as every level is known to its last bit, so that its rounding is undone; from then on sixteenths, not to round at all */
  i32 places = p->mean_floor[colour][p->levels + 1] ? 4 : 0;
  coefficients(p, colour, p->levels + 1, 0, 0, places, middle, low);
  for (i32 l = p->levels; l > 0; l--) {
    i32 h = grid(p->rows, l), w = grid(p->columns, l), H = grid(p->rows, l - 1), W = grid(p->columns, l - 1);
    if (!places && p->mean_floor[colour][l]) {
      for (i32 i = 0; i < h * w; i++) low[i] *= 16;
      places = 4;
    }
    for (i32 y = 0; y < h; y++) {
      coefficients(p, colour, l, 0, y, places, middle, line);
      merge_line(low + (size_t)y * (size_t)w, line, high + (size_t)(2 * y) * (size_t)W, W);
      if (2 * y + 1 == H) continue;
      coefficients(p, colour, l, 1, y, places, middle, line);
      coefficients(p, colour, l, 2, y, places, middle, line + w);
      merge_line(line, line + w, high + (size_t)(2 * y + 1) * (size_t)W, W);
    }
    merge_rows(high, H, W);
    i32 *swap = low;
    low = high, high = swap;
  }
  for (u32 i = 0; i < area; i++) out[i] = clamp32(-MEAN_LIMIT, places ? out[i] : out[i] * 16, MEAN_LIMIT);
  give(other), give(line);
  return 0;
}

i32 split_means(Run *run) {
  Picture *p = run->picture;
  u32 area = (u32)p->rows * (u32)p->columns;
  i32 *low = take(4 * (u64)area, SCRATCH, 0), *line = take(4 * (u64)p->columns + 8, SCRATCH, 0);
  if (!low || !line) return 0;
  for (i32 c = 0; c < run->tables->means; c++) {
    __builtin_memcpy(low, run->source + (size_t)c * area, 4 * (size_t)area);
    for (i32 l = 1; l <= p->levels + 1; l++) {
      i32 *band = take(12 * (u64)plane_cells(p, l), SCRATCH, 0);
      if (!band) return 0;
      run->detail[c][l] = band;
    }
    for (i32 l = 1; l <= p->levels; l++) {
      i32 w = grid(p->columns, l), H = grid(p->rows, l - 1), W = grid(p->columns, l - 1), *band = run->detail[c][l];
      u32 plane = plane_cells(p, l);
      split_rows(low, H, W);
      for (i32 y = 0; y < H; y++) {
        i32 *row = low + (size_t)y * (size_t)W, odd = y & 1;
        u32 from = (u32)(((y >> 1) + 1) * (w + 2) + 1);
        __builtin_memcpy(line, row, 4 * (size_t)W);
        /* the lows of row 2 y go where row y was: it is done with */
        if (odd) split_line(line, band + plane + from, band + 2 * plane + from, W);
        else split_line(line, low + (size_t)(y >> 1) * (size_t)w, band + from, W);
      }
    }
    run->detail[c][p->levels + 1][4] = low[0];
    for (i32 l = 1; l <= p->levels + 1; l++) for (u32 i = 0; i < 3 * plane_cells(p, l); i++) {
      u32 m = magnitude_of(run->detail[c][l][i]);
      run->tall[c][l] = m > run->tall[c][l] ? m : run->tall[c][l];
    }
  }
  give(low), give(line);
  return 1;
}
