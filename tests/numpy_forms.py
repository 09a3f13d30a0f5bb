"""What the core computes of latents and the linear stage, once more in numpy: quick, whole pictures at a time, for tests to compare with.

The slow decoder that is written from FORMAT.md is `tests/reference`.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sdz.runtime.format.indices import IndexTables
from sdz.runtime.format.linear import LAP_LIMIT, LAP_PLACES, LAP_SHIFT
from sdz.runtime.format.reconstruction import Known, Latents, step_sizes

_Integer = TypeVar("_Integer", bound=np.integer)

LEVEL_LIMIT = 15


def linear_stage(
    values: NDArray[np.int32], table: NDArray[np.integer], shift: int, lapping: NDArray[np.int32] | None = None
) -> NDArray[np.uint8]:
    """RGB (side h, side w, 3) uint8 from values (C, h, w) and the table (C, 3 side side), ordered colour, row, column.

    clamp((sum_c value[c] * table[c] + 128.5 * 2**shift) >> shift, 0, 255); the side is the patch. Sums stay below 2**53, so float64
    products through the linear algebra library are exact in any order. With a `lapping` (n, n), n at most half the side, the sums are
    rounded to LAP_PLACES, filtered over the borders of blocks (`lapped`), and only then to levels.
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
    rows = _lapped_rows(levels, side, lapping)
    return _lapped_rows(rows.swapaxes(0, 1), side, lapping).swapaxes(0, 1)


def _lapped_rows(levels: NDArray[np.int32], side: int, lapping: NDArray[np.int32]) -> NDArray[np.int32]:
    """The borders between rows alone."""
    filtered = levels.copy()
    borders = np.arange(side, len(levels), side)
    differences = [levels[borders - 1 - i] - levels[borders + i] for i in range(len(lapping))]
    for i, row in enumerate(lapping.tolist()):
        sums = np.zeros_like(differences[0])
        for weight, difference in zip(row, differences, strict=True):
            sums += weight * difference
        filtered[borders - 1 - i] += (sums + (1 << (LAP_SHIFT - 1))) >> LAP_SHIFT
        filtered[borders + i] += ((1 << (LAP_SHIFT - 1)) - sums) >> LAP_SHIFT
    return filtered


def _image(blocks: NDArray[_Integer], rows: int, columns: int, side: int) -> NDArray[_Integer]:
    """(rows * columns, 3 side side) -> (side rows, side columns, 3)."""
    split = blocks.reshape(rows, columns, 3, side, side).transpose(0, 3, 1, 4, 2)
    return np.ascontiguousarray(split).reshape(rows * side, columns * side, 3)


def reduced(table: NDArray[np.int16], shift: int, factor: int, lapping: NDArray[np.int32] | None = None) -> tuple[NDArray[np.int32], int]:
    """The table, int32 (C, 3 s s), and the shift with which `reduced_stage` gives the means of factor x factor pixels.

    `factor` is one of `reductions`; the cost falls with its square. Of a lapped pack a latent is seen up to n pixels into its neighbours,
    so s is the block's side, patch / factor, and ceil(n / factor) more on either end.
    """
    patch = math.isqrt(table.shape[1] // 3)
    overlap = 0 if lapping is None else len(lapping)
    ring = -(-overlap // factor)
    # one block among its neighbours, filtered; then sums of `factor` of these pixels
    canvas = np.zeros((patch * 3, patch, 1), np.int32)
    canvas[patch : 2 * patch, :, 0] = np.eye(patch, dtype=np.int32) << LAP_SHIFT
    seen = canvas[:, :, 0] if lapping is None else _lapped_rows(canvas, patch, lapping)[:, :, 0]
    cells = seen[patch - ring * factor : 2 * patch + ring * factor].reshape(-1, factor, patch).sum(axis=1).astype(np.float64)
    patterns = cells @ table.reshape(-1, patch, patch).astype(np.float64) @ cells.T
    # filtered patterns are no integers any more: some binary places of theirs are kept
    means: NDArray[np.int32] = np.rint(patterns * 2.0 ** (LAP_PLACES - 2 * LAP_SHIFT)).astype(np.int32)
    return means.reshape(len(table), -1), shift + LAP_PLACES + 2 * (factor.bit_length() - 1)


def reduced_stage(values: NDArray[np.int32], table: NDArray[np.int32], shift: int, side: int) -> NDArray[np.uint8]:
    """RGB (side h, side w, 3) uint8 from values (C, h, w) and what `reduced` gave: overlapping blocks are added up, and what reaches beyond
    the picture is mirrored back into it, which is what leaves outer borders unfiltered. Clamped at the end only."""
    channels, rows, columns = values.shape
    reach = math.isqrt(table.shape[1] // 3)
    ring = (reach - side) // 2
    sums = (values.reshape(channels, -1).T.astype(np.float64) @ table.astype(np.float64)).astype(np.int64)
    blocks = sums.reshape(rows, columns, 3, reach, reach)
    inside = slice(ring, ring + side)
    canvas = np.pad(_image(blocks[:, :, :, inside, inside], rows, columns, side), ((ring, ring), (ring, ring), (0, 0)))
    for y in range(reach):
        for x in range(reach):
            if not (ring <= y < ring + side and ring <= x < ring + side):
                canvas[y : y + side * rows : side, x : x + side * columns : side] += blocks[:, :, :, y, x]
    for _ in range(2 if ring else 0):
        canvas[ring : 2 * ring] += canvas[:ring][::-1]
        canvas[-2 * ring : -ring] += canvas[-ring:][::-1]
        canvas = canvas[ring:-ring].swapaxes(0, 1)
    levels = (canvas + (128 << shift) + (1 << (shift - 1))) >> shift
    return np.ascontiguousarray(np.clip(levels, 0, 255).astype(np.uint8))


def dequantize(known: Known, steps: NDArray[np.int32], reconstruction: int, l1_limit: int) -> Latents:
    """Values, guarded (`guard_l1`), and intervals of what is known at the channels' step indices `steps`, int32 (C,);
    `reconstruction` in sixteenths of the unknown part."""
    step, plane = step_sizes(steps), known.plane.astype(np.int32)
    # 2**15 * 16 * 4096, the largest product there is, is 2**31: the unknown part is one less
    middle = (((1 << plane) - 1) * (step * reconstruction) + 8) >> 4
    values = np.where(known.magnitude == 0, 0, known.magnitude * step + middle)
    levels = np.minimum(known.magnitude >> plane, LEVEL_LIMIT)
    for signed in (values, levels):
        np.negative(signed, out=signed, where=known.negative)
    return Latents(
        guard_l1(values, l1_limit),
        levels,
        plane * 8 + steps[:, None, None],
        (step << plane) >> (known.magnitude > 0),
    )


def guard_l1(values: NDArray[np.int32], l1_limit: int) -> NDArray[np.int32]:
    """Values (C, h, w) whose sum of magnitudes at every position is at most `l1_limit`.

    Where it is more, all values of the position are halved towards zero until it is not. No photo gets there; it keeps
    every fp32 sum of the networks' first layers below 2**24, where fp32 is exact in any order of summation.
    """
    norm = np.abs(values).sum(axis=0, dtype=np.int64)
    while (over := norm > l1_limit).any():
        held = values[:, over]
        values[:, over] = np.sign(held) * (np.abs(held) >> 1)
        norm = np.abs(values).sum(axis=0, dtype=np.int64)
    return values


def known_bits(node: NDArray[np.int32], tables: IndexTables) -> NDArray[np.int32]:
    """How many bits of each index are known, int32 of `node`'s shape: all of them where an entry ends early."""
    bits = np.frexp(node.astype(np.float64))[1].astype(np.int32) - 1
    return np.where(tables.tree.leaves[node] == 1, np.int32(tables.levels), bits)


def dequantize_indices(node: NDArray[np.int32], tables: IndexTables, l1_limit: int) -> Latents:
    """Values, guarded (`guard_l1`), and intervals of the nodes (h, w): the means of what is known of each position."""
    bits = known_bits(node, tables)
    shape = (tables.channels, *node.shape)
    values = np.ascontiguousarray(tables.tree.centre[node].transpose(2, 0, 1))
    half_width = tables.half_width.astype(np.int32)[bits]
    levels = np.sign(values) * np.minimum(LEVEL_LIMIT, np.abs(values) // np.maximum(1, 2 * half_width))
    precision = tables.precision.astype(np.int32)[bits]
    return Latents(guard_l1(values, l1_limit), levels, np.broadcast_to(precision, shape), np.broadcast_to(half_width, shape))
