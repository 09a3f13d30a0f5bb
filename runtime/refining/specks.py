"""Specks: what a decoder lets stand where the photo is calm, around letters and lines; by them `auto` chooses a photo's tuning.

Takes the photo's pixels and the shown ones. Texture is invented wherever there may be some; on smooth ground beside hard edges there was
none, and there it is seen most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .sensitivity import LUMA

CELL: Final = 4
"""Pixels on the side of the cells whose variance is asked."""

CALM: Final = 4.0
"""Variance of luma, squared levels, below which a cell is calm: in a texture and in most cameras' noise it is more."""

SPECK: Final = 36.0
"""Variance from which on a cell is seen as a speck where the photo is calm."""

TOO_MANY: Final = 0.015
"""Share of a picture's cells that are specks, at most, in a natural file. At the default quality six of the 45 evaluation photos have more
and three of 64 crops that training never saw, all of lettering, screens, wires or frames before smooth ground; faces and landscapes have
0.001 to 0.01."""

ROWS: Final = 1024
"""Rows of pixels taken at a time, a multiple of CELL, so that a large picture needs little memory."""


def has_specks(rgb: NDArray[np.uint8], shown: Callable[[], NDArray[np.uint8]]) -> bool:
    """Whether a picture of the photo `rgb` uint8 (H, W, 3) has TOO_MANY specks. `shown` makes it, as `speck_share` takes it; it is not
    asked where the photo has not so many calm cells."""
    calm = cell_variance(rgb) < CALM
    return bool(np.count_nonzero(calm) > TOO_MANY * calm.size) and _rough(calm, shown()) > TOO_MANY


def speck_share(rgb: NDArray[np.uint8], shown: NDArray[np.uint8]) -> float:
    """Share, 0 to 1, of the cells of the photo `rgb` uint8 (H, W, 3) that are specks in a picture `shown` of it, uint8 (H, W, 1 or more),
    of which up to three channels count; 0 where no whole cell fits."""
    return _rough(cell_variance(rgb) < CALM, shown)


def _rough(calm: NDArray[np.bool_], shown: NDArray[np.uint8]) -> float:
    """Share of all cells that are calm in the photo and specks in what is shown."""
    return float(np.count_nonzero(calm & (cell_variance(shown) >= SPECK)) / max(calm.size, 1))


def cell_variance(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Variance of luma, squared levels, of every whole cell of `pixels` uint8 (H, W, 1 or more): float32 (H // CELL, W // CELL). A first
    channel without two others is luma itself."""
    rows, columns = (side // CELL * CELL for side in pixels.shape[:2])
    weights = np.array(LUMA if pixels.shape[2] >= 3 else [1.0], np.float32)
    found: NDArray[np.float32] = np.empty((rows // CELL, columns // CELL), np.float32)
    for top in range(0, rows, ROWS):
        strip = pixels[top : min(top + ROWS, rows), :columns, : len(weights)].astype(np.float32) @ weights
        found[top // CELL : (top + len(strip)) // CELL] = strip.reshape(len(strip) // CELL, CELL, columns // CELL, CELL).var(axis=(1, 3))
    return found
