/* The coder's tables: opened by the kind that they say they are. */
#include "coder.h"

Tables *sdz_tables(const uint8_t *data, uint32_t bytes) {
  CHECK(holds(data, bytes, 1), SDZ_BAD_CALL, -1);
  CHECK(bytes >= 8 && data[0] == 's' && data[1] == 'd' && data[2] == 'z', SDZ_TABLES_MAGIC, -1);
  make_curves();
  if (data[3] == 'T') return open_planes(data, bytes);
  if (data[3] == 'I') return open_indices(data, bytes);
  CHECK(0, SDZ_TABLES_MAGIC, -1);
}
