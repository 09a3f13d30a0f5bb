"""Regions of a photo of a site: boxes of the whole photo brought to its smaller files, and what its page shows of them.

Takes what was asked for and encoded files, hands on boxes for the encoder, an outline for the page, and how much nearer the regions are
than in a file of the same size without any.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ....runtime.errors import EncodeInputError
from ....runtime.format.container import REGIONS, Container
from ....runtime.regions.region_map import RegionMap
from ....runtime.regions.written import Box
from ...metrics.pictures import psnr

CLOSER = 1.25
"""Sides of the crop that a page enlarges, as multiples of those of the region in it."""


def scaled(regions: Sequence[tuple[Box, int]], whole: tuple[int, int], size: tuple[int, int]) -> tuple[tuple[Box, int], ...]:
    """Boxes of a photo of `whole` pixels (width, height) in a file of it of `size` pixels, whole pixels that cover as much.

    Raises EncodeInputError for a box that does not lie in the photo.
    """
    out = []
    for (left, top, wide, high), octaves in regions:
        if not (wide > 0 and high > 0 and left + wide <= whole[0] and top + high <= whole[1]):
            raise EncodeInputError(f"region {left},{top},{wide},{high} does not lie in the photo of {whole[0]} x {whole[1]} pixels")
        (x, right), (y, bottom) = (
            (start * side // full, -(-(start + length) * side // full))
            for start, length, full, side in zip((left, top), (wide, high), whole, size, strict=True)
        )
        out.append(((x, y, right - x, bottom - y), octaves))
    return tuple(out)


def floors_of(container: Container, patch: int) -> NDArray[np.uint8] | None:
    """The floors of a file's map of regions, uint8 (rows, columns) of latent positions, the lowest the finest; None without a map."""
    chunk = container.find(REGIONS)
    if chunk is None:
        return None
    rows, columns = -(-container.header.height // patch), -(-container.header.width // patch)
    return RegionMap.read(chunk.payload, rows, columns, chunk.start).floors


def outline(floors: NDArray[np.uint8], patch: int, width: int, height: int) -> str:
    """The borders between blocks of different floors, as the data of an SVG path in pixels of the picture."""
    lines = []
    for row, column, length in _runs(floors[1:] != floors[:-1]):
        lines.append(f"M{column * patch} {(row + 1) * patch}H{min(width, (column + length) * patch)}")
    for column, row, length in _runs((floors[:, 1:] != floors[:, :-1]).T):
        lines.append(f"M{(column + 1) * patch} {row * patch}V{min(height, (row + length) * patch)}")
    return "".join(lines)


def _runs(borders: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Line, start and length of each run of true values in the lines of (n, m)."""
    found = []
    for line, values in enumerate(borders):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], values, [False]]).astype(np.int8)))
        found += [(line, int(start), int(stop - start)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]
    return found


def closer(floors: NDArray[np.uint8], patch: int, width: int, height: int) -> Box:
    """A box of pixels around the largest connected region of the finest blocks, a little wider than it."""
    wanted = floors == floors.min()
    best: list[tuple[int, int]] = []
    seen = np.zeros_like(wanted)
    for start in map(tuple, np.argwhere(wanted).tolist()):
        if seen[start]:
            continue
        region, waiting = [], [start]
        seen[start] = True
        while waiting:
            row, column = waiting.pop()
            region.append((row, column))
            for other in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if 0 <= other[0] < wanted.shape[0] and 0 <= other[1] < wanted.shape[1] and wanted[other] and not seen[other]:
                    seen[other] = True
                    waiting.append(other)
        best = max(best, region, key=len)
    (top, bottom), (left, right) = (
        (min(at) * patch, min(side, (max(at) + 1) * patch)) for at, side in zip(zip(*best, strict=True), (height, width), strict=True)
    )
    (x, wide), (y, high) = (_around(start, stop, side) for start, stop, side in ((left, right, width), (top, bottom, height)))
    return x, y, wide, high


def _around(start: int, stop: int, side: int) -> tuple[int, int]:
    """Where a stretch CLOSER times as long begins within `side`, and its length."""
    length = min(side, math.ceil((stop - start) * CLOSER))
    return min(max(0, (start + stop - length) // 2), side - length), length


def inside(floors: NDArray[np.uint8], patch: int, shown: NDArray[np.uint8], original: NDArray[np.uint8]) -> float:
    """PSNR of the finest blocks in dB, of two pictures uint8 (H, W, 3); infinite where they are equal."""
    height, width = original.shape[:2]
    mask = np.repeat(np.repeat(floors == floors.min(), patch, axis=0), patch, axis=1)[:height, :width]
    return psnr(shown[mask], original[mask])
