/* The map of a picture's regions (FORMAT.md, "Regions"): at each position the lowest plane that is coded there, most often what stands beside it. */
#include "coder.h"
#include "regions.h"

enum { START = 32768, COUNT_LIMIT = 60, SAME_W = 8, SAME_N = 2, LITERALS = 16, STATES = SAME_W + SAME_N + LITERALS };

typedef struct {
  Coder coder;
  u16 probability[STATES];
  u8 count[STATES];
} Map;

static OUTLINE i32 code(Map *m, i32 state, i32 encode, i32 bit) {
  u32 p = (u32)clamp32(64, m->probability[state], 65472);
  if (encode) encode_bit(&m->coder, p, bit);
  else bit = decode_bit(&m->coder, p);
  m->probability[state] = (u16)(m->probability[state] + (i32)(((i64)(bit * 65535 - m->probability[state]) * RATES[m->count[state]]) >> 16));
  if (m->count[state] < COUNT_LIMIT) m->count[state]++;
  return bit;
}

/* Four bits, the most significant first. */
static i32 literal(Map *m, i32 encode, i32 v) {
  i32 node = 1;
  for (i32 bit = 3; bit >= 0; bit--) node = node << 1 | code(m, SAME_W + SAME_N + node, encode, v >> bit & 1);
  return node & 15;
}

/* Codes the map at `floors`, (rows, columns), in rows from the top. Returns whether all of it is there. */
static OUTLINE i32 code_map(Map *m, i32 encode, u8 *floors, i32 rows, i32 columns) {
  for (i32 i = 0; i < STATES; i++) m->probability[i] = START, m->count[i] = 0;
  for (i32 y = 0; y < rows; y++) for (i32 x = 0; x < columns; x++) {
    u8 *at = floors + y * columns + x;
    i32 n = y ? at[-columns] : x ? at[-1] : 0, w = x ? at[-1] : n, nw = y && x ? at[-columns - 1] : n, ne = y && x + 1 < columns ? at[1 - columns] : n;
    i32 v = encode ? *at : 0;
    if (code(m, (w == nw) | (n == nw) << 1 | (ne == n) << 2, encode, v == w)) v = w;
    else if (n != w && code(m, SAME_W + (ne == n), encode, v == n)) v = n;
    else v = literal(m, encode, v);
    if (m->coder.stopped) return 0;
    *at = (u8)v;
  }
  return 1;
}

static void start(Map *m, const u8 *in, u8 *out, u32 length) {
  Map fresh = { { 0, 0xffffffff, 0, 0, in, out, 0, length, 0, 0, 0, 0, 0, 0, 0 }, { 0 }, { 0 } };
  *m = fresh;
  make_curves();
  if (in) for (i32 i = 0; i < 4; i++) shift_in(&m->coder);
}

i32 decode_regions(Regions r, i32 rows, i32 columns, i32 *means, u8 *floors) {
  Map m;
  if (!r.bytes || r.payload[0] > MAX_PLANES) return fail(SDZ_REGIONS, -1);
  *means = r.payload[0];
  start(&m, r.payload + 1, 0, r.bytes - 1);
  /* an encoder ends with the fewest bytes that say it all: what the coder has not taken up by then belongs to nothing */
  if (!code_map(&m, 0, floors, rows, columns) || m.coder.at < r.bytes - 1) return fail(SDZ_REGIONS, -1);
  return 0;
}

int32_t sdz_floors(const uint8_t *payload, uint32_t bytes, int32_t rows, int32_t columns, uint8_t *floors) {
  CHECK_CALL(rows > 0 && columns > 0 && rows <= MAX_SIDE && columns <= MAX_SIDE && holds(floors, (u64)rows * (u64)columns, 1) && holds(payload, bytes, 1));
  Regions r = { payload, bytes };
  i32 means = 0, failed = decode_regions(r, rows, columns, &means, floors);
  return failed ? failed : means;
}

int32_t sdz_regions(int32_t means, uint8_t *floors, int32_t rows, int32_t columns, uint8_t *out, uint32_t room) {
  CHECK_CALL(means >= 0 && means <= MAX_PLANES && rows > 0 && columns > 0 && rows <= MAX_SIDE && columns <= MAX_SIDE && holds(floors, (u64)rows * (u64)columns, 1) && holds(out, room, 1));
  for (i32 i = 0; i < rows * columns; i++) CHECK_CALL(floors[i] <= MAX_PLANES);
  CHECK_CALL(room);
  Map m;
  *out = (u8)means;
  start(&m, 0, out + 1, room - 1);
  code_map(&m, 1, floors, rows, columns);
  if (!m.coder.stopped) finish_encoder(&m.coder);
  CHECK_CALL(!m.coder.stopped);
  return (i32)m.coder.at + 1;
}
