/* Codebook indices to an embedded bitstream and back (FORMAT.md, "Indices").
 *
 * Node 1 of the tree holds all entries; a node's number is below 2^17. Means are floors of 64-bit quotients; products of two means summed over
 * 255 channels stay below 2^42, 32 times that below 2^47.
 */
#include "coder.h"

enum { NEIGHBOURS = 8, LEANS = 23, SIDES = 12, AGREEMENTS = 5, PATTERNS = 324, LEAN_LIMIT = 64, HEAD = 10 };
static const u16 LEAN_STEPS[] = { 16, 40, 72, 112, 160, 224, 304, 416, 576, 800, 1152 }, SIDE_STEPS[] = { 6, 14, 24, 36, 52 };
static const u8 AGREE[9] = { 0, 1, 2, 3, 3, 4, 4, 4, 4 };

static i32 prefix_of(i32 l) { return max32(0, min32(min32(l + 1, 4), (13 - l) >> 1)); }
static i64 floored(i64 a, i64 b) { return a / b - (a % b != 0 && (a < 0)); } /* b > 0 */
static i32 signed_bucket(i32 v, const u16 *steps, i32 count) {
  i32 n = reached((i32)magnitude_of(v), steps, count);
  return count + (v >= 0 ? n : -n);
}

static void build_tree(Tables *t, const i16 *codebook) {
  i32 nodes = 2 << t->levels, c = t->channels;
  t->leaves[1] = t->entries;
  for (i32 n = 1; n < nodes; n++) {
    if (!t->leaves[n]) continue;
    if (t->leaves[n] > 1) {
      t->leaves[2 * n] = (t->leaves[n] + 1) >> 1, t->leaves[2 * n + 1] = t->leaves[n] >> 1;
      t->first[2 * n] = t->first[n], t->first[2 * n + 1] = t->first[n] + t->leaves[2 * n];
    }
    i64 sum[256] = { 0 }, used = 0;
    for (i32 e = t->first[n]; e < t->first[n] + t->leaves[n]; e++) {
      used += t->usage[e];
      for (i32 k = 0; k < c; k++) sum[k] += (i64)codebook[e * c + k] * t->usage[e];
    }
    t->used[n] = used;
    for (i32 k = 0; k < c; k++) t->centre[n * c + k] = (i32)floored(2 * sum[k] + used, 2 * used);
  }
  for (i32 n = 1; n < nodes / 2; n++) {
    if (t->leaves[n] < 2) continue;
    for (i32 k = 0; k < c; k++) {
      i32 low = t->centre[2 * n * c + k], high = t->centre[(2 * n + 1) * c + k], d = high - low;
      t->direction[n * c + k] = d;
      t->middle[n] += (i64)d * (high + low);
      t->span[n] += (i64)d * d;
    }
  }
}

Tables *open_indices(const u8 *data, u32 bytes) {
  CHECK(bytes >= HEAD, SDZ_TABLES_LENGTH, (i32)bytes);
  i32 c = data[4], entries = (data[5] | data[6] << 8) + 1, levels = 0;
  CHECK(c && entries > 1, SDZ_TABLES_CHANNEL, entries);
  while (1 << levels < entries) levels++;
  i32 nodes = 1 << levels, joint = 0, starts[17];
  for (i32 l = 0; l <= levels; l++) {
    starts[l] = joint;
    if (l < levels) joint += 1 << (l + 2 * prefix_of(l));
  }
  const i32 sizes[7] = { nodes, nodes, levels * AGREEMENTS * LEANS, levels * SIDES * SIDES, levels * SIDES * SIDES, levels * PATTERNS, joint };
  i32 states = 0, weights = (levels * AGREEMENTS + LEANS) * STRIDE;
  for (i32 i = 0; i < 7; i++) states += sizes[i];
  i32 stored = states - 2 * nodes;
  u64 want = HEAD + 2ull * (u32)entries * (u32)c + 2ull * (u32)entries + 3ull * (u32)(levels + 1) + 2ull * (u32)levels * NEIGHBOURS +
             3ull * (u32)stored + 2ull * (u32)weights;
  CHECK(bytes == want, SDZ_TABLES_LENGTH, (i32)bytes);
  Tables *t = take(sizeof(Tables), TABLES, 0);
  u32 all = 2u << levels;
  u8 *at = t ? take((u64)bytes + 6ull * (u32)nodes + 128, PART, t) : 0;
  if (at) {
    t->leaves = take(4ull * all, PART, t), t->first = take(4ull * all, PART, t);
    t->centre = take(4ull * all * (u32)c, PART, t), t->direction = take(2ull * all * (u32)c, PART, t);
    t->used = take(8ull * all, PART, t), t->middle = take(4ull * all, PART, t), t->span = take(4ull * all, PART, t);
  }
  if (!at || !t->leaves || !t->first || !t->centre || !t->direction || !t->used || !t->middle || !t->span) {
    give(t);
    return 0;
  }
  const u8 *from = data + HEAD;
  const i16 *codebook;
#define PUT(target, count, size) \
  do { at += (size_t)at & ((size) - 1); __builtin_memcpy(at, from, (size_t)(count) * (size)); target = (void *)at; at += (count) * (size); from += (count) * (size); } while (0)
  PUT(codebook, entries * c, 2);
  PUT(t->usage, entries, 2);
  PUT(t->precision, levels + 1, 1);
  PUT(t->half_width, levels + 1, 2);
  PUT(t->pull, levels * NEIGHBOURS, 2);
  at += (size_t)at & 1;
  t->probability = (u16 *)at;
  __builtin_memcpy(at + 4 * nodes, from, 2 * (size_t)stored);
  at += 2 * states, from += 2 * stored;
  t->count = at;
  __builtin_memcpy(at + 2 * nodes, from, (size_t)stored);
  at += states, from += stored;
  at += 16 - ((size_t)at & 15);
  PUT(t->weight, weights, 2);
  t->kind = 'I', t->channels = c, t->entries = entries, t->levels = levels, t->rate = data[7], t->count_limit = data[8], t->usage_limit = data[9];
  t->states = states, t->weights = weights;
  for (i32 i = 0; i < 7; i++) t->bases[i + 1] = t->bases[i] + sizes[i];
  t->sets[1] = levels * AGREEMENTS * STRIDE;
  for (i32 l = 0; l <= levels; l++) t->joint[l] = t->bases[6] + starts[l];
  i32 wrong = 0, place = -1;
  for (i32 i = 0; i < entries; i++) if (!t->usage[i]) wrong = SDZ_TABLES_USAGE, place = i;
  for (i32 l = 0; l <= levels; l++) if (t->precision[l] > MAX_CODE) wrong = SDZ_TABLES_CODE, place = l;
  if (wrong) {
    give(t);
    CHECK(0, wrong, place);
  }
  build_tree(t, codebook);
  for (i32 i = 0; i < 2 * nodes; i++) t->probability[i] = 32768;
  for (i32 n = 1; n < nodes; n++) {
    if (t->leaves[n] < 2) continue;
    i64 p = (t->used[2 * n + 1] << 16) / t->used[n], seen = t->used[n] - t->leaves[n];
    t->probability[n] = (u16)(p < 64 ? 64 : p > 65472 ? 65472 : p);
    t->count[n] = (u8)(seen < t->usage_limit ? seen : t->usage_limit);
  }
  keep_states(t);
  return t;
}

/* Where a neighbour lies between the means of a node's children: -32 at the first, 32 at the second. */
INLINE i32 lean_of(const Tables *t, i32 here, i32 other) {
  if (!t->span[here]) return 0;
  i64 towards = -t->middle[here];
  const i32 *d = t->direction + (size_t)here * (size_t)t->channels, *q = t->centre + (size_t)other * (size_t)t->channels;
  for (i32 k = 0; k < t->channels; k++) towards += 2 * (i64)d[k] * q[k];
  i64 lean = floored(towards * 32, t->span[here]);
  return lean < -LEAN_LIMIT ? -LEAN_LIMIT : lean > LEAN_LIMIT ? LEAN_LIMIT : (i32)lean;
}

/* Codes one level of all positions; 0 where the bytes end. `leaf`, of the encoder, is the node of each position's entry. */
static OUTLINE i32 code_level(Coder *d, const Tables *t, Picture *p, i32 level, const i32 *leaf) {
  const i32 W = p->columns + 2, prefix = prefix_of(level), encode = leaf != 0;
  const i32 shift[NEIGHBOURS] = { -1, -W, -W - 1, -W + 1, 1, W, W - 1, W + 1 };
  for (i32 y = 0; y < p->rows; y++) for (i32 x = 0; x < p->columns; x++) {
    i32 at = (y + 1) * W + x + 1, here = p->node[at], lean[NEIGHBOURS], total = 0, agree = 0, pattern = 0, slot[7];
    if (t->leaves[here] == 1) continue;
    for (i32 i = 0; i < NEIGHBOURS; i++) {
      i32 other = p->node[at + shift[i]], same = !other ? 0 : other == here ? 1 : other >> 1 == here ? 2 + (other & 1) : 0;
      agree += same != 0;
      if (i < 4) pattern = pattern * 3 + (same > 1 ? same - 1 : 0);
      else if (i < 6) pattern = pattern * 2 + (same != 0);
      lean[i] = other ? lean_of(t, here, other) : LEAN_LIMIT + 1;
      if (other) total += lean[i] * t->pull[level * NEIGHBOURS + i];
    }
    i32 pulled = signed_bucket(total >> 5, LEAN_STEPS, 11), agreed = level * AGREEMENTS + AGREE[agree], side[6], joint = here - (1 << level);
    for (i32 i = 0; i < 6; i++) side[i] = lean[i] > LEAN_LIMIT ? SIDES - 1 : signed_bucket(lean[i], SIDE_STEPS, 5);
    for (i32 i = 0; i < 2; i++) {
      i32 other = p->node[at + shift[i]], known = other >= 2 << level ? level + 1 : level; /* an entry may end one bit earlier */
      joint = (joint << prefix) + (other ? (other - (1 << known)) >> (known - prefix) : 0);
    }
    slot[0] = t->bases[0] + here;
    slot[1] = t->bases[1] + here;
    slot[2] = t->bases[2] + agreed * LEANS + pulled;
    slot[3] = t->bases[3] + (level * SIDES + side[0]) * SIDES + side[1];
    slot[4] = t->bases[4] + (level * SIDES + side[4]) * SIDES + side[5];
    slot[5] = t->bases[5] + level * PATTERNS + pattern;
    slot[6] = t->joint[level] + joint;
    i32 bit = 0;
    if (encode) {
      i32 deep = leaf[y * p->columns + x];
      while (deep >> 1 != here) deep >>= 1;
      bit = deep & 1;
    }
    i32 set_a = agreed * STRIDE, set_b = t->sets[1] + pulled * STRIDE;
    bit = encode ? decide(d, 1, bit, 7, slot, set_a, set_b) : decide(d, 0, 0, 7, slot, set_a, set_b);
    if (d->stopped) return 0;
    p->node[at] = 2 * here + bit;
  }
  return 1;
}

static Picture *new_nodes(const Tables *t, i32 rows, i32 columns) {
  Picture *p = new_picture('I', t->channels, rows, columns, t->levels, t->levels);
  if (p && !(p->node = take(4 * (u64)(rows + 2) * (u64)(columns + 2), PART, p))) {
    give(p);
    return 0;
  }
  for (i32 y = 0; p && y < rows; y++) for (i32 x = 0; x < columns; x++) p->node[(y + 1) * (columns + 2) + x + 1] = 1;
  return p;
}

Picture *sdz_decode(const Tables *t, const uint8_t *payload, uint32_t bytes, int32_t rows, int32_t columns, int32_t step_index, int32_t tilt,
    const uint8_t *regions, uint32_t regions_bytes) {
  CHECK(is_a(t, TABLES) && (!bytes || holds(payload, bytes, 1)), SDZ_BAD_CALL, -1);
  CHECK(rows > 0 && columns > 0 && rows <= MAX_SIDE && columns <= MAX_SIDE && bytes < 1u << 31, SDZ_BAD_CALL, -1);
  CHECK(step_index >= 0 && step_index <= MAX_STEP && tilt >= -MAX_TILT && tilt <= MAX_TILT, SDZ_BAD_CALL, -1);
  CHECK(!regions || holds(regions, regions_bytes, 1), SDZ_BAD_CALL, -1);
  Regions map = { regions, regions_bytes };
  CHECK(latents_of(t, rows, columns, step_index, map) <= MAX_LATENTS, SDZ_TOO_LARGE, -1);
  static const u8 nothing[1];
  if (!bytes) payload = nothing;
  if (t->kind == 'T') return decode_planes(t, payload, bytes, rows, columns, step_index, tilt, map);
  CHECK(!step_index && !regions, SDZ_BAD_CALL, -1);
  Picture *p = new_nodes(t, rows, columns);
  Coder coder;
  if (!p || !start_coder(&coder, t, payload, 0, bytes)) {
    give_scratch();
    give(p);
    return 0;
  }
  p->tables = t;
  i32 level = 0, whole = 1;
  for (; level < t->levels && whole; level++) {
    whole = code_level(&coder, t, p, level, 0);
    p->ends[level] = (i32)coder.at;
  }
  p->begun = level, p->complete = whole;
  give_scratch();
  return finish_picture(p);
}

static i32 encode_indices(Tables *t, const i32 *source, i32 rows, i32 columns, i32 levels, u8 *out, u32 room, i32 learn) {
  u32 area = (u32)rows * (u32)columns;
  for (u32 i = 0; i < area; i++) if (source[i] < 0 || source[i] >= t->entries) return fail(SDZ_LATENT_RANGE, (i32)i);
  i32 written = -1, whole = 1;
  Picture *p = new_nodes(t, rows, columns);
  i32 *leaf = p ? take(4 * (u64)area, SCRATCH, 0) : 0;
  Coder coder;
  if (!leaf || !start_coder(&coder, t, 0, out, room)) goto done;
  for (u32 i = 0; i < area; i++) {
    i32 n = 1;
    while (t->leaves[n] > 1) n = 2 * n + (source[i] >= t->first[2 * n + 1]);
    leaf[i] = n;
  }
  for (i32 level = 0; level < levels && whole; level++) whole = code_level(&coder, t, p, level, leaf);
  if (whole) finish_encoder(&coder);
  if (coder.stopped) {
    fail(SDZ_BAD_CALL, -1);
    goto done;
  }
  written = (i32)coder.at;
  if (learn) {
    __builtin_memcpy(t->probability, coder.probability, 2 * (size_t)t->states);
    __builtin_memcpy(t->count, coder.count, (size_t)t->states);
    __builtin_memcpy(t->weight, coder.weight, 2 * (size_t)t->weights);
  }
done:
  give_scratch();
  give(p);
  return written < 0 ? -sdz_reason() : written;
}

int32_t sdz_encode(Tables *t, const int32_t *source, int32_t rows, int32_t columns, int32_t levels, int32_t step_index, int32_t tilt,
    const uint8_t *regions, uint32_t regions_bytes, uint8_t *out, uint32_t room, uint16_t *chances, int32_t learn) {
  CHECK_CALL(is_a(t, TABLES) && rows > 0 && columns > 0 && rows <= MAX_SIDE && columns <= MAX_SIDE && room < 1u << 31);
  CHECK_CALL(!regions || holds(regions, regions_bytes, 1));
  Regions map = { regions, regions_bytes };
  u64 all = latents_of(t, rows, columns, step_index, map);
  if (all > MAX_LATENTS) return fail(SDZ_TOO_LARGE, -1);
  CHECK_CALL(holds(source, all, 4) && (!room || holds(out, room, 1)) && step_index >= 0 && step_index <= MAX_STEP && tilt >= -MAX_TILT && tilt <= MAX_TILT);
  if (t->kind == 'T') {
    CHECK_CALL(!levels && (!chances || holds(chances, all, 2)));
    return encode_planes(t, source, rows, columns, step_index, tilt, map, out, room, chances, learn);
  }
  CHECK_CALL(!chances && !step_index && !regions && levels >= 0 && levels <= t->levels);
  return encode_indices(t, source, rows, columns, levels ? levels : t->levels, out, room, learn);
}
