"""How near the cuts of a file are that ends in the photo itself. Takes the file and pixels, decodes nothing."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ....runtime.format.container import LOSSLESS, parse
from ....runtime.lossless.tail import band_ends
from ..report import Ladder

TAIL_RUNGS = (1 / 4, 1 / 2, 3 / 4, 7 / 8, 15 / 16)
"""Shares of the rows after which PSNR is told."""


def tail_ladder(data: bytes, shown: NDArray[np.uint8], original: NDArray[np.uint8]) -> Ladder:
    """PSNR at some cuts of the lossless tail of `data`, the whole of it last: rows from the top are the photo's own, uint8 (H, W, 3), the
    others those of the picture before the tail, `shown`."""
    container = parse(data)
    tail = container.find(LOSSLESS)
    assert tail is not None
    rows = len(original)
    below = np.square(shown.astype(np.float64) - original).sum(axis=(1, 2))[::-1].cumsum()[::-1]
    out: Ladder = []
    for row, end in band_ends(tail.payload, rows, 1 if container.header.grey else 3):
        reached = len(out) < len(TAIL_RUNGS) and row >= TAIL_RUNGS[len(out)] * rows
        if reached and row < rows and below[row] > 0:
            out.append((tail.start + end, round(10 * math.log10(255.0**2 * original.size / below[row]), 3)))
    return [*out, (len(data), None)]
