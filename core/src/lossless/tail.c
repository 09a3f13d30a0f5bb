/* The lossless tail: samples in rows, planes green, red, blue, each a row behind the one before it, so that a plane sees the row below it in
 * those that went before. A sample is predicted (`predictor.h`), and what it differs by is a sequence of decisions, each mixed from seven
 * states whose contexts are where other guesses at the sample stand to the decision's threshold (FORMAT.md, "Lossless").
 *
 * Invariants. Every sample costs at most 1 + 24 + 8 decisions, whatever the bytes say. Rows live in rings of 8 with 4 samples more on each side.
 */
#include "../../sdz_lossless.h"
#include "../coder.h"
#include "predictor.h"

enum { RING = 8, EDGE = 4, LEVELS = 24, KINDS = 3, DISTANCES = 64, FURTHEST = 2172, STOPS = 24, IDS = STOPS + 9, GUESSES = 11 };
enum { MIX_RATE = 16, COUNT_LIMIT = 127, FIRST_WEIGHT = 3600 };
enum { PAIRS = 3 * KINDS * DISTANCES * DISTANCES };
/* where each slot's states begin */
enum { FLAT = 0, CURVED = FLAT + PAIRS, HALF = CURVED + 4 * PAIRS, PLANAR = HALF + PAIRS, SIDES = PLANAR + 4 * PAIRS, VALUES = SIDES + PAIRS,
  NEIGHBOURS = VALUES + 3 * 2 * 256 * 8, STATES = NEIGHBOURS + 3 * PAIRS };
enum { WEIGHTS = STRIDE * (9 * IDS + IDS * LEVELS) };

struct Tail {
  i32 band[6];
  i32 width, height, planes, steps, step, next; /* steps of a band; steps done, and those done after the next band */
  u8 *rows[3], *base[3]; /* rings of (RING, width + 2 EDGE) */
  i16 *errors[3];        /* the same; sixteenths */
  Predictor *predictor[3];
  i32 *bias;             /* (3, 128, 8) */
  Coder coder;
  u8 distance[2 * FURTHEST + 1];
  const u8 *base_from, *source;
  u8 *pixels;
};

/* A sample's weight in the sums, of 256, by its level: what is expected to err counts less. */
static const u16 SAMPLE_WEIGHT[LEVELS] = { 244, 241, 237, 232, 227, 220, 212, 203, 192, 181, 168, 155, 142, 128, 115, 103, 91, 80, 71, 62, 54, 47, 41, 36 };

INLINE i32 stride_of(const Tail *t) { return t->width + 2 * EDGE; }
INLINE u8 *row_of(const Tail *t, u8 *const *ring, i32 plane, i32 y) { return ring[plane] + (size_t)((y & (RING - 1)) * stride_of(t) + EDGE); }
INLINE i16 *errors_of(const Tail *t, i32 plane, i32 y) { return t->errors[plane] + (size_t)((y & (RING - 1)) * stride_of(t) + EDGE); }

/* Thirds of octaves of n + 2, from 0. */
INLINE i32 level_of(i32 n) {
  u32 v = (u32)n + 2, octave = 31 - (u32)__builtin_clz(v), part = (v << 8) >> octave;
  return 3 * (i32)octave + (part >= 323) + (part >= 407) - 3;
}

static void fill_distances(u8 *distance) {
  static const u16 far[8] = { 192, 272, 384, 543, 768, 1086, 1536, FURTHEST };
  for (i32 d = 0; d <= FURTHEST; d++) {
    i32 v = d < 48 ? d >> 2 : d < 96 ? 12 + ((d - 48) >> 3) : 18 + ((d - 96) >> 4);
    if (d >= 192) v = 23 + reached(d, far, 8);
    distance[FURTHEST - d] = (u8)(31 - v);
    distance[FURTHEST + d] = (u8)(32 + v);
  }
}

static void set_band(Tail *t) {
  i32 lag = t->planes - 1, steps = t->height + lag, from = t->step, until = min32(steps, from + t->steps);
  /* the remainder is no band of its own */
  if (steps - until <= lag) until = steps;
  t->next = until;
  i32 *b = t->band;
  b[0] = from ? min32(t->height, from + 1) : 0;
  b[1] = min32(t->height, until + 1);
  b[2] = b[4] = max32(0, from - lag);
  b[3] = max32(b[2], until - lag);
  b[5] = min32(t->height, until);
  if (from == steps) for (i32 i = 0; i < 6; i++) b[i] = 0;
}

Tail *sdz_tail(int32_t width, int32_t height, int32_t planes, int32_t band) {
  CHECK(width > 0 && height > 0 && width <= 16384 && height <= 16384 && (planes == 1 || planes == 3), SDZ_BAD_CALL, -1);
  CHECK(band >= 0 && band <= 14, SDZ_BAD_CALL, -1);
  make_curves();
  Tail *t = take(sizeof(Tail), TAIL, 0);
  if (!t) return 0;
  t->width = width, t->height = height, t->planes = planes, t->steps = 1 << band;
  u32 ring = RING * (u32)stride_of(t);
  Coder *c = &t->coder;
  c->rate = MIX_RATE, c->count_limit = COUNT_LIMIT;
  i32 good = (c->probability = take(2 * STATES, PART, t)) && (c->count = take(STATES, PART, t)) && (c->weight = take(2 * WEIGHTS, PART, t)) &&
      (t->bias = take(4 * 3 * 128 * 8, PART, t));
  for (i32 p = 0; good && p < planes; p++) {
    i32 terms = (p ? OWN_NEXT : OWN_FIRST) + OTHERS * p + BASES;
    good = (t->rows[p] = take(ring, PART, t)) && (t->base[p] = take(ring, PART, t)) && (t->errors[p] = take(2 * ring, PART, t)) &&
        (t->predictor[p] = take(sizeof(Predictor), PART, t)) && start_predictor(t->predictor[p], terms, (width + BLOCK - 1) / BLOCK, t);
  }
  if (!good) {
    give(t);
    return 0;
  }
  for (i32 i = 0; i < STATES; i++) c->probability[i] = 32768;
  for (i32 i = 0; i < WEIGHTS; i++) c->weight[i] = i % STRIDE < 7 ? FIRST_WEIGHT : 0;
  fill_distances(t->distance);
  set_band(t);
  return t;
}

const int32_t *sdz_tail_band(Tail *tail) {
  CHECK(is_a(tail, TAIL), SDZ_BAD_CALL, -1);
  return tail->band;
}

/* What is known of a sample before it is coded. */
typedef struct {
  i32 plane, level, parity, busy; /* busy: how much the base changes here, 0 to 2 */
  i32 guess[GUESSES]; /* in sixteenths: where the sample may be */
} Place;
enum { FLAT_ACROSS, FLAT_DOWN, CURVED_ACROSS, CURVED_DOWN, HALF_WAY, PREDICTED, PLANE_OF_THREE, SIDE, OTHER_SIDE, LEFT, UP };
_Static_assert(UP + 1 == GUESSES, "one for each");

/* Rows of one plane at the sample's column: its own up to the one above, those of other planes down to the one below. */
typedef struct { const u8 *up3, *up2, *up, *here, *below; } Rows;
INLINE Rows rows_at(const Tail *t, u8 *const *ring, i32 plane, i32 y, i32 x) {
  return (Rows){ row_of(t, ring, plane, y - 3) + x, row_of(t, ring, plane, y - 2) + x, row_of(t, ring, plane, y - 1) + x,
    row_of(t, ring, plane, y) + x, row_of(t, ring, plane, y + 1) + x };
}

INLINE void moved(Rows *r) { r->up3++, r->up2++, r->up++, r->here++, r->below++; }

/* The terms of the prediction, less their mean at the left and above; returns how many. Differences are exact in float32. */
INLINE i32 terms_of(i32 plane, const Rows *own, const Rows *others, const Rows *base, f32 *term, f32 *middle) {
  const u8 *h = own->here, *u = own->up, *uu = own->up2;
  f32 m = (f32)(h[-1] + u[0]) * 0.5f, *v = term;
  *middle = m;
#define TERM(value) *v++ = (f32)(value) - m
  TERM(h[-1]), TERM(u[0]), TERM(u[-1]), TERM(u[1]), TERM(h[-2]), TERM(uu[0]);
  if (plane == 0) {
    TERM(u[2]), TERM(u[-2]), TERM(uu[-1]), TERM(uu[1]), TERM(h[-3]), TERM(own->up3[0]), TERM(u[3]), TERM(u[-3]), TERM(uu[2]), TERM(uu[-2]);
  }
  TERM(base->here[0]);
#undef TERM
  const f32 centre = (f32)base->here[0];
  *v++ = (f32)base->here[-3] - centre, *v++ = (f32)base->here[3] - centre;
  *v++ = (f32)base->up[0] - centre, *v++ = (f32)base->below[0] - centre;
  for (i32 q = plane - 1; q >= 0; q--) {
    const Rows *o = others + q;
    const f32 n = (f32)(o->here[-1] + o->up[0]) * 0.5f;
    for (i32 i = -1; i <= 1; i++) *v++ = (f32)o->up[i] - n, *v++ = (f32)o->here[i] - n, *v++ = (f32)o->below[i] - n;
  }
  i32 terms = (i32)(v - term);
  while ((v - term) & 3) *v++ = 0;
  return terms;
}

INLINE void guesses_of(i32 plane, const Rows *own, const Rows *others, const Rows *base, i32 *guess) {
  const u8 *h = own->here, *u = own->up, *uu = own->up2;
  const i32 w = h[-1], n = u[0];
  if (plane == 0) {
    const u8 *b = base->here;
    guess[FLAT_ACROSS] = 16 * (w + u[1] - n);
    guess[FLAT_DOWN] = 16 * (2 * n - uu[0]);
    guess[CURVED_ACROSS] = 16 * (3 * (w - h[-2]) + h[-3]);
    guess[CURVED_DOWN] = 16 * (3 * (n - uu[0]) + own->up3[0]);
    guess[HALF_WAY] = 16 * b[0] + 8 * (w - b[-1] + n - base->up[0]);
    guess[PLANE_OF_THREE] = 16 * (w + n - u[-1]);
    guess[SIDE] = 16 * (2 * w - h[-2]);
    guess[OTHER_SIDE] = 16 * (n + u[1] - uu[1]);
  } else {
    /* what neighbours differ by from the first plane, and that this changes evenly: chroma of photos is mostly interpolated */
    const u8 *g = others->here, *gu = others->up, *guu = others->up2;
    const i32 left = w - g[-1], up = n - gu[0], corner = u[-1] - gu[-1], ahead = u[1] - gu[1];
    guess[FLAT_ACROSS] = 16 * (g[0] + left);
    guess[FLAT_DOWN] = 16 * (g[0] + up);
    guess[CURVED_ACROSS] = 16 * (g[0] + 2 * left - (h[-2] - g[-2]));
    guess[CURVED_DOWN] = 16 * (g[0] + 2 * up - (uu[0] - guu[0]));
    guess[PLANE_OF_THREE] = 16 * (g[0] + left + up - corner);
    if (plane == 1) {
      guess[HALF_WAY] = 16 * g[0] + 8 * (left + ahead);
      guess[SIDE] = 16 * (g[0] + ahead);
      guess[OTHER_SIDE] = 16 * (g[0] + corner);
    } else {
      const u8 *o = others[1].here, *ou = others[1].up;
      guess[HALF_WAY] = 16 * (o[0] + 2 * (w - o[-1]) - (h[-2] - o[-2]));
      guess[SIDE] = 16 * (o[0] + w - o[-1]);
      guess[OTHER_SIDE] = 16 * (o[0] + n - ou[0]);
    }
  }
  guess[LEFT] = 16 * w;
  guess[UP] = 16 * n;
}

/* One decision of a sample: `kind` 0 above, 1 stop, 2 further; its threshold in sixteenths; seen upwards or (`down`) downwards. */
INLINE i32 decision(Tail *t, const i32 encode, i32 bit, const Place *place, i32 kind, i32 id, i32 threshold, i32 value, i32 down) {
  i32 d[GUESSES], slot[7], sets = 9 * IDS;
  for (i32 i = 0; i < GUESSES; i++) {
    i32 difference = threshold - place->guess[i];
    d[i] = t->distance[FURTHEST + clamp32(-FURTHEST, down ? -difference : difference, FURTHEST)];
  }
  const i32 first = (place->plane * KINDS + kind) * DISTANCES;
#define PAIR(a, b) (((first + d[a]) * DISTANCES) + d[b])
  slot[0] = FLAT + PAIR(FLAT_ACROSS, FLAT_DOWN);
  slot[1] = CURVED + PAIR(CURVED_ACROSS, CURVED_DOWN) * 4 + place->parity;
  slot[2] = HALF + PAIR(HALF_WAY, PREDICTED);
  slot[3] = PLANAR + PAIR(FLAT_ACROSS, PLANE_OF_THREE) * 4 + place->parity;
  slot[4] = SIDES + PAIR(SIDE, OTHER_SIDE);
  slot[5] = VALUES + ((place->plane * 2 + down) * 256 + value) * 8 + (kind == 0 ? 0 : kind == 2 ? 7 : min32(id, 6));
  slot[6] = NEIGHBOURS + PAIR(LEFT, UP) * 3 + (place->level >> 3);
#undef PAIR
  return decide(&t->coder, encode, bit, 7, slot, STRIDE * ((place->busy * 3 + place->plane) * IDS + id), STRIDE * (sets + id * LEVELS + place->level));
}

/* A sample from its decisions: above the prediction's whole part or not, how many steps away from it, where within a step. */
INLINE i32 code_sample(Tail *t, const i32 encode, i32 value, const Place *place) {
  const i32 whole = place->guess[PREDICTED] >> 4;
  i32 above = 0;
  if (whole < 255) above = decision(t, encode, value > whole, place, 0, 0, 16 * whole + 8, whole, 0);
  const i32 start = above ? whole + 1 : whole, sign = above ? 1 : -1, last = above ? 254 - whole : whole;
  const i32 away = (value - start) * sign, base = place->level > 15 ? (place->level - 15) / 3 : 0;
  i32 from = 0, bits = base;
  for (i32 stop = 1;; stop++) {
    bits = base + max32(0, stop - 12);
    if (from + (1 << bits) > last) break;
    i32 nearest = start + sign * from;
    if (decision(t, encode, away < from + (1 << bits), place, 1, min32(stop, STOPS), 16 * nearest, nearest, !above)) break;
    from += 1 << bits;
  }
  while (bits--) {
    i32 half = from + (1 << bits);
    if (half > last) continue;
    i32 nearest = start + sign * half;
    if (decision(t, encode, away >= half, place, 2, STOPS + 1 + bits, 16 * nearest - 8 * sign, nearest, !above)) from = half;
  }
  return start + sign * from;
}

INLINE void code_row(Tail *t, const i32 encode, i32 plane, i32 y, const u8 *source) {
  const i32 width = t->width;
  Predictor *predictor = t->predictor[plane];
  Place place = { .plane = plane };
  Rows own = rows_at(t, t->rows, plane, y, 0), base = rows_at(t, t->base, plane, y, 0), others[2];
  for (i32 q = 0; q < plane; q++) others[q] = rows_at(t, t->rows, q, y, 0);
  u8 *row = row_of(t, t->rows, plane, y);
  i16 *e = errors_of(t, plane, y);
  const i16 *eu = errors_of(t, plane, y - 1), *euu = errors_of(t, plane, y - 2);
  const i16 *before = plane ? errors_of(t, plane - 1, y) : e, *before_below = plane ? errors_of(t, plane - 1, y + 1) : e, *first = errors_of(t, 0, y);
  for (i32 x = 0; x < width; x++) {
    const i32 block = x / BLOCK;
    if (x % BLOCK == 0) solve(predictor, block);
    f32 *sample = predictor->sample[predictor->count], middle;
    i32 terms = terms_of(plane, &own, others, &base, sample, &middle);
    guesses_of(plane, &own, others, &base, place.guess);
    i32 predicted = predict(predictor, sample, middle);
#define E(of, at) ((i32)magnitude_of((of)[x + (at)]))
    i32 left = E(e, -1), energy = 4 * (left + E(eu, 0)) + 2 * (E(eu, -1) + E(eu, 1)) + E(e, -2) + E(euu, 0);
    if (plane) {
      i32 across = 8 * E(before, 0) + 2 * (E(before, 1) + E(before_below, 0)) + 2 * (plane > 1 ? E(first, 0) : left);
      energy = 3 * (energy + across) / 5;
    }
#undef E
    place.level = min32(level_of(energy / 14), LEVELS - 1);
    const u8 *b = base.here;
    const u32 change = magnitude_of(b[2] - b[0]) + magnitude_of(base.below[0] - b[0]) + magnitude_of(b[1] - b[-1]);
    place.busy = change < 3 ? 0 : change < 9 ? 1 : 2;
    place.parity = (x & 1) * 2 + (y & 1);
    /* what predictions like this one missed by */
    const u8 *u = own.up;
    i32 w = 16 * own.here[-1], n = 16 * u[0], l2 = 16 * own.here[-2], u2 = 16 * own.up2[0];
    i32 pattern = (n > w) | (16 * u[-1] > predicted) << 1 | (16 * u[1] > predicted) << 2 | (l2 > predicted) << 3 | (u2 > predicted) << 4 |
        (2 * w - l2 > predicted) << 5 | (2 * n - u2 > predicted) << 6;
    i32 *bias = t->bias + ((plane * 128 + pattern) * 8 + place.level / 3);
    predicted = clamp32(0, predicted + ((*bias + 32) >> 6), 4080);
    place.guess[PREDICTED] = predicted;
    i32 value = code_sample(t, encode, encode ? source[(size_t)x * (size_t)t->planes] : 0, &place);
    if (UNLIKELY(t->coder.stopped)) return;
    row[x] = (u8)value;
    i32 error = 16 * value - predicted;
    e[x] = (i16)error;
    *bias += (64 * error - *bias) >> 5;
    const f32 weight = (f32)SAMPLE_WEIGHT[place.level] * (1.0f / 256.0f);
    for (i32 i = 0; i < terms; i++) sample[i] *= weight;
    sample[terms] = ((f32)value - middle) * weight;
    predictor->count++;
    if (x % BLOCK == BLOCK - 1 || x == width - 1) keep(predictor, block);
    moved(&own), moved(&base);
    for (i32 q = 0; q < plane; q++) moved(others + q);
  }
}

/* A row of samples with its ends repeated on both sides. */
static void set_row(Tail *t, u8 *to, const u8 *from, i32 step) {
  for (i32 x = 0; x < t->width; x++) to[x] = from[(size_t)x * (size_t)step];
  __builtin_memset(to - EDGE, to[0], EDGE);
  __builtin_memset(to + t->width, to[t->width - 1], EDGE);
}

static const u8 PLACE_OF[3] = { 1, 0, 2 }; /* green, red, blue among red, green, blue */

INLINE i32 code_band(Tail *t, const i32 encode, const u8 *base, const u8 *source, u8 *pixels) {
  const i32 planes = t->planes, lag = planes - 1, width = t->width, line = width * planes, *band = t->band;
  i32 fed = band[0];
  for (; t->step < t->next; t->step++) {
    for (; fed <= min32(t->step + 1, t->height - 1); fed++) {
      for (i32 p = 0; p < planes; p++) {
        const u8 *from = base + (size_t)(fed - band[0]) * (size_t)line + (planes > 1 ? PLACE_OF[p] : 0);
        set_row(t, row_of(t, t->base, p, fed), from, planes);
        /* above the picture stands the first row of the base, below it the last */
        if (fed == 0) {
          set_row(t, row_of(t, t->base, p, -1), from, planes);
          for (i32 y = -3; y < 0; y++) set_row(t, row_of(t, t->rows, p, y), from, planes);
        }
        if (fed == t->height - 1) set_row(t, row_of(t, t->base, p, fed + 1), from, planes);
      }
    }
    for (i32 p = 0; p < planes; p++) {
      i32 y = t->step - p;
      if (y < 0 || y >= t->height) continue;
      u8 *row = row_of(t, t->rows, p, y);
      __builtin_memset(row - EDGE, row_of(t, t->rows, p, y - 1)[0], EDGE);
      __builtin_memset(errors_of(t, p, y) - EDGE, 0, 2 * (size_t)stride_of(t));
      const u8 *from = encode ? source + (size_t)(y - band[4]) * (size_t)line + (planes > 1 ? PLACE_OF[p] : 0) : 0;
      code_row(t, encode, p, y, from);
      if (t->coder.stopped) return 0;
      __builtin_memset(row + width, row[width - 1], EDGE);
      if (y == t->height - 1) {
        __builtin_memcpy(row_of(t, t->rows, p, y + 1) - EDGE, row - EDGE, (size_t)stride_of(t));
        __builtin_memset(errors_of(t, p, y + 1) - EDGE, 0, 2 * (size_t)stride_of(t));
      }
    }
    i32 whole = t->step - lag;
    if (encode || whole < 0) continue;
    for (i32 p = 0; p < planes; p++) {
      const u8 *row = row_of(t, t->rows, p, whole);
      u8 *to = pixels + (size_t)(whole - band[2]) * (size_t)line + (planes > 1 ? PLACE_OF[p] : 0);
      for (i32 x = 0; x < width; x++) to[(size_t)x * (size_t)planes] = row[x];
    }
  }
  return 1;
}

static OUTLINE i32 decode_band(Tail *t, const u8 *base, u8 *pixels) { return code_band(t, 0, base, 0, pixels); }
static OUTLINE i32 encode_band(Tail *t, const u8 *base, const u8 *source) { return code_band(t, 1, base, source, 0); }

/* Whether `rows` of the picture lie at `memory`; none need any. */
static i32 holds_rows(const Tail *t, const void *memory, i32 rows) {
  return rows == 0 || holds(memory, (u64)rows * (u32)(t->width * t->planes), 1);
}

/* The coder at the beginning of a band, its states as they are. */
static void begin(Coder *c, const u8 *in, u8 *out, u32 length) {
  c->low = 0, c->high = 0xffffffff, c->code = c->unknown = c->at = 0;
  c->in = in, c->out = out, c->length = length;
  if (in) for (i32 i = 0; i < 4; i++) shift_in(c);
}

int32_t sdz_tail_decode(Tail *tail, const uint8_t *payload, uint32_t bytes, const uint8_t *base, uint8_t *pixels) {
  CHECK_CALL(is_a(tail, TAIL) && tail->next > tail->step && !tail->coder.stopped);
  const i32 *b = tail->band;
  CHECK_CALL(holds(payload, bytes, 1) && holds_rows(tail, base, b[1] - b[0]) && holds_rows(tail, pixels, b[3] - b[2]));
  begin(&tail->coder, payload, 0, bytes);
  if (!decode_band(tail, base, pixels)) return fail(SDZ_TAIL_END, tail->step);
  set_band(tail);
  return 0;
}

int32_t sdz_tail_encode(Tail *tail, const uint8_t *source, const uint8_t *base, uint8_t *out, uint32_t room) {
  CHECK_CALL(is_a(tail, TAIL) && tail->next > tail->step && !tail->coder.stopped);
  const i32 *b = tail->band;
  CHECK_CALL(holds(out, room, 1) && holds_rows(tail, base, b[1] - b[0]) && holds_rows(tail, source, b[5] - b[4]));
  begin(&tail->coder, 0, out, room);
  if (encode_band(tail, base, source)) finish_encoder(&tail->coder);
  if (tail->coder.stopped) return fail(SDZ_NO_MEMORY, tail->step);
  set_band(tail);
  return (i32)tail->coder.at;
}
