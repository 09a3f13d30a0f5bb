"""The exact analysis of a photo: its latents in all functions of the linear stage, so that the stage gives back the photo.

Takes pixels and a pack's stage with upper functions (FORMAT.md, "Upper functions"); gives latents in grey levels. It undoes what the stage
does, the lapping and then the patterns, integers as the pack has them: what is not rounded comes back to the last bit. No network.
"""

from __future__ import annotations

import functools
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..format.linear import LAP_SHIFT
from ..format.separable import UPPER_PATCH, SeparableTable
from ..pack import GRID

MID_GREY: Final = 128.0

STRIP: Final = 16
"""Rows of blocks that are analysed at a time: a large photo in floating point would take many times its own memory."""

COLOUR_PLACES: Final = 15
WAVE_PLACES: Final = 16
GAIN_PLACES: Final = 14
"""Binary places of a separable table's factors where they stand for orthonormal functions."""


class Stage(Protocol):
    """What is asked of a pack: its linear stage, with upper functions."""

    @property
    def linear_bytes(self) -> bytes: ...
    @property
    def linear(self) -> NDArray[np.int16]: ...
    @property
    def linear_shift(self) -> int: ...
    @property
    def lapping(self) -> NDArray[np.int32] | None: ...


def exact_latents(rgb: NDArray[np.uint8], stage: Stage) -> NDArray[np.float32]:
    """The latents float32 (n, ceil(H / 16), ceil(W / 16)), grey levels, of `rgb` uint8 (H, W, 3): channels, then upper functions.

    Edges are repeated up to whole patches.
    """
    height, width = rgb.shape[:2]
    padded = np.pad(rgb, ((0, -height % UPPER_PATCH), (0, -width % UPPER_PATCH), (0, 0)), mode="edge")
    rows, columns = padded.shape[0] // UPPER_PATCH, padded.shape[1] // UPPER_PATCH
    analysis, unlap = analysis_of(stage)
    out = np.empty((analysis.shape[1], rows, columns), np.float32)
    for top in range(0, rows, STRIP):
        bottom = min(top + STRIP, rows)
        # a row of blocks more on either side: the filter over its border needs it
        first, last = max(top - 1, 0), min(bottom + 1, rows)
        levels = padded[first * UPPER_PATCH : last * UPPER_PATCH].astype(np.float64) - MID_GREY
        levels = _filtered(_filtered(levels, unlap).swapaxes(0, 1), unlap).swapaxes(0, 1)
        levels = levels[(top - first) * UPPER_PATCH : (bottom - first) * UPPER_PATCH]
        blocks = levels.reshape(bottom - top, UPPER_PATCH, columns, UPPER_PATCH, 3).transpose(0, 2, 4, 1, 3)
        found = blocks.reshape((bottom - top) * columns, -1) @ analysis
        out[:, top:bottom] = found.T.reshape(-1, bottom - top, columns)
    return out


def analysis_of(stage: Stage) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The matrix (3 p p, n) from a block's levels to its latents, and the filter (p, p) that undoes the lapping over one border."""
    return _analysis(stage.linear_bytes, stage.linear.tobytes(), stage.linear_shift, _key(stage.lapping))


def _key(lapping: NDArray[np.int32] | None) -> tuple[tuple[int, ...], ...]:
    return () if lapping is None else tuple(tuple(row) for row in lapping.tolist())


@functools.lru_cache(maxsize=2)
def _analysis(
    stored: bytes, weights: bytes, shift: int, lapping: tuple[tuple[int, ...], ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    table = SeparableTable.from_bytes(stored)
    assert table.upper is not None
    side = UPPER_PATCH
    own = np.frombuffer(weights, np.int16).reshape(len(table.gain), -1).astype(np.float64) / 2.0**shift
    waves, colours = table.waves / 2.0**WAVE_PLACES, table.colours / 2.0**COLOUR_PLACES
    plane, row, column = np.array(table.functions[len(table.gain) :]).T
    gains = table.upper[plane] / 2.0**GAIN_PLACES / GRID
    patterns = waves[row][:, :, None] * waves[column][:, None, :]
    upper = (gains[:, None] * colours[plane])[:, :, None, None] * patterns[:, None]
    synthesis = np.concatenate([own, upper.reshape(len(plane), 3 * side * side)])
    lap = np.eye(side)
    matrix, middle = np.array(lapping, np.float64) / 2.0**LAP_SHIFT, side // 2
    reach = len(matrix)
    before, behind = slice(middle - 1, middle - 1 - reach, -1), slice(middle, middle + reach)
    lap[before, before] += matrix
    lap[before, behind] -= matrix
    lap[behind, before] -= matrix
    lap[behind, behind] += matrix
    return np.asarray(np.linalg.inv(synthesis) / GRID, np.float64), np.asarray(np.linalg.inv(lap), np.float64)


def _filtered(levels: NDArray[np.float64], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """`kernel` over the rows around every inner border of blocks of levels (p n, w, 3)."""
    height, width, colours = levels.shape
    middle = len(kernel) // 2
    inner = levels[middle : height - middle].reshape(-1, len(kernel), width * colours)
    filtered = (kernel @ inner).reshape(-1, width, colours)
    return np.concatenate([levels[:middle], filtered, levels[height - middle :]])
