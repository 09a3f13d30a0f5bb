/* The prediction of a sample by local least squares (FORMAT.md, "Lossless"): a system of normal equations per plane and block of columns.
 *
 * IEEE float32 throughout, in a stated order, without fused operations: the same bits everywhere. Pivots are at least `LEAST`, so nothing is
 * divided by zero; what could still overflow is brought back by the clamp of the prediction, which sends what is no number to 0.
 */
#ifndef SDZ_PREDICTOR_H
#define SDZ_PREDICTOR_H
#include "../internal.h"

typedef float f32;
typedef f32 f32x4 __attribute__((vector_size(16)));

enum { BLOCK = 8, MAX_TERMS = 32, OWN_FIRST = 16, OWN_NEXT = 6, OTHERS = 9, BASES = 5 };

/* Sums of a block of columns: row i holds those of term i with terms i .. terms - 1 and, at `terms`, with the sample itself. */
typedef struct {
  i32 terms, stride, blocks, count; /* count: samples since the last `keep` */
  f32 *sums;                        /* (blocks + 4, terms, stride): two blocks of zeros on each side */
  f32 weight[MAX_TERMS] __attribute__((aligned(16)));
  f32 sample[BLOCK][MAX_TERMS]; /* the terms of the block's samples so far, times their weights */
  f32 system[MAX_TERMS * MAX_TERMS];
} Predictor;

i32 start_predictor(Predictor *predictor, i32 terms, i32 blocks, const void *owner);
/* Finds the weights for a block from the sums around it. */
void solve(Predictor *predictor, i32 block);
/* Adds the block's samples to its sums. */
void keep(Predictor *predictor, i32 block);
/* Prediction in sixteenths, 0 .. 4080, of `terms` from their mean `middle`. */
i32 predict(const Predictor *predictor, const f32 *terms, f32 middle);
#endif
