/* The lossless tail of sdz: the exact pixels of a photo, coded behind the latents with the linear stage's pixels as context.
 *
 * A module of its own, core/lossless.wasm, that is loaded only where a file has such a tail. It has the core's memory (`sdz_alloc`, `sdz_free`,
 * `sdz_limit`, `sdz_reason`, `sdz_where`) and its rules (sdz_core.h); FORMAT.md, "Lossless", says what each number means.
 *
 * A tail is read or written band by band, from the top. Memory is by the picture's width, not its height.
 */
#ifndef SDZ_LOSSLESS_H
#define SDZ_LOSSLESS_H
#include "sdz_core.h"

typedef struct Tail Tail; /* the pixel coder between two bands */

/* The coder before the first band of a picture of 1 or 3 `planes`, sides up to 16,384, in bands of 2^`band` rows, 0 to 14. */
SDZ_CALL(sdz_tail) Tail *sdz_tail(int32_t width, int32_t height, int32_t planes, int32_t band);
/* What the next band is about, int32: {base from, base to, pixels from, pixels to, source from, source to}, rows each: those of the base that
 * it must be given, those of the picture that it brings, and those of the picture that an encoder must be given. All 0 behind the last band. */
SDZ_CALL(sdz_tail_band) const int32_t *sdz_tail_band(Tail *tail);
/* Decodes a band from `bytes` at `payload`: `base` and `pixels` are u8 (rows, width, planes) of the rows that `sdz_tail_band` names. A band
 * whose bytes end too early fails with SDZ_TAIL_END; the tail is then of no use any more. */
SDZ_CALL(sdz_tail_decode)
int32_t sdz_tail_decode(Tail *tail, const uint8_t *payload, uint32_t bytes, const uint8_t *base, uint8_t *pixels);
/* Encodes a band of `source`, and returns how many of the `room` bytes at `out` it wrote. With less room than it needs it fails with
 * SDZ_NO_MEMORY, and the tail is of no use any more. */
SDZ_CALL(sdz_tail_encode)
int32_t sdz_tail_encode(Tail *tail, const uint8_t *source, const uint8_t *base, uint8_t *out, uint32_t room);
#endif
