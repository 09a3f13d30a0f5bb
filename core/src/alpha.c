/* Alpha's rows, filtered as in PNG (FORMAT.md, "Alpha"), and the palette of 2022's choice of entries: the small ones. */
#include "internal.h"

INLINE u8 predicted(i32 kind, i32 left, i32 above, i32 corner) {
  if (kind == 0) return 0;
  if (kind == 1) return (u8)left;
  if (kind == 2) return (u8)above;
  if (kind == 3) return (u8)((left + above) >> 1);
  u32 a = magnitude_of(above - corner), b = magnitude_of(left - corner), c = magnitude_of(left + above - 2 * corner);
  return (u8)(a <= b && a <= c ? left : b <= c ? above : corner);
}

static i32 fits(i32 height, i32 width) { return height > 0 && width > 0 && height <= 16384 && width <= 16384; }

int32_t sdz_unfilter(const uint8_t *filtered, int32_t height, int32_t width, uint8_t *plane) {
  CHECK_CALL(fits(height, width) && holds(filtered, (u64)height * (u64)(width + 1), 1) && holds(plane, (u64)height * (u64)width, 1));
  for (i32 y = 0; y < height; y++) if (filtered[(size_t)y * (size_t)(width + 1)] > 4) return fail(SDZ_ALPHA_FILTER, y);
  for (i32 y = 0; y < height; y++) {
    const u8 *row = filtered + (size_t)y * (size_t)(width + 1) + 1, *above = y ? plane + (size_t)(y - 1) * (size_t)width : 0;
    u8 *out = plane + (size_t)y * (size_t)width;
    i32 left = 0, corner = 0;
    for (i32 x = 0; x < width; x++) {
      i32 up = above ? above[x] : 0;
      left = out[x] = (u8)(row[x] + predicted(row[-1], left, up, corner));
      corner = up;
    }
  }
  return 0;
}

int32_t sdz_filter(const uint8_t *plane, int32_t height, int32_t width, uint8_t *filtered) {
  CHECK_CALL(fits(height, width) && holds(filtered, (u64)height * (u64)(width + 1), 1) && holds(plane, (u64)height * (u64)width, 1));
  for (i32 y = 0; y < height; y++) {
    const u8 *row = plane + (size_t)y * (size_t)width, *above = y ? row - width : 0;
    u8 *out = filtered + (size_t)y * (size_t)(width + 1) + 1;
    u32 least = ~0u;
    i32 best = 0;
    /* of equals the first; in the last round the best one is written again */
    for (i32 round = 0; round < 6; round++) {
      i32 kind = round < 5 ? round : best, left = 0, corner = 0;
      u32 sum = 0;
      for (i32 x = 0; x < width; x++) {
        i32 up = above ? above[x] : 0;
        out[x] = (u8)(row[x] - predicted(kind, left, up, corner));
        sum += out[x] < 128 ? out[x] : 256u - out[x];
        left = row[x], corner = up;
      }
      if (sum < least) least = sum, best = kind;
    }
    out[-1] = (u8)best;
  }
  return 0;
}

int32_t sdz_assign(const double *source, int32_t rows, int32_t columns, int32_t channels, const int8_t *palette, int32_t entries, int32_t dither,
    uint8_t *indices) {
  CHECK_CALL(rows > 0 && columns > 0 && rows <= MAX_SIDE && columns <= MAX_SIDE && channels > 0 && channels < 256 && entries > 0 && entries <= 256);
  u64 area = (u64)rows * (u64)columns;
  CHECK_CALL(holds(source, area * (u64)channels, 8) && holds(palette, (u64)entries * (u64)channels, 1) && holds(indices, area, 1));
  /* what is wanted of this row and the next: errors go no further down */
  size_t line = (size_t)columns * (size_t)channels;
  double *wanted = take(16 * (u64)line, SCRATCH, 0);
  if (!wanted) return -SDZ_NO_MEMORY;
  __builtin_memcpy(wanted, source, 8 * line);
  for (i32 y = 0; y < rows; y++) {
    double *here = wanted + (y & 1 ? line : 0), *below = wanted + (y & 1 ? 0 : line);
    if (y + 1 < rows) __builtin_memcpy(below, source + (size_t)(y + 1) * line, 8 * line);
    for (i32 x = 0; x < columns; x++) {
      double *want = here + (size_t)x * (size_t)channels, least = __builtin_inf();
      i32 best = 0;
      /* as Pillow holds its dithered samples to 8 bits: without it the error of what no entry can reach piles up */
      for (i32 c = 0; c < channels; c++) want[c] = want[c] < -127 ? -127 : want[c] > 127 ? 127 : want[c];
      for (i32 e = 0; e < entries; e++) {
        double distance = 0;
        for (i32 c = 0; c < channels; c++) {
          double difference = want[c] - palette[e * channels + c];
          distance += difference * difference;
        }
        if (distance < least) least = distance, best = e;
      }
      indices[(size_t)y * (size_t)columns + (size_t)x] = (u8)best;
      for (i32 c = 0; dither && c < channels; c++) {
        double part = (want[c] - palette[best * channels + c]) / 16.0, *down = below + (size_t)x * (size_t)channels + c;
        if (x + 1 < columns) want[channels + c] += 7.0 * part;
        if (y + 1 >= rows) continue;
        if (x > 0) down[-channels] += 3.0 * part;
        down[0] += 5.0 * part;
        if (x + 1 < columns) down[channels] += part;
      }
    }
  }
  give_scratch();
  return 0;
}
