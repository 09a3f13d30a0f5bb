"""The encoder network over a whole photo, tile by tile: pixels -> latents in grey levels.

Takes pixels and a session; small photos go through in one piece.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ..pack import Pack

if TYPE_CHECKING:
    from ..session import Session

ENCODER_TILE: Final = 1024
"""Pixels on the side of the encoder's tiles."""

ENCODER_MARGIN: Final = 128
"""Pixels around an encoder tile. The encoder need not be exact, only free of seams."""


def encode_latents(rgb: NDArray[np.uint8], session: Session) -> NDArray[np.float32]:
    """The encoder network's latents, float32 (C, ceil(H/p), ceil(W/p)) in grey levels, of `rgb` uint8 (H, W, 3); p is the pack's patch.

    Edges are repeated up to whole patches; large images go through in overlapping tiles, blended where a pack wants that.
    """
    return _encode_tiles(rgb, session.pack, session.encode)


def encode_with_deviation(rgb: NDArray[np.uint8], session: Session) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """What `encode_latents` gives, and the posterior's standard deviation, of the same shape and unit; None where there is no posterior."""
    has_deviation = True

    def both(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        nonlocal has_deviation
        latents, deviation = session.encode_with_deviation(pixels)
        has_deviation = deviation is not None
        return latents if deviation is None else np.concatenate([latents, deviation])

    maps = _encode_tiles(rgb, session.pack, both)
    channels = session.pack.channels
    return maps[:channels], maps[channels:] if has_deviation else None


def _encode_tiles(rgb: NDArray[np.uint8], pack: Pack, run: Callable[[NDArray[np.uint8]], NDArray[np.float32]]) -> NDArray[np.float32]:
    """What `run` gives, float32 (n, h, w), of `rgb` padded to whole patches, tile by tile."""
    patch = pack.patch
    height, width = rgb.shape[:2]
    rows, columns = -(-height // patch), -(-width // patch)
    padded = np.pad(rgb, ((0, rows * patch - height), (0, columns * patch - width), (0, 0)), mode="edge")

    def maps(top: int, bottom: int, left: int, right: int) -> NDArray[np.float32]:
        return run(np.ascontiguousarray(padded[top * patch : bottom * patch, left * patch : right * patch]))

    parts: list[tuple[slice, slice, NDArray[np.float32]]] = []
    tiling = pack.encoder_tiling
    if tiling is not None:
        down, across = tiling.spans(rows, columns)
        for row in down:
            for column in across:
                weights = np.multiply.outer(tiling.weights(row, 1), tiling.weights(column, 1)) / tiling.full(1) ** 2
                found = maps(row.start, row.stop, column.start, column.stop) * weights.astype(np.float32)
                parts.append((slice(row.start, row.stop), slice(column.start, column.stop), found))
    else:
        tile, margin = ENCODER_TILE // patch, ENCODER_MARGIN // patch
        for top in range(0, rows, tile):
            for left in range(0, columns, tile):
                bottom, right = min(top + tile, rows), min(left + tile, columns)
                y, x = max(top - margin, 0), max(left - margin, 0)
                found = maps(y, bottom + margin, x, right + margin)
                parts.append((slice(top, bottom), slice(left, right), found[:, top - y : bottom - y, left - x : right - x]))
    out = np.zeros((len(parts[0][2]), rows, columns), np.float32)
    for rows_of, columns_of, part in parts:
        out[:, rows_of, columns_of] += part
    return out
