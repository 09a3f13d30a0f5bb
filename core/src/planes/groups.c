/* Bit-planes of the functions that no channel has (FORMAT.md, "Contexts of the upper functions"), one near and one far pass for each plane of each
 * group of them: what predicts them lies around them in the plane of frequencies as much as in space. Signs are not predicted.
 *
 * Cells are those of channels; a function's exist once it has a value. One function codes in both directions: pictures without these functions
 * should not have to load two.
 */
#include "planes.h"

enum { COLOURS = 3, COUNTS = 12, ABSOLUTES = 16, AROUND = 12 };
static const u16 COUNT_STEPS[] = { 1, 2, 3, 5, 8, 12, 17, 24, 32, 44, 60 };
static u8 COUNT[61];

u32 lay_upper(Tables *t) {
  const i32 g = t->groups;
  i32 state = t->means ? t->mean_bases[MEAN_SLOTS] : t->bases[CHANNEL_SLOTS], set = t->means ? t->mean_sets[MEAN_SETS] : t->sets[CHANNEL_SETS];
  const i32 sizes[UPPER_SLOTS] = { g * ENERGY_LEVELS, 12 * 12 * COLOURS, g * 16, COLOURS * 8 * 8 * 8, (DENSITIES + 1) * ENERGY_LEVELS, g * COUNTS,
    ABSOLUTES * 9, g * 3 * 4, ENERGY_LEVELS * 3, ABSOLUTES * 3, g * ABSOLUTES };
  const i32 sets[UPPER_SETS] = { ENERGY_LEVELS, g, ENERGY_LEVELS, g };
  for (i32 i = 0; i < UPPER_SLOTS; i++) t->upper_bases[i] = state, state += g ? sizes[i] : 0;
  for (i32 i = 0; i < UPPER_SETS; i++) t->upper_sets[i] = set, set += g ? sets[i] * STRIDE : 0;
  t->plane_states = state, t->weights = set;
  return g ? 1 + 4 * (u32)t->channels + (u32)g * (2 + 2 * PARTS + UPPER_TERMS) : 0;
}

i32 read_upper(Tables *t, Copying *from, i32 *where) {
  const u32 c = (u32)t->channels, g = (u32)t->groups;
  if (!g) return 0;
  const u8 *plane = copied(from, 3 * c, 1), *row = plane + c, *column = row + c;
  t->fine_order = copied(from, c, 1);
  const u8 *sizes = copied(from, g, 1);
  t->upper_order = copied(from, g * PARTS, 2);
  t->upper_octaves = copied(from, g, 1);
  t->upper_weights = copied(from, g * UPPER_TERMS, 1);
  t->function = plane;
  t->upper = list_upper(plane, row, column, t->channels, t->upper_place);
  if (t->upper < 0) return *where = -1 - t->upper, SDZ_TABLES_CHANNEL;
  for (u32 i = 0; i < UPPER_FUNCTIONS; i++) t->function_at[i] = 0;
  for (u32 i = 0; i < c; i++) t->function_at[UPPER_PLACE(plane[i], row[i], column[i])] = (u16)i;
  for (i32 i = 0; i < t->upper; i++) t->function_at[t->upper_place[i]] = (u16)((i32)c + i);
  i32 wrong = 0;
  for (u32 i = 0; i < g; i++) {
    i32 ahead = t->upper_order[2 * i] - t->upper_order[2 * i + 1];
    t->upper_first[i + 1] = (u16)(t->upper_first[i] + sizes[i]);
    if (ahead < 0 || ahead >= A_PLANE || !sizes[i]) wrong = SDZ_TABLES_PASSES, *where = (i32)i;
  }
  if (t->upper_first[g] != t->upper || t->upper_step > MAX_STEP) wrong = SDZ_TABLES_CHANNEL, *where = (i32)c;
  for (i32 i = 0; i < (i32)sizeof(COUNT); i++) COUNT[i] = (u8)reached(i, COUNT_STEPS, COUNTS - 1);
  return wrong;
}

/* Cells of the function at (u, v) of a colour; those that are always zero where there is none, or nothing of it is known. */
static const u16 *cells_at(const Run *run, i32 colour, i32 u, i32 v) {
  if (u < 0 || v < 0 || u >= UPPER_SIDE || v >= UPPER_SIDE) return run->nothing;
  i32 f = run->tables->function_at[UPPER_PLACE(colour, u, v)], c = run->tables->channels;
  const u16 *cells = f >= c ? run->picture->upper_cells[f - c] : f < run->tables->means ? 0 : run->picture->cells[f];
  return cells ? cells : run->nothing;
}

/* A plane of cells, all zero. */
static u16 *new_cells(const Run *run, u32 kind, const void *owner) {
  return take(2 * (u64)(run->picture->rows + 2 * BORDER) * (u64)(run->picture->columns + 2 * BORDER), kind, owner);
}

/* The activity bit: whether a function of the group reaches the plane. */
static i32 begin_group(Run *run, i32 g, i32 plane, i32 absolute) {
  Coder *d = &run->coder;
  u32 p = (u32)clamp32(500, d->probability[run->tables->upper_bases[10] + g * ABSOLUTES + absolute], 65000);
  i32 flag = run->upper_peak[g] >> plane != 0;
  if (ENCODES(run->source != 0)) encode_bit(d, p, flag);
  else flag = decode_bit(d, p);
  return flag;
}

i32 code_group(Run *run, u32 pass) {
  Coder *d = &run->coder;
  Picture *picture = run->picture;
  const Tables *t = run->tables;
  const i32 h = picture->rows, w = picture->columns, W = w + 2 * BORDER, plane = PLANE(pass), g = BAND(pass), far = PART_OF(pass);
  const i32 absolute = min32(ABSOLUTES - 1, (run->step_index >> 3) + plane), first = t->upper_first[g], end = t->upper_first[g + 1];
  const i32 encode = ENCODES(run->source != 0);
  const u8 *bucket = t->bucket, *weight = t->upper_weights + g * UPPER_TERMS;
  const i32 *bases = t->upper_bases, *sets = t->upper_sets;
  i32 slot[7], done = 0;
  if (!run->upper_active[g]) {
    if (!far) return (end - first) * h * w;
    run->upper_active[g] = (u8)begin_group(run, g, plane, absolute);
    if (d->stopped) return 0;
    if (!run->upper_active[g]) return (end - first) * h * w;
    if (!run->nothing) run->nothing = new_cells(run, SCRATCH, 0);
    if (!run->nothing) return -1;
  }
  for (i32 f = first; f < end; f++) {
    const i32 k = t->upper_place[f] / (UPPER_SIDE * UPPER_SIDE), u = t->upper_place[f] / UPPER_SIDE % UPPER_SIDE, v = t->upper_place[f] % UPPER_SIDE;
    u16 *own = picture->upper_cells[f];
    const u16 *cell = own ? own : run->nothing;
    const u16 *around[AROUND] = { cells_at(run, k, u - 1, v), cells_at(run, k, u, v - 1), cells_at(run, k, u + 1, v), cells_at(run, k, u, v + 1),
      cells_at(run, k, u - 2, v), cells_at(run, k, u, v - 2), cells_at(run, k, u - 1, v - 1), cells_at(run, k, u + 1, v - 1),
      cells_at(run, k, u - 1, v + 1), cells_at(run, k, u + 1, v + 1), cells_at(run, (k + 1) % COLOURS, u, v), cells_at(run, (k + 2) % COLOURS, u, v) };
    const i32 b0 = bases[0] + g * ENERGY_LEVELS, b1 = bases[1] + k, b2 = bases[2] + g * 16, b5 = bases[5] + g * COUNTS, b6 = bases[6] + absolute * 9,
              b3 = bases[3] + ((k * 8 + (u >> 1)) * 8 + (v >> 1)) * 8 + clamp32(0, absolute - 2, 7);
    u32 ones = 0, seen = 0;
    for (i32 y = 0; y < h; y++) {
      i32 b4 = bases[4] + density_of(ones, seen) * ENERGY_LEVELS;
      i32 at = (y + BORDER) * W + BORDER;
      const u8 *floors = picture->floors ? picture->floors + y * w : 0;
      Around a = before_row(cell + at, W, plane);
      for (i32 x = 0; x < w; x++, at++) {
        slide(&a, cell + at, W, plane);
        if (part_of(&a) != far || (floors && floors[x] > plane)) {
          done++;
          continue;
        }
        i32 l[AROUND], sum = a.we + a.n + a.ea + a.so;
        for (i32 i = 0; i < AROUND; i++) l[i] = level(around[i][at], plane), sum += l[i];
#define V(l) LEVEL_WEIGHT[l]
        i32 space = weight[0] * (V(a.we) + V(a.n)) + weight[1] * (V(a.ea) + V(a.so)) + weight[2] * (V(a.nw) + V(a.ne)) + weight[3] * (V(a.sw) + V(a.se));
        i32 across = weight[4] * (V(l[0]) + V(l[1])) + weight[5] * (V(l[2]) + V(l[3])) + weight[6] * (V(l[4]) + V(l[5])) +
                     weight[7] * (V(l[6]) + V(l[7]) + V(l[8])) + weight[8] * V(l[9]) + weight[9] * V(l[10]) + weight[10] * V(l[11]);
        i32 energy = bucket[min32(4095, space + across)], bit;
        u32 known = cell[at];
        size_t place = ((size_t)(t->channels + f) * (size_t)h + (size_t)y) * (size_t)w + (size_t)x;
        i32 value = encode ? run->source[place] : 0;
        if (!known) {
          slot[0] = b0 + energy;
          slot[1] = b1 + ((bucket[min32(4095, space)] >> 1) * 12 + (bucket[min32(4095, across)] >> 1)) * COLOURS;
          slot[2] = b2 + (a.we ? 1 : 0) + (a.n ? 2 : 0) + (l[0] ? 4 : 0) + (l[1] ? 8 : 0);
          slot[3] = b3;
          slot[4] = b4 + energy;
          slot[5] = b5 + COUNT[min32(60, sum)];
          slot[6] = b6 + min32(2, l[10]) * 3 + min32(2, l[11]);
          bit = decide_seven(d, encode, encode && magnitude_of(value) >> plane != 0, slot, sets[0] + energy * STRIDE, sets[1] + g * STRIDE);
        } else {
          i32 beyond = min32(3, (i32)(known >> (plane + 2))) - 1;
          slot[0] = bases[7] + (g * 3 + beyond) * 4 + min32(3, (a.we + a.n) >> 1);
          slot[1] = bases[8] + energy * 3 + beyond;
          slot[2] = bases[9] + absolute * 3 + beyond;
          bit = decide_three(d, encode, encode ? (i32)(magnitude_of(value) >> plane) & 1 : 0, slot, sets[2] + energy * STRIDE, sets[3] + g * STRIDE);
        }
        if (UNLIKELY(d->stopped)) return done;
        if (encode && run->chances) run->chances[place] = (u16)d->chance;
        if (!known) seen++;
        if (bit && known) {
          own[at] = (u16)(known + (2u << plane));
          a.here = level(cell[at], plane);
        } else if (bit) {
          i32 negative = value < 0;
          if (encode) encode_bit(d, 1 << 15, negative);
          else negative = decode_bit(d, 1 << 15);
          if (UNLIKELY(d->stopped)) return done;
          if (!own) {
            own = picture->upper_cells[f] = new_cells(run, PART, picture);
            if (!own) return -1;
            cell = own;
          }
          ones++, a.here = 1;
          own[at] = (u16)(2u << plane | (u32)negative);
        }
        done++;
      }
    }
  }
  return done;
}

