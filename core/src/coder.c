/* What every stream shares: the curves, the states that each run copies, and the coder's ends. */
#include "coder.h"
#include "squash.h"

i16 STRETCH[4096];
u16 SQUASH[4096], RATES[256];

void make_curves(void) {
  if (RATES[0]) return;
  for (i32 j = 0, s = 0, q = 32768; j < 2048; j++) {
    STRETCH[2048 + j] = (i16)s;
    STRETCH[2047 - j] = (i16)-s;
    SQUASH[2048 + j] = (u16)q;
    SQUASH[2048 - j] = (u16)(65536 - q);
    if (j < 2047) s += STRETCH_STEPS[j], q += SQUASH_STEPS[j];
  }
  SQUASH[0] = SQUASH[1];
  for (i32 n = 0; n < 256; n++) RATES[n] = (u16)(131072 / (2 * n + 3));
}

i32 start_coder(Coder *c, const Tables *t, const u8 *in, u8 *out, u32 length) {
  Coder fresh = { 0, 0xffffffff, 0, 0, in, out, 0, length, 0, t->rate, t->count_limit, 0, take(2u * (u32)t->states, SCRATCH, 0),
    take((u32)t->states, SCRATCH, 0), take(2u * (u32)t->weights, SCRATCH, 0) };
  if (!fresh.probability || !fresh.count || !fresh.weight) return 0;
  __builtin_memcpy(fresh.probability, t->probability, 2 * (size_t)t->states);
  __builtin_memcpy(fresh.count, t->count, (size_t)t->states);
  __builtin_memcpy(fresh.weight, t->weight, 2 * (size_t)t->weights);
  *c = fresh;
  if (in) for (i32 i = 0; i < 4; i++) shift_in(c);
  return 1;
}

i32 decide_seven(Coder *c, i32 encode, i32 bit, const i32 *slot, i32 set_a, i32 set_b) {
  return decide(c, ENCODES(encode), bit, 7, slot, set_a, set_b);
}

i32 decide_three(Coder *c, i32 encode, i32 bit, const i32 *slot, i32 set_a, i32 set_b) {
  return decide(c, ENCODES(encode), bit, 3, slot, set_a, set_b);
}

void finish_encoder(Coder *c) {
  for (i32 count = 0; count < 5; count++) {
    u64 mask = (1ull << (32 - 8 * count)) - 1, value = (c->low + mask) & ~mask;
    if (value + mask > c->high) continue;
    for (i32 i = 0; i < count; i++) {
      if (c->at == c->length) {
        c->stopped = 1;
        return;
      }
      c->out[c->at++] = (u8)(value >> (24 - 8 * i));
    }
    return;
  }
}

void keep_states(Tables *t) {
#ifdef __wasm__
  t->addresses[0] = (u32)t->probability, t->addresses[1] = (u32)t->count, t->addresses[2] = (u32)t->weight;
#endif
  t->addresses[3] = (u32)t->states, t->addresses[4] = (u32)t->weights;
}

const uint32_t *sdz_states(Tables *tables) {
  CHECK(is_a(tables, TABLES), SDZ_BAD_CALL, -1);
  return tables->addresses;
}
