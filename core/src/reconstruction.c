/* Integers on a grid to values and intervals (FORMAT.md, "Reconstruction"), window by window; the L1 guard; alpha's filters, which are as small.
 *
 * Bounds. A step is at most 4096 grid units. m * step + middle < 2^15 * 4096 + 2^15 * 4096 = 2^28, and the product under the middle,
 * (2^15 - 1) * 16 * 4096 + 8, is below 2^31.
 */
#include "internal.h"

enum { SLOPE = 38, CURVE = 8, FILL_LIMIT = 1 << 20 };
static const i32 MANTISSA[8] = { 16384, 17867, 19484, 21247, 23170, 25268, 27554, 30048 }; /* round(16384 * 2^(j/8)) */

i32 inside(const Picture *p, Window w) {
  return w.top >= 0 && w.left >= 0 && w.rows > 0 && w.columns > 0 && w.rows <= p->rows && w.columns <= p->columns &&
         w.top <= p->rows - w.rows && w.left <= p->columns - w.columns;
}

Window grown(const Picture *p, Window w, i32 margin) {
  i32 top = max32(0, w.top - margin), left = max32(0, w.left - margin);
  Window wide = { top, left, min32(p->rows, w.top + w.rows + margin) - top, min32(p->columns, w.left + w.columns + margin) - left };
  return wide;
}

static i32 step_units(i32 index) { return (MANTISSA[index & 7] << (index >> 3)) >> 12; }

/* What is known of a channel, or, from the number of channels on, of an upper function. */
typedef struct {
  const u16 *cells;
  i32 floor, near, cut, reached; /* reached: of the cut pass, if this one has part in it */
} Band;

static i32 group_of(const Picture *p, i32 function) {
  i32 g = 0;
  while (function >= p->upper_first[g + 1]) g++;
  return g;
}

static OUTLINE Band band_of(const Picture *p, i32 c) {
  if (c < p->channels) {
    Band b = { p->cells[c], p->floor[c], p->near[c], c == p->cut_channel, p->cut_reached };
    return b;
  }
  i32 f = c - p->channels, g = group_of(p, f);
  Band b = { p->upper_cells[f], p->upper_floor[g], p->upper_near[g], g == p->cut_group, p->cut_reached - (f - p->upper_first[g]) * p->rows * p->columns };
  return b;
}

static const u16 *row_of(const Picture *p, const Band *b, i32 y, i32 left) {
  return b->cells ? b->cells + (size_t)(y + BORDER) * (size_t)(p->columns + 2 * BORDER) + left + BORDER : 0;
}

/* Whether the latents of a band are known down to different planes. */
static i32 mixed(const Band *b) { return (b->near && b->cells) || b->cut; }

/* How many of `n` latents of a mixed band from (y, left) on are known one plane further than its floor, and, where `finer` is one, which:
 * those near a value of before that plane if their pass came so far, the others if theirs did. */
static OUTLINE i32 finer_in(const Picture *p, const Band *b, i32 y, i32 left, i32 n, u8 *finer) {
  i32 reached = b->cut ? clamp32(0, b->reached - y * p->columns - left, n) : 0, count = 0;
  i32 near = b->near ? n : reached, far = b->near ? reached : 0, W = p->columns + 2 * BORDER, least = 2 << b->floor;
  const u16 *cell = row_of(p, b, y, left);
#define TALL(x) (cell && max32(cell[(x) - W], max32(cell[x], cell[(x) + W])) >= least)
  for (i32 x = 0, west, here = TALL(-1), east = TALL(0); x < n; x++) {
    west = here, here = east, east = TALL(x + 1);
    i32 is = x < (west | here | east ? near : far);
    if (finer) finer[x] = (u8)is;
    count += is;
  }
  return count;
}

/* One row of a mean, known down to `plane`, from its sixteenths. */
static void dequantize_mean(const i32 *mean, i32 n, i32 index, i32 plane, i32 *values, i32 *levels, i32 *precision, i32 *half_width) {
  i32 step = step_units(index);
  for (i32 x = 0; x < n; x++) {
    i32 q = mean ? mean[x] : 0, m = (i32)magnitude_of(q), v = (m * step + 8) >> 4, l = min32(m >> 4 >> plane, MAX_LEVEL);
    if (values) values[x] = q < 0 ? -v : v;
    if (levels) levels[x] = q < 0 ? -l : l;
    if (precision) precision[x] = index + 8 * plane;
    if (half_width) half_width[x] = (step << plane) >> (m != 0);
  }
}

/* Down to which plane each of `n` latents of a band from (y, left) on is known: their sum, and u8 (n) at `plane` where it is not NULL. */
static OUTLINE i32 planes_in(const Picture *p, const Band *b, i32 y, i32 left, i32 n, u8 *plane) {
  i32 parts = mixed(b), floor = b->floor, sum = 0;
  u8 finer[MAX_SIDE];
  const u8 *floors = p->floors ? p->floors + (size_t)y * (size_t)p->columns + left : 0;
  if (!floors && !plane) return n * floor - (parts ? finer_in(p, b, y, left, n, 0) : 0);
  if (parts) finer_in(p, b, y, left, n, finer);
  for (i32 x = 0; x < n; x++) {
    i32 k = max32(floors ? floors[x] : 0, floor - (parts ? finer[x] : 0));
    if (plane) plane[x] = (u8)k;
    sum += k;
  }
  return sum;
}

/* One row of one channel whose latents are all known down to `plane`, of which the file codes none below `floor`. */
INLINE void dequantize(const u16 *cell, i32 n, i32 index, i32 plane, i32 floor, i32 reconstruction, i32 *values, i32 *levels, i32 *precision,
    i32 *half_width) {
  i32 step = step_units(index), middle = (i32)(((((1u << plane) - (1u << floor)) * (u32)(reconstruction * step)) + 8) >> 4);
  if (values) for (i32 x = 0; x < n; x++) {
    i32 m = cell ? cell[x] >> 1 : 0, negative = cell ? -(cell[x] & 1) : 0, v = m ? m * step + middle : 0;
    values[x] = (v ^ negative) - negative;
  }
  if (levels) for (i32 x = 0; x < n; x++) {
    i32 m = cell ? cell[x] >> 1 : 0, negative = cell ? -(cell[x] & 1) : 0, l = min32(m >> plane, MAX_LEVEL);
    levels[x] = (l ^ negative) - negative;
  }
  if (precision) for (i32 x = 0; x < n; x++) precision[x] = index + 8 * plane;
  if (half_width) for (i32 x = 0; x < n; x++) half_width[x] = (step << plane) >> (cell && cell[x] > 1);
}

/* One row of a band; any of the results may be NULL. */
static OUTLINE void dequantize_row(const Picture *p, const Band *b, i32 step, i32 y, i32 left, i32 n, i32 *values, i32 *levels, i32 *precision, i32 *half_width) {
  u8 plane[MAX_SIDE];
  const u16 *cell = row_of(p, b, y, left);
  const u8 *floors = p->floors ? p->floors + (size_t)y * (size_t)p->columns + left : 0;
  i32 parts = floors || mixed(b);
  if (parts) planes_in(p, b, y, left, n, plane);
  for (i32 from = 0, to; from < n; from = to) {
    /* a run of latents that are known equally far */
    for (to = parts ? from + 1 : n; to < n && plane[to] == plane[from] && (!floors || floors[to] == floors[from]);) to++;
    dequantize(cell ? cell + from : 0, to - from, step, parts ? plane[from] : b->floor, floors ? floors[from] : 0, p->reconstruction,
        values ? values + from : 0, levels ? levels + from : 0, precision ? precision + from : 0, half_width ? half_width + from : 0);
  }
}

static void reconstruct_planes(const Picture *p, Window w, Latents *o) {
  for (i32 c = 0; c < p->channels; c++) for (i32 y = 0; y < w.rows; y++) {
    size_t at = ((size_t)c * (size_t)w.rows + (size_t)y) * (size_t)w.columns;
#define PLACE(out) ((out) ? (out) + at : 0)
    if (c < p->means) {
      const i32 *mean = p->mean[c] ? p->mean[c] + (size_t)(w.top + y) * (size_t)p->columns + w.left : 0;
      dequantize_mean(mean, w.columns, p->steps[c], p->floor[c], PLACE(o->values), PLACE(o->levels), PLACE(o->precision), PLACE(o->half_width));
      continue;
    }
    Band b = band_of(p, c);
    dequantize_row(p, &b, p->steps[c], w.top + y, w.left, w.columns, PLACE(o->values), PLACE(o->levels), PLACE(o->precision), PLACE(o->half_width));
  }
}

/* A mean's value at a place, or at the nearest inside. */
static i32 mean_value(const Picture *p, i32 c, i32 y, i32 x) {
  if (!p->mean[c]) return 0;
  i32 q = p->mean[c][(size_t)clamp32(0, y, p->rows - 1) * (size_t)p->columns + (size_t)clamp32(0, x, p->columns - 1)];
  i32 v = min32(((i32)magnitude_of(q) * step_units(p->steps[c]) + 8) >> 4, FILL_LIMIT);
  return q < 0 ? -v : v;
}

void fill(const Picture *p, Window w, i32 *values) {
  size_t area = (size_t)w.rows * (size_t)w.columns;
  for (i32 m = 0; m < p->means; m++) for (i32 kind = 0; kind < FILLS; kind++) {
    i32 c = p->fill[m][kind], down = kind & 1;
    if (!c) continue;
    for (i32 y = w.top, i = 0; y < w.top + w.rows; y++) {
      Band b = band_of(p, c);
      const u16 *cell = row_of(p, &b, y, w.left);
      u8 plane[MAX_SIDE];
      planes_in(p, &b, y, w.left, w.columns, plane);
      for (i32 x = 0; x < w.columns; x++, i++) {
        if (cell && cell[x] > 1) continue;
        i32 before = mean_value(p, m, y - down, w.left + x - !down), after = mean_value(p, m, y + down, w.left + x + !down);
        i32 guess = kind < 2 ? SLOPE * (before - after) : CURVE * (before + after - 2 * mean_value(p, m, y, w.left + x));
        i32 most = (step_units(p->steps[c]) << plane[x]) >> 3;
        values[(size_t)c * area + (size_t)i] = clamp32(-most, (guess + 128) >> 8, most);
      }
    }
  }
  guard(values, p->channels, (u32)area, p->l1_limit);
}

i32 upper_values(const Picture *p, i32 function, i32 y, i32 left, i32 n, i32 *values) {
  Band b = band_of(p, p->channels + function);
  if (!b.cells) return 0;
  dequantize_row(p, &b, p->upper_steps[group_of(p, function)], y, left, n, values, 0, 0, 0);
  return 1;
}

static i32 bits_of(const Tables *t, i32 node) { return t->leaves[node] == 1 ? t->levels : 31 - __builtin_clz((u32)node); }

static void reconstruct_nodes(const Picture *p, Window w, Latents *o) {
  const Tables *t = p->tables;
  size_t area = (size_t)w.rows * (size_t)w.columns;
  for (i32 y = 0; y < w.rows; y++) for (i32 x = 0; x < w.columns; x++) {
    i32 node = p->node[(w.top + y + 1) * (p->columns + 2) + w.left + x + 1], bits = bits_of(t, node), half = t->half_width[bits];
    size_t at = (size_t)(y * w.columns + x);
    for (i32 c = 0; c < p->channels; c++, at += area) {
      i32 v = t->centre[node * p->channels + c], l = min32(MAX_LEVEL, (i32)magnitude_of(v) / max32(1, 2 * half));
      if (o->values) o->values[at] = v;
      if (o->levels) o->levels[at] = v < 0 ? -l : l;
      if (o->precision) o->precision[at] = t->precision[bits];
      if (o->half_width) o->half_width[at] = half;
    }
  }
}

void guard(i32 *values, i32 channels, u32 positions, i32 l1_limit) {
  /* sums of up to 64 positions at a time; each magnitude is cut to one over the largest limit, so that 255 of them stay below 2^32 and a
   * sum is over the limit exactly where the true one is */
  for (u32 from = 0; from < positions; from += 64) {
    u32 norm[64] = { 0 }, n = positions - from < 64 ? positions - from : 64;
    for (i32 c = 0; c < channels; c++) {
      const i32 *v = values + (size_t)c * positions + from;
      for (u32 i = 0; i < n; i++) {
        u32 m = magnitude_of(v[i]);
        norm[i] += m > MAX_L1 + 1 ? MAX_L1 + 1 : m;
      }
    }
    for (u32 i = 0; i < n; i++) while (norm[i] > (u32)l1_limit) {
      norm[i] = 0;
      for (i32 c = 0; c < channels; c++) {
        i32 *v = values + (size_t)c * positions + from + i;
        u32 m = magnitude_of(*v) >> 1;
        *v = *v < 0 ? -(i32)m : (i32)m;
        norm[i] += m > MAX_L1 + 1 ? MAX_L1 + 1 : m;
      }
    }
  }
}

i32 reconstruct(const Picture *p, Window w, Latents *o) {
  if (!p->l1_limit || (p->kind == 'I' && !is_a(p->tables, TABLES))) return fail(SDZ_BAD_CALL, -1);
  o->rows = w.rows, o->columns = w.columns;
  if (p->kind == 'T') reconstruct_planes(p, w, o);
  else reconstruct_nodes(p, w, o);
  if (o->values) guard(o->values, p->channels, (u32)w.rows * (u32)w.columns, p->l1_limit);
  return 0;
}

const int32_t *sdz_facts(const Picture *p) {
  CHECK(is_a(p, PICTURE), SDZ_BAD_CALL, -1);
  return p->facts;
}

int32_t sdz_known(const Picture *p, int32_t top, int32_t left, int32_t rows, int32_t columns, int32_t *value, uint8_t *plane) {
  Window w = { top, left, rows, columns };
  CHECK_CALL(is_a(p, PICTURE) && inside(p, w));
  size_t area = (size_t)rows * (size_t)columns;
  CHECK_CALL(!value || holds(value, area * (p->kind == 'I' ? 1u : (u32)(p->channels + p->upper)), 4));
  if (p->kind == 'I') {
    for (i32 y = 0; y < rows && value; y++) for (i32 x = 0; x < columns; x++) {
      value[y * columns + x] = p->node[(top + y + 1) * (p->columns + 2) + left + x + 1];
    }
    return 0;
  }
  CHECK_CALL(!plane || holds(plane, area * (u32)(p->channels + p->upper), 1));
  i32 *mean = p->means && value ? take(4 * (u64)p->rows * (u64)p->columns, SCRATCH, 0) : 0;
  if (p->means && value && !mean) return -SDZ_NO_MEMORY;
  for (i32 c = 0; c < p->means; c++) {
    size_t at = (size_t)c * area;
    if (plane) __builtin_memset(plane + at, p->floor[c], area);
    if (!value) continue;
    i32 some = has_mean(p, c), failed = some ? paint_mean(p, c, 0, mean) : 0;
    if (failed) {
      give_scratch();
      return failed;
    }
    for (i32 y = 0; y < rows; y++) for (i32 x = 0; x < columns; x++) {
      i32 v = some ? mean[(size_t)(top + y) * (size_t)p->columns + (size_t)(left + x)] : 0, m = ((i32)magnitude_of(v) + 8) >> 4;
      value[at++] = v < 0 ? -m : m;
    }
  }
  give_scratch();
  for (i32 c = p->means; c < p->channels + p->upper; c++) for (i32 y = 0; y < rows; y++) {
    size_t at = (size_t)c * area + (size_t)y * (size_t)columns;
    Band b = band_of(p, c);
    const u16 *cell = row_of(p, &b, top + y, left);
    if (value) for (i32 x = 0; x < columns; x++) value[at + (size_t)x] = !cell ? 0 : cell[x] & 1 ? -(cell[x] >> 1) : cell[x] >> 1;
    if (plane) planes_in(p, &b, top + y, left, columns, plane + at);
  }
  return 0;
}

int32_t sdz_quantization(Picture *p, const uint8_t *steps, int32_t reconstruction, int32_t l1_limit) {
  CHECK_CALL(is_a(p, PICTURE) && l1_limit > 0 && l1_limit <= MAX_L1 && reconstruction >= 0 && reconstruction <= 16);
  u64 codes = 0, area = (u64)p->rows * (u64)p->columns;
  if (p->kind == 'I') {
    CHECK_CALL(is_a(p->tables, TABLES));
    for (i32 y = 0; y < p->rows; y++) for (i32 x = 0; x < p->columns; x++) {
      codes += p->tables->precision[bits_of(p->tables, p->node[(y + 1) * (p->columns + 2) + x + 1])];
    }
    codes *= (u64)p->channels;
  } else {
    CHECK_CALL(holds(steps, (u64)p->channels, 1));
    for (i32 c = 0; c < p->channels; c++) CHECK_CALL(steps[c] <= MAX_STEP);
    for (i32 c = 0; c < p->means; c++) {
      if (!has_mean(p, c)) continue;
      if (!p->mean[c]) p->mean[c] = take(4 * area, PART, p);
      i32 failed = p->mean[c] ? paint_mean(p, c, reconstruction, p->mean[c]) : -SDZ_NO_MEMORY;
      give_scratch();
      if (failed) return failed;
    }
    for (i32 c = 0; c < p->channels; c++) {
      p->steps[c] = (u8)(c < p->means ? min32(MAX_STEP, steps[c] + 8 * p->base) : steps[c]);
      codes += (u64)p->steps[c] * area;
      Band b = band_of(p, c);
      if (c < p->means || (!p->floors && !mixed(&b))) codes += 8 * (u64)b.floor * area;
      else for (i32 y = 0; y < p->rows; y++) codes += 8 * (u64)planes_in(p, &b, y, 0, p->columns, 0);
    }
  }
  p->reconstruction = reconstruction, p->l1_limit = l1_limit;
  p->facts[10] = (i32)(u32)codes, p->facts[11] = (i32)(u32)(codes >> 32);
  return 0;
}

int32_t sdz_latents(const Picture *p, int32_t top, int32_t left, int32_t rows, int32_t columns, int32_t *values, int32_t *levels, int32_t *precision,
    int32_t *half_width) {
  Window w = { top, left, rows, columns };
  CHECK_CALL(is_a(p, PICTURE) && inside(p, w));
  u64 count = (u64)rows * (u64)columns * (u64)p->channels;
  i32 *all[4] = { values, levels, precision, half_width };
  for (i32 i = 0; i < 4; i++) CHECK_CALL(!all[i] || holds(all[i], count, 4));
  Latents o = { 0, 0, values, levels, precision, half_width };
  return reconstruct(p, w, &o);
}

int32_t sdz_guard(int32_t *values, int32_t channels, uint32_t positions, int32_t l1_limit) {
  CHECK_CALL(channels > 0 && channels < 256 && positions <= MAX_POSITIONS && l1_limit > 0 && l1_limit <= MAX_L1);
  CHECK_CALL(holds(values, (u64)channels * positions, 4));
  guard(values, channels, positions, l1_limit);
  return 0;
}
