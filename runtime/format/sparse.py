"""Files that say next to nothing of very many pixels: what a decoder gives for them costs what is in them, not what they claim to be.

15 bytes can name a picture of 7,000 x 7,000 pixels, and the networks would work on it for 15 seconds to paint what the linear stage knows
at a sixteenth of the sides. Such a file is valid, and `decode` decodes it as any other; who serves or shows pictures of others asks here
first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

PIXELS_PER_BYTE: Final = 40_000
"""4 megapixels for every 100 bytes: a clear sky takes ten times as many bytes."""

FEWEST_BYTES: Final = 100
"""A picture of 4 megapixels is never sparse, however short its prefix: it costs no more than any other of its size."""


def affordable(size: int) -> int:
    """Pixels that `size` bytes are good for."""
    return PIXELS_PER_BYTE * max(size, FEWEST_BYTES)


def is_sparse(width: int, height: int, size: int) -> bool:
    """Whether a picture of these sides has too few bytes for its pixels, of which `size` are its latents' (or the whole file's)."""
    return width * height > affordable(size)


def reduction_for(pixels: int, most: int, possible: Sequence[int]) -> int:
    """The least of `possible`, by which a stage can divide the sides, that leaves at most `most` of the `pixels`; the largest where none
    does."""
    return next((factor for factor in possible if pixels <= factor**2 * most), possible[-1])
