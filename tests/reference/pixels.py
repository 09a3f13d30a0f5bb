"""Values to pixels, grey and alpha: FORMAT.md, "Linear stage", "Pixels" and "Alpha"."""

from __future__ import annotations

from typing import Any

import numpy as np

from .container import FormatError, inflate


def linear_table(data: bytes, channels: int, patch: int) -> Any:
    """W(c, o), dense or of products, int64 (C, 3 p p)."""
    if data[:4] != b"sdzS" or len(data) == 6 * patch * patch * channels:
        return np.frombuffer(data, "<i2").reshape(channels, -1).astype(np.int64)
    shift, words = data[6], 9 + patch * patch + channels
    numbers = np.frombuffer(data, "<i2", words, 8).astype(np.int64)
    colours, waves, gain = numbers[:9].reshape(3, 3), numbers[9:-channels].reshape(patch, patch), numbers[-channels:]
    plane, down, across = np.frombuffer(data, np.uint8, 3 * channels, 8 + 2 * words).reshape(3, channels)
    products = np.einsum("c,ck,cy,cx->ckyx", gain, colours[plane], waves[down], waves[across])
    return ((products + (1 << shift >> 1)) >> shift).reshape(channels, -1)


def blocks_to_picture(blocks: Any, patch: int) -> Any:
    """(h, w, 3 p p) by colour, row, column -> (p h, p w, 3)."""
    rows, columns = blocks.shape[:2]
    split = blocks.reshape(rows, columns, 3, patch, patch)
    return split.transpose(0, 3, 1, 4, 2).reshape(rows * patch, columns * patch, 3)


def pattern_sums(values: Any, table: Any) -> Any:
    """The sums of value(c) · W(c, o), int64 (h, w, 3 p p)."""
    return np.einsum("chw,co->hwo", values.astype(np.int64), table.astype(np.int64))


def lapped_levels(values: Any, table: Any, patch: int, shift: int, lapping: list[list[int]], more: Any = None) -> Any:
    """Levels in sixteenths from mid-grey, `more` added, filtered over the borders of blocks: int64 (p h, p w, 3)."""
    sums = (pattern_sums(values, table) + (1 << (shift - 5))) >> (shift - 4)
    sums = np.clip(sums, -(2**13), 2**13)
    levels = blocks_to_picture(sums if more is None else np.clip(sums + more, -(2**13), 2**13), patch)
    # borders between rows first, then those between columns; `turned` is a view
    for turned in (levels, levels.swapaxes(0, 1)):
        for border in range(patch, len(turned), patch):
            a = [turned[border - 1 - i].copy() for i in range(len(lapping))]
            b = [turned[border + i].copy() for i in range(len(lapping))]
            for i, row in enumerate(lapping):
                t = sum(weight * (a[j] - b[j]) for j, weight in enumerate(row))
                turned[border - 1 - i] = a[i] + ((t + 128) >> 8)
                turned[border + i] = b[i] + ((128 - t) >> 8)
    return levels


def linear_pixels(values: Any, table: Any, patch: int, shift: int, lapping: list[list[int]] | None, more: Any = None) -> Any:
    """RGB uint8 (p h, p w, 3) of values (C, h, w) and what upper functions add."""
    if lapping is not None:
        return np.clip((lapped_levels(values, table, patch, shift, lapping, more) + 2056) >> 4, 0, 255).astype(np.uint8)
    pixels = (pattern_sums(values, table) + (128 << shift) + (1 << (shift - 1))) >> shift
    return blocks_to_picture(np.clip(pixels, 0, 255), patch).astype(np.uint8)


def grey_of(rgb: Any) -> Any:
    """(H, W, 1) of RGB."""
    r, g, b = np.moveaxis(rgb.astype(np.int64), 2, 0)
    return ((19595 * r + 38470 * g + 7471 * b + 32768) >> 16).astype(np.uint8)[:, :, None]


def read_alpha(payload: bytes, offset: int, width: int, height: int) -> Any:
    """The plane (H, W) of an alpha chunk."""
    raw = inflate(payload, height * (width + 1), offset, "alpha")
    if len(raw) != height * (width + 1):
        raise FormatError("CorruptFileError", offset, "alpha")
    plane = [[0] * (width + 1)]
    for y in range(height):
        kind, *rest = raw[y * (width + 1) : (y + 1) * (width + 1)]
        if kind > 4:
            raise FormatError("CorruptFileError", offset, "alpha")
        above, here = plane[-1], [0]
        for x, r in enumerate(rest, 1):
            left, up, corner = here[x - 1], above[x], above[x - 1]
            nearest = min((left, up, corner), key=lambda value: abs(value - (left + up - corner)))
            here.append((r + (0, left, up, (left + up) >> 1, nearest)[kind]) % 256)
        plane.append(here)
    return np.array(plane, np.uint8)[1:, 1:]
