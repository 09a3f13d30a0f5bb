/* One fuzzer for every compiler: a case is bytes, its verdict a hash of all that the core said and gave.
 *
 * Natively: cc -std=c11 -O1 -g -ffp-contract=off -fsanitize=address,undefined -fno-sanitize-recover=all -o fuzz fuzz.c $(find src -name '*.c')
 *           ./fuzz SEEDS INPUTS [OUT]   mutates the seeds so many times; every 50th input and its verdict go to OUT
 * As WebAssembly (build.sh with FUZZ=1): `fuzz_case` beside the core's own calls, to be given the inputs of OUT; verdicts must be equal. Native code runs the
 * kernels' plain versions, so that also compares these with their vector twins.
 *
 * A case: kind, then what the kind wants. Kinds 'T', 'I', 'N', 'L' open tables, index tables, networks and linear stages and use them a
 * little; 'p', 'r', 'i', 'P', 'A', 'e', 'R', 'g' decode payloads (with a map), palettes and alpha, encode, and guard with those opened by `fuzz_setup`;
 * 'x' decodes a lossless tail, 'X' codes one and decodes it again, whole and damaged. SEEDS and OUT
 * are records of u32 length, bytes, and in OUT u64 verdict; the first four of SEEDS are the set-up: the bodies of T, I, L and N.
 */
#include "sdz_lossless.h"
#include "src/kernels.h"

enum { MOST = 1 << 16 };
static Tables *planes, *indices;
static Linear *linear;
static Network *network;
static u64 hash;

static void note(const void *data, u64 bytes) {
  const u8 *p = data;
  for (u64 i = 0; i < bytes; i++) hash = (hash ^ p[i]) * 0x100000001b3ull;
}
static void note_number(i64 v) { note(&v, 8); }

/* The next byte of a case, 0 behind its end. */
typedef struct { const u8 *at, *end; } Case;
static i32 byte(Case *c) { return c->at < c->end ? *c->at++ : 0; }

static void *copy_of(const void *data, u64 bytes) {
  void *p = sdz_alloc((u32)(bytes ? bytes : 1));
  if (p) __builtin_memcpy(p, data, bytes);
  return p;
}

static void note_failure(void) {
  note_number(sdz_reason());
  note_number(sdz_where());
}

/* All that can be asked of a picture. */
static void use_picture(Picture *p, i32 channels, Case *c) {
  if (!p) {
    note_failure();
    return;
  }
  const i32 *facts = sdz_facts(p);
  note(facts, 32);
  i32 rows = facts[2], columns = facts[3], area = rows * columns, count = channels * area, functions = (channels + facts[12]) * area;
  i32 *value = sdz_alloc(4u * (u32)functions), *all[4];
  u8 *plane = sdz_alloc((u32)functions), *steps = sdz_alloc((u32)channels);
  for (i32 i = 0; i < channels; i++) steps[i] = (u8)(byte(c) % 81);
  note_number(sdz_known(p, 0, 0, rows, columns, value, plane));
  note(value, 4 * (u64)(p->kind == 'I' ? area : functions));
  if (p->kind == 'T') note(plane, (u64)functions);
  i32 reconstruction = byte(c) % 17, high = byte(c), low = byte(c);
  note_number(sdz_quantization(p, steps, reconstruction, 1 + (high << 8 | low)));
  note(p->facts + 10, 8);
  for (i32 i = 0; i < 4; i++) all[i] = sdz_alloc(4u * (u32)count);
  note_number(sdz_latents(p, 0, 0, rows, columns, all[0], all[1], all[2], all[3]));
  for (i32 i = 0; i < 4; i++) note(all[i], 4 * (u64)count);
  if (linear && linear->channels == channels) {
    i32 reduce = 1 << byte(c) % 5;
    u64 bytes = 4ull * (u32)area * (u32)(linear->patch * linear->patch);
    u8 *rgba = sdz_alloc((u32)bytes);
    i32 top = byte(c) % rows, left = byte(c) % columns, failed = sdz_paint_linear(p, linear, top, left, rows - top, columns - left, reduce, rgba);
    note_number(failed);
    if (!failed) note(rgba, 4ull * (u32)(rows - top) * (u32)(columns - left) * (u32)(linear->patch * linear->patch / reduce / reduce));
    if (network && rows < 6 && columns < 6) {
      failed = sdz_paint(p, linear, network, 0, 0, 2, 0, top, left, rows - top, columns - left, rgba);
      note_number(failed);
      if (!failed) note(rgba, 4ull * (u32)(rows - top) * (u32)(columns - left) * (u32)(linear->patch * linear->patch));
    }
    sdz_free(rgba);
  }
  for (i32 i = 0; i < 4; i++) sdz_free(all[i]);
  sdz_free(value), sdz_free(plane), sdz_free(steps), sdz_free(p);
}

static void use_network(const u8 *data, u32 bytes, i32 l1_limit, Case *c) {
  void *copy = copy_of(data, bytes);
  Network *net = sdz_network(copy, bytes, l1_limit);
  sdz_free(copy);
  if (!net) {
    note_failure();
    return;
  }
  i32 rows = 1 + byte(c) % 5, columns = 1 + byte(c) % 5, count = data[6] * rows * columns, room = MOST * 4;
  i32 *in[4];
  for (i32 k = 0; k < 4; k++) {
    in[k] = sdz_alloc(4u * (u32)count);
    for (i32 i = 0; i < count; i++) in[k][i] = k == 0 ? (i32)(hash >> (i % 50)) % 40 : k == 1 ? i % 31 - 15 : k == 2 ? i % 201 : (i32)(hash & 0x7ffffff);
  }
  u8 *out = sdz_alloc((u32)room);
  for (i32 layer = -1; layer < 4; layer++) {
    i32 written = sdz_run(net, 0, in[0], in[1], in[2], in[3], rows, columns, layer, out, (u32)room);
    note_number(written);
    if (written > 0) note(out, (u64)written);
  }
  for (i32 k = 0; k < 4; k++) sdz_free(in[k]);
  sdz_free(out), sdz_free(net);
}

/* All bands of a tail from `bytes` at `payload`, each given the rest of it, over a base of bytes of the case. */
static void use_tail(i32 encode, i32 width, i32 height, i32 planes, const u8 *payload, u32 bytes, const u8 *base, u8 *pixels) {
  Tail *t = sdz_tail(width, height, planes, encode ? 6 : 2);
  u32 line = (u32)(width * planes), at = 0;
  for (const i32 *b; t && (b = sdz_tail_band(t)) && b[1] + b[3] + b[5] > 0;) {
    u32 length = bytes - at;
    i32 failed = sdz_tail_decode(t, payload + at, length, base + (u32)b[0] * line, pixels + (u32)b[2] * line);
    note_number(failed);
    if (failed) {
      note_failure();
      break;
    }
    at += length;
  }
  note(pixels, (u64)line * (u32)height);
  sdz_free(t);
}

static void use_tails(i32 encode, Case *c) {
  i32 width = byte(c) % 40 + 1, height = byte(c) % 24 + 1, planes = byte(c) & 1 ? 3 : 1;
  u32 size = (u32)(width * height * planes), rest = (u32)(c->end - c->at), room = 50 * size + 8;
  u8 *base = sdz_alloc(size), *pixels = sdz_alloc(size), *again = sdz_alloc(size), *out = sdz_alloc(room);
  for (u32 i = 0; i < size; i++) base[i] = (u8)(rest ? c->at[i * 3 % rest] : 0), pixels[i] = (u8)(rest ? c->at[i % rest] + (i & 3) : 77), again[i] = 0;
  if (encode) {
    Tail *t = sdz_tail(width, height, planes, 6);
    i32 written = sdz_tail_encode(t, pixels, base, out, room);
    sdz_free(t);
    note_number(written);
    if (written > 0) {
      note(out, (u64)written);
      use_tail(encode, width, height, planes, out, (u32)written, base, again);
      for (u32 i = 0; i < size; i++) if (pixels[i] != again[i]) __builtin_trap();
      out[(u32)written / 2] ^= (u8)(1 + byte(c));
      use_tail(encode, width, height, planes, out, (u32)written - (u32)(written > 3 && byte(c) & 1 ? 3 : 0), base, again);
    }
  } else {
    u8 *payload = copy_of(c->at, rest);
    use_tail(encode, width, height, planes, payload, rest, base, again);
    sdz_free(payload);
  }
  sdz_free(base), sdz_free(pixels), sdz_free(again), sdz_free(out);
}

SDZ_CALL(fuzz_setup) int32_t fuzz_setup(int32_t kind, const uint8_t *data, uint32_t bytes);
int32_t fuzz_setup(int32_t kind, const uint8_t *data, uint32_t bytes) {
  void *copy = copy_of(data, bytes);
  const i32 lapping[4] = { -45, -40, 45, -39 }, *lap = copy_of(lapping, 16);
  i32 channels = planes ? planes->channels : 0, patch = 16;
  if (kind == 'T') planes = sdz_tables(copy, bytes);
  if (kind == 'I') indices = sdz_tables(copy, bytes);
  if (kind == 'L') linear = sdz_linear(copy, bytes, channels, patch, 12, 90000, lap, 2);
  if (kind == 'N') network = sdz_network(copy, bytes, 90000);
  sdz_free(copy), sdz_free((void *)lap);
  return kind == 'T' ? planes != 0 : kind == 'I' ? indices != 0 : kind == 'L' ? linear != 0 : network != 0;
}

SDZ_CALL(fuzz_case) uint64_t fuzz_case(const uint8_t *data, uint32_t bytes);
uint64_t fuzz_case(const uint8_t *data, uint32_t bytes) {
  hash = 0xcbf29ce484222325ull;
  if (!bytes || bytes > MOST) return 0;
  Case all = { data + 1, data + bytes }, *c = &all;
  i32 kind = data[0];
  if (kind == 'T' || kind == 'I') {
    void *copy = copy_of(data + 1, bytes - 1);
    Tables *t = sdz_tables(copy, bytes - 1);
    sdz_free(copy);
    if (!t) note_failure();
    else use_picture(sdz_decode(t, data + 1, 0, 3, 4, 0, 0, 0, 0), t->channels, c);
    if (t && (copy = copy_of(data + 1, bytes > 200 ? 200 : bytes - 1))) {
      use_picture(sdz_decode(t, copy, bytes > 200 ? 200 : bytes - 1, 3, 4, 0, t->kind == 'T' ? -2 : 0, 0, 0), t->channels, c);
      sdz_free(copy);
    }
    sdz_free(t);
  } else if (kind == 'N') use_network(data + 1, bytes - 1, 90000, c);
  else if (kind == 'L') {
    i32 channels = byte(c), patch = 4 << byte(c) % 4, shift = byte(c) % 24, overlap = byte(c) % 17, lapping[256];
    for (i32 i = 0; i < 256; i++) lapping[i] = (i8)byte(c) / 4;
    void *table = copy_of(c->at, (u64)(c->end - c->at)), *lap = copy_of(lapping, sizeof lapping);
    Linear *old = linear, *l = sdz_linear(table, (u32)(c->end - c->at), channels, patch, shift, 5000, lap, overlap);
    sdz_free(table), sdz_free(lap);
    if (!l) note_failure();
    else {
      linear = l;
      u8 raw[256];
      for (i32 i = 0; i < 256; i++) raw[i] = (u8)(hash >> i % 56);
      raw[0] = 0;
      void *palette = copy_of(raw, (u64)(1 + channels + 6)), *index = (u8 *)palette + 1 + channels;
      __builtin_memset(index, 0, 6);
      use_picture(sdz_palette(palette, (u32)(1 + channels + 6), channels, 2, 3), channels, c);
      sdz_free(palette);
    }
    sdz_free(l);
    linear = old;
  } else if (kind == 'p' || kind == 'i') {
    const Tables *t = kind == 'p' ? planes : indices;
    i32 rows = byte(c) % 24 + 1, columns = byte(c) % 24 + 1, tilt = byte(c) % 9 - 4, step = byte(c) % 83;
    u32 rest = (u32)(c->end - c->at);
    void *payload = copy_of(c->at, rest);
    use_picture(sdz_decode(t, payload, rest, rows, columns, step, tilt, 0, 0), t->channels, c);
    sdz_free(payload);
  } else if (kind == 'r') {
    /* a map of so many bytes, then latents */
    i32 rows = byte(c) % 24 + 1, columns = byte(c) % 24 + 1, step = byte(c) % 81, size = byte(c);
    u32 rest = (u32)(c->end - c->at), mapped = (u32)size < rest ? (u32)size : rest;
    u8 *map = copy_of(c->at, mapped), *payload = copy_of(c->at + mapped, rest - mapped), *floors = sdz_alloc(24 * 24);
    i32 means = sdz_floors(map, mapped, rows, columns, floors);
    note_number(means);
    if (means < 0) note_failure();
    else {
      u8 *out = sdz_alloc(MOST);
      i32 written = sdz_regions(means, floors, rows, columns, out, MOST);
      note(floors, (u64)(rows * columns)), note(out, (u64)written);
      sdz_free(out);
    }
    use_picture(sdz_decode(planes, payload, rest - mapped, rows, columns, step, 0, map, mapped), planes->channels, c);
    sdz_free(map), sdz_free(payload), sdz_free(floors);
  } else if (kind == 'R') {
    /* integers of any kind with floors of any kind */
    i32 rows = byte(c) % 6 + 1, columns = byte(c) % 6 + 1, step = byte(c) % 81, means = byte(c) % 16;
    i32 fine = planes->groups && step + 8 * means <= planes->upper_step, count = (planes->channels + (fine ? planes->upper : 0)) * rows * columns;
    i32 *source = sdz_alloc(4u * (u32)count);
    u8 *floors = sdz_alloc(36), *map = sdz_alloc(MOST), *out = sdz_alloc(MOST);
    for (i32 i = 0; i < rows * columns; i++) floors[i] = (u8)(byte(c) % 16);
    for (i32 i = 0; i < count; i++) source[i] = (i8)byte(c);
    i32 mapped = sdz_regions(means, floors, rows, columns, map, MOST);
    i32 written = sdz_encode(planes, source, rows, columns, 0, step, 0, map, (u32)mapped, out, MOST, 0, 0);
    note_number(written), note(map, (u64)mapped);
    if (written < 0) note_failure();
    else {
      note(out, (u64)written);
      use_picture(sdz_decode(planes, out, (u32)written, rows, columns, step, 0, map, (u32)mapped), planes->channels, c);
    }
    sdz_free(source), sdz_free(floors), sdz_free(map), sdz_free(out);
  } else if (kind == 'P') {
    i32 channels = byte(c), rows = byte(c) % 24, columns = byte(c) % 24;
    u32 rest = (u32)(c->end - c->at);
    void *raw = copy_of(c->at, rest);
    use_picture(sdz_palette(raw, rest, channels, rows, columns), channels, c);
    sdz_free(raw);
  } else if (kind == 'A') {
    i32 height = byte(c) % 40, width = byte(c) % 40;
    u32 rest = (u32)(c->end - c->at);
    u8 *raw = copy_of(c->at, rest), *plane = sdz_alloc(1600), *again = sdz_alloc(1640);
    i32 failed = sdz_unfilter(raw, height, width, plane);
    note_number(failed);
    if (failed) note_failure();
    else {
      note(plane, (u64)(height * width));
      note_number(sdz_filter(plane, height, width, again));
      note(again, (u64)(height * (width + 1)));
    }
    sdz_free(raw), sdz_free(plane), sdz_free(again);
  } else if (kind == 'e') {
    i32 rows = byte(c) % 6 + 1, columns = byte(c) % 6 + 1, tilt = byte(c) % 7 - 3, step = byte(c) % 81, wide = byte(c) % 12;
    i32 count = (planes->channels + (planes->groups && step <= planes->upper_step ? planes->upper : 0)) * rows * columns;
    i32 *source = sdz_alloc(4u * (u32)count);
    for (i32 i = 0; i < count; i++) source[i] = (i32)((u32)((i8)byte(c)) << wide >> 0) / (wide ? 2 : 1);
    u8 *out = sdz_alloc(MOST);
    u16 *chances = sdz_alloc(2u * (u32)count);
    i32 written = sdz_encode(planes, source, rows, columns, 0, step, tilt, 0, 0, out, MOST, chances, 0);
    note_number(written);
    if (written < 0) note_failure();
    else {
      note(out, (u64)written), note(chances, 2 * (u64)count);
      use_picture(sdz_decode(planes, out, (u32)written, rows, columns, step, tilt, 0, 0), planes->channels, c);
    }
    sdz_free(source), sdz_free(out), sdz_free(chances);
  } else if (kind == 'g') {
    i32 channels = byte(c) % 8 + 1, high = byte(c), low = byte(c), limit = 1 + (high << 16 | low << 8);
    u32 positions = (u32)(c->end - c->at) / 4 / (u32)channels;
    if (positions) {
      i32 *values = copy_of(c->at, 4ull * positions * (u32)channels);
      note_number(sdz_guard(values, channels, positions, limit));
      note(values, 4ull * positions * (u32)channels);
      sdz_free(values);
    }
  } else if (kind == 'x' || kind == 'X') use_tails(kind == 'X', c);
  return hash;
}

#ifndef __wasm__
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static u64 seed = 0x9e3779b97f4a7c15ull;
static u32 chance(u32 n) {
  seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
  return (u32)(seed >> 33) % n;
}

int main(int count, char **arguments) {
  if (count < 3) return 2;
  FILE *file = fopen(arguments[1], "rb"), *kept = count > 3 ? fopen(arguments[3], "wb") : 0;
  static u8 *seeds[4096], at[MOST + 64];
  static u32 sizes[4096];
  u32 n = 0, size;
  while (file && n < 4096 && fread(&size, 4, 1, file) == 1 && (seeds[n] = malloc(size + 1)) && fread(seeds[n], 1, size, file) == size) sizes[n++] = size;
  if (n < 5 || fclose(file)) return 2;
  for (i32 i = 0; i < 4; i++) if (!fuzz_setup("TILN"[i], seeds[i], sizes[i])) return 3;
  u32 idle = sdz_limit(1u << 28), inputs = (u32)atoi(arguments[2]);
  double worst = 0, worst_each = 0, start = (double)clock();
  for (u32 k = 0; k < inputs; k++) {
    u32 s = 4 + chance(n - 4), length = sizes[s] < MOST ? sizes[s] : MOST;
    memcpy(at, seeds[s], length);
    if (k >= n) for (u32 edits = 1 + chance(6); edits; edits--) {
      u32 where = chance(length ? length : 1), what = chance(7);
      if (what == 0) at[where] ^= (u8)(1 << chance(8));
      else if (what == 1) at[where] = (u8)chance(256);
      else if (what == 2) at[where] = chance(2) ? 255 : 0;
      else if (what == 3) at[chance(length < 16 ? length + 1 : 16)] = (u8)chance(256); /* heads decide most */
      else if (what == 4) length = 1 + chance(length + 1);
      else if (what == 5 && length + 16 < MOST) for (i32 i = 0; i < 16; i++) at[length++] = (u8)chance(256);
      else {
        u32 other = 4 + chance(n - 4), from = chance(sizes[other] ? sizes[other] : 1), most = chance(64);
        for (u32 i = 0; i < most && from + i < sizes[other] && where + i < length; i++) at[where + i] = seeds[other][from + i];
      }
      if (length > MOST) length = MOST;
    }
    double begun = (double)clock();
    u64 verdict = fuzz_case(at, length);
    double took = ((double)clock() - begun) / CLOCKS_PER_SEC;
    if (took > worst) worst = took, worst_each = took / length;
    if (sdz_limit(0) != idle) {
      printf("input %u of kind %c leaves %u bytes behind\n", k, at[0], sdz_limit(0) - idle);
      return 1;
    }
    if (kept && k % 50 == 0) fwrite(&length, 4, 1, kept), fwrite(at, 1, length, kept), fwrite(&verdict, 8, 1, kept);
  }
  double seconds = ((double)clock() - start) / CLOCKS_PER_SEC;
  printf("%u inputs, %.0f a second, the slowest %.1f ms (%.1f us a byte)\n", inputs, inputs / seconds, worst * 1e3, worst_each * 1e6);
  return kept && fclose(kept);
}
#endif
