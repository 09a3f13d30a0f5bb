/* Integer latents to embedded bit-planes and back (FORMAT.md, "Planes"): the passes of all kinds of bands in one order; palettes, which need no
 * coding, beside them. */
#include "../regions.h"
#include "planes.h"

enum { PLANE_STATES = 32, FINE_AHEAD = 2 };

Tables *open_planes(const u8 *data, u32 bytes) {
  const i32 means = data[5] & 3, groups = data[5] >> 2;
  CHECK(data[4] && means <= data[4] && groups <= UPPER_GROUPS, SDZ_TABLES_CHANNEL, 0);
  Tables *t = take(sizeof(Tables), TABLES, 0);
  if (!t) return 0;
  t->kind = 'T', t->channels = data[4], t->means = means, t->groups = groups, t->rate = data[6], t->count_limit = data[7];
  u32 fixed = 8 + lay_channels(t) + lay_means(t) + lay_upper(t);
  t->states = t->plane_states + PLANE_STATES;
  i32 wrong = bytes == fixed + 3 * (u32)t->states + 2 * (u32)t->weights ? 0 : SDZ_TABLES_LENGTH, where = (i32)bytes;
  u8 *room = wrong ? 0 : take((u64)bytes + 64, PART, t);
  if (room) {
    Copying from = { data + 8, room };
    if (groups) t->upper_step = *from.from++;
    where = -1;
    wrong = read_channels(t, &from, &where);
    i32 of_means = read_means(t, &from);
    if (!wrong) wrong = of_means;
    i32 of_upper = read_upper(t, &from, &where);
    if (!wrong) wrong = of_upper;
    t->probability = (u16 *)copied(&from, (u32)t->states, 2);
    t->count = (u8 *)copied(&from, (u32)t->states, 1);
    from.at += 16 - ((size_t)from.at & 15); /* the mixers' vectors */
    t->weight = (i16 *)copied(&from, (u32)t->weights, 2);
    keep_states(t);
  }
  if (!room || wrong) {
    give(t);
    if (wrong) fail(wrong, where);
    return 0;
  }
  return t;
}

static i32 finer_by(i32 tilt, i32 octaves) { return (tilt * octaves + 8) >> 4; }

/* The order of a pass of channels or upper functions in a picture that has these: finer steps bring less for their bits. Of a channel's
 * frequency its square's fourth roots of two are counted. */
static i32 fine_order(const Tables *t, u32 pass, i32 tilt) {
  i32 band = BAND(pass), part = PART_OF(pass);
  if (KIND(pass) == UPPERS) return t->upper_order[band * PARTS + part] - finer_by(tilt, t->upper_octaves[band]);
  u32 u = t->function[t->channels + band], v = t->function[2 * t->channels + band], squares = u * u + v * v;
  i32 octaves = squares ? 4 * (31 - __builtin_clz(squares * squares)) - 30 : 0;
  return t->fine_order[band] + (part ? 0 : FINE_AHEAD) - finer_by(tilt, octaves);
}

/* The passes by falling A_PLANE * plane + order, equal ones by rising kind, then band: insertion over a shrinking gap. A channel's own have
 * different keys, near before far and far before the next plane's near (checked when tables are opened), so the order is one. Means begin
 * at plane `base`; planes of others below it, which finer regions alone have, follow on the last one that all positions have. */
static i32 order_passes(const Picture *p, u32 *pass, i32 planes, const Tables *t, i32 tilt) {
  i32 n = 0;
  for (i32 plane = planes - 1; plane >= 0; plane--) {
    for (i32 c = 0; c < t->means; c++) for (i32 l = 1; l <= p->levels + 1; l++) pass[n++] = PASS(MEANS, 0, plane, MEAN_BAND(c, l));
    for (i32 c = t->means; c < t->channels; c++) for (i32 far = 0; far < PARTS; far++) pass[n++] = PASS(CHANNELS, far, plane, c);
    for (i32 g = 0; g < p->groups; g++) for (i32 far = 0; far < PARTS; far++) pass[n++] = PASS(UPPERS, far, plane, g);
  }
#define ORDER(v) \
  (KIND(v) == MEANS ? t->mean_order[COLOUR(BAND(v)) * LEVELS_MOST + LEVEL_OF(BAND(v))]             \
   : p->groups          ? fine_order(t, v, tilt)                                                   \
                        : t->order[BAND(v) * PARTS + PART_OF(v)])
#define RANK(v) ((A_PLANE * PLANE(v) + ORDER(v)) * 16384 - (KIND(v) << 12) - (BAND(v) << 1) - PART_OF(v))
#define BELOW(v) (KIND(v) == MEANS ? 0 : max32(0, 2 * (p->base - PLANE(v)) - 1 + PART_OF(v)))
/* a pass as if it were the far one of plane `base`, or the plane that a mean's is */
#define AS(v) (KIND(v) == MEANS ? (v) + ((u32)p->base << 16) : BELOW(v) ? PASS(KIND(v), 1, p->base, BAND(v)) : (v))
#define KEY(v) (RANK(AS(v)) * 32 - BELOW(v))
  for (i32 gap = n / 2; gap; gap /= 2) for (i32 i = gap; i < n; i++) {
    u32 v = pass[i];
    i32 key = KEY(v), j = i;
    for (; j >= gap && KEY(pass[j - gap]) < key; j -= gap) pass[j] = pass[j - gap];
    pass[j] = v;
  }
  return n;
}

/* The planes of the largest magnitude of all bands, from MAX_PLANES down a bit for each whether they are so many; as many of a source whose
 * planes are known. One state a bit, unmixed. MAX_PLANES where the bytes end. */
static i32 code_planes(Run *run, const i32 encode, i32 planes) {
  Coder *d = &run->coder;
  for (i32 k = MAX_PLANES; k > 0; k--) {
    i32 slot = run->tables->plane_states + min32(PLANE_STATES - 1, (run->step_index >> 3) + k), p = d->probability[slot], bit = planes == k;
    u32 chance = (u32)clamp32(24, p, 65512);
    if (ENCODES(encode)) encode_bit(d, chance, bit);
    else bit = decode_bit(d, chance);
    if (d->stopped) return MAX_PLANES;
    d->probability[slot] = (u16)(p + (i32)(((i64)(bit * 65535 - p) * RATES[d->count[slot]]) >> 16));
    if (d->count[slot] < d->count_limit) d->count[slot]++;
    if (bit) return k;
  }
  return 0;
}

/* A picture without anything in it and a run that begins on it; NULL without memory. */
static Run *start_run(const Tables *t, i32 rows, i32 columns, i32 step_index, i32 tilt, Regions regions, const u8 *in, u8 *out, u32 length) {
  Picture *p = new_picture('T', t->channels, rows, columns, MAX_PLANES, 0);
  Run *run = p ? take(sizeof(Run), SCRATCH, 0) : 0;
  if (run && regions.payload) {
    p->floors = take((u64)rows * (u64)columns, PART, p);
    if (!p->floors || decode_regions(regions, rows, columns, &p->base, p->floors)) run = 0;
  }
  if (run) {
    run->significant = take(2 * (u64)(rows + 2 * BORDER) * (u64)(columns + 2 * BORDER), SCRATCH, 0);
    run->tables = t, run->picture = p, run->step_index = step_index, run->seen_plane = MAX_PLANES + 1;
    p->means = t->means;
    if (p->means) __builtin_memcpy(p->fill, t->mean_fill, sizeof p->fill);
    if (is_fine(t, step_index, regions)) {
      p->groups = t->groups, p->upper = t->upper;
      __builtin_memcpy(p->upper_first, t->upper_first, sizeof p->upper_first);
      for (i32 g = 0; g < t->groups; g++) p->upper_steps[g] = (u8)clamp32(0, step_index - finer_by(tilt, t->upper_octaves[g]), MAX_STEP);
    }
    while (grid(rows, p->levels) > 1 || grid(columns, p->levels) > 1) p->levels++;
    if (run->significant && start_coder(&run->coder, t, in, out, length)) return run;
  }
  give(p);
  return 0;
}

/* Every pass and what was known of it, once there are so many planes; 0 without memory. */
static i32 schedule(Run *run, i32 planes) {
  Picture *p = run->picture;
  const Tables *t = run->tables;
  i32 most = planes * (t->means * (p->levels + 1) + (t->channels - t->means + p->groups) * PARTS);
  give(p->ends), give(p->passes);
  p->ends = take(4 * (u64)most + 4, PART, p);
  p->passes = take(4 * (u64)most + 4, PART, p);
  p->planes = planes;
  for (i32 c = 0; c < t->channels; c++) p->floor[c] = (u8)planes;
  for (i32 g = 0; g < p->groups; g++) p->upper_floor[g] = (u8)planes;
  for (i32 c = 0; c < t->means; c++) for (i32 l = 1; l <= p->levels + 1; l++) p->mean_floor[c][l] = (u8)planes;
  return p->ends && p->passes;
}

/* What a finished, or a cut, pass leaves known. */
static void settle(Picture *p, u32 pass, i32 stopped, i32 done) {
  i32 band = BAND(pass);
  if (stopped) {
    p->cut_reached = done;
    if (KIND(pass) == MEANS) p->cut_mean = band;
    else if (KIND(pass) == UPPERS) p->cut_group = band;
    else p->cut_channel = band;
  } else if (KIND(pass) == MEANS) p->mean_floor[COLOUR(band)][LEVEL_OF(band)] = (u8)PLANE(pass);
  else {
    u8 *floor = KIND(pass) == UPPERS ? p->upper_floor : p->floor, *near = KIND(pass) == UPPERS ? p->upper_near : p->near;
    if (PART_OF(pass)) floor[band] = (u8)PLANE(pass);
    near[band] = !PART_OF(pass);
  }
}

static i32 decode_pass(Run *run, u32 pass) {
  return KIND(pass) == MEANS ? code_mean(run, pass) : KIND(pass) == UPPERS ? code_group(run, pass) : decode_channel(run, pass);
}

static i32 encode_pass(Run *run, u32 pass) {
  return KIND(pass) == MEANS ? code_mean(run, pass) : KIND(pass) == UPPERS ? code_group(run, pass) : encode_channel(run, pass);
}

Picture *decode_planes(const Tables *t, const u8 *payload, u32 bytes, i32 rows, i32 columns, i32 step_index, i32 tilt, Regions regions) {
  Run *run = start_run(t, rows, columns, step_index, tilt, regions, payload, 0, bytes);
  Picture *p = run ? run->picture : 0;
  if (!run || !schedule(run, code_planes(run, 0, -1))) goto lost;
  i32 passes = run->coder.stopped ? 0 : order_passes(p, p->passes, p->planes, t, tilt);
  for (i32 number = 0; number < passes; number++) {
    u32 pass = p->passes[number];
    i32 done = decode_pass(run, pass);
    if (done < 0) goto lost;
    p->begun = number + 1;
    p->ends[number] = (i32)run->coder.at;
    settle(p, pass, run->coder.stopped, done);
    if (run->coder.stopped) break;
  }
  p->complete = !run->coder.stopped;
  /* a mean is known down to the plane of the level that is known worst */
  for (i32 c = 0; c < t->means; c++) {
    give(p->cells[c]);
    p->cells[c] = 0, p->floor[c] = 0;
    for (i32 l = 1; l <= p->levels + 1; l++) p->floor[c] = (u8)max32(p->floor[c], p->mean_floor[c][l]);
  }
  give_scratch();
  return finish_picture(p);
lost:
  give_scratch();
  give(p);
  return 0;
}

/* The largest magnitude of each band; how many planes they need, or a negative reason. */
static i32 measure(Run *run) {
  Picture *p = run->picture;
  u32 area = (u32)p->rows * (u32)p->columns, all = 0;
  for (i32 c = 0, g = 0, channels = run->tables->channels; c < channels + p->upper; c++) {
    u32 most = 0;
    for (u32 i = 0; i < area; i++) {
      u32 m = magnitude_of(run->source[(size_t)c * area + i]);
      most = m > most ? m : most;
    }
    if (most >> MAX_PLANES) return fail(SDZ_LATENT_RANGE, c);
    if (c < channels) run->peak[c] = most;
    else {
      while (c - channels >= p->upper_first[g + 1]) g++;
      run->upper_peak[g] = most > run->upper_peak[g] ? most : run->upper_peak[g];
      all |= most;
    }
  }
  if (!split_means(run)) return -SDZ_NO_MEMORY;
  for (i32 c = 0; c < run->tables->channels; c++) {
    if (c >= p->means) all |= run->peak[c];
    else for (i32 l = 1; l <= p->levels + 1; l++) all |= run->tall[c][l];
    if (all >> MAX_PLANES) return fail(SDZ_LATENT_RANGE, c);
  }
  return all ? 32 - __builtin_clz(all) : 0;
}

i32 encode_planes(Tables *t, const i32 *source, i32 rows, i32 columns, i32 step_index, i32 tilt, Regions regions, u8 *out, u32 room, u16 *chances,
    i32 learn) {
  i32 written = -1, planes;
  Run *run = start_run(t, rows, columns, step_index, tilt, regions, 0, out, room);
  Picture *p = run ? run->picture : 0;
  if (!run) goto done;
  run->source = source, run->chances = chances;
  if (chances) __builtin_memset(chances, 0, 2 * (size_t)rows * (size_t)columns * (size_t)(t->channels + p->upper));
  planes = measure(run);
  if (planes < 0 || !schedule(run, code_planes(run, 1, planes))) goto done;
  i32 passes = order_passes(p, p->passes, planes, t, tilt);
  for (i32 number = 0; number < passes && !run->coder.stopped; number++) {
    u32 pass = p->passes[number];
    if (encode_pass(run, pass) < 0) goto done;
    settle(p, pass, 0, 0);
  }
  if (!run->coder.stopped) finish_encoder(&run->coder);
  if (run->coder.stopped) {
    fail(SDZ_BAD_CALL, -1); /* less room than decisions can cost */
    goto done;
  }
  written = (i32)run->coder.at;
  if (learn) {
    __builtin_memcpy(t->probability, run->coder.probability, 2 * (size_t)t->states);
    __builtin_memcpy(t->count, run->coder.count, (size_t)t->states);
    __builtin_memcpy(t->weight, run->coder.weight, 2 * (size_t)t->weights);
  }
done:
  give_scratch();
  give(p);
  return written < 0 ? -sdz_reason() : written;
}

Picture *sdz_palette(const uint8_t *raw, uint32_t bytes, int32_t channels, int32_t rows, int32_t columns) {
  CHECK(channels > 0 && channels < 256 && rows > 0 && columns > 0 && rows <= MAX_SIDE && columns <= MAX_SIDE,
      SDZ_BAD_CALL, -1);
  Picture *p;
  if (!raw) {
    p = new_picture('T', channels, rows, columns, MAX_PLANES, 0);
    return p ? finish_picture(p) : 0;
  }
  u32 area = (u32)rows * (u32)columns;
  CHECK(holds(raw, bytes, 1), SDZ_BAD_CALL, -1);
  u32 entries = bytes ? raw[0] + 1u : 0, start = 1 + entries * (u32)channels;
  CHECK(bytes == start + area, SDZ_PALETTE_LENGTH, -1);
  const i8 *palette = (const i8 *)raw + 1;
  const u8 *index = raw + start;
  for (u32 i = 0; i < area; i++) CHECK(index[i] < entries, SDZ_PALETTE_ENTRY, (i32)i);
  p = new_picture('T', channels, rows, columns, 0, 0);
  for (i32 c = 0; p && c < channels; c++) {
    i32 some = 0;
    for (u32 e = 0; e < entries; e++) some |= palette[e * (u32)channels + (u32)c];
    if (!some) continue;
    u16 *cell = cells_of(p, c);
    if (!cell) {
      give(p);
      return 0;
    }
    for (i32 y = 0; y < rows; y++) for (i32 x = 0; x < columns; x++) {
      i32 v = palette[index[y * columns + x] * channels + c];
      cell[(y + BORDER) * (columns + 2 * BORDER) + x + BORDER] = (u16)(magnitude_of(v) << 1 | (v < 0));
    }
  }
  if (!p) return 0;
  p->complete = 1;
  return finish_picture(p);
}
