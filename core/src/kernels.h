/* The loops that want vectors, each twice: kernels_simd.c for WebAssembly, kernels_scalar.c, the same integers in plain C, for every other
 * compiler and for tests. Arrays that a vector reads are 16-byte aligned or not, as it comes; sizes are multiples where it says so.
 *
 * All sums are of integers modulo 2^32: order does not matter, and what is exact at the end was exact all along.
 */
#ifndef SDZ_KERNELS_H
#define SDZ_KERNELS_H
#include "internal.h"

enum { ROWS = 4 }; /* of a product at a time */

/* Scale, zero point and bias of a convolution's outputs: level = clamp(round_half_even(float(sum + bias) * scale), -zero, 255 - zero). The
 * conversion to float rounds half to even as well, beyond 2^24. Levels are kept less their zero point, in 16 bits. */
typedef struct { const i32 *bias; const float *scale; i32 zero; } Requantize;

/* sums[32] = of `count` entries, pair by pair, of one block of Patterns. */
void pattern_sums(const Entry *entries, i32 count, const i16 *block, i32 *sums);

/* o[r * outputs + n] = sum over k of a[r * lda + k] * w: rows a multiple of ROWS, inputs even, outputs a multiple of 8;
 * w is [outputs / 8][inputs / 2][8][2]. */
void product(const i16 *a, i32 lda, i32 rows, const i16 *w, i32 inputs, i32 outputs, i32 *o);
/* The same, requantized, to o[r * ldo + n]. */
void convolve1(const i16 *a, i32 lda, i32 rows, const i16 *w, i32 inputs, i32 outputs, Requantize q, i16 *o, i32 ldo);
/* The same, and then the sum with x: clamp(round_half_even(x * gain_x + level * gain), -128, 127) in units of the sum's grid, less `zero`
 * of it already; x and o have `outputs` to a row. */
typedef struct { float gain_x, gain; i32 zero; } Addition;
void convolve1_add(const i16 *a, i32 lda, i32 rows, const i16 *w, i32 inputs, i32 outputs, Requantize q, Addition add, const i16 *x, i16 *o);

/* Winograd's F(4 x 4, 3 x 3), integers throughout (network.c says why it is exact). Input: one row of tiles of x (rows of `stride` positions,
 * `channels` a multiple of 8) -> v[36][ld][channels]. Output: m[36][ld][channels] -> o, 4 rows of `ldo` positions. */
void winograd_input(const i16 *x, i32 stride, i32 channels, i32 tiles, i32 ld, i16 *v);
void winograd_output(const i32 *m, i32 channels, i32 tiles, i32 ld, Requantize q, i16 *o, i32 ldo);

/* Filters a border between rows of levels, n (even) rows above and below `border`, `count` (any) samples: FORMAT.md, "Linear stage". Levels are
 * within 2^13, so differences fit 16 bits; entries are within 232 a row. */
void lap_rows(i16 *border, i32 stride, i32 count, const i32 *lapping, i32 n);
/* 16 colour samples a position and row, (4, 4): rgba[i] = clamp((level[i] + 2056 + (residual << shift)) >> 4); `columns` positions of a row;
 * levels are RGB, residual (columns, 64) from row * 16, rgba 16 bytes a position. Sums saturate at 16 bits, far outside 0..255. */
void paint_row(const i16 *levels, const i16 *residual, i32 shift, i32 columns, u8 *rgba);
#endif
