/* Local least squares: sums by blocks of columns that fade from row to row, an LDL' factorization per block and row. */
#include "predictor.h"

static const f32 FADE = 0.875f, FAR_PART = 0.5f, RIDGE = 10.0f, LEAST = 2.5f;

INLINE f32x4 all(f32 v) { return (f32x4){ v, v, v, v }; }
INLINE f32x4 *at(f32 *row, i32 i) { return (f32x4 *)(row + i); }
INLINE f32x4 get(const f32 *row, i32 i) { return *(const f32x4 *)(row + i); }

i32 start_predictor(Predictor *p, i32 terms, i32 blocks, const void *owner) {
  p->terms = terms;
  p->stride = (terms + 4) & ~3;
  p->blocks = blocks;
  p->sums = take(4ull * (u32)(blocks + 4) * (u32)(terms * p->stride), PART, owner);
  return p->sums != 0;
}

void solve(Predictor *p, i32 block) {
  const i32 n = p->terms, stride = p->stride;
  const size_t size = (size_t)(n * stride);
  f32 *a = p->system;
  const f32 *here = p->sums + (size_t)(block + 2) * size, *left = here - size, *right = here + size;
  for (i32 i = 0; i < n; i++) {
    for (i32 j = i & ~3; j < stride; j += 4) {
      const i32 k = i * stride + j;
      *at(a, k) = ((get(here, k) + get(left, k)) + get(right, k)) + all(FAR_PART) * (get(left - size, k) + get(right + size, k));
    }
    a[i * stride + i] += RIDGE;
  }
  f32 inverse[MAX_TERMS];
  for (i32 k = 0; k < n; k++) {
    const f32 *pivot = a + k * stride;
    inverse[k] = 1.0f / (pivot[k] > LEAST ? pivot[k] : LEAST);
    for (i32 i = k + 1; i < n; i++) {
      const f32x4 factor = all(pivot[i] * inverse[k]);
      for (i32 j = i & ~3; j < stride; j += 4) *at(a, i * stride + j) -= factor * get(pivot, j);
    }
  }
  for (i32 k = n - 1; k >= 0; k--) {
    const f32 w = p->weight[k] = a[k * stride + n] * inverse[k];
    for (i32 j = 0; j < k; j++) a[j * stride + n] -= a[j * stride + k] * w;
  }
}

void keep(Predictor *p, i32 block) {
  const i32 n = p->terms, stride = p->stride, count = p->count;
  f32 *sums = p->sums + (size_t)(block + 2) * (size_t)(n * stride);
  for (i32 i = 0; i < n; i++, sums += stride) {
    for (i32 j = i & ~3; j < stride; j += 4) {
      f32x4 sum = get(sums, j) * all(FADE);
      for (i32 s = 0; s < count; s++) sum += all(p->sample[s][i]) * get(p->sample[s], j);
      *at(sums, j) = sum;
    }
  }
  p->count = 0;
}

i32 predict(const Predictor *p, const f32 *terms, f32 middle) {
  f32x4 sum = all(0);
  for (i32 j = 0; j < p->terms; j += 4) sum += get(p->weight, j) * get(terms, j);
  f32 v = middle + ((sum[0] + sum[1]) + (sum[2] + sum[3]));
  if (!(v > 0)) v = 0;
  if (!(v < 255)) v = 255;
  return (i32)(v * 16.0f + 0.5f);
}
