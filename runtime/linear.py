"""Integer latents to the linear stage's pixels: a small integer matrix, no neural runtime.

Takes latent values (C, h, w) in grid units and the pack's table, hands on the picture that stands while the networks are
on their way, or instead of them; or a smaller picture, for thumbnails and overviews. Exact integer arithmetic; `web/linear.js` is the twin.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def reductions(patch: int) -> tuple[int, ...]:
    """What the linear stage of a pack with that patch divides the sides by where a small picture will do: 2, 4 ... up to the patch."""
    return tuple(1 << n for n in range(1, patch.bit_length()))


def linear_stage(values: NDArray[np.int32], table: NDArray[np.integer], shift: int) -> NDArray[np.uint8]:
    """RGB (side h, side w, 3) uint8 from values (C, h, w) and the table (C, 3 side side), ordered colour, row, column.

    clamp((sum_c value[c] * table[c] + 128.5 * 2**shift) >> shift, 0, 255); the side is the patch in a pack's own table. Sums stay below
    2**53, so float64 products through the linear algebra library are exact in any order.
    """
    channels, rows, columns = values.shape
    side = math.isqrt(table.shape[1] // 3)
    sums = values.reshape(channels, -1).T.astype(np.float64) @ table.astype(np.float64)
    levels = (sums.astype(np.int64) + (128 << shift) + (1 << (shift - 1))) >> shift
    pixels = np.clip(levels, 0, 255).astype(np.uint8).reshape(rows, columns, 3, side, side)
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 4, 2)).reshape(rows * side, columns * side, 3)


def reduced(table: NDArray[np.int16], shift: int, factor: int) -> tuple[NDArray[np.int32], int]:
    """The table, int32 (C, 3 side side), and the shift with which `linear_stage` gives the means of factor x factor pixels, before they
    are clamped. `factor` is 1 or one of `reductions`, the side patch / factor; the cost falls with its square."""
    side = math.isqrt(table.shape[1] // 3) // factor
    sums = table.reshape(-1, 3, side, factor, side, factor).sum(axis=(3, 5), dtype=np.int32)
    return sums.reshape(len(table), -1), shift + 2 * (factor.bit_length() - 1)
