/* What the two files of the networks share: opened weights (weights.c) and the layers that network.c runs. */
#ifndef SDZ_NETWORK_H
#define SDZ_NETWORK_H
#include "../kernels.h"

enum { STEM, BLOCK, UPSAMPLE, PAINT, MOVES };
enum { DECODER = 1, DENOISER = 2, MAX_LAYERS = 64, MAX_WIDTH = 1024, VERSION = 1, QUARTER = 4 };

typedef struct { i32 size, inputs, outputs, zero_in; Requantize q; const i16 *weight; } Convolution;
typedef struct { i32 kind; Convolution first, second; Addition add; i32 shift; } Layer;
struct Network {
  i32 role, channels, parts, count, l1_limit, scale; /* scale: positions of the last map per latent position, along a side */
  Patterns stem;
  Layer layer[MAX_LAYERS];
};

/* 2^exponent, for exponents of normal numbers. */
float power_of_two(i32 exponent);
#endif
