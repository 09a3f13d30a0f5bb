/* Integer latents to embedded bit-planes and back (FORMAT.md, "Contexts" and "Planes"); palettes, which need no coding, beside them.
 *
 * A latent is a cell: magnitude << 1 | negative, 0 where nothing is known. Cells have a border of two zeros, so that no neighbour needs a
 * check: contexts look one position far, predictions at most two (checked when tables are opened). A channel's cells exist only once it is
 * active, so a few bytes that claim a huge picture get no memory for it.
 */
#include "coder.h"

enum { DENSITIES = 11, BANDS = 4, A_PLANE = 10 };
#define PLANE(pass) ((pass) >> 8 & 15)
#define CHANNEL(pass) ((pass) & 255)
static const u16 PREDICTION_STEPS[] = { 1, 2, 3, 4, 5, 6, 8, 11, 16, 24, 36 }, SIGN_STEPS[] = { 1, 2, 4, 8, 16 },
  DENSITY_STEPS[] = { 2, 5, 9, 15, 24, 36, 52, 74, 104, 140 }, COUNT_STEPS[] = { 1, 2, 3, 5, 8, 13, 21 };
static const i32 LEVEL_WEIGHT[5] = { 0, 3, 5, 7, 9 };

/* The same buckets by table: the last entry stands for all larger values. */
static u8 PREDICTION[37], SIGN[17], COUNT[22];
#define LOOK(table, v) ((table)[(u32)(v) < sizeof(table) ? (u32)(v) : sizeof(table) - 1])

static void make_buckets(void) {
  for (i32 i = 0; i < 37; i++) PREDICTION[i] = (u8)reached(i, PREDICTION_STEPS, 11);
  for (i32 i = 0; i < 17; i++) SIGN[i] = (u8)reached(i, SIGN_STEPS, 5);
  for (i32 i = 0; i < 22; i++) COUNT[i] = (u8)reached(i, COUNT_STEPS, 7);
}

Tables *open_planes(const u8 *data, u32 bytes) {
  i32 c = data[4];
  CHECK(c, SDZ_TABLES_CHANNEL, 0);
  const i32 sizes[14] = { c * ENERGY_LEVELS, 12 * 12 * 4, c * 16, c * 16, 12 * ENERGY_LEVELS, c * 12, 8 * 8 * 4, c * 9, c * 11, c * 9, c * 3,
    ENERGY_LEVELS * 3, c * 9, c * 16 };
  const i32 sets[6] = { ENERGY_LEVELS, c, 11, c, ENERGY_LEVELS, c };
  i32 states = 0, weights = 0;
  for (i32 i = 0; i < 14; i++) states += sizes[i];
  for (i32 i = 0; i < 6; i++) weights += sets[i] * STRIDE;
  u32 fixed = 8 + (u32)c * (2 * PARTS + 6 + 2 * CROSS_TERMS + PREDICTION_TERMS * 5) + 2 * (ENERGY_LEVELS - 1);
  CHECK(bytes == fixed + 3 * (u32)states + 2 * (u32)weights, SDZ_TABLES_LENGTH, (i32)bytes);
  Tables *t = take(sizeof(Tables), TABLES, 0);
  /* arrays of 16 bits lie at even addresses here, wherever they lie in the file */
  u8 *at = t ? take((u64)bytes + 64, PART, t) : 0;
  if (!at) {
    give(t);
    return 0;
  }
  const u8 *from = data + 8;
#define COPY(field, count, size) \
  do { at += (size_t)at & ((size) - 1); __builtin_memcpy(at, from, (size_t)(count) * (size)); t->field = (void *)at; at += (count) * (size); from += (count) * (size); } while (0)
  COPY(order, c * PARTS, 2);
  COPY(space, c * 6, 1);
  COPY(cross_channel, c * CROSS_TERMS, 1);
  COPY(cross, c * CROSS_TERMS, 1);
  COPY(prediction_channel, c * PREDICTION_TERMS, 1);
  COPY(dy, c * PREDICTION_TERMS, 1);
  COPY(dx, c * PREDICTION_TERMS, 1);
  COPY(prediction, c * PREDICTION_TERMS, 2);
  u16 thresholds[ENERGY_LEVELS - 1];
  __builtin_memcpy(thresholds, from, sizeof thresholds);
  from += sizeof thresholds;
  COPY(probability, states, 2);
  COPY(count, states, 1);
  at += 16 - ((size_t)at & 15); /* the mixers' vectors */
  COPY(weight, weights, 2);
  t->kind = 'T', t->channels = c, t->rate = data[6], t->count_limit = data[7], t->states = states, t->weights = weights;
  for (i32 i = 0; i < 14; i++) t->bases[i + 1] = t->bases[i] + sizes[i];
  for (i32 i = 0; i < 6; i++) t->sets[i + 1] = t->sets[i] + sets[i] * STRIDE;
  i32 wrong = 0, place = -1;
  for (i32 i = 0; i < c * CROSS_TERMS; i++) if (t->cross_channel[i] >= c) wrong = SDZ_TABLES_CHANNEL, place = i / CROSS_TERMS;
  for (i32 k = 0; k < c; k++) {
    i32 ahead = t->order[2 * k] - t->order[2 * k + 1];
    if (ahead < 0 || ahead >= A_PLANE) wrong = SDZ_TABLES_PASSES, place = k;
    i32 sum = 0; /* times 1.5 * 2^15, the largest value a prediction sees, it must stay below 2^31 */
    for (i32 i = k * PREDICTION_TERMS; i < (k + 1) * PREDICTION_TERMS; i++) {
      if (t->prediction_channel[i] >= c) wrong = SDZ_TABLES_CHANNEL, place = k;
      if (t->dy[i] < -BORDER || t->dy[i] > BORDER || t->dx[i] < -BORDER || t->dx[i] > BORDER) wrong = SDZ_TABLES_REACH, place = k;
      sum += t->prediction[i] < 0 ? -t->prediction[i] : t->prediction[i];
    }
    if (sum > 43690) wrong = SDZ_TABLES_WEIGHTS, place = k;
  }
  for (i32 i = 1; i < ENERGY_LEVELS - 1; i++) if (thresholds[i] < thresholds[i - 1]) wrong = SDZ_TABLES_ORDER, place = i;
  if (wrong) {
    give(t);
    CHECK(0, wrong, place);
  }
  for (i32 e = 0; e < 4096; e++) t->bucket[e] = (u8)reached(e, thresholds, ENERGY_LEVELS - 1);
  keep_states(t);
  make_buckets();
  return t;
}

Picture *new_picture(i32 kind, i32 channels, i32 rows, i32 columns, i32 planes, i32 passes) {
  CHECK(rows > 0 && columns > 0 && rows <= MAX_SIDE && columns <= MAX_SIDE && channels > 0 && channels < 256, SDZ_BAD_CALL, -1);
  Picture *p = take(sizeof(Picture), PICTURE, 0);
  if (!p) return 0;
  p->kind = kind, p->channels = channels, p->rows = rows, p->columns = columns, p->planes = planes, p->cut_channel = -1;
  for (i32 c = 0; c < channels; c++) p->floor[c] = (u8)planes;
  p->ends = take(4 * (u64)passes + 4, PART, p);
  p->passes = take(2 * (u64)passes + 4, PART, p);
  if (p->ends && p->passes) return p;
  give(p);
  return 0;
}

u16 *cells_of(Picture *p, i32 channel) {
  if (!p->cells[channel]) {
    p->cells[channel] = take(2 * (u64)(p->rows + 2 * BORDER) * (u64)(p->columns + 2 * BORDER), PART, p);
    p->active_count++;
  }
  return p->cells[channel];
}

Picture *finish_picture(Picture *p) {
  const i32 facts[8] = { p->kind, p->channels, p->rows, p->columns, p->planes, p->complete, p->begun, p->active_count };
  __builtin_memcpy(p->facts, facts, sizeof facts);
#ifdef __wasm__
  p->facts[8] = (i32)p->ends, p->facts[9] = (i32)p->passes;
#endif
  return p;
}

/* The passes by falling A_PLANE * plane + order, equal ones by rising channel: insertion over a shrinking gap. A channel's own have different
 * keys, near before far and far before the next plane's near (checked when tables are opened), so the order is one. */
static void order_passes(u16 *pass, i32 planes, const Tables *t) {
  i32 n = 0;
  for (i32 plane = planes - 1; plane >= 0; plane--) for (i32 far = 0; far < 2; far++) for (i32 c = 0; c < t->channels; c++) {
    pass[n++] = (u16)(far * FAR | plane << 8 | c);
  }
#define KEY(v) ((A_PLANE * PLANE(v) + t->order[CHANNEL(v) * 2 + !!((v) & FAR)]) * 512 - CHANNEL(v) * 2 - !!((v) & FAR))
  for (i32 gap = n / 2; gap; gap /= 2) for (i32 i = gap; i < n; i++) {
    u16 v = pass[i];
    i32 key = KEY(v), j = i;
    for (; j >= gap && KEY(pass[j - gap]) < key; j -= gap) pass[j] = pass[j - gap];
    pass[j] = v;
  }
}

typedef struct {
  Coder coder;
  const Tables *tables;
  Picture *picture;
  u16 *significant; /* how many channels are at each position, with the border */
  u8 active[256];
  i32 step_index;
  const i32 *source; /* encoder: (C, rows, columns) */
  const u32 *peak;   /* encoder: largest magnitude of each channel */
  u16 *chances;
} Run;

INLINE i32 level(u32 cell, i32 plane) { return min32(4, (i32)(cell >> (plane + 1))); }
INLINE i32 sign_of(u32 cell) { return cell ? 1 - 2 * (i32)(cell & 1) : 0; }

/* Codes pass `number`. Returns how many positions of it are known: all, or fewer where the bytes end; -1 without memory. One call per pass: a
 * WebAssembly engine's better code can take over in the middle of the first picture. */
INLINE i32 code_pass(Run *run, i32 number, const i32 encode) {
  Coder *d = &run->coder;
  Picture *picture = run->picture;
  const Tables *t = run->tables;
  const i32 h = picture->rows, w = picture->columns, W = w + 2 * BORDER;
  const i32 pass = picture->passes[number], plane = PLANE(pass), ch = CHANNEL(pass), far = pass & FAR;
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
  u16 *cell = picture->cells[ch], *significant = run->significant;
  const i32 threshold = 1 << plane, half = threshold >> 1, band = ch < 6 ? 0 : ch < 24 ? 1 : ch < 54 ? 2 : 3;
  const u8 *space_weight = t->space + ch * 6;
  const u16 *across_cell[CROSS_TERMS], *guess_cell[PREDICTION_TERMS];
  i32 across_weight[CROSS_TERMS], guess_weight[PREDICTION_TERMS], across_terms = 0, guess_terms = 0;
  /* a channel that is all zeros as yet adds nothing */
  for (i32 i = ch * CROSS_TERMS; i < (ch + 1) * CROSS_TERMS; i++) {
    if (!t->cross[i] || !run->active[t->cross_channel[i]]) continue;
    across_weight[across_terms] = t->cross[i];
    across_cell[across_terms++] = picture->cells[t->cross_channel[i]];
  }
  for (i32 i = ch * PREDICTION_TERMS; i < (ch + 1) * PREDICTION_TERMS; i++) {
    if (!t->prediction[i] || !run->active[t->prediction_channel[i]]) continue;
    guess_weight[guess_terms] = t->prediction[i];
    guess_cell[guess_terms++] = picture->cells[t->prediction_channel[i]] + t->dy[i] * W + t->dx[i];
  }
  const i32 *bases = t->bases, *sets = t->sets;
  const i32 b0 = bases[0] + ch * ENERGY_LEVELS, b1 = bases[1] + band, b2 = bases[2] + ch * 16, b3 = bases[3] + ch * 16 + absolute,
            b5 = bases[5] + ch * 12, b6 = bases[6] + band, set_b = sets[1] + ch * STRIDE;
  i32 slot[7], done = 0;
  u32 ones = 0, seen = 0;
  for (i32 y = 0; y < h; y++) {
    i32 density = seen < 16 ? DENSITIES : reached((i32)((u64)ones * 256 / seen), DENSITY_STEPS, 10), b4 = bases[4] + density * ENERGY_LEVELS;
    i32 at = (y + BORDER) * W + BORDER;
#define LEVEL(offset) level(cell[at + (offset)], plane)
    /* the neighbourhood slides: three levels are looked up per position */
    i32 nw, n = LEVEL(-W - 1), ne = LEVEL(-W), we, here = LEVEL(-1), ea = LEVEL(0), sw, so = LEVEL(W - 1), se = LEVEL(W);
    for (i32 x = 0; x < w; x++, at++) {
      nw = n, n = ne, ne = LEVEL(-W + 1), we = here, here = ea, ea = LEVEL(1), sw = so, so = se, se = LEVEL(W + 1);
      /* levels from 2 on were there before this plane: the same positions are near whatever this plane has brought so far */
      if (((nw | n | ne | we | here | ea | sw | so | se) & 6 ? 0 : FAR) != far) {
        done++;
        continue;
      }
      i32 space = space_weight[0] * LEVEL_WEIGHT[we] + space_weight[1] * LEVEL_WEIGHT[n] + space_weight[2] * LEVEL_WEIGHT[ea] +
                  space_weight[3] * LEVEL_WEIGHT[so] + space_weight[4] * (LEVEL_WEIGHT[nw] + LEVEL_WEIGHT[ne]) +
                  space_weight[5] * (LEVEL_WEIGHT[sw] + LEVEL_WEIGHT[se]);
      i32 across = 0, guess = 0;
      for (i32 i = 0; i < across_terms; i++) across += across_weight[i] * LEVEL_WEIGHT[level(across_cell[i][at], plane)];
      i32 energy = bucket[min32(4095, space + across)];
      for (i32 i = 0; i < guess_terms; i++) {
        i32 v = guess_cell[i][at];
        if (!v) continue;
        i32 m = (v >> 1) + half;
        guess += guess_weight[i] * (v & 1 ? -m : m);
      }
      guess >>= 8;
      u32 known = cell[at];
      i32 value = encode ? run->source[((u32)ch * (u32)h + (u32)y) * (u32)w + (u32)x] : 0;
      if (!known) {
        i32 steps = (i32)((magnitude_of(guess) << 2) >> plane);
        slot[0] = b0 + energy;
        slot[1] = b1 + ((bucket[min32(4095, space)] >> 1) * 12 + (bucket[min32(4095, across)] >> 1)) * BANDS;
        slot[2] = b2 + (we ? 1 : 0) + (n ? 2 : 0) + (ea ? 4 : 0) + (so ? 8 : 0);
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
          here = 1;
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
          here = LEVEL(0);
        }
      }
      done++;
    }
  }
  return done;
}

static OUTLINE i32 decode_pass(Run *run, i32 number) { return code_pass(run, number, 0); }
static OUTLINE i32 encode_pass(Run *run, i32 number) { return code_pass(run, number, 1); }

Picture *decode_planes(const Tables *t, const u8 *payload, u32 bytes, i32 rows, i32 columns, i32 planes, i32 step_index) {
  i32 passes = t->channels * planes * PARTS;
  Picture *p = new_picture('T', t->channels, rows, columns, planes, passes);
  Run *run = p ? take(sizeof(Run), SCRATCH, 0) : 0;
  if (run) run->significant = take(2 * (u64)(rows + 2 * BORDER) * (u64)(columns + 2 * BORDER), SCRATCH, 0);
  if (!run || !run->significant || !start_coder(&run->coder, t, payload, 0, bytes)) goto lost;
  run->tables = t, run->picture = p, run->step_index = step_index;
  order_passes(p->passes, planes, t);
  for (i32 number = 0; number < passes; number++) {
    i32 done = decode_pass(run, number), pass = p->passes[number], ch = CHANNEL(pass);
    if (done < 0) goto lost;
    p->begun = number + 1;
    p->ends[number] = (i32)run->coder.at;
    if (run->coder.stopped) {
      p->cut_channel = ch, p->cut_reached = done;
      break;
    }
    if (pass & FAR) p->floor[ch] = (u8)PLANE(pass);
    p->near[ch] = !(pass & FAR);
  }
  p->complete = !run->coder.stopped;
  give_scratch();
  return finish_picture(p);
lost:
  give_scratch();
  give(p);
  return 0;
}

i32 encode_planes(Tables *t, const i32 *source, i32 rows, i32 columns, i32 planes, i32 step_index, u8 *out, u32 room, u16 *chances, i32 *ends,
    i32 learn) {
  i32 passes = t->channels * planes * PARTS, written = -1;
  u32 area = (u32)rows * (u32)columns, peak[256];
  for (i32 c = 0; c < t->channels; c++) {
    u32 most = 0;
    for (u32 i = 0; i < area; i++) {
      u32 m = magnitude_of(source[(u32)c * area + i]);
      most = m > most ? m : most;
    }
    if (most >> planes) return fail(SDZ_LATENT_RANGE, c);
    peak[c] = most;
  }
  Picture *p = new_picture('T', t->channels, rows, columns, planes, passes);
  Run *run = p ? take(sizeof(Run), SCRATCH, 0) : 0;
  if (run) run->significant = take(2 * (u64)(rows + 2 * BORDER) * (u64)(columns + 2 * BORDER), SCRATCH, 0);
  if (!run || !run->significant || !start_coder(&run->coder, t, 0, out, room)) goto done;
  run->tables = t, run->picture = p, run->step_index = step_index, run->source = source, run->peak = peak, run->chances = chances;
  if (chances) __builtin_memset(chances, 0, 2 * (size_t)area * (size_t)t->channels);
  order_passes(p->passes, planes, t);
  for (i32 number = 0; number < passes; number++) {
    if (encode_pass(run, number) < 0) goto done;
    if (run->coder.stopped) break;
    if (ends) ends[number] = (i32)run->coder.at;
  }
  if (!run->coder.stopped) finish_encoder(&run->coder);
  if (run->coder.stopped) {
    fail(SDZ_BAD_CALL, -1); /* less room than decisions can cost */
    goto done;
  }
  written = (i32)run->coder.at;
  if (learn) {
    __builtin_memcpy(t->probability, run->coder.probability, 2 * (size_t)t->states);
    __builtin_memcpy(t->count, run->coder.count, (size_t)t->states);
    __builtin_memcpy(t->weight, run->coder.weight, 2 * (size_t)t->weights);
  }
done:
  give_scratch();
  give(p);
  return written < 0 ? -sdz_reason() : written;
}

Picture *sdz_palette(const uint8_t *raw, uint32_t bytes, int32_t channels, int32_t rows, int32_t columns, int32_t planes) {
  CHECK(channels > 0 && channels < 256 && rows > 0 && columns > 0 && rows <= MAX_SIDE && columns <= MAX_SIDE && planes >= 0 && planes <= MAX_PLANES,
      SDZ_BAD_CALL, -1);
  Picture *p;
  if (!raw) {
    p = new_picture('T', channels, rows, columns, planes, 0);
    return p ? finish_picture(p) : 0;
  }
  u32 area = (u32)rows * (u32)columns;
  CHECK(holds(raw, bytes, 1), SDZ_BAD_CALL, -1);
  u32 entries = bytes ? raw[0] + 1u : 0, start = 1 + entries * (u32)channels;
  CHECK(bytes == start + area, SDZ_PALETTE_LENGTH, -1);
  const i8 *palette = (const i8 *)raw + 1;
  const u8 *index = raw + start;
  for (u32 i = 0; i < area; i++) CHECK(index[i] < entries, SDZ_PALETTE_ENTRY, (i32)i);
  p = new_picture('T', channels, rows, columns, 0, 0);
  for (i32 c = 0; p && c < channels; c++) {
    i32 some = 0;
    for (u32 e = 0; e < entries; e++) some |= palette[e * (u32)channels + (u32)c];
    if (!some) continue;
    u16 *cell = cells_of(p, c);
    if (!cell) {
      give(p);
      return 0;
    }
    for (i32 y = 0; y < rows; y++) for (i32 x = 0; x < columns; x++) {
      i32 v = palette[index[y * columns + x] * channels + c];
      cell[(y + BORDER) * (columns + 2 * BORDER) + x + BORDER] = (u16)(magnitude_of(v) << 1 | (v < 0));
    }
  }
  if (!p) return 0;
  p->complete = 1;
  return finish_picture(p);
}
