/* The binary arithmetic coder and its adaptive, logistically mixed probabilities (FORMAT.md, "Coder"), both directions, inlined where used.
 *
 * Invariants. Between decisions low < high, for their top bytes differ; P < 2^16 keeps middle below high, so both halves are never empty.
 * |weight| <= 2^15 and |stretch| <= 2047: the sum of eight products stays below 2^29. |error| <= 4095 * 255, times a stretch below 2^31 - 2^17.
 * All of that holds for any tables (probabilities are u16, weights i16, rates u8): nothing here can fail but for the room of an encoder and
 * the end of a decoder's bytes, which both set `stopped`.
 */
#ifndef SDZ_CODER_H
#define SDZ_CODER_H
#include "internal.h"

#ifdef __wasm_simd128__
#include <wasm_simd128.h>
#endif

typedef struct {
  u32 low, high, code, unknown;
  const u8 *in;
  u8 *out;
  u32 at, length; /* bytes read or written, and how many there are or may be */
  i32 stopped, rate, count_limit, chance;
  u16 *probability;
  u8 *count;
  i16 *weight;
} Coder;

/* Whether a function for both directions encodes: never in the module that pages load. */
#ifdef SDZ_READER
#define ENCODES(wanted) ((void)(wanted), 0)
#else
#define ENCODES(wanted) (wanted)
#endif

extern i16 STRETCH[4096];
extern u16 SQUASH[4096], RATES[256];

/* Fills the curves, once. */
void make_curves(void);
/* A coder at its beginning with copies (SCRATCH) of the starting states; NULL for `in` or `out`: the other direction. 0 without memory. */
i32 start_coder(Coder *coder, const Tables *tables, const u8 *in, u8 *out, u32 length);
/* Writes the fewest bytes all of whose continuations lie inside the interval. */
void finish_encoder(Coder *coder);

INLINE void shift_in(Coder *d) {
  u32 there = d->at < d->length;
  d->code = d->code << 8 | (there ? d->in[d->at] : 0);
  d->unknown = d->unknown << 8 | (there ? 0 : 255);
  d->at++;
}

INLINE i32 decode_bit(Coder *d, u32 p) {
  u32 low = d->low, high = d->high, middle = low + (u32)(((u64)(high - low) * p) >> 16);
  i32 bit = d->code <= middle;
  /* missing bytes may be anything: a bit is known only if all of them agree on it; code has zeros there, so the sum does not carry */
  if (UNLIKELY(d->unknown) && (d->code + d->unknown <= middle) != bit) {
    d->stopped = 1;
    return 0;
  }
  if (bit) high = middle;
  else low = middle + 1;
  while (!((low ^ high) & 0xff000000)) {
    low <<= 8;
    high = high << 8 | 255;
    shift_in(d);
  }
  d->low = low;
  d->high = high;
  return bit;
}

INLINE void encode_bit(Coder *e, u32 p, i32 bit) {
  u32 low = e->low, high = e->high, middle = low + (u32)(((u64)(high - low) * p) >> 16);
  if (bit) high = middle;
  else low = middle + 1;
  while (!((low ^ high) & 0xff000000)) {
    if (e->at == e->length) {
      e->stopped = 1;
      return;
    }
    e->out[e->at++] = (u8)(high >> 24);
    low <<= 8;
    high = high << 8 | 255;
  }
  e->low = low;
  e->high = high;
}

#ifdef __wasm_simd128__
typedef v128_t Stretched;
INLINE i32 mix(const i16 *w, Stretched s) {
  v128_t v = wasm_i32x4_dot_i16x8(wasm_v128_load(w), s);
  v = wasm_i32x4_add(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  return wasm_i32x4_extract_lane(v, 0) + wasm_i32x4_extract_lane(v, 1);
}
INLINE void learn(i16 *w, Stretched s, i32 error, const i32 n) {
  v128_t e = wasm_i32x4_splat(error), half = wasm_i32x4_splat(1 << 17), high = half;
  v128_t low = wasm_i32x4_shr(wasm_i32x4_add(wasm_i32x4_mul(wasm_i32x4_extend_low_i16x8(s), e), half), 18);
  high = n > 3 ? wasm_i32x4_shr(wasm_i32x4_add(wasm_i32x4_mul(wasm_i32x4_extend_high_i16x8(s), e), half), 18) : wasm_i32x4_splat(0);
  v128_t moved = wasm_i16x8_add_sat(wasm_v128_load(w), wasm_i16x8_narrow_i32x4(low, high));
  wasm_v128_store(w, wasm_i16x8_max(wasm_i16x8_splat(-32767), moved));
}
#define STRETCHES(n, p) \
  ((n) == 7 ? wasm_i16x8_make(STRETCH[p[0] >> 4], STRETCH[p[1] >> 4], STRETCH[p[2] >> 4], STRETCH[p[3] >> 4], STRETCH[p[4] >> 4], \
                  STRETCH[p[5] >> 4], STRETCH[p[6] >> 4], 256) \
            : wasm_i16x8_make(STRETCH[p[0] >> 4], STRETCH[p[1] >> 4], STRETCH[p[2] >> 4], 256, 0, 0, 0, 0))
#else
typedef struct { i16 lane[8]; } Stretched;
INLINE i32 mix(const i16 *w, Stretched s) {
  i32 sum = 0;
  for (i32 i = 0; i < 8; i++) sum += w[i] * s.lane[i];
  return sum;
}
INLINE void learn(i16 *w, Stretched s, i32 error, const i32 n) {
  for (i32 i = 0; i <= n; i++) w[i] = (i16)clamp32(-32767, w[i] + ((s.lane[i] * error + (1 << 17)) >> 18), 32767);
}
INLINE Stretched stretches(i32 n, const i32 *p) {
  Stretched s = { { 0 } };
  for (i32 i = 0; i < n; i++) s.lane[i] = STRETCH[p[i] >> 4];
  s.lane[n] = 256;
  return s;
}
#define STRETCHES(n, p) stretches(n, p)
#endif

/* One decision from `n` states (7 or 3, a constant where this is inlined) and the weight sets at `set_a` and `set_b`; updates all of them.
 * Returns the bit, which is `bit` where it is encoded. */
INLINE i32 decide(Coder *c, const i32 encode, i32 bit, const i32 n, const i32 *slot, i32 set_a, i32 set_b) {
  i32 p[7];
  for (i32 i = 0; i < n; i++) p[i] = c->probability[slot[i]];
  Stretched s = STRETCHES(n, p);
  i16 *wa = c->weight + set_a, *wb = c->weight + set_b;
  i32 a = clamp32(-2047, mix(wa, s) >> 14, 2047), b = clamp32(-2047, mix(wb, s) >> 14, 2047);
  u32 chance = SQUASH[((a + b) >> 1) + 2048];
  if (encode) {
    c->chance = (i32)chance;
    encode_bit(c, chance, bit);
  } else bit = decode_bit(c, chance);
  if (UNLIKELY(c->stopped)) return 0;
  i32 target = bit << 12;
  learn(wa, s, (target - (SQUASH[a + 2048] >> 4)) * c->rate, n);
  learn(wb, s, (target - (SQUASH[b + 2048] >> 4)) * c->rate, n);
  i32 full = bit * 65535;
  for (i32 i = 0; i < n; i++) {
    i32 k = slot[i], seen = c->count[k];
    c->probability[k] = (u16)(p[i] + (i32)(((i64)(full - p[i]) * RATES[seen]) >> 16));
    if (seen < c->count_limit) c->count[k] = (u8)(seen + 1);
  }
  return bit;
}

/* The same, not inlined: for bands whose decisions are few beside the channels'. `encode` counts for nothing in a module that only reads. */
i32 decide_seven(Coder *c, i32 encode, i32 bit, const i32 *slot, i32 set_a, i32 set_b);
i32 decide_three(Coder *c, i32 encode, i32 bit, const i32 *slot, i32 set_a, i32 set_b);

/* How many of rising `steps` are <= v, for small tables that are read once per row or built once. */
INLINE i32 reached(i32 v, const u16 *steps, i32 count) {
  i32 n = 0;
  while (n < count && v >= steps[n]) n++;
  return n;
}
#endif
