/* A picture's integers: where they lie, and what of them there is. A band takes memory once it is active. */
#include "planes.h"

Picture *new_picture(i32 kind, i32 channels, i32 rows, i32 columns, i32 planes, i32 passes) {
  CHECK(rows > 0 && columns > 0 && rows <= MAX_SIDE && columns <= MAX_SIDE && channels > 0 && channels < 256, SDZ_BAD_CALL, -1);
  Picture *p = take(sizeof(Picture), PICTURE, 0);
  if (!p) return 0;
  p->kind = kind, p->channels = channels, p->rows = rows, p->columns = columns, p->planes = planes, p->cut_channel = p->cut_mean = p->cut_group = -1;
  for (i32 c = 0; c < channels; c++) p->floor[c] = (u8)planes;
  p->ends = take(4 * (u64)passes + 4, PART, p);
  p->passes = take(4 * (u64)passes + 4, PART, p);
  if (p->ends && p->passes) return p;
  give(p);
  return 0;
}

u16 *cells_of(Picture *p, i32 channel) {
  if (!p->cells[channel]) p->cells[channel] = take(2 * (u64)(p->rows + 2 * BORDER) * (u64)(p->columns + 2 * BORDER), PART, p);
  return p->cells[channel];
}

Picture *finish_picture(Picture *p) {
  i32 active = 0;
  for (i32 c = 0; c < p->channels; c++) active += c < p->means ? has_mean(p, c) : p->cells[c] != 0;
  const i32 facts[8] = { p->kind, p->channels, p->rows, p->columns, p->planes, p->complete, p->begun, active };
  __builtin_memcpy(p->facts, facts, sizeof facts);
  p->facts[12] = p->upper;
#ifdef __wasm__
  p->facts[8] = (i32)p->ends, p->facts[9] = (i32)p->passes;
#endif
  return p;
}
