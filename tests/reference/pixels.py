"""Integers to latents and the linear stage's pixels, by integers, FORMAT.md ("Reconstruction", "Linear stage"). Slow and readable."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MANTISSA = tuple(round(2 ** (j / 8) * 16384) for j in range(8))


def step_units(index: int) -> int:
    """2**(index / 8) grey levels in quarters of one."""
    return (MANTISSA[index % 8] << (index // 8)) >> 12


def halved(number: int) -> int:
    """Half of it, towards zero."""
    return number // 2 if number >= 0 else -(-number // 2)


def values_of(
    signed: NDArray[np.int32], plane: NDArray[np.uint8], steps: list[int], reconstruction: int, l1_limit: int
) -> NDArray[np.int64]:
    """Values (C, h, w) of integers whose bits below `plane` are unknown, guarded."""
    channels, rows, columns = signed.shape
    values = np.zeros(signed.shape, np.int64)
    for y in range(rows):
        for x in range(columns):
            position = []
            for c in range(channels):
                integer, unknown, step = int(signed[c, y, x]), int(plane[c, y, x]), step_units(steps[c])
                middle = (((1 << unknown) - 1) * step * reconstruction + 8) >> 4
                size = abs(integer) * step + middle
                position.append(0 if integer == 0 else size if integer > 0 else -size)
            while sum(map(abs, position)) > l1_limit:
                position = [halved(value) for value in position]
            values[:, y, x] = position
    return values


def linear_pixels(
    values: NDArray[np.int64], table: NDArray[np.int16], patch: int, shift: int, lapping: NDArray[np.int32] | None
) -> NDArray[np.uint8]:
    """RGB (patch h, patch w, 3) by integers alone."""
    channels, rows, columns = values.shape
    patterns = table.astype(np.int64).reshape(channels, 3, patch, patch)
    sums = np.zeros((rows * patch, columns * patch, 3), np.int64)
    for y in range(rows):
        for x in range(columns):
            block = sum(int(values[c, y, x]) * patterns[c] for c in range(channels))
            sums[y * patch : (y + 1) * patch, x * patch : (x + 1) * patch] = np.transpose(block, (1, 2, 0))
    if lapping is None:
        return np.clip((sums + (128 << shift) + (1 << (shift - 1))) >> shift, 0, 255).astype(np.uint8)
    fine = shift - 4
    levels = np.clip((sums + (1 << (fine - 1))) >> fine, -8192, 8192)
    # borders between rows first, then those between columns
    for turned in (levels, levels.swapaxes(0, 1)):
        for border in range(patch, len(turned), patch):
            before = [turned[border - 1 - i].copy() for i in range(len(lapping))]
            behind = [turned[border + i].copy() for i in range(len(lapping))]
            for i, row in enumerate(lapping.tolist()):
                s = sum(weight * (a - b) for weight, a, b in zip(row, before, behind, strict=True))
                turned[border - 1 - i] = before[i] + ((s + 128) >> 8)
                turned[border + i] = behind[i] + ((128 - s) >> 8)
    return np.clip((levels + (128 << 4) + 8) >> 4, 0, 255).astype(np.uint8)
