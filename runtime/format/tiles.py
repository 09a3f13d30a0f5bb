"""Tiles for networks whose every output depends on every input: where they lie, and how their overlaps become one picture.

Takes the picture's latent positions and a pack's `Tiling`, gives spans and integer weights. A network with a finite receptive
field needs none of this: its tiles join exactly. `web/format/tiles.js` is the twin; FORMAT.md ("Networks") is the specification.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

MAX_WHOLE: Final = 1 << 20
"""Latent positions that a pack may want decoded in one piece."""

MAX_BLEND: Final = 1024
"""Pixels on the side of an overlap: products of two weights and a pixel value stay below 2**31."""


@dataclass(frozen=True)
class Span:
    """Latent positions `start` to `stop` of one side that a tile covers; `before`, `after`: whether another tile overlaps there."""

    start: int
    stop: int
    before: bool
    after: bool


@dataclass(frozen=True)
class Tiling:
    """Pictures of at most `whole` latent positions go through in one piece, others in tiles that overlap by `overlap` positions."""

    whole: int
    overlap: int

    def problem(self, patch: int) -> str | None:
        """What is wrong with the numbers for patches of that side, or None."""
        if self.overlap < 2 or self.overlap % 2 or self.overlap * patch > MAX_BLEND:
            return f"an overlap of {self.overlap} is not an even number from 2 to {MAX_BLEND // patch}"
        if not 9 * self.overlap**2 <= self.whole <= MAX_WHOLE:
            return f"{self.whole} positions in one piece are not from {9 * self.overlap**2} to {MAX_WHOLE}"
        return None

    def spans(self, rows: int, columns: int) -> tuple[list[Span], list[Span]]:
        """The tiles' rows and columns; every row of tiles has the same columns. No position lies in more than two of either."""
        if rows * columns <= self.whole:
            return [Span(0, rows, False, False)], [Span(0, columns, False, False)]
        return self._side(rows), self._side(columns)

    def _side(self, length: int) -> list[Span]:
        side = math.isqrt(self.whole)
        count = 1 if length <= side else -(-length // (side - self.overlap))
        edges = [i * length // count for i in range(count + 1)]
        half = self.overlap // 2
        return [
            Span(edges[i] - half * (i > 0), edges[i + 1] + half * (i < count - 1), i > 0, i < count - 1)  # neighbours share `overlap`
            for i in range(count)
        ]

    def weights(self, span: Span, patch: int) -> NDArray[np.int64]:
        """Weights of a span's pixels (`patch` of them to a position), int64; over all spans those of a pixel add up to `full(patch)`."""
        blend = self.overlap * patch
        out = np.full((span.stop - span.start) * patch, 2 * blend, np.int64)
        rising = 2 * np.arange(blend, dtype=np.int64) + 1
        if span.before:
            out[:blend] = rising
        if span.after:
            out[-blend:] = rising[::-1]
        return out

    def full(self, patch: int) -> int:
        """The sum of all weights of one pixel along one side."""
        return 2 * self.overlap * patch
