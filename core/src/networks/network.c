/* The int8 networks: a denoiser and a decoder run over windows (FORMAT.md, "Networks" and "Arithmetic of the networks").
 *
 * Why the 3 x 3 convolutions are exact. Winograd's F(4 x 4, 3 x 3) is Y = A' ((G g G') . (B' d B)) A with integers in B and A and 24ths in G. Here
 * G's rows stand times 24, its last one times 12 only, for which A has 2 in place of 1: all integers, and the output is 24 * 24 = 576 times
 * the convolution. The transformed input stays below 10 * 10 * 255 = 25,500 and the transformed weights below 12 * 12 * 128 = 18,432, so
 * both fit 16 bits, and the sum of two products stays below 2^31. Everything behind is sums modulo 2^32: 576 s modulo 2^32 comes out, whatever
 * overflowed on the way. 576 = 9 * 64, and 9 has an inverse modulo 2^32: a multiplication by 954,437,177 leaves 64 s modulo 2^32, and where
 * |s| < 2^25 an arithmetic shift by 6 leaves s. That bound, the sum of |weights| * 255 + |bias| < 2^25, is checked for every output when
 * weights are opened.
 *
 * The stem takes integers of more bits as weighted sums of what is not zero. Precision codes hardly differ from one position to the next: the
 * first position's go into the bias, and only differences from it are entries. Its sums are below 2^24: checked with the pack's limit.
 *
 * Activations are levels less their zero point, int16, (rows, columns, channels) with one zero around and sides padded to multiples of 4.
 */
#include "network.h"

/* ---- activations ---- */
typedef struct { i32 h, w, c, line; i16 *p; } Map;
INLINE i32 up4(i32 n) { return (n + 3) & ~3; }
static Map new_map(i32 h, i32 w, i32 c) {
  Map m = { h, w, c, up4(w) + 2, 0 };
  /* a few positions more: products go over multiples of ROWS positions */
  m.p = take(2 * ((u64)(up4(h) + 2) * (u64)m.line + 8) * (u64)c, SCRATCH, 0);
  return m;
}
INLINE i16 *at(const Map *m, i32 y, i32 x) { return m->p + ((size_t)(y + 1) * (size_t)m->line + (size_t)x + 1) * (size_t)m->c; }

/* The convolution or addition whose levels a caller wants to see, and where they go. */
typedef struct { i32 wanted, next; u8 *out; u32 room, written; i32 full; } Trace;
static void emit(Trace *t, const i16 *levels, i32 count, i32 zero) {
  if (t->room - t->written < (u32)count) {
    t->full = 1;
    return;
  }
  for (i32 i = 0; i < count; i++) t->out[t->written++] = (u8)(levels[i] + zero);
}

/* Room for one row of tiles: transformed input, sums, 4 rows of levels, and one row that may run over its end. */
typedef struct { i16 *v, *rows, *row; i32 *m; i32 ld; } Work;
static i32 new_work(Work *work, i32 columns, i32 channels) {
  i32 tiles = up4(columns) / 4;
  u64 c = (u64)channels;
  work->ld = (tiles + ROWS - 1) / ROWS * ROWS;
  work->v = take(72 * (u64)work->ld * c, SCRATCH, 0);
  work->m = take(144 * (u64)work->ld * c, SCRATCH, 0);
  work->rows = take(2 * (4 * (u64)up4(columns) + 8) * c, SCRATCH, 0);
  work->row = take(2 * ((u64)up4(columns) + 8) * c, SCRATCH, 0);
  return work->v && work->m && work->rows && work->row;
}
static void give_work(Work *w) { give(w->v), give(w->m), give(w->rows), give(w->row); }

/* One row of tiles of a 3 x 3 convolution: 4 rows of up4(columns) positions at work->rows. */
static void convolve3(const Convolution *c, const Map *x, i32 tile_row, Work *work) {
  i32 tiles = up4(x->w) / 4;
  winograd_input(x->p + (size_t)(4 * tile_row) * (size_t)x->line * (size_t)c->inputs, x->line, c->inputs, tiles, work->ld, work->v);
  for (i32 i = 0; i < 36; i++) {
    size_t plane = (size_t)i * (size_t)work->ld;
    product(work->v + plane * (size_t)c->inputs, c->inputs, work->ld, c->weight + (size_t)i * (size_t)(c->inputs * c->outputs), c->inputs, c->outputs,
        work->m + plane * (size_t)c->outputs);
  }
  winograd_output(work->m, c->outputs, tiles, work->ld, c->q, work->rows, up4(x->w));
}

static i32 run_block(const Layer *l, Map *x, Trace *t) {
  const Convolution *a = &l->first, *b = &l->second;
  i32 stop = t->wanted - t->next, n = x->w, line = up4(n);
  Map o = new_map(x->h, n, b->outputs);
  Work work;
  if (!o.p || !new_work(&work, n, max32(max32(a->inputs, a->outputs), b->outputs))) return -SDZ_NO_MEMORY;
  for (i32 y = 0; y < x->h; y++) {
    if (y % 4 == 0) convolve3(a, x, y / 4, &work);
    const i16 *mid = work.rows + (size_t)(y % 4 * line) * (size_t)a->outputs;
    if (stop == 0) emit(t, mid, n * a->outputs, a->q.zero);
    else if (stop == 1) {
      convolve1(mid, a->outputs, line, b->weight, b->inputs, b->outputs, b->q, work.row, b->outputs);
      emit(t, work.row, n * b->outputs, b->q.zero);
    } else if (n == line) convolve1_add(mid, a->outputs, n, b->weight, b->inputs, b->outputs, b->q, l->add, at(x, y, 0), at(&o, y, 0));
    else {
      convolve1_add(mid, a->outputs, line, b->weight, b->inputs, b->outputs, b->q, l->add, at(x, y, 0), work.row);
      __builtin_memcpy(at(&o, y, 0), work.row, 2 * (size_t)(n * o.c));
    }
    if (stop == 2) emit(t, at(&o, y, 0), n * o.c, l->add.zero);
  }
  give_work(&work), give(x->p);
  *x = o;
  t->next += 3;
  return 0;
}

static i32 run_upsample(const Layer *l, Map *x, Trace *t) {
  const Convolution *a = &l->first;
  i32 c = a->outputs / 4, n = x->w;
  Map o = new_map(2 * x->h, 2 * n, c);
  i16 *row = take(2 * (u64)up4(n) * (u64)a->outputs, SCRATCH, 0);
  if (!o.p || !row) return -SDZ_NO_MEMORY;
  for (i32 y = 0; y < x->h; y++) {
    convolve1(at(x, y, 0), x->c, up4(n), a->weight, a->inputs, a->outputs, a->q, row, a->outputs);
    if (t->wanted == t->next) emit(t, row, n * a->outputs, a->q.zero);
    /* channels are (row, column, channel) of two by two positions */
    for (i32 i = 0; i < n; i++) for (i32 dy = 0; dy < 2; dy++) __builtin_memcpy(at(&o, 2 * y + dy, 2 * i), row + (4 * i + 2 * dy) * c, 4 * (size_t)c);
  }
  give(row), give(x->p);
  *x = o;
  t->next++;
  return 0;
}

static i32 run_stem(const Network *net, const Latents *in, Map *x, Trace *t) {
  const Convolution *a = &net->layer[0].first;
  i32 c = net->channels, pairs = (c + 1) / 2, room = entry_room(pairs * net->parts, net->l1_limit), blocks = pattern_blocks(a->outputs);
  i32 columns = in->columns, outputs = a->outputs, code = pairs * (net->parts - 1);
  u32 area = (u32)in->rows * (u32)columns;
  *x = new_map(in->rows, columns, outputs);
  Entry *entries = take((u64)room * (u64)columns * sizeof(Entry), SCRATCH, 0);
  i32 *count = take(4 * (u64)columns, SCRATCH, 0), *difference = take(4 * (u64)c * (u64)columns, SCRATCH, 0), *base = take(128 * (u64)blocks, SCRATCH, 0);
  if (!x->p || !entries || !count || !difference || !base) return -SDZ_NO_MEMORY;
  for (i32 k = 0; k < c; k++) difference[k] = in->precision[(size_t)k * area];
  append_entries(difference, c, 1, 1, code, entries, room, count);
  const i16 *w = net->stem.weight;
  for (i32 b = 0; b < blocks; b++) pattern_sums(entries, count[0], w + (size_t)b * (size_t)net->stem.pairs * 64, base + 32 * b);
  float low = (float)-a->q.zero, high = 255.0f - (float)a->q.zero;
  for (i32 y = 0; y < in->rows; y++) {
    size_t from = (size_t)y * (size_t)columns;
    __builtin_memset(count, 0, 4 * (size_t)columns);
    for (i32 k = 0; k < c; k++) {
      const i32 *p = in->precision + (size_t)k * area;
      for (i32 i = 0; i < columns; i++) difference[k * columns + i] = p[from + (size_t)i] - p[0];
    }
    append_entries(in->values + from, c, area, columns, 0, entries, room, count);
    if (net->role == DENOISER) append_entries(in->levels + from, c, area, columns, pairs, entries, room, count);
    append_entries(difference, c, (u32)columns, columns, code, entries, room, count);
    for (i32 b = 0; b < blocks; b++) for (i32 i = 0; i < columns; i++) {
      i32 sums[32];
      i16 *o = at(x, y, i) + 32 * b;
      pattern_sums(entries + (size_t)i * (size_t)room, count[i], w + (size_t)b * (size_t)net->stem.pairs * 64, sums);
      for (i32 n = 0; n < min32(32, outputs - 32 * b); n++) {
        i32 j = 32 * b + n;
        float v = (float)(i32)((u32)sums[n] + (u32)base[j] + (u32)a->q.bias[j]) * a->q.scale[j], f = v < low ? low : v > high ? high : v;
        f += 12582912.0f; /* rounds half to even, as in the kernels */
        i32 bits;
        __builtin_memcpy(&bits, &f, 4);
        o[n] = (i16)(bits - 0x4b400000);
      }
    }
    if (t->wanted == t->next) emit(t, at(x, y, 0), columns * outputs, a->q.zero);
  }
  give(entries), give(count), give(difference), give(base);
  t->next++;
  return 0;
}

/* All layers but the last. */
static i32 run_trunk(const Network *net, const Latents *in, Map *x, Trace *t) {
  i32 failed = run_stem(net, in, x, t);
  for (i32 i = 1; i < net->count - 1 && !failed && t->wanted >= t->next; i++) {
    failed = net->layer[i].kind == BLOCK ? run_block(net->layer + i, x, t) : run_upsample(net->layer + i, x, t);
  }
  return failed;
}

/* latents + floor(half width * move + 1/2), in float as the graph has it: the same roundings where numbers pass 2^24. */
static i32 denoise(const Network *net, const Latents *in, i32 *values, Trace *t) {
  Map x;
  i32 failed = run_trunk(net, in, &x, t);
  if (failed || t->wanted < t->next) return failed;
  const Layer *l = net->layer + net->count - 1;
  const Convolution *a = &l->first;
  i32 n = in->columns;
  size_t area = (size_t)in->rows * (size_t)n;
  i16 *row = take(2 * (u64)up4(n) * (u64)a->outputs, SCRATCH, 0);
  if (!row) return -SDZ_NO_MEMORY;
  float unit = power_of_two(l->shift);
  for (i32 y = 0; y < in->rows; y++) {
    convolve1(at(&x, y, 0), x.c, up4(n), a->weight, a->inputs, a->outputs, a->q, row, a->outputs);
    /* outputs are padded to a multiple of 8 */
    for (i32 i = 0; t->wanted == t->next && i < n; i++) emit(t, row + i * a->outputs, net->channels, a->q.zero);
    if (!values) continue;
    for (i32 c = 0; c < net->channels; c++) for (i32 i = 0; i < n; i++) {
      size_t j = (size_t)c * area + (size_t)(y * n + i);
      float move = __builtin_floorf((float)row[i * a->outputs + c] * unit * (float)in->half_width[j] + 0.5f), moved = (float)in->values[j] + move;
      values[j] = moved < -2147483648.0f ? -2147483647 - 1 : moved >= 2147483648.0f ? 2147483647 : (i32)moved;
    }
  }
  give(row), give(x.p);
  return 0;
}

/* RGBA of `core`, a part of what `in` covers, counted from its corner. */
static i32 decode(const Network *net, const Linear *linear, const Latents *in, Window core, u8 *rgba, Trace *t) {
  Map x;
  i32 failed = run_trunk(net, in, &x, t);
  if (failed || t->wanted < t->next) return failed;
  const Layer *l = net->layer + net->count - 1;
  i16 *levels = 0;
  i32 *sums = 0, trace = t->wanted == t->next, p = trace ? 0 : linear->patch, line = 3 * p * in->columns;
  Window all = { 0, 0, in->rows, in->columns };
  if (!trace) failed = linear_levels(linear, 0, in->values, all, &levels, &sums);
  Work work;
  if (failed || !new_work(&work, x.w, max32(l->first.inputs, l->first.outputs))) return -SDZ_NO_MEMORY;
  i32 from = trace ? 0 : core.top * net->scale, to = trace ? x.h : from + core.rows * net->scale;
  i32 across = core.columns * net->scale, left = core.left * net->scale, stride = 4 * p * core.columns;
  for (i32 y = from; y < to; y++) {
    if (y == from || y % 4 == 0) convolve3(&l->first, &x, y / 4, &work);
    const i16 *residual = work.rows + (size_t)(y % 4 * up4(x.w) + left) * 64;
    if (trace) {
      emit(t, residual, x.w * 64, l->first.q.zero);
      continue;
    }
    for (i32 dy = 0; dy < QUARTER; dy++) {
      size_t at_line = (size_t)(QUARTER * y + dy) * (size_t)line + (size_t)(3 * QUARTER * left);
      u8 *o = rgba + (size_t)(QUARTER * (y - from) + dy) * (size_t)stride;
      if (levels) {
        paint_row(levels + at_line, residual + 16 * dy, l->shift, across, o);
        continue;
      }
      i32 s = linear->shift, offset = (128 << s) + (1 << (s - 1)), gain = 1 << (l->shift + s);
      for (i32 i = 0; i < 4 * across; i++, o += 4) {
        for (i32 c = 0; c < 3; c++) {
          i32 sum = sums[at_line + (size_t)(3 * i + c)] + offset + residual[(i >> 2) * 64 + 16 * dy + (i & 3) * 4 + c] * gain;
          o[c] = (u8)clamp32(0, sum >> s, 255);
        }
        o[3] = 255;
      }
    }
  }
  return 0;
}

/* ---- calls ---- */
static Latents new_latents(i32 channels, i32 rows, i32 columns, i32 all) {
  u64 bytes = 4 * (u64)channels * (u64)rows * (u64)columns;
  Latents o = { rows, columns, take(bytes, SCRATCH, 0), all ? take(bytes, SCRATCH, 0) : 0, take(bytes, SCRATCH, 0), all ? take(bytes, SCRATCH, 0) : 0 };
  return o;
}

static void cut(i32 *array, i32 channels, i32 rows, i32 columns, Window core) {
  /* in place: what is kept only ever moves towards the beginning */
  i32 *to = array;
  for (i32 c = 0; c < channels; c++) for (i32 y = 0; y < core.rows; y++) {
    const i32 *from = array + ((size_t)c * (size_t)rows + (size_t)(core.top + y)) * (size_t)columns + core.left;
    for (i32 x = 0; x < core.columns; x++) *to++ = from[x];
  }
}

static i32 paint(const Picture *p, const Linear *linear, const Network *decoder, const Network *denoiser, i32 strength, i32 margin, i32 denoiser_margin,
    Window core, u8 *rgba) {
  Window decoded = grown(p, core, margin), widest = strength ? grown(p, decoded, denoiser_margin) : decoded;
  Latents in = new_latents(p->channels, widest.rows, widest.columns, strength > 0);
  if (!in.values || !in.precision || (strength && (!in.levels || !in.half_width))) return -SDZ_NO_MEMORY;
  i32 failed = reconstruct(p, widest, &in);
  if (failed) return failed;
  Trace t = { .wanted = 1 << 30 };
  if (strength) {
    size_t count = (size_t)p->channels * (size_t)widest.rows * (size_t)widest.columns;
    i32 *moved = take(4 * (u64)count, SCRATCH, 0);
    if (!moved) return -SDZ_NO_MEMORY;
    failed = denoise(denoiser, &in, moved, &t);
    if (failed) return failed;
    for (size_t i = 0; i < count; i++) {
      /* lies between the two, whatever they are */
      in.values[i] += (i32)((((i64)moved[i] - in.values[i]) * strength + 8) >> 4);
    }
    guard(in.values, p->channels, (u32)widest.rows * (u32)widest.columns, p->l1_limit);
    give(moved), give(in.levels), give(in.half_width);
    Window part = { decoded.top - widest.top, decoded.left - widest.left, decoded.rows, decoded.columns };
    cut(in.values, p->channels, widest.rows, widest.columns, part);
    cut(in.precision, p->channels, widest.rows, widest.columns, part);
    in.rows = decoded.rows, in.columns = decoded.columns;
    t.next = 0;
  }
  Window part = { core.top - decoded.top, core.left - decoded.left, core.rows, core.columns };
  return decode(decoder, linear, &in, part, rgba, &t);
}

static i32 fits(const Network *decoder, const Linear *linear) {
  const Layer *last = decoder->layer + decoder->count - 1;
  i32 shift = last->shift + (linear->overlap ? 0 : linear->shift);
  /* a residual of 128 levels at most, 2^14 pixel levels; without a lapping it has `linear->shift` binary places */
  return decoder->role == DECODER && decoder->channels == linear->channels && QUARTER * decoder->scale == linear->patch &&
         linear->l1_limit <= decoder->l1_limit && shift >= 0 && shift <= 22;
}

int32_t sdz_paint(const Picture *p, const Linear *linear, const Network *decoder, const Network *denoiser, int32_t strength, int32_t margin,
    int32_t denoiser_margin, int32_t top, int32_t left, int32_t rows, int32_t columns, uint8_t *rgba) {
  Window core = { top, left, rows, columns };
  CHECK_CALL(is_a(p, PICTURE) && is_a(linear, LINEAR) && is_a(decoder, NETWORK) && inside(p, core) && strength >= 0 && strength <= 16);
  /* a picture with upper functions is the linear stage's alone */
  CHECK_CALL(!p->upper && p->channels == linear->channels && p->l1_limit && p->l1_limit <= linear->l1_limit && fits(decoder, linear));
  CHECK_CALL(margin >= (linear->overlap > 0) && margin <= 64 && denoiser_margin >= 0 && denoiser_margin <= 64);
  CHECK_CALL(!strength || (is_a(denoiser, NETWORK) && denoiser->role == DENOISER && denoiser->channels == p->channels && p->l1_limit <= denoiser->l1_limit));
  CHECK_CALL(holds(rgba, 4 * (u64)rows * (u64)columns * (u64)(linear->patch * linear->patch), 1));
  i32 failed = paint(p, linear, decoder, denoiser, strength, margin, denoiser_margin, core, rgba);
  give_scratch();
  return failed;
}

/* Whether arrays of a caller's keep within what the stem's sums were checked for. */
static i32 within(const Network *net, const Latents *in) {
  size_t area = (size_t)in->rows * (size_t)in->columns, count = (size_t)net->channels * area;
  for (size_t i = 0; i < area; i++) {
    u64 norm = 0;
    for (i32 c = 0; c < net->channels; c++) norm += magnitude_of(in->values[(size_t)c * area + i]);
    if (norm > (u64)net->l1_limit) return 0;
  }
  for (size_t i = 0; i < count; i++) {
    if (in->precision[i] < 0 || in->precision[i] > MAX_CODE) return 0;
    if (net->role == DENOISER && (in->half_width[i] < 0 || magnitude_of(in->levels[i]) > MAX_LEVEL)) return 0;
  }
  return 1;
}

int32_t sdz_run(const Network *net, const Linear *linear, const int32_t *values, const int32_t *levels, const int32_t *precision,
    const int32_t *half_width, int32_t rows, int32_t columns, int32_t layer, uint8_t *out, uint32_t room) {
  CHECK_CALL(is_a(net, NETWORK) && rows > 0 && columns > 0 && rows <= MAX_SIDE && columns <= MAX_SIDE && (!room || holds(out, room, 1)) && room < 1u << 31);
  u64 area = (u64)rows * (u64)columns, count = area * (u64)net->channels;
  CHECK_CALL(holds(values, count, 4) && holds(precision, count, 4));
  if (net->role == DENOISER) CHECK_CALL(holds(levels, count, 4) && holds(half_width, count, 4));
  /* read only, whatever the types of the interface's layers say */
  Latents in = { rows, columns, (i32 *)values, (i32 *)levels, (i32 *)precision, (i32 *)half_width };
  CHECK_CALL(within(net, &in));
  Trace t = { layer < 0 ? 1 << 30 : layer, 0, out, room, 0, 0 };
  Window all = { 0, 0, rows, columns };
  i32 failed, whole = layer < 0;
  u64 bytes = net->role == DECODER ? 64 * area * (u64)(net->scale * net->scale) : 4 * count;
  CHECK_CALL(!whole || (bytes <= room && (net->role == DENOISER ? holds(out, count, 4) : is_a(linear, LINEAR) && fits(net, linear))));
  if (net->role == DECODER) failed = decode(net, linear, &in, all, out, &t);
  else failed = denoise(net, &in, whole ? (i32 *)(void *)out : 0, &t);
  give_scratch();
  if (!failed && (t.full || (!whole && !t.written))) failed = fail(SDZ_BAD_CALL, layer);
  return failed ? failed : whole ? (i32)bytes : (i32)t.written;
}
