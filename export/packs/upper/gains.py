"""What a latent of an upper function is worth in pixels: the last entries of a pack's separable table."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

UPPER_GAINS: Final = (1.4, 1.55, 1.55)
"""Grey levels of pixels per grey level of a latent, of luma and the two chromas: about where the channels' trained gains end. Coarser
chroma than luma is worth 2 % of the bytes at equal SSIMULACRA2."""

GAIN_PLACES: Final = 14


def upper_gains() -> NDArray[np.int16]:
    """They as a table has them, int16 (3,)."""
    return np.rint(np.array(UPPER_GAINS) * 2.0**GAIN_PLACES).astype(np.int16)
