"""Integer latents to the linear stage's pixels: a small integer matrix, no neural runtime.

Takes latent values (C, h, w) in grid units and the pack's table, hands on the picture that stands while the networks are
on their way, or instead of them; or a smaller picture, for thumbnails and overviews. Blocks of a lapped pack overlap: a filter over their
borders is part of the synthesis (FORMAT.md, "Linear stage"). Exact integer arithmetic; `web/linear.js` is the twin.
"""

from __future__ import annotations

import math
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

_Integer = TypeVar("_Integer", bound=np.integer)

LAP_PLACES: Final = 4
"""Binary places of the levels that a lapping filters."""

LAP_LIMIT: Final = 1 << 13
"""Where these levels, from mid-grey, are held before they are filtered: the networks' exact sums rest on it."""

LAP_SHIFT: Final = 8
"""Binary places of a lapping's entries."""

LAP_SUM: Final = 232
"""Most that a row's entries may sum to without their signs: LAP_LIMIT (1 + 2 · LAP_SUM / 2**8)**2 · 2**8 stays below 2**24, the exact
integers of float32."""


def reductions(patch: int) -> tuple[int, ...]:
    """What the linear stage of a pack with that patch divides the sides by where a small picture will do: 2, 4 ... up to the patch."""
    return tuple(1 << n for n in range(1, patch.bit_length()))


def linear_stage(
    values: NDArray[np.int32], table: NDArray[np.integer], shift: int, lapping: NDArray[np.int32] | None = None
) -> NDArray[np.uint8]:
    """RGB (side h, side w, 3) uint8 from values (C, h, w) and the table (C, 3 side side), ordered colour, row, column.

    clamp((sum_c value[c] * table[c] + 128.5 * 2**shift) >> shift, 0, 255); the side is the patch in a pack's own table. Sums stay below
    2**53, so float64 products through the linear algebra library are exact in any order. With a `lapping` (n, n), n at most half the side
    or the side 1, the sums are rounded to LAP_PLACES, filtered over the borders of blocks (`lapped`), and only then to levels.
    """
    channels, rows, columns = values.shape
    side = math.isqrt(table.shape[1] // 3)
    sums = (values.reshape(channels, -1).T.astype(np.float64) @ table.astype(np.float64)).astype(np.int64)
    if lapping is None:
        levels = (sums + (128 << shift) + (1 << (shift - 1))) >> shift
        return _image(np.clip(levels, 0, 255).astype(np.uint8), rows, columns, side)
    fine = shift - LAP_PLACES
    levels = np.clip((sums + (1 << (fine - 1))) >> fine, -LAP_LIMIT, LAP_LIMIT).astype(np.int32)
    filtered = lapped(_image(levels, rows, columns, side), side, lapping)
    half = 1 << (LAP_PLACES - 1)
    pixels: NDArray[np.uint8] = np.clip((filtered + (128 << LAP_PLACES) + half) >> LAP_PLACES, 0, 255).astype(np.uint8)
    return pixels


def lapped(levels: NDArray[np.int32], side: int, lapping: NDArray[np.int32]) -> NDArray[np.int32]:
    """Levels (side h, side w, 3) with every border between blocks filtered, those between rows first.

    With a[i] and b[i] the i-th pixels before and behind a border and s[i] = sum_j lapping[i, j] * (a[j] - b[j]), a[i] gets
    (s[i] + 128) >> 8 and b[i] gets (128 - s[i]) >> 8.
    """
    filtered = levels.copy()
    reach = np.arange(len(lapping))
    for axis in range(2):
        pixels = np.moveaxis(filtered, axis, 0)
        borders = np.arange(side, len(pixels), side)
        differences = [pixels[borders - 1 - i] - pixels[borders + i] for i in reach]
        for i, row in zip(reach, lapping.tolist(), strict=True):
            sums = np.zeros_like(differences[0])
            for weight, difference in zip(row, differences, strict=True):
                sums += weight * difference
            pixels[borders - 1 - i] += (sums + (1 << (LAP_SHIFT - 1))) >> LAP_SHIFT
            pixels[borders + i] += ((1 << (LAP_SHIFT - 1)) - sums) >> LAP_SHIFT
    return filtered


def _image(blocks: NDArray[_Integer], rows: int, columns: int, side: int) -> NDArray[_Integer]:
    """(rows * columns, 3 side side) -> (side rows, side columns, 3)."""
    split = blocks.reshape(rows, columns, 3, side, side).transpose(0, 3, 1, 4, 2)
    return np.ascontiguousarray(split).reshape(rows * side, columns * side, 3)


def reduced(table: NDArray[np.int16], shift: int, factor: int) -> tuple[NDArray[np.int32], int]:
    """The table, int32 (C, 3 side side), and the shift with which `linear_stage` gives the means of factor x factor pixels, before they
    are clamped. `factor` is 1 or one of `reductions`, the side patch / factor; the cost falls with its square."""
    side = math.isqrt(table.shape[1] // 3) // factor
    sums = table.reshape(-1, 3, side, factor, side, factor).sum(axis=(3, 5), dtype=np.int32)
    return sums.reshape(len(table), -1), shift + 2 * (factor.bit_length() - 1)


def reduced_lapping(lapping: NDArray[np.int32], factor: int) -> NDArray[np.int32]:
    """The lapping for means of factor x factor pixels, int32 (m, m) of (n, n), m = ceil(n / factor).

    Exact where all differences that make up a mean are equal, close where the picture is smooth: a mean does not tell them apart.
    """
    size = -(-len(lapping) // factor)
    grown = np.zeros((size * factor, size * factor), np.int64)
    grown[: len(lapping), : len(lapping)] = lapping
    sums = grown.reshape(size, factor, size, factor).sum(axis=(1, 3))
    means: NDArray[np.int32] = ((2 * sums + factor) // (2 * factor)).astype(np.int32)
    return means
