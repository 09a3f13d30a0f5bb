/* The kernels for WebAssembly's 128-bit vectors, without the relaxed ones. Clang's unrolling is off where engines then spill registers: it cost up
 * to 40 % in V8. */
#include "kernels.h"

#ifdef __wasm_simd128__
#include <wasm_simd128.h>

#define DOT wasm_i32x4_dot_i16x8
#define ADD wasm_i32x4_add
#define SUB wasm_i32x4_sub

void pattern_sums(const Entry *entries, i32 count, const i16 *block, i32 *sums) {
  v128_t s[8];
  for (i32 n = 0; n < 8; n++) s[n] = wasm_i32x4_splat(0);
#pragma clang loop unroll(disable)
  for (i32 i = 0; i < count; i++) {
    const i16 *w = block + (size_t)entries[i].pair * 64;
    v128_t v = wasm_v128_load32_splat(&entries[i].values);
#pragma unroll
    for (i32 n = 0; n < 8; n++) s[n] = ADD(s[n], DOT(v, wasm_v128_load(w + 8 * n)));
  }
#pragma unroll
  for (i32 n = 0; n < 8; n++) wasm_v128_store(sums + 4 * n, s[n]);
}

/* ROWS rows by 8 outputs. */
INLINE void products(const i16 *restrict a, i32 lda, const i16 *restrict w, i32 inputs, v128_t sum[ROWS][2]) {
#pragma unroll
  for (i32 r = 0; r < ROWS; r++) sum[r][0] = sum[r][1] = wasm_i32x4_splat(0);
#pragma clang loop unroll(disable)
  for (i32 k = 0; k < inputs; k += 2, w += 16) {
    v128_t w0 = wasm_v128_load(w), w1 = wasm_v128_load(w + 8);
#pragma unroll
    for (i32 r = 0; r < ROWS; r++) {
      v128_t v = wasm_v128_load32_splat(a + r * lda + k);
      sum[r][0] = ADD(sum[r][0], DOT(v, w0));
      sum[r][1] = ADD(sum[r][1], DOT(v, w1));
    }
  }
}

void product(const i16 *restrict a, i32 lda, i32 rows, const i16 *restrict w, i32 inputs, i32 outputs, i32 *restrict o) {
  for (i32 n = 0; n < outputs; n += 8, w += 8 * inputs) for (i32 r = 0; r < rows; r += ROWS) {
    v128_t sum[ROWS][2];
    products(a + r * lda, lda, w, inputs, sum);
#pragma unroll
    for (i32 q = 0; q < ROWS; q++) {
      wasm_v128_store(o + (r + q) * outputs + n, sum[q][0]);
      wasm_v128_store(o + (r + q) * outputs + n + 4, sum[q][1]);
    }
  }
}

/* Rounded half to even by the addition of 1.5 * 2^23, which leaves the integer in the low bits; `integers` takes it out. */
INLINE v128_t rounded(v128_t v, v128_t low, v128_t high) {
  return wasm_f32x4_add(wasm_f32x4_pmin(high, wasm_f32x4_pmax(low, v)), wasm_f32x4_splat(12582912.0f));
}
INLINE v128_t requantized(v128_t sum, v128_t bias, v128_t scale, v128_t low, v128_t high) {
  return rounded(wasm_f32x4_mul(wasm_f32x4_convert_i32x4(ADD(sum, bias)), scale), low, high);
}
INLINE v128_t integers(v128_t a, v128_t b) {
  v128_t base = wasm_i32x4_splat(0x4b400000);
  return wasm_i16x8_narrow_i32x4(SUB(a, base), SUB(b, base));
}

/* `add` may be NULL; a constant where this is inlined. */
INLINE void convolve(const i16 *restrict a, i32 lda, i32 rows, const i16 *restrict w, i32 inputs, i32 outputs, Requantize q, const Addition *add,
    const i16 *restrict x, i16 *restrict o, i32 ldo) {
  v128_t low = wasm_f32x4_splat((float)-q.zero), high = wasm_f32x4_splat(255.0f - (float)q.zero);
  for (i32 n = 0; n < outputs; n += 8, w += 8 * inputs) {
    for (i32 r = 0; r < rows; r += ROWS) {
      v128_t sum[ROWS][2];
      products(a + r * lda, lda, w, inputs, sum);
      v128_t b0 = wasm_v128_load(q.bias + n), b1 = wasm_v128_load(q.bias + n + 4), s0 = wasm_v128_load(q.scale + n), s1 = wasm_v128_load(q.scale + n + 4);
#pragma unroll
      for (i32 i = 0; i < ROWS; i++) {
        v128_t y0 = requantized(sum[i][0], b0, s0, low, high), y1 = requantized(sum[i][1], b1, s1, low, high);
        if (add) {
          v128_t base = wasm_i32x4_splat(0x4b400000), gain = wasm_f32x4_splat(add->gain), gain_x = wasm_f32x4_splat(add->gain_x);
          v128_t least = wasm_f32x4_splat((float)-add->zero), most = wasm_f32x4_splat(255.0f - (float)add->zero);
          v128_t v = wasm_v128_load(x + (r + i) * ldo + n);
          v128_t t0 = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(wasm_i32x4_extend_low_i16x8(v)), gain_x);
          v128_t t1 = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(wasm_i32x4_extend_high_i16x8(v)), gain_x);
          y0 = rounded(wasm_f32x4_add(t0, wasm_f32x4_mul(wasm_f32x4_convert_i32x4(SUB(y0, base)), gain)), least, most);
          y1 = rounded(wasm_f32x4_add(t1, wasm_f32x4_mul(wasm_f32x4_convert_i32x4(SUB(y1, base)), gain)), least, most);
        }
        wasm_v128_store(o + (r + i) * ldo + n, integers(y0, y1));
      }
    }
  }
}

void convolve1(const i16 *a, i32 lda, i32 rows, const i16 *w, i32 inputs, i32 outputs, Requantize q, i16 *o, i32 ldo) {
  convolve(a, lda, rows, w, inputs, outputs, q, 0, 0, o, ldo);
}

void convolve1_add(const i16 *a, i32 lda, i32 rows, const i16 *w, i32 inputs, i32 outputs, Requantize q, Addition add, const i16 *x, i16 *o) {
  convolve(a, lda, rows, w, inputs, outputs, q, &add, x, o, outputs);
}

#define ADD16 wasm_i16x8_add
#define SUB16 wasm_i16x8_sub
#define SHL16 wasm_i16x8_shl

INLINE void transform_input(const v128_t *d, i32 step, v128_t *o, i32 to) {
  v128_t d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
  v128_t p = SUB16(d4, SHL16(d2, 2)), q = SUB16(d3, SHL16(d1, 2)), r = SUB16(d4, d2), s = SHL16(SUB16(d3, d1), 1);
  o[0] = ADD16(SUB16(SHL16(d0, 2), d2), p);              /* 4 d0 - 5 d2 + d4 */
  o[to] = ADD16(p, q);                                   /* -4 d1 - 4 d2 + d3 + d4 */
  o[2 * to] = SUB16(p, q);                               /* 4 d1 - 4 d2 - d3 + d4 */
  o[3 * to] = ADD16(r, s);                               /* -2 d1 - d2 + 2 d3 + d4 */
  o[4 * to] = SUB16(r, s);                               /* 2 d1 - d2 - 2 d3 + d4 */
  o[5 * to] = SUB16(SUB16(d5, d3), SHL16(s, 1));         /* 4 d1 - 5 d3 + d5 */
}

void winograd_input(const i16 *restrict x, i32 stride, i32 channels, i32 tiles, i32 ld, i16 *restrict v) {
  for (i32 t = 0; t < tiles; t++) for (i32 k = 0; k < channels; k += 8) {
    v128_t half[36], column[6];
    const i16 *p = x + 4 * t * channels + k;
    for (i32 j = 0; j < 6; j++) {
      for (i32 i = 0; i < 6; i++) column[i] = wasm_v128_load(p + (i * stride + j) * channels);
      transform_input(column, 1, half + j, 6);
    }
    i16 *o = v + t * channels + k;
    for (i32 i = 0; i < 6; i++) {
      v128_t row[6];
      transform_input(half + 6 * i, 1, row, 1);
      for (i32 j = 0; j < 6; j++) wasm_v128_store(o + (6 * i + j) * ld * channels, row[j]);
    }
  }
}

INLINE void transform_output(const v128_t *m, i32 step, v128_t *o, i32 to) {
  v128_t m0 = m[0], m1 = m[step], m2 = m[2 * step], m3 = m[3 * step], m4 = m[4 * step], m5 = m[5 * step];
  v128_t s = ADD(m1, m2), d = SUB(m1, m2), t = ADD(m3, m4), e = SUB(m3, m4);
  o[0] = ADD(ADD(m0, s), t);
  o[to] = ADD(d, wasm_i32x4_shl(e, 1));
  o[2 * to] = ADD(s, wasm_i32x4_shl(t, 2));
  o[3 * to] = ADD(ADD(d, wasm_i32x4_shl(e, 3)), wasm_i32x4_shl(m5, 1));
}

void winograd_output(const i32 *restrict m, i32 channels, i32 tiles, i32 ld, Requantize q, i16 *restrict o, i32 ldo) {
  v128_t low = wasm_f32x4_splat((float)-q.zero), high = wasm_f32x4_splat(255.0f - (float)q.zero), ninth = wasm_i32x4_splat(954437177);
  for (i32 t = 0; t < tiles; t++) for (i32 n = 0; n < channels; n += 4) {
    const i32 *p = m + t * channels + n;
    v128_t half[24];
#pragma clang loop unroll(disable)
    for (i32 j = 0; j < 6; j++) {
      v128_t column[6];
      for (i32 i = 0; i < 6; i++) column[i] = wasm_v128_load(p + (6 * i + j) * ld * channels);
      transform_output(column, 1, half + j, 6);
    }
    v128_t bias = wasm_v128_load(q.bias + n), scale = wasm_v128_load(q.scale + n);
#pragma clang loop unroll(disable)
    for (i32 i = 0; i < 4; i++) {
      v128_t y[4];
      transform_output(half + 6 * i, 1, y, 1);
      for (i32 j = 0; j < 4; j++) y[j] = requantized(wasm_i32x4_shr(wasm_i32x4_mul(y[j], ninth), 6), bias, scale, low, high);
      v128_t e = integers(y[0], y[1]), f = integers(y[2], y[3]);
      i16 *d = o + (i * ldo + 4 * t) * channels + n;
      wasm_v128_store64_lane(d, e, 0);
      wasm_v128_store64_lane(d + channels, e, 1);
      wasm_v128_store64_lane(d + 2 * channels, f, 0);
      wasm_v128_store64_lane(d + 3 * channels, f, 1);
    }
  }
}

/* Eight samples, or `lanes` of them in the last turn. */
INLINE void lap_eight(i16 *p, i32 stride, const i32 *lapping, i32 n) {
  v128_t low[8], high[8], round = wasm_i32x4_splat(128);
  for (i32 j = 0; j < n; j += 2) {
    v128_t d0 = SUB16(wasm_v128_load(p - (j + 1) * stride), wasm_v128_load(p + j * stride));
    v128_t d1 = SUB16(wasm_v128_load(p - (j + 2) * stride), wasm_v128_load(p + (j + 1) * stride));
    low[j >> 1] = wasm_i16x8_shuffle(d0, d1, 0, 8, 1, 9, 2, 10, 3, 11);
    high[j >> 1] = wasm_i16x8_shuffle(d0, d1, 4, 12, 5, 13, 6, 14, 7, 15);
  }
  for (i32 i = 0; i < n; i++) {
    v128_t a = wasm_i32x4_splat(0), b = a;
    for (i32 j = 0; j < n; j += 2) {
      v128_t entry = wasm_i32x4_splat((i32)(((u32)lapping[i * n + j] & 0xffff) | (u32)lapping[i * n + j + 1] << 16));
      a = ADD(a, DOT(low[j >> 1], entry));
      b = ADD(b, DOT(high[j >> 1], entry));
    }
    v128_t up = wasm_i16x8_narrow_i32x4(wasm_i32x4_shr(ADD(a, round), 8), wasm_i32x4_shr(ADD(b, round), 8));
    v128_t down = wasm_i16x8_narrow_i32x4(wasm_i32x4_shr(SUB(round, a), 8), wasm_i32x4_shr(SUB(round, b), 8));
    i16 *above = p - (i + 1) * stride, *below = p + i * stride;
    wasm_v128_store(above, ADD16(wasm_v128_load(above), up));
    wasm_v128_store(below, ADD16(wasm_v128_load(below), down));
  }
}

void lap_rows(i16 *border, i32 stride, i32 count, const i32 *lapping, i32 n) {
  /* 3 * patch samples a block, patches of 4 and more: a multiple of 4 */
  i32 x = 0;
  for (; x + 8 <= count; x += 8) lap_eight(border + x, stride, lapping, n);
  if (x == count) return;
  i16 rest[33 * 8] = { 0 };
  for (i32 j = -n; j < n; j++) for (i32 k = 0; k < count - x; k++) rest[(j + n) * 8 + k] = border[j * stride + x + k];
  lap_eight(rest + n * 8, 8, lapping, n);
  for (i32 j = -n; j < n; j++) for (i32 k = 0; k < count - x; k++) border[j * stride + x + k] = rest[(j + n) * 8 + k];
}

void paint_row(const i16 *levels, const i16 *residual, i32 shift, i32 columns, u8 *rgba) {
  v128_t offset = wasm_i16x8_splat(2056), opaque = wasm_i32x4_splat((i32)0xff000000);
  for (i32 x = 0; x < columns; x++, levels += 12, residual += 64, rgba += 16) {
    /* 12 levels -> 16 with a gap for alpha */
    v128_t l0 = wasm_v128_load(levels), l1 = wasm_v128_load64_zero(levels + 8);
    v128_t p = wasm_i16x8_shuffle(l0, l1, 0, 1, 2, 0, 3, 4, 5, 0), q = wasm_i16x8_shuffle(l0, l1, 6, 7, 8, 0, 9, 10, 11, 0);
    p = wasm_i16x8_add_sat(wasm_i16x8_add_sat(p, offset), SHL16(wasm_v128_load(residual), (u32)shift));
    q = wasm_i16x8_add_sat(wasm_i16x8_add_sat(q, offset), SHL16(wasm_v128_load(residual + 8), (u32)shift));
    v128_t pixels = wasm_u8x16_narrow_i16x8(wasm_i16x8_shr(p, 4), wasm_i16x8_shr(q, 4));
    wasm_v128_store(rgba, wasm_v128_or(pixels, opaque));
  }
}
#endif
