"""Integer latents to the linear stage's pixels: a small integer matrix, no neural runtime.

Takes latent values (C, h, w) in grid units and the pack's table, hands on the picture that stands while the networks are
on their way, or instead of them. Exact integer arithmetic; `web/linear.js` is the twin.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PATCH = 16
"""Pixels per latent position along each side."""


def linear_stage(values: NDArray[np.int32], table: NDArray[np.int16], shift: int) -> NDArray[np.uint8]:
    """RGB (16 h, 16 w, 3) uint8 from values (C, h, w) and the table (C, 768), ordered colour, row, column.

    clamp((sum_c value[c] * table[c] + 128.5 * 2**shift) >> shift, 0, 255). Sums stay below 2**53, so float64 products
    through the linear algebra library are exact in any order.
    """
    channels, rows, columns = values.shape
    sums = values.reshape(channels, -1).T.astype(np.float64) @ table.astype(np.float64)
    levels = (sums.astype(np.int64) + (128 << shift) + (1 << (shift - 1))) >> shift
    pixels = np.clip(levels, 0, 255).astype(np.uint8).reshape(rows, columns, 3, PATCH, PATCH)
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 4, 2)).reshape(rows * PATCH, columns * PATCH, 3)
