/* Bit-planes of the channels that are coded as they are (FORMAT.md, "Contexts" and "Planes"): one near and one far pass for each plane of each.
 *
 * A latent is a cell: magnitude << 1 | negative, 0 where nothing is known. Cells have a border of two zeros, so that no neighbour needs a
 * check: contexts look one position far, predictions at most two (checked when tables are opened). A channel's cells exist only once it is
 * active, so a few bytes that claim a huge picture get no memory for it. The cells of a mean are a copy for these contexts, painted anew
 * whenever a plane begins.
 */
#include "planes.h"

enum { BANDS = 4 };
static const u16 PREDICTION_STEPS[] = { 1, 2, 3, 4, 5, 6, 8, 11, 16, 24, 36 }, SIGN_STEPS[] = { 1, 2, 4, 8, 16 },
  COUNT_STEPS[] = { 1, 2, 3, 5, 8, 13, 21 };

/* The same buckets by table: the last entry stands for all larger values. */
static u8 PREDICTION[37], SIGN[17], COUNT[22];
#define LOOK(table, v) ((table)[(u32)(v) < sizeof(table) ? (u32)(v) : sizeof(table) - 1])

static void make_buckets(void) {
  for (i32 i = 0; i < 37; i++) PREDICTION[i] = (u8)reached(i, PREDICTION_STEPS, 11);
  for (i32 i = 0; i < 17; i++) SIGN[i] = (u8)reached(i, SIGN_STEPS, 5);
  for (i32 i = 0; i < 22; i++) COUNT[i] = (u8)reached(i, COUNT_STEPS, 7);
}

u32 lay_channels(Tables *t) {
  const i32 c = t->channels;
  const i32 sizes[CHANNEL_SLOTS] = { c * ENERGY_LEVELS, 12 * 12 * BANDS, c * 16, c * 16, 12 * ENERGY_LEVELS, c * 12, 8 * 8 * BANDS, c * 9, c * 11,
    c * 9, c * 3, ENERGY_LEVELS * 3, c * 9, c * 16 };
  const i32 sets[CHANNEL_SETS] = { ENERGY_LEVELS, c, 11, c, ENERGY_LEVELS, c };
  for (i32 i = 0; i < CHANNEL_SLOTS; i++) t->bases[i + 1] = t->bases[i] + sizes[i];
  for (i32 i = 0; i < CHANNEL_SETS; i++) t->sets[i + 1] = t->sets[i] + sets[i] * STRIDE;
  return (u32)c * (2 * PARTS + 6 + 2 * CROSS_TERMS + PREDICTION_TERMS * 5) + 2 * (ENERGY_LEVELS - 1);
}

i32 read_channels(Tables *t, Copying *from, i32 *where) {
  const u32 c = (u32)t->channels;
  t->order = copied(from, c * PARTS, 2);
  t->space = copied(from, c * 6, 1);
  t->cross_channel = copied(from, c * CROSS_TERMS, 1);
  t->cross = copied(from, c * CROSS_TERMS, 1);
  t->prediction_channel = copied(from, c * PREDICTION_TERMS, 1);
  t->dy = copied(from, c * PREDICTION_TERMS, 1);
  t->dx = copied(from, c * PREDICTION_TERMS, 1);
  t->prediction = copied(from, c * PREDICTION_TERMS, 2);
  const u16 *thresholds = copied(from, ENERGY_LEVELS - 1, 2);
  i32 wrong = 0;
  for (u32 i = 0; i < c * CROSS_TERMS; i++) if (t->cross_channel[i] >= c) wrong = SDZ_TABLES_CHANNEL, *where = (i32)i / CROSS_TERMS;
  for (i32 k = 0; k < t->channels; k++) {
    i32 ahead = t->order[2 * k] - t->order[2 * k + 1];
    if (ahead < 0 || ahead >= A_PLANE) wrong = SDZ_TABLES_PASSES, *where = k;
    i32 sum = 0; /* times 1.5 * 2^15, the largest value a prediction sees, it must stay below 2^31 */
    for (i32 i = k * PREDICTION_TERMS; i < (k + 1) * PREDICTION_TERMS; i++) {
      if (t->prediction_channel[i] >= c) wrong = SDZ_TABLES_CHANNEL, *where = k;
      if (t->dy[i] < -BORDER || t->dy[i] > BORDER || t->dx[i] < -BORDER || t->dx[i] > BORDER) wrong = SDZ_TABLES_REACH, *where = k;
      sum += t->prediction[i] < 0 ? -t->prediction[i] : t->prediction[i];
    }
    if (sum > 43690) wrong = SDZ_TABLES_WEIGHTS, *where = k;
  }
  for (i32 i = 1; i < ENERGY_LEVELS - 1; i++) if (thresholds[i] < thresholds[i - 1]) wrong = SDZ_TABLES_ORDER, *where = i;
  for (i32 e = 0; e < 4096; e++) t->bucket[e] = (u8)reached(e, thresholds, ENERGY_LEVELS - 1);
  make_buckets();
  return wrong;
}

/* What the contexts of channels see of the means: whole values as they are known when a plane begins. 0 without memory. */
static i32 see_means(Run *run) {
  Picture *p = run->picture;
  i32 *values = take(4 * (u64)p->rows * (u64)p->columns, SCRATCH, 0);
  if (!values) return 0;
  for (i32 c = 0; c < run->tables->means; c++) {
    if (!has_mean(p, c)) continue;
    if (!cells_of(p, c) || paint_mean(p, c, MIDDLE, values) < 0) return 0;
    run->active[c] = 1;
    for (i32 y = 0, i = 0; y < p->rows; y++) {
      u16 *cell = p->cells[c] + (size_t)(y + BORDER) * (size_t)(p->columns + 2 * BORDER) + BORDER;
      for (i32 x = 0; x < p->columns; x++, i++) {
        u32 m = (u32)min32(MEAN_LIMIT >> 4, (i32)(((magnitude_of(values[i]) + 8) >> 4) << p->base));
        cell[x] = (u16)(m << 1 | (values[i] < 0));
      }
    }
  }
  give(values);
  return 1;
}

/* Codes a pass. Returns how many positions of it are known: all, or fewer where the bytes end; -1 without memory. One call per pass: a
 * WebAssembly engine's better code can take over in the middle of the first picture. */
INLINE i32 code_channel(Run *run, const u32 pass, const i32 encode) {
  Coder *d = &run->coder;
  Picture *picture = run->picture;
  const Tables *t = run->tables;
  const i32 h = picture->rows, w = picture->columns, W = w + 2 * BORDER;
  const i32 plane = PLANE(pass), ch = BAND(pass), far = PART_OF(pass);
  const i32 absolute = min32(15, (run->step_index >> 3) + plane);
  const u8 *bucket = t->bucket;
  if (!run->active[ch]) {
    if (!far) return h * w;
    u32 p = (u32)clamp32(500, d->probability[t->bases[13] + ch * 16 + absolute], 65000);
    i32 flag = encode ? run->peak[ch] >> plane != 0 : 0;
    if (encode) encode_bit(d, p, flag);
    else flag = decode_bit(d, p);
    if (d->stopped) return 0;
    if (!flag) return h * w;
    if (!cells_of(picture, ch)) return -1;
    run->active[ch] = 1;
  }
  if (plane < run->seen_plane) {
    if (!see_means(run)) return -1;
    run->seen_plane = plane;
  }
  u16 *cell = picture->cells[ch], *significant = run->significant;
  const i32 threshold = 1 << plane, half = threshold >> 1, band = ch < 6 ? 0 : ch < 24 ? 1 : ch < 54 ? 2 : 3;
  const u8 *space_weight = t->space + ch * 6;
  const u16 *across_cell[CROSS_TERMS], *guess_cell[PREDICTION_TERMS];
  i32 across_weight[CROSS_TERMS], guess_weight[PREDICTION_TERMS], guess_half[PREDICTION_TERMS], across_terms = 0, guess_terms = 0;
  /* a channel that is all zeros as yet adds nothing */
  for (i32 i = ch * CROSS_TERMS; i < (ch + 1) * CROSS_TERMS; i++) {
    if (!t->cross[i] || !run->active[t->cross_channel[i]]) continue;
    across_weight[across_terms] = t->cross[i];
    across_cell[across_terms++] = picture->cells[t->cross_channel[i]];
  }
  for (i32 i = ch * PREDICTION_TERMS; i < (ch + 1) * PREDICTION_TERMS; i++) {
    if (!t->prediction[i] || !run->active[t->prediction_channel[i]]) continue;
    guess_weight[guess_terms] = t->prediction[i];
    guess_half[guess_terms] = t->prediction_channel[i] < t->means ? 0 : half;
    guess_cell[guess_terms++] = picture->cells[t->prediction_channel[i]] + t->dy[i] * W + t->dx[i];
  }
  const i32 *bases = t->bases, *sets = t->sets;
  const i32 b0 = bases[0] + ch * ENERGY_LEVELS, b1 = bases[1] + band, b2 = bases[2] + ch * 16, b3 = bases[3] + ch * 16 + absolute,
            b5 = bases[5] + ch * 12, b6 = bases[6] + band, set_b = sets[1] + ch * STRIDE;
  i32 slot[7], done = 0;
  u32 ones = 0, seen = 0;
  for (i32 y = 0; y < h; y++) {
    i32 b4 = bases[4] + density_of(ones, seen) * ENERGY_LEVELS;
    i32 at = (y + BORDER) * W + BORDER;
    const u8 *floors = picture->floors ? picture->floors + y * w : 0;
    Around a = before_row(cell + at, W, plane);
    for (i32 x = 0; x < w; x++, at++) {
      slide(&a, cell + at, W, plane);
      if (part_of(&a) != far || (floors && floors[x] > plane)) {
        done++;
        continue;
      }
      i32 space = space_weight[0] * LEVEL_WEIGHT[a.we] + space_weight[1] * LEVEL_WEIGHT[a.n] + space_weight[2] * LEVEL_WEIGHT[a.ea] +
                  space_weight[3] * LEVEL_WEIGHT[a.so] + space_weight[4] * (LEVEL_WEIGHT[a.nw] + LEVEL_WEIGHT[a.ne]) +
                  space_weight[5] * (LEVEL_WEIGHT[a.sw] + LEVEL_WEIGHT[a.se]);
      i32 across = 0, guess = 0;
      for (i32 i = 0; i < across_terms; i++) across += across_weight[i] * LEVEL_WEIGHT[level(across_cell[i][at], plane)];
      i32 energy = bucket[min32(4095, space + across)];
      for (i32 i = 0; i < guess_terms; i++) {
        i32 v = guess_cell[i][at];
        if (!v) continue;
        i32 m = (v >> 1) + guess_half[i];
        guess += guess_weight[i] * (v & 1 ? -m : m);
      }
      guess >>= 8;
      u32 known = cell[at];
      i32 value = encode ? run->source[((u32)ch * (u32)h + (u32)y) * (u32)w + (u32)x] : 0;
      if (!known) {
        i32 steps = (i32)((magnitude_of(guess) << 2) >> plane);
        slot[0] = b0 + energy;
        slot[1] = b1 + ((bucket[min32(4095, space)] >> 1) * 12 + (bucket[min32(4095, across)] >> 1)) * BANDS;
        slot[2] = b2 + (a.we ? 1 : 0) + (a.n ? 2 : 0) + (a.ea ? 4 : 0) + (a.so ? 8 : 0);
        slot[3] = b3;
        slot[4] = b4 + energy;
        slot[5] = b5 + LOOK(PREDICTION, steps);
        i32 beside = significant[at - 1] + significant[at - W] + significant[at + 1] + significant[at + W];
        slot[6] = b6 + (LOOK(COUNT, significant[at]) * 8 + LOOK(COUNT, beside >> 1)) * BANDS;
        i32 bit = decide(d, encode, encode && magnitude_of(value) >> plane != 0, 7, slot, sets[0] + energy * STRIDE, set_b);
        if (UNLIKELY(d->stopped)) return done;
        if (encode && run->chances) run->chances[((u32)ch * (u32)h + (u32)y) * (u32)w + (u32)x] = (u16)d->chance;
        seen++;
        if (bit) {
          ones++;
          i32 size = LOOK(SIGN, steps), toward = (guess < 0 ? -size : size) + 5;
          slot[0] = bases[7] + ch * 9 + (sign_of(cell[at - 1]) + 1) * 3 + sign_of(cell[at - W]) + 1;
          slot[1] = bases[8] + ch * 11 + toward;
          slot[2] = bases[9] + ch * 9 + (sign_of(cell[at + 1]) + 1) * 3 + sign_of(cell[at + W]) + 1;
          i32 negative = decide(d, encode, value < 0, 3, slot, sets[2] + toward * STRIDE, sets[3] + ch * STRIDE);
          if (UNLIKELY(d->stopped)) return done;
          a.here = 1;
          cell[at] = (u16)(threshold << 1 | negative);
          significant[at]++;
        }
      } else {
        i32 m = (i32)(known >> 1), beyond = min32(3, m >> (plane + 1)) - 1;
        i32 away = clamp32(-4, (((known & 1 ? -guess : guess) - m - threshold) * 2) >> plane, 4);
        slot[0] = bases[10] + ch * 3 + beyond;
        slot[1] = bases[11] + energy * 3 + beyond;
        slot[2] = bases[12] + ch * 9 + away + 4;
        i32 bit = decide(d, encode, encode ? (i32)(magnitude_of(value) >> plane) & 1 : 0, 3, slot, sets[4] + energy * STRIDE, sets[5] + ch * STRIDE);
        if (UNLIKELY(d->stopped)) return done;
        if (encode && run->chances) run->chances[((u32)ch * (u32)h + (u32)y) * (u32)w + (u32)x] = (u16)d->chance;
        if (bit) {
          cell[at] = (u16)(known + (u32)(threshold << 1));
          a.here = level(cell[at], plane);
        }
      }
      done++;
    }
  }
  return done;
}

OUTLINE i32 decode_channel(Run *run, u32 pass) { return code_channel(run, pass, 0); }
OUTLINE i32 encode_channel(Run *run, u32 pass) { return code_channel(run, pass, 1); }

