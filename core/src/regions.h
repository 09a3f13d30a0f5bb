#ifndef SDZ_REGIONS_H
#define SDZ_REGIONS_H
#include "internal.h"

/* The floors u8 (rows, columns) of a map, and that of the means; a negative number where it ends too early or too late. */
i32 decode_regions(Regions map, i32 rows, i32 columns, i32 *means, u8 *floors);
#endif
