/* The kernels in plain C: what kernels_simd.c computes, one number at a time. */
#include "kernels.h"

#ifndef __wasm_simd128__

/* Half to even by the addition of 1.5 * 2^23: exact for |v| < 2^22, which the clamp before it ensures. */
static i16 rounded(float v) {
  float shifted = v + 12582912.0f;
  i32 bits;
  __builtin_memcpy(&bits, &shifted, 4);
  return (i16)(bits - 0x4b400000);
}

static i16 requantized(i32 sum, Requantize q, i32 n) {
  float v = (float)(i32)((u32)sum + (u32)q.bias[n]) * q.scale[n], low = (float)-q.zero, high = 255.0f - (float)q.zero;
  return rounded(v < low ? low : v > high ? high : v);
}

void pattern_sums(const Entry *entries, i32 count, const i16 *block, i32 *sums) {
  for (i32 n = 0; n < 32; n++) {
    u32 sum = 0;
    for (i32 i = 0; i < count; i++) {
      const i16 *w = block + (size_t)entries[i].pair * 64 + 2 * n;
      sum += (u32)((i16)entries[i].values * w[0]) + (u32)((i16)(entries[i].values >> 16) * w[1]);
    }
    sums[n] = (i32)sum;
  }
}

static i32 product_of(const i16 *a, const i16 *w, i32 inputs, i32 n) {
  u32 sum = 0;
  w += (size_t)(n >> 3) * 8 * (size_t)inputs + (n & 7) * 2;
  for (i32 k = 0; k < inputs; k += 2, w += 16) sum += (u32)(a[k] * w[0]) + (u32)(a[k + 1] * w[1]);
  return (i32)sum;
}

void product(const i16 *a, i32 lda, i32 rows, const i16 *w, i32 inputs, i32 outputs, i32 *o) {
  for (i32 r = 0; r < rows; r++) for (i32 n = 0; n < outputs; n++) o[r * outputs + n] = product_of(a + r * lda, w, inputs, n);
}

void convolve1(const i16 *a, i32 lda, i32 rows, const i16 *w, i32 inputs, i32 outputs, Requantize q, i16 *o, i32 ldo) {
  for (i32 r = 0; r < rows; r++) for (i32 n = 0; n < outputs; n++) o[r * ldo + n] = requantized(product_of(a + r * lda, w, inputs, n), q, n);
}

void convolve1_add(const i16 *a, i32 lda, i32 rows, const i16 *w, i32 inputs, i32 outputs, Requantize q, Addition add, const i16 *x, i16 *o) {
  float low = (float)-add.zero, high = 255.0f - (float)add.zero;
  for (i32 r = 0; r < rows; r++) for (i32 n = 0; n < outputs; n++) {
    i16 level = requantized(product_of(a + r * lda, w, inputs, n), q, n);
    float v = (float)x[r * outputs + n] * add.gain_x + (float)level * add.gain;
    o[r * outputs + n] = rounded(v < low ? low : v > high ? high : v);
  }
}

static void transform_input(const i32 *d, i32 step, i32 *o, i32 to) {
  i32 a = d[0], b = d[step], c = d[2 * step], e = d[3 * step], f = d[4 * step], g = d[5 * step];
  o[0] = 4 * a - 5 * c + f;
  o[to] = -4 * b - 4 * c + e + f;
  o[2 * to] = 4 * b - 4 * c - e + f;
  o[3 * to] = -2 * b - c + 2 * e + f;
  o[4 * to] = 2 * b - c - 2 * e + f;
  o[5 * to] = 4 * b - 5 * e + g;
}

void winograd_input(const i16 *x, i32 stride, i32 channels, i32 tiles, i32 ld, i16 *v) {
  for (i32 t = 0; t < tiles; t++) for (i32 c = 0; c < channels; c++) {
    i32 d[36], half[36], all[36];
    for (i32 i = 0; i < 36; i++) d[i] = x[(size_t)((i / 6) * stride + 4 * t + i % 6) * (size_t)channels + (size_t)c];
    for (i32 j = 0; j < 6; j++) transform_input(d + j, 6, half + j, 6);
    for (i32 i = 0; i < 6; i++) transform_input(half + 6 * i, 1, all + 6 * i, 1);
    for (i32 i = 0; i < 36; i++) v[((size_t)i * (size_t)ld + (size_t)t) * (size_t)channels + (size_t)c] = (i16)all[i];
  }
}

static void transform_output(const u32 *m, i32 step, u32 *o, i32 to) {
  u32 s = m[step] + m[2 * step], d = m[step] - m[2 * step], t = m[3 * step] + m[4 * step], e = m[3 * step] - m[4 * step];
  o[0] = m[0] + s + t;
  o[to] = d + 2 * e;
  o[2 * to] = s + 4 * t;
  o[3 * to] = d + 8 * e + 2 * m[5 * step];
}

void winograd_output(const i32 *m, i32 channels, i32 tiles, i32 ld, Requantize q, i16 *o, i32 ldo) {
  for (i32 t = 0; t < tiles; t++) for (i32 n = 0; n < channels; n++) {
    u32 all[36], half[24], y[16];
    for (i32 i = 0; i < 36; i++) all[i] = (u32)m[((size_t)i * (size_t)ld + (size_t)t) * (size_t)channels + (size_t)n];
    for (i32 j = 0; j < 6; j++) transform_output(all + j, 6, half + j, 6);
    for (i32 i = 0; i < 4; i++) transform_output(half + 6 * i, 1, y + 4 * i, 1);
    for (i32 i = 0; i < 16; i++) {
      o[(size_t)((i >> 2) * ldo + 4 * t + (i & 3)) * (size_t)channels + (size_t)n] = requantized((i32)(y[i] * 954437177u) >> 6, q, n);
    }
  }
}

void lap_rows(i16 *border, i32 stride, i32 count, const i32 *lapping, i32 n) {
  for (i32 x = 0; x < count; x++) {
    i32 difference[16];
    for (i32 j = 0; j < n; j++) difference[j] = border[x - (j + 1) * stride] - border[x + j * stride];
    for (i32 i = 0; i < n; i++) {
      i32 sum = 0;
      for (i32 j = 0; j < n; j++) sum += lapping[i * n + j] * difference[j];
      border[x - (i + 1) * stride] = (i16)(border[x - (i + 1) * stride] + ((sum + 128) >> 8));
      border[x + i * stride] = (i16)(border[x + i * stride] + ((128 - sum) >> 8));
    }
  }
}

static i32 saturated(i32 v) { return clamp32(-32768, v, 32767); }

void paint_row(const i16 *levels, const i16 *residual, i32 shift, i32 columns, u8 *rgba) {
  for (i32 x = 0; x < columns; x++) for (i32 i = 0; i < 4; i++) {
    for (i32 c = 0; c < 3; c++) {
      i32 sum = saturated(saturated(levels[12 * x + 3 * i + c] + 2056) + residual[64 * x + 4 * i + c] * (1 << shift));
      rgba[16 * x + 4 * i + c] = (u8)clamp32(0, sum >> 4, 255);
    }
    rgba[16 * x + 4 * i + 3] = 255;
  }
}
#endif
