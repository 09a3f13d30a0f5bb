"""What an engine is, and whether onnxruntime is installed. Importing this loads neither engine."""

from __future__ import annotations

import functools
import importlib.util
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..format.reconstruction import Latents
from ..limits import FULL_STRENGTH
from ..pack import Pack

REFERENCE: Final = "cpu"
"""The provider of onnxruntime whose results are the format's."""


class Networks(Protocol):
    """A decoder's networks of one pack."""

    @property
    def pack(self) -> Pack:
        """Whose networks they are."""

    def denoise(self, latents: Latents, strength: int = FULL_STRENGTH) -> NDArray[np.int32]:
        """Values moved inside their intervals, int32 (C, h, w) in GRID units, guarded; `strength`, 0 to FULL_STRENGTH, is how much of each
        move is made, in sixteenths, rounded half up."""

    def decode(self, values: NDArray[np.int32], precision: NDArray[np.int32]) -> NDArray[np.uint8]:
        """Pixels uint8 (p h, p w, 4), alpha 255, p the patch, from values in GRID units and precision codes, both (C, h, w)."""


@functools.cache
def has_onnxruntime() -> bool:
    """Whether onnxruntime is installed; nothing is loaded."""
    return importlib.util.find_spec("onnxruntime") is not None
