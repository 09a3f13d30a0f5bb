/* The means' coefficients in bit-planes (FORMAT.md, "Contexts of the means"): one pass for each plane of each level of each colour. */
#include "planes.h"

/* States of a decision, weight sets of a mixer, by slot; how they are counted is FORMAT.md's table. */
enum { COLOURS = 3, KINDS = 2, CLASSES = 6, OWN = 16, AROUND = 24, ABSOLUTES = 16 };
static const u16 OWN_STEPS[] = { 3, 5, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 50, 64, 85 },
  AROUND_STEPS[] = { 3, 6, 9, 12, 15, 18, 22, 26, 30, 35, 40, 46, 53, 61, 70, 80, 92, 106, 122, 140, 160, 185, 215 };
static u8 OWN_BUCKET[128], AROUND_BUCKET[288];
static const u16 SIZES[MEAN_SLOTS] = { COLOURS * KINDS * CLASSES * OWN, COLOURS * KINDS * CLASSES * AROUND, COLOURS * KINDS * CLASSES * 16,
  COLOURS * KINDS * CLASSES * ABSOLUTES, COLOURS * KINDS * 5 * 5 * 5, COLOURS * KINDS * 5 * 5 * 5, COLOURS * 5 * AROUND, /* significance */
  COLOURS * 3 * CLASSES * 9, COLOURS * 3 * 9, COLOURS * 3 * 27, /* sign */
  COLOURS * CLASSES * 3, AROUND * 3, COLOURS * ABSOLUTES * 3, /* refinement */
  COLOURS * LEVELS_MOST * ABSOLUTES, COLOURS * LEVELS_MOST * 3, COLOURS * LEVELS_MOST * 3 /* activity */ };
static const u16 SETS[MEAN_SETS] = { AROUND, COLOURS * KINDS * CLASSES, COLOURS * 3, COLOURS * CLASSES, AROUND, COLOURS * CLASSES, 1, COLOURS };

u32 lay_means(Tables *t) {
  if (!t->means) return 0;
  t->mean_bases[0] = t->bases[CHANNEL_SLOTS], t->mean_sets[0] = t->sets[CHANNEL_SETS];
  for (i32 i = 0; i < MEAN_SLOTS; i++) t->mean_bases[i + 1] = t->mean_bases[i] + SIZES[i];
  for (i32 i = 0; i < MEAN_SETS; i++) t->mean_sets[i + 1] = t->mean_sets[i] + SETS[i] * STRIDE;
  return COLOURS * (2 * LEVELS_MOST + FILLS);
}

i32 read_means(Tables *t, Copying *from) {
  if (!t->means) return 0;
  t->mean_order = copied(from, COLOURS * LEVELS_MOST, 2);
  t->mean_fill = copied(from, COLOURS * FILLS, 1);
  for (i32 i = 0; i < 128; i++) OWN_BUCKET[i] = (u8)reached(i, OWN_STEPS, OWN - 1);
  for (i32 i = 0; i < 288; i++) AROUND_BUCKET[i] = (u8)reached(i, AROUND_STEPS, AROUND - 1);
  for (i32 i = 0; i < COLOURS * FILLS; i++) if (t->mean_fill[i] && (t->mean_fill[i] < t->means || t->mean_fill[i] >= t->channels)) return SDZ_TABLES_CHANNEL;
  return 0;
}

/* Whether a band is active: 0 not, 1 since this plane, 2 for longer. */
static i32 since(const Picture *p, i32 colour, i32 l, i32 plane) {
  if (l > p->levels + 1 || !p->pyramid[colour][l]) return 0;
  return p->mean_top[colour][l] > plane + 1 ? 2 : 1;
}

/* Codes a pass. Returns how many places' orientations of it are known, in their order: all, or fewer where the bytes end; -1 without memory. */
i32 code_mean(Run *run, const u32 pass) {
  Coder *d = &run->coder;
  Picture *p = run->picture;
  const Tables *t = run->tables;
  const i32 encode = ENCODES(run->source != 0);
  const i32 colour = COLOUR(BAND(pass)), l = LEVEL_OF(BAND(pass)), plane = PLANE(pass), top = l > p->levels;
  const i32 h = top ? 1 : grid(p->rows, l), w = top ? 1 : grid(p->columns, l), all = 3 * h * w, W = w + 2;
  const i32 absolute = min32(ABSOLUTES - 1, (run->step_index >> 3) + plane + p->base), class = top ? 0 : min32(l, CLASSES - 1);
  const i32 *bases = t->mean_bases, *sets = t->mean_sets;
  const i32 one = colour == 0, two = colour == 2 ? 1 : 2; /* the other two colours */
  i32 slot[7];
  if (!p->pyramid[colour][l]) {
    if (h * w > 1) {
      i32 band = colour * LEVELS_MOST + l;
      slot[0] = bases[13] + band * ABSOLUTES + absolute;
      slot[1] = bases[14] + band * 3 + since(p, colour, l + 1, plane);
      slot[2] = bases[15] + band * 3 + since(p, one, l, plane);
      i32 flag = decide_three(d, encode, encode && run->tall[colour][l] >> plane != 0, slot, sets[6], sets[7] + colour * STRIDE);
      if (d->stopped) return 0;
      if (!flag) return all;
    }
    if (!level_cells(p, colour, l)) return -1;
    p->mean_top[colour][l] = (u8)(plane + 1);
  }
  const u32 size = plane_cells(p, l);
  u16 *band = p->pyramid[colour][l];
  const u16 *parent = l < p->levels ? p->pyramid[colour][l + 1] : 0, *first = p->pyramid[one][l], *second = p->pyramid[two][l];
  if (one >= t->means) first = 0;
  if (two >= t->means) second = 0;
  const i32 parent_line = l < p->levels ? grid(p->columns, l + 1) + 2 : 0;
  const u32 parent_size = l < p->levels ? plane_cells(p, l + 1) : 0;
  const i32 wide = top ? 1 : grid(p->columns, l - 1) >> 1, high = top ? 1 : grid(p->rows, l - 1) >> 1;
#define CELL(cells, i) ((cells) ? (cells)[i] : 0u)
  for (i32 y = 0, done = 0; y < h; y++) for (i32 x = 0; x < w; x++) for (i32 o = 0; o < 3; o++, done++) {
    if (top ? o > 0 : (o != 1 && x >= wide) || (o != 0 && y >= high)) continue;
    const i32 place = (y + 1) * W + x + 1, along = o ? 1 : W, beside = o ? W : 1, kind = o == 2;
    const u32 at = (u32)o * size + (u32)place;
    u16 *cell = band + at;
    const u32 a = cell[-along], b = cell[along], e = cell[-beside], f = cell[beside];
    const u32 elder = CELL(parent, (u32)o * parent_size + (u32)(((y >> 1) + 1) * parent_line + (x >> 1) + 1));
    const u32 twin = band[(u32)(o == 0 ? 1 : 0) * size + (u32)place], third = band[(u32)(o == 2 ? 1 : 2) * size + (u32)place];
    const u32 near = CELL(first, at), far = CELL(second, at);
#define V(c) LEVEL_WEIGHT[level(c, plane)]
    const i32 own = 3 * (V(a) + V(b)) + 2 * (V(e) + V(f)) + V(cell[-W - 1]) + V(cell[-W + 1]) + V(cell[W - 1]) + V(cell[W + 1]);
    const i32 around = own + 4 * V(elder) + 3 * V(twin) + 2 * V(third) + 4 * V(near) + 4 * V(far);
    const i32 energy = AROUND_BUCKET[min32(287, around)], group = (colour * KINDS + kind) * CLASSES + class, pair = colour * KINDS + kind;
    const u32 known = *cell;
    const i32 value = encode ? run->detail[colour][l][at] : 0;
    if (!known) {
      slot[0] = bases[0] + group * OWN + OWN_BUCKET[own];
      slot[1] = bases[1] + group * AROUND + energy;
      slot[2] = bases[2] + group * 16 + (a ? 1 : 0) + (b ? 2 : 0) + (e ? 4 : 0) + (f ? 8 : 0);
      slot[3] = bases[3] + group * ABSOLUTES + absolute;
      slot[4] = bases[4] + ((pair * 5 + level(elder, plane)) * 5 + level(twin, plane)) * 5 + level(third, plane);
      slot[5] = bases[5] + ((pair * 5 + level(near, plane)) * 5 + level(far, plane)) * 5 + min32(4, OWN_BUCKET[own] >> 2);
      slot[6] = bases[6] + (colour * 5 + min32(4, level(elder, plane + 1) + level(elder, plane + 2))) * AROUND + energy;
      i32 bit = decide_seven(d, encode, encode && magnitude_of(value) >> plane != 0, slot, sets[0] + energy * STRIDE, sets[1] + group * STRIDE);
      if (UNLIKELY(d->stopped)) return done;
      if (!bit) continue;
      i32 across = (colour * 3 + o);
      slot[0] = bases[7] + (across * CLASSES + class) * 9 + (sign_of(a) + 1) * 3 + sign_of(b) + 1;
      slot[1] = bases[8] + across * 9 + (sign_of(near) + 1) * 3 + sign_of(far) + 1;
      slot[2] = bases[9] + across * 27 + ((sign_of(e) + 1) * 3 + sign_of(f) + 1) * 3 + sign_of(elder) + 1;
      i32 negative = decide_three(d, encode, value < 0, slot, sets[2] + across * STRIDE, sets[3] + (colour * CLASSES + class) * STRIDE);
      if (UNLIKELY(d->stopped)) return done;
      *cell = (u16)(2 << plane | negative);
    } else {
      i32 beyond = min32(3, (i32)(known >> (plane + 2))) - 1;
      slot[0] = bases[10] + (colour * CLASSES + class) * 3 + beyond;
      slot[1] = bases[11] + energy * 3 + beyond;
      slot[2] = bases[12] + (colour * ABSOLUTES + absolute) * 3 + beyond;
      i32 bit = decide_three(d, encode, encode ? (i32)(magnitude_of(value) >> plane) & 1 : 0, slot, sets[4] + energy * STRIDE,
          sets[5] + (colour * CLASSES + class) * STRIDE);
      if (UNLIKELY(d->stopped)) return done;
      if (bit) *cell = (u16)(known + (2u << plane));
    }
  }
  return all;
}
