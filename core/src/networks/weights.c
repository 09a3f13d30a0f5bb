/* Weights of the networks ("sdzN", FORMAT.md, "Arithmetic of the networks"): read, checked and brought into the order that the kernels want.
 *
 * Checked of every output before anything runs: a positive, normal, finite scale; sum of |weights| * 255 + |bias| < 2^25, below which Winograd's
 * sums are exact (network.c says why); of the stem, sums below 2^24 with the pack's limit; shapes that follow each other; no byte too few or too
 * many. What is read is copied: a caller may give its bytes back.
 */
#include "network.h"

typedef struct { const u8 *at, *end; } Reader;
static const u8 *need(Reader *r, u64 bytes) {
  if (bytes > (u64)(r->end - r->at)) return 0;
  const u8 *from = r->at;
  r->at += bytes;
  return from;
}

float power_of_two(i32 exponent) {
  u32 bits = (u32)(127 + exponent) << 23;
  float v;
  __builtin_memcpy(&v, &bits, 4);
  return v;
}

static i32 good_scale(float v) {
  u32 bits;
  __builtin_memcpy(&bits, &v, 4);
  return bits >= 0x00800000 && bits < 0x7f800000; /* positive, normal, finite */
}

/* [outputs / 8][inputs / 2][8][2] */
static i16 *gemm_place(i16 *w, i32 inputs, i32 n, i32 k) { return w + (((size_t)(n >> 3) * (size_t)(inputs >> 1) + (size_t)(k >> 1)) * 8 + (n & 7)) * 2 + (k & 1); }

static void transform_weights(const i32 *g, i32 step, i32 *o, i32 to) {
  i32 a = g[0], b = g[step], c = g[2 * step];
  o[0] = 6 * a;
  o[to] = -4 * (a + b + c);
  o[2 * to] = 4 * (b - a - c);
  o[3 * to] = a + 2 * b + 4 * c;
  o[4 * to] = a - 2 * b + 4 * c;
  o[5 * to] = 12 * c;
}

/* Scales and biases of `outputs` channels; 0 and the reason set where they are not there or not good. */
static i32 read_requantize(Reader *r, i32 outputs, Requantize *q, const void *owner, i32 layer) {
  const u8 *from = need(r, 8 * (u64)outputs);
  CHECK(from, SDZ_NETWORK_LENGTH, layer);
  u8 *copy = take(8 * (u64)outputs, PART, owner);
  if (!copy) return 0;
  __builtin_memcpy(copy, from, 8 * (size_t)outputs);
  q->scale = (const float *)copy, q->bias = (const i32 *)(copy + 4 * outputs);
  for (i32 n = 0; n < outputs; n++) CHECK(good_scale(q->scale[n]), SDZ_NETWORK_SCALE, layer);
  return 1;
}

static i32 read_convolution(Reader *r, Convolution *c, i32 size, i32 inputs, i32 zero_in, const void *owner, i32 layer) {
  const u8 *head = need(r, 8);
  CHECK(head, SDZ_NETWORK_LENGTH, layer);
  i32 outputs = head[6] | head[7] << 8;
  CHECK(head[0] == size && head[1] == zero_in && !head[3] && (head[4] | head[5] << 8) == inputs, SDZ_NETWORK_SHAPE, layer);
  CHECK(outputs > 0 && outputs <= MAX_WIDTH && outputs % 8 == 0, SDZ_NETWORK_SHAPE, layer);
  c->size = size, c->inputs = inputs, c->outputs = outputs, c->zero_in = zero_in, c->q.zero = head[2];
  if (!read_requantize(r, outputs, &c->q, owner, layer)) return 0;
  i32 taps = size * size;
  const i8 *w = (const i8 *)need(r, (u64)outputs * (u64)inputs * (u64)taps);
  CHECK(w, SDZ_NETWORK_LENGTH, layer);
  i16 *to = take(2ull * (u32)outputs * (u32)inputs * (taps == 9 ? 36 : 1), PART, owner);
  if (!to) return 0;
  c->weight = to;
  for (i32 n = 0; n < outputs; n++) {
    u64 sum = magnitude_of(c->q.bias[n]);
    for (i32 k = 0; k < inputs; k++, w += taps) {
      i32 g[9], half[18], all[36];
      for (i32 i = 0; i < taps; i++) g[i] = w[i], sum += 255u * magnitude_of(w[i]);
      if (taps == 1) {
        *gemm_place(to, inputs, n, k) = (i16)g[0];
        continue;
      }
      for (i32 i = 0; i < 3; i++) transform_weights(g + i, 3, half + i, 3);
      for (i32 i = 0; i < 6; i++) transform_weights(half + 3 * i, 1, all + 6 * i, 1);
      for (i32 i = 0; i < 36; i++) *gemm_place(to + (size_t)i * (size_t)(inputs * outputs), inputs, n, k) = (i16)all[i];
    }
    CHECK(sum < 1u << 25, SDZ_NETWORK_SUMS, layer);
  }
  return 1;
}

/* How much an input of the stem can be: its latents' magnitudes sum to the limit, levels are within 15, precision codes within 200. */
static i32 read_stem(Reader *r, Network *net, i32 *zero) {
  const u8 *head = need(r, 4);
  CHECK(head, SDZ_NETWORK_LENGTH, 0);
  i32 c = net->channels, inputs = c * net->parts, pairs = (c + 1) / 2, outputs = head[2] | head[3] << 8;
  CHECK(head[0] == STEM && outputs > 0 && outputs <= MAX_WIDTH && outputs % 8 == 0, SDZ_NETWORK_SHAPE, 0);
  Layer *l = net->layer;
  l->kind = STEM, l->first.inputs = inputs, l->first.outputs = outputs, l->first.q.zero = *zero = head[1];
  if (!read_requantize(r, outputs, &l->first.q, net, 0)) return 0;
  const u8 *gain = need(r, 2 * (u64)inputs);
  CHECK(gain, SDZ_NETWORK_LENGTH, 0);
  const i8 *w = (const i8 *)need(r, (u64)outputs * (u64)inputs);
  CHECK(w, SDZ_NETWORK_LENGTH, 0);
  if (!new_patterns(&net->stem, 2 * pairs * net->parts, outputs, net)) return 0;
  for (i32 n = 0; n < outputs; n++) {
    /* precision codes are not negative: a sum lies between that of all negative terms and that of all positive ones */
    u64 most = 0, sum = 0, up = (u64)max32(l->first.q.bias[n], 0), down = (u64)-(i64)min32(l->first.q.bias[n], 0);
    for (i32 k = 0; k < inputs; k++, w++) {
      i32 part = k / c, weight = *w * (i16)(gain[2 * k] | gain[2 * k + 1] << 8);
      CHECK(weight >= -32768 && weight < 32768, SDZ_NETWORK_SUMS, 0);
      set_pattern(&net->stem, 2 * pairs * part + k % c, n, weight);
      u32 m = magnitude_of(weight);
      if (part == 0) most = m > most ? m : most;
      else if (part < net->parts - 1) sum += MAX_LEVEL * (u64)m;
      else if (weight > 0) up += MAX_CODE * (u64)m;
      else down += MAX_CODE * (u64)m;
    }
    CHECK(sum + (up > down ? up : down) + most * (u64)net->l1_limit < 1u << 24, SDZ_NETWORK_SUMS, 0);
  }
  return 1;
}

static i32 read_layer(Reader *r, Network *net, i32 i, i32 *width, i32 *zero) {
  Layer *l = net->layer + i;
  const u8 *head = need(r, 4); /* kind, and what its kind says */
  CHECK(head, SDZ_NETWORK_LENGTH, i);
  i32 last = i == net->count - 1, a = (i8)head[1], b = (i8)head[2];
  l->kind = head[0];
  if (l->kind == BLOCK) {
    CHECK(!last, SDZ_NETWORK_SHAPE, i);
    /* gains are small powers of two and near each other: sums of two products are exact in float */
    CHECK(a >= -12 && a <= 12 && b >= -12 && b <= 12 && a - b >= -12 && a - b <= 12, SDZ_NETWORK_SCALE, i);
    if (!read_convolution(r, &l->first, 3, *width, *zero, net, i)) return 0;
    if (!read_convolution(r, &l->second, 1, l->first.outputs, l->first.q.zero, net, i)) return 0;
    CHECK(l->second.outputs == *width, SDZ_NETWORK_SHAPE, i);
    l->add.gain_x = power_of_two(a), l->add.gain = power_of_two(b), l->add.zero = *zero = head[3];
    return 1;
  }
  CHECK(!head[2] && !head[3], SDZ_NETWORK_SHAPE, i);
  if (l->kind == UPSAMPLE) {
    CHECK(!last && !a && net->scale < 8, SDZ_NETWORK_SHAPE, i);
    if (!read_convolution(r, &l->first, 1, *width, *zero, net, i)) return 0;
    CHECK(l->first.outputs % 32 == 0, SDZ_NETWORK_SHAPE, i);
    *width = l->first.outputs / 4, *zero = l->first.q.zero;
    net->scale *= 2;
    return 1;
  }
  CHECK(last && l->kind == (net->role == DECODER ? PAINT : MOVES), SDZ_NETWORK_SHAPE, i);
  l->shift = a;
  if (l->kind == PAINT) {
    /* 128 << 7 is 2^14: sums of levels and residuals then saturate far outside 0..255 only */
    CHECK(a >= -15 && a <= 7, SDZ_NETWORK_SCALE, i);
    if (!read_convolution(r, &l->first, 3, *width, *zero, net, i)) return 0;
    CHECK(l->first.outputs == QUARTER * QUARTER * 4, SDZ_NETWORK_SHAPE, i);
    return 1;
  }
  CHECK(a >= -15 && a <= 0, SDZ_NETWORK_SCALE, i);
  CHECK(net->scale == 1, SDZ_NETWORK_SHAPE, i);
  if (!read_convolution(r, &l->first, 1, *width, *zero, net, i)) return 0;
  CHECK(l->first.outputs == (net->channels + 7) / 8 * 8, SDZ_NETWORK_SHAPE, i);
  return 1;
}

Network *sdz_network(const uint8_t *data, uint32_t bytes, int32_t l1_limit) {
  CHECK(holds(data, bytes, 1) && l1_limit > 0 && l1_limit <= MAX_L1, SDZ_BAD_CALL, -1);
  CHECK(bytes >= 8 && data[0] == 's' && data[1] == 'd' && data[2] == 'z' && data[3] == 'N' && data[4] == VERSION, SDZ_NETWORK_MAGIC, -1);
  i32 role = data[5], channels = data[6], count = data[7], width, zero;
  CHECK((role == DECODER || role == DENOISER) && channels && count >= 2 && count <= MAX_LAYERS, SDZ_NETWORK_SHAPE, -1);
  Network *net = take(sizeof(Network), NETWORK, 0);
  if (!net) return 0;
  net->role = role, net->channels = channels, net->parts = role == DECODER ? 2 : 3, net->count = count, net->l1_limit = l1_limit, net->scale = 1;
  Reader r = { data + 8, data + bytes };
  i32 good = read_stem(&r, net, &zero);
  width = net->layer[0].first.outputs;
  for (i32 i = 1; i < count && good; i++) good = read_layer(&r, net, i, &width, &zero);
  if (good && r.at != r.end) fail(SDZ_NETWORK_LENGTH, count), good = 0;
  if (good) return net;
  give(net);
  return 0;
}
