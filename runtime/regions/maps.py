"""Which blocks of a photo are sent how many octaves finer than the rest: from boxes, masks and errors to maps, and from maps to floors.

A map is int8 (rows, columns) of latent positions, octaves from -MAX_OCTAVES to MAX_OCTAVES, 0 where nothing was asked. FORMAT.md
("Regions") has what a file holds: floors, the lowest plane that is coded at each position, under a step so fine as the finest region's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import EncodeInputError
from ..options import DEFAULT_OCTAVES, MAX_OCTAVES
from .region_map import RegionMap
from .written import Box

OctaveMap: TypeAlias = NDArray[np.int8]

RegionsInput: TypeAlias = Sequence[tuple[Box, int]] | NDArray[np.generic] | Image.Image
"""Boxes with octaves, a later one over an earlier one; or a mask of the photo's size, uint8 or bool (H, W) or a Pillow image: what is at
least half white is sent DEFAULT_OCTAVES finer."""


def no_regions(height: int, width: int, patch: int) -> OctaveMap:
    """The map of a photo of that many pixels in which nothing was asked for."""
    return np.zeros((-(-height // patch), -(-width // patch)), np.int8)


def octave_map(regions: RegionsInput, height: int, width: int, patch: int, overlap: int) -> OctaveMap:
    """The map of `regions` of a photo of height x width pixels; each reaches `overlap` pixels further, as far as a block's pixels reach.

    Raises EncodeInputError for a box or mask that does not fit the photo, and octaves out of range.
    """
    if isinstance(regions, Image.Image):
        regions = np.asarray(regions.convert("L"))
    if isinstance(regions, np.ndarray):
        return _of_mask(regions, height, width, patch, overlap)
    found = no_regions(height, width, patch)
    for box, octaves in regions:
        if not isinstance(octaves, int) or not -MAX_OCTAVES <= octaves <= MAX_OCTAVES:
            raise EncodeInputError(f"a region's octaves are {octaves!r}, they must be a whole number from -{MAX_OCTAVES} to {MAX_OCTAVES}")
        _paint(found, box, octaves, height, width, patch, overlap)
    return found


def boxes_map(boxes: Sequence[Box], height: int, width: int, patch: int, overlap: int) -> OctaveMap:
    """The map in which `boxes`, which may reach beyond the photo, are DEFAULT_OCTAVES finer."""
    found = no_regions(height, width, patch)
    for left, top, wide, high in boxes:
        x, y = max(0, left), max(0, top)
        inside = (x, y, min(width, left + wide) - x, min(height, top + high) - y)
        if inside[2] > 0 and inside[3] > 0:
            _paint(found, inside, DEFAULT_OCTAVES, height, width, patch, overlap)
    return found


def worst_map(photo: NDArray[np.uint8], decoded: NDArray[np.uint8], share: float, patch: int) -> OctaveMap:
    """The map in which so many per cent of the blocks, those whose decode is farthest from the photo, both uint8 (H, W, 3), are finer.

    A block gets an octave for each halving that brings its error, the root of the mean squared difference, to that of a typical
    block: at least one, at most MAX_OCTAVES. Raises EncodeInputError where `share` is not in 0..100.
    """
    if not 0 < share <= 100:
        raise EncodeInputError(f"the share of the worst blocks is {share}, it must be over 0 and at most 100 per cent")
    height, width = photo.shape[:2]
    found = no_regions(height, width, patch)
    squares = np.square(photo.astype(np.float32) - decoded.astype(np.float32)).mean(axis=2)
    down, across = np.arange(0, height, patch), np.arange(0, width, patch)
    sums = np.add.reduceat(np.add.reduceat(squares.astype(np.float64), down, axis=0), across, axis=1)
    counts = np.outer(np.diff([*down, height]), np.diff([*across, width]))
    error = np.sqrt(sums / counts)
    count = math.ceil(error.size * share / 100)
    # a stable order: of equal blocks the first
    worst = np.argsort(-error, axis=None, kind="stable")[:count]
    typical = max(float(np.median(error)), 0.5)
    octaves = np.clip(np.rint(np.log2(np.maximum(error.flat[worst], 0.5) / typical)), 1, MAX_OCTAVES)
    found.flat[worst] = octaves.astype(np.int8)
    return found


def layout(octaves: OctaveMap, step_index: int) -> tuple[int, RegionMap]:
    """The step index of a file whose blocks of no region have the step of `step_index`, and its map.

    The finest region sets the file's step; where that would be below the finest there is, all regions are so much less fine.
    """
    finer = min(max(0, int(octaves.max())), step_index // 8)
    floors = np.maximum(0, finer - octaves.astype(np.int32)).astype(np.uint8)
    return step_index - 8 * finer, RegionMap(finer, floors)


def _of_mask(mask: NDArray[np.generic], height: int, width: int, patch: int, overlap: int) -> OctaveMap:
    if mask.shape != (height, width) or mask.dtype not in (np.uint8, np.bool_):
        raise EncodeInputError(f"the mask is {mask.dtype} {mask.shape}, it must be uint8 or bool {(height, width)}, as large as the photo")
    white = mask if mask.dtype == np.bool_ else mask.astype(np.uint8) > 127
    found = no_regions(height, width, patch)
    for row, top in enumerate(range(0, height, patch)):
        for column, left in enumerate(range(0, width, patch)):
            near = white[max(0, top - overlap) : top + patch + overlap, max(0, left - overlap) : left + patch + overlap]
            if near.any():
                found[row, column] = DEFAULT_OCTAVES
    return found


def _paint(found: OctaveMap, box: Box, octaves: int, height: int, width: int, patch: int, overlap: int) -> None:
    left, top, wide, high = box
    if not (0 <= left < width and 0 <= top < height and wide > 0 and high > 0 and left + wide <= width and top + high <= height):
        raise EncodeInputError(f"region {left},{top},{wide},{high} does not lie in the photo of {width} x {height} pixels")
    rows = slice(max(0, top - overlap) // patch, -(-(top + high + overlap) // patch))
    columns = slice(max(0, left - overlap) // patch, -(-(left + wide + overlap) // patch))
    found[rows, columns] = octaves
