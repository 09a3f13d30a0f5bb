/* The linear stage (FORMAT.md): weighted sums of the pack's patterns, lapped over the borders of blocks; and its reductions.
 *
 * Sums run over what is not zero only, in pairs of neighbouring inputs. An input beyond 16 bits is several entries of 16 bits: the guard keeps
 * the sum of all magnitudes at a position within the pack's limit, so there are at most limit / 32767 entries more than pairs. All sums are
 * modulo 2^32, and the limit times the largest weight is below 2^31: checked when a table is opened.
 *
 * A lapping's rows sum to at most 232 of 256: levels within 2^13 stay within 2^13 * (1 + 2 * 232 / 256) = 23,040 after the first filter, so they
 * fit 16 bits, and differences after it 17; the second filter saturates at 16 bits, which only levels beyond +-2,047 pixels reach.
 */
#include "kernels.h"

enum { PLACES = 4, LAP_SUM = 232 };

i32 pattern_blocks(i32 outputs) { return (outputs + 31) / 32; }

i16 *new_patterns(Patterns *p, i32 inputs, i32 outputs, const void *owner) {
  p->inputs = inputs, p->pairs = (inputs + 1) / 2, p->outputs = outputs;
  i16 *w = take((u64)pattern_blocks(outputs) * (u64)p->pairs * 128, PART, owner);
  p->weight = w;
  return w;
}

void set_pattern(const Patterns *p, i32 input, i32 output, i32 weight) {
  i16 *w = (i16 *)p->weight;
  w[(((size_t)(output >> 5) * (size_t)p->pairs + (size_t)(input >> 1)) * 32 + (output & 31)) * 2 + (input & 1)] = (i16)weight;
}

i32 entry_room(i32 pairs, i32 l1_limit) { return pairs + l1_limit / 32767 + 1; }

void append_entries(const i32 *plane, i32 inputs, u32 area, i32 columns, i32 from, Entry *entries, i32 room, i32 *count) {
  for (i32 k = 0; k < inputs; k += 2) {
    const i32 *a = plane + (size_t)k * area, *b = k + 1 < inputs ? a + area : 0;
    for (i32 x = 0; x < columns; x++) {
      i32 v = a[x], u = b ? b[x] : 0;
      while (v | u) {
        i32 low = clamp32(-32767, v, 32767), high = clamp32(-32767, u, 32767);
        Entry e = { (u32)(from + (k >> 1)), ((u32)low & 0xffff) | (u32)high << 16 };
        entries[(size_t)x * (size_t)room + (size_t)count[x]++] = e;
        v -= low, u -= high;
      }
    }
  }
}

/* Separable tables: head, colours (plane, R G B), waves (k, pixel), gains; plane, row and column of every channel; and, where the head's last
 * byte is one, the upper functions' gain in each plane. */
enum { HEAD = 8, SEPARABLE_SHIFT = 62 };

static u32 separable_bytes(i32 channels, i32 patch, i32 upper) { return (u32)(HEAD + 18 + 2 * patch * patch + 5 * channels + 6 * upper); }

static i64 word(const u8 *words, i32 at) { return (int16_t)(words[2 * at] | words[2 * at + 1] << 8); }

/* The table of a separable one, i16 (C, 3 p p); a negative reason, with its number at `where`. Products of four i16 fit 61 bits. */
static i32 expand(const u8 *data, i32 channels, i32 patch, i16 *table, i32 *where) {
  const u8 *colours = data + HEAD, *waves = colours + 18, *gains = waves + 2 * patch * patch, *plane = gains + 2 * channels;
  const u8 *row = plane + channels, *column = row + channels;
  i32 shift = data[6];
  *where = 0;
  if (data[0] != 's' || data[1] != 'd' || data[2] != 'z' || data[3] != 'S' || data[4] != channels || data[5] != patch) return -SDZ_LINEAR_MAGIC;
  if (shift > SEPARABLE_SHIFT) return -SDZ_LINEAR_FUNCTION;
  i64 half = 1ll << shift >> 1;
  for (i32 c = 0; c < channels; c++) {
    *where = c;
    if (plane[c] > 2 || row[c] >= patch || column[c] >= patch) return -SDZ_LINEAR_FUNCTION;
    for (i32 colour = 0; colour < 3; colour++) for (i32 y = 0; y < patch; y++) for (i32 x = 0; x < patch; x++) {
      i64 down = word(waves, row[c] * patch + y), across = word(waves, column[c] * patch + x);
      i64 v = (word(gains, c) * word(colours, 3 * plane[c] + colour) * (down * across) + half) >> shift;
      if (v < -32767 || v > 32767) return -SDZ_LINEAR_FUNCTION;
      *table++ = (i16)v;
    }
  }
  return 0;
}

/* The upper functions of a separable table, as `list_upper` counts them. */
static i32 open_upper(Upper *up, const u8 *colours, i32 channels) {
  const u8 *waves = colours + 18, *gains = waves + 2 * UPPER_SIDE * UPPER_SIDE, *plane = gains + 2 * channels, *row = plane + channels;
  for (i32 k = 0; k < 3; k++) {
    up->gain[k] = (i16)word(row + 2 * channels, k);
    for (i32 c = 0; c < 3; c++) up->colours[k][c] = (i16)word(colours, 3 * k + c);
  }
  for (i32 i = 0; i < UPPER_SIDE * UPPER_SIDE; i++) up->waves[i / UPPER_SIDE][i % UPPER_SIDE] = (i16)word(waves, i);
  up->count = list_upper(plane, row, row + channels, channels, up->place);
  return up->count;
}

Linear *sdz_linear(const uint8_t *table, uint32_t bytes, int32_t channels, int32_t patch, int32_t shift, int32_t l1_limit, const int32_t *lapping,
    int32_t overlap) {
  CHECK(channels > 0 && channels < 256 && (patch == 4 || patch == 8 || patch == 16 || patch == 32), SDZ_BAD_CALL, -1);
  CHECK(l1_limit > 0 && l1_limit <= MAX_L1 && shift > (overlap ? PLACES : 0) && shift <= 20 && overlap >= 0 && overlap <= patch / 2, SDZ_BAD_CALL, -1);
  CHECK(holds(table, bytes, 1) && (!overlap || holds(lapping, (u64)overlap * (u64)overlap, 4)), SDZ_BAD_CALL, -1);
  i32 outputs = 3 * patch * patch;
  u32 dense = 2u * (u32)channels * (u32)outputs;
  /* never as long as a dense one: 6 p p C is neither 26 + 2 p p + 5 C nor 32 + 2 p p + 5 C for any C */
  i32 upper = bytes == separable_bytes(channels, patch, 1), separable = upper || bytes == separable_bytes(channels, patch, 0);
  CHECK(bytes == dense || separable, SDZ_LINEAR_LENGTH, (i32)bytes);
  CHECK(!separable || table[7] == upper, SDZ_LINEAR_MAGIC, 0);
  CHECK(!upper || (patch == UPPER_SIDE && overlap), SDZ_LINEAR_FUNCTION, channels);
  for (i32 i = 0; i < overlap; i++) {
    i64 sum = 0;
    for (i32 j = 0; j < overlap; j++) sum += magnitude_of(lapping[i * overlap + j]);
    CHECK(sum <= LAP_SUM, SDZ_LINEAR_SUMS, i);
  }
  Linear *l = take(sizeof(Linear), LINEAR, 0);
  i16 *copy = l ? take(dense, PART, l) : 0;
  if (!copy || !new_patterns(&l->patterns, channels, outputs, l)) {
    give(l);
    return 0;
  }
  i32 where, reason = separable ? expand(table, channels, patch, copy, &where) : 0;
  if (reason) {
    give(l);
    CHECK(0, -reason, where);
  }
  if (!separable) __builtin_memcpy(copy, table, bytes);
  if (upper) reason = open_upper(&l->upper, table + HEAD, channels), where = reason < 0 ? -1 - reason : 0;
  if (reason < 0) {
    give(l);
    CHECK(0, SDZ_LINEAR_FUNCTION, where);
  }
  l->channels = channels, l->patch = patch, l->shift = shift, l->l1_limit = l1_limit, l->reach = overlap, l->overlap = overlap + (overlap & 1);
  l->table = copy;
  for (i32 i = 0; i < overlap; i++) for (i32 j = 0; j < overlap; j++) l->lapping[i * l->overlap + j] = lapping[i * overlap + j];
  i32 most = 0;
  for (i32 c = 0; c < channels; c++) for (i32 colour = 0; colour < 3; colour++) for (i32 i = 0; i < patch * patch; i++) {
    i32 w = copy[(c * 3 + colour) * patch * patch + i];
    most = max32(most, (i32)magnitude_of(w));
    set_pattern(&l->patterns, c, 3 * i + colour, w); /* outputs are (row, column, colour) here */
  }
  if ((i64)l1_limit * most + (1ll << (shift + 8)) >= 1ll << 31) {
    give(l);
    CHECK(0, SDZ_LINEAR_SUMS, most);
  }
  return l;
}

/* Filters the borders between columns of blocks in one row of `blocks` blocks. */
static void lap_columns(const Linear *l, i16 *row, i32 blocks) {
  i32 n = l->reach, p = l->patch;
  for (i32 at = p; at < blocks * p; at += p) for (i32 c = 0; c < 3; c++) {
    i16 *border = row + 3 * at + c;
    i32 difference[16];
    for (i32 j = 0; j < n; j++) difference[j] = border[-3 * (j + 1)] - border[3 * j];
    for (i32 i = 0; i < n; i++) {
      i32 sum = 0;
      for (i32 j = 0; j < n; j++) sum += l->lapping[i * l->overlap + j] * difference[j];
      i32 a = border[-3 * (i + 1)] + ((sum + 128) >> 8), b = border[3 * i] + ((128 - sum) >> 8);
      border[-3 * (i + 1)] = (i16)clamp32(-32768, a, 32767);
      border[3 * i] = (i16)clamp32(-32768, b, 32767);
    }
  }
}

i32 linear_levels(const Linear *l, const Picture *picture, const i32 *values, Window window, i16 **levels, i32 **sums) {
  const i32 rows = window.rows, columns = window.columns;
  const Patterns *pat = &l->patterns;
  i32 p = l->patch, room = entry_room(pat->pairs, l->l1_limit), blocks = pattern_blocks(pat->outputs), line = 3 * p * columns, lapped = l->overlap > 0;
  u64 samples = (u64)line * (u64)(p * rows);
  Entry *entries = take((u64)room * (u64)columns * sizeof(Entry), SCRATCH, 0);
  i32 *count = take(4 * (u64)columns, SCRATCH, 0);
  i16 *fine = lapped ? take(2 * samples + 16, SCRATCH, 0) : 0;
  i32 *coarse = lapped ? 0 : take(4 * samples, SCRATCH, 0);
  /* one row of positions, block after block of outputs: a block's weights stay near while all positions use them */
  i32 *row = take(4 * (u64)columns * (u64)blocks * 32, SCRATCH, 0);
  i16 *uppers = picture ? take(2 * (u64)columns * UPPER_FUNCTIONS, SCRATCH, 0) : 0;
  if (!entries || !count || !row || !(fine || coarse) || (picture && !uppers)) return -SDZ_NO_MEMORY;
  i32 shift = l->shift - PLACES, half = lapped ? 1 << (shift - 1) : 0;
  for (i32 y = 0; y < rows; y++) {
    __builtin_memset(count, 0, 4 * (size_t)columns);
    append_entries(values + y * columns, l->channels, (u32)rows * (u32)columns, columns, 0, entries, room, count);
    for (i32 b = 0; b < blocks; b++) for (i32 x = 0; x < columns; x++) {
      pattern_sums(entries + (size_t)x * (size_t)room, count[x], pat->weight + (size_t)b * (size_t)pat->pairs * 64, row + (x * blocks + b) * 32);
    }
    for (i32 x = 0; x < columns; x++) for (i32 r = 0; r < p; r++) {
      const i32 *from = row + x * blocks * 32 + r * 3 * p;
      size_t to = (size_t)(y * p + r) * (size_t)line + (size_t)(3 * p * x);
      if (lapped) for (i32 i = 0; i < 3 * p; i++) fine[to + (size_t)i] = (i16)clamp32(-LAP_LIMIT, (from[i] + half) >> shift, LAP_LIMIT);
      else __builtin_memcpy(coarse + to, from, 12 * (size_t)p);
    }
    if (picture) add_upper(l, picture, window.top + y, window.left, columns, uppers, fine + (size_t)(y * p) * (size_t)line);
  }
  if (lapped) {
    for (i32 y = p; y < rows * p; y += p) lap_rows(fine + (size_t)y * (size_t)line, line, line, l->lapping, l->overlap);
    for (i32 y = 0; y < rows * p; y++) lap_columns(l, fine + (size_t)y * (size_t)line, columns);
  }
  give(entries), give(count), give(row), give(uppers);
  *levels = fine, *sums = coarse;
  return 0;
}

/* The table with which sums give the means of factor x factor pixels: int32 (C, 3, reach, reach), and its shift. One block among its neighbours
 * is filtered, then `factor` of its pixels are added up; filtered patterns keep some binary places. */
static i32 *reduced_table(const Linear *l, i32 factor, i32 *reach, i32 *shift) {
  i32 p = l->patch, n = l->reach, ring = (n + factor - 1) / factor, size = p / factor + 2 * ring, first = p - ring * factor;
  *reach = size, *shift = l->shift + PLACES;
  for (i32 f = factor; f > 1; f >>= 1) *shift += 2;
  i32 *seen = take(4ull * 3 * (u32)p * (u32)p, SCRATCH, 0), *cells = take(4ull * (u32)size * (u32)p, SCRATCH, 0);
  i64 *half = take(8ull * (u32)size * (u32)p, SCRATCH, 0);
  i32 *table = take(4ull * (u32)l->channels * 3 * (u32)size * (u32)size, SCRATCH, 0);
  if (!seen || !cells || !half || !table) return 0;
  for (i32 i = 0; i < p; i++) seen[(p + i) * p + i] = 256;
  for (i32 border = p; border < 3 * p; border += p) for (i32 x = 0; x < p; x++) {
    i32 d[16];
    for (i32 j = 0; j < n; j++) d[j] = seen[(border - 1 - j) * p + x] - seen[(border + j) * p + x];
    for (i32 i = 0; i < n; i++) {
      i32 sum = 0;
      for (i32 j = 0; j < n; j++) sum += l->lapping[i * l->overlap + j] * d[j];
      seen[(border - 1 - i) * p + x] += (sum + 128) >> 8;
      seen[(border + i) * p + x] += (128 - sum) >> 8;
    }
  }
  for (i32 a = 0; a < size; a++) for (i32 f = 0; f < factor; f++) for (i32 i = 0; i < p; i++) cells[a * p + i] += seen[(first + a * factor + f) * p + i];
  for (i32 k = 0; k < l->channels * 3; k++) {
    const i16 *t = l->table + (size_t)k * (size_t)(p * p);
    for (i32 a = 0; a < size; a++) for (i32 j = 0; j < p; j++) {
      i64 sum = 0;
      for (i32 i = 0; i < p; i++) sum += cells[a * p + i] * t[i * p + j];
      half[a * p + j] = sum;
    }
    for (i32 a = 0; a < size; a++) for (i32 b = 0; b < size; b++) {
      i64 sum = 0;
      for (i32 j = 0; j < p; j++) sum += half[a * p + j] * cells[b * p + j];
      /* 2^-12 of it, halves to even */
      i64 whole = sum >> 12, rest = sum & 4095;
      table[(k * size + a) * size + b] = (i32)(whole + (rest > 2048 || (rest == 2048 && (whole & 1))));
    }
  }
  return table;
}

static i32 paint_reduced(const Linear *l, const i32 *values, Window seen, Window core, i32 factor, u8 *rgba) {
  i32 reach, shift, side = l->patch / factor, *table = reduced_table(l, factor, &reach, &shift);
  if (!table) return -SDZ_NO_MEMORY;
  i32 ring = (reach - side) / 2, height = side * seen.rows + 2 * ring, width = side * seen.columns + 2 * ring;
  i64 *canvas = take(24 * (u64)height * (u64)width, SCRATCH, 0); /* (3, height, width) */
  if (!canvas) return -SDZ_NO_MEMORY;
  size_t area = (size_t)seen.rows * (size_t)seen.columns;
  for (i32 c = 0; c < l->channels; c++) for (i32 y = 0; y < seen.rows; y++) for (i32 x = 0; x < seen.columns; x++) {
    i64 v = values[(size_t)c * area + (size_t)(y * seen.columns + x)];
    if (!v) continue;
    for (i32 colour = 0; colour < 3; colour++) for (i32 a = 0; a < reach; a++) {
      const i32 *t = table + ((c * 3 + colour) * reach + a) * reach;
      i64 *o = canvas + ((size_t)(colour * height + y * side + a)) * (size_t)width + (size_t)(x * side);
      for (i32 b = 0; b < reach; b++) o[b] += v * t[b];
    }
  }
  /* what reaches beyond the picture is mirrored back into it: outer borders are not filtered */
  for (i32 colour = 0; colour < 3; colour++) {
    i64 *o = canvas + (size_t)colour * (size_t)height * (size_t)width;
    for (i32 r = 0; r < ring; r++) for (i32 x = 0; x < width; x++) {
      o[(2 * ring - 1 - r) * width + x] += o[r * width + x];
      o[(height - 2 * ring + r) * width + x] += o[(height - 1 - r) * width + x];
    }
    for (i32 y = ring; y < height - ring; y++) for (i32 r = 0; r < ring; r++) {
      o[y * width + 2 * ring - 1 - r] += o[y * width + r];
      o[y * width + width - 2 * ring + r] += o[y * width + width - 1 - r];
    }
  }
  i64 offset = (128ll << shift) + (1ll << (shift - 1));
  for (i32 y = 0; y < core.rows * side; y++) for (i32 x = 0; x < core.columns * side; x++, rgba += 4) {
    size_t at = (size_t)(ring + (core.top - seen.top) * side + y) * (size_t)width + (size_t)(ring + (core.left - seen.left) * side + x);
    for (i32 c = 0; c < 3; c++) {
      i64 v = (canvas[(size_t)c * (size_t)height * (size_t)width + at] + offset) >> shift;
      rgba[c] = (u8)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
    rgba[3] = 255;
  }
  return 0;
}

static i32 paint_window(const Picture *p, const Linear *l, Window core, i32 reduce, u8 *rgba) {
  Window seen = l->overlap ? grown(p, core, 1) : core;
  Latents o = { 0 };
  o.values = take(4 * (u64)p->channels * (u64)seen.rows * (u64)seen.columns, SCRATCH, 0);
  if (!o.values) return -SDZ_NO_MEMORY;
  i32 failed = reconstruct(p, seen, &o);
  if (failed) return failed;
  if (p->means) fill(p, seen, o.values);
  if (reduce > 1) return paint_reduced(l, o.values, seen, core, reduce, rgba);
  i16 *levels;
  i32 *sums;
  failed = linear_levels(l, p->upper ? p : 0, o.values, seen, &levels, &sums);
  if (failed) return failed;
  i32 side = l->patch, line = 3 * side * seen.columns, left = 3 * side * (core.left - seen.left), offset = (128 << l->shift) + (1 << (l->shift - 1));
  for (i32 y = 0; y < core.rows * side; y++) {
    size_t from = (size_t)((core.top - seen.top) * side + y) * (size_t)line + (size_t)left;
    for (i32 x = 0; x < core.columns * side; x++, rgba += 4, from += 3) {
      for (i32 c = 0; c < 3; c++) {
        i32 v = levels ? (levels[from + (size_t)c] + 2056) >> 4 : (sums[from + (size_t)c] + offset) >> l->shift;
        rgba[c] = (u8)clamp32(0, v, 255);
      }
      rgba[3] = 255;
    }
  }
  return 0;
}

int32_t sdz_paint_linear(const Picture *p, const Linear *l, int32_t top, int32_t left, int32_t rows, int32_t columns, int32_t reduce, uint8_t *rgba) {
  Window core = { top, left, rows, columns };
  CHECK_CALL(is_a(p, PICTURE) && is_a(l, LINEAR) && inside(p, core) && p->channels == l->channels && p->l1_limit && p->l1_limit <= l->l1_limit);
  if (p->upper && p->upper != l->upper.count) return fail(SDZ_LINEAR_FUNCTION, p->channels);
  CHECK_CALL(reduce > 0 && reduce <= l->patch && !(reduce & (reduce - 1)));
  i32 side = l->patch / reduce;
  CHECK_CALL(holds(rgba, 4 * (u64)rows * (u64)columns * (u64)(side * side), 1));
  i32 failed = paint_window(p, l, core, reduce, rgba);
  give_scratch();
  return failed;
}
