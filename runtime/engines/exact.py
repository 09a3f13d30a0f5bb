"""The exact core as an engine: the int8 networks by their flat weights, the same pixels as onnxruntime's."""

from __future__ import annotations

import functools
import threading

import numpy as np
from numpy.typing import NDArray

from ..core import Core
from ..format.picture import open_linear
from ..format.reconstruction import Latents
from ..limits import FULL_STRENGTH
from ..pack import Pack


class CoreNetworks:
    """The networks in an instance of the core of their own, one call at a time. Raises CorruptPackError for weights that are not good."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self._core = Core()
        self._lock = threading.Lock()

    def denoise(self, latents: Latents, strength: int = FULL_STRENGTH) -> NDArray[np.int32]:
        """See `installed.Networks`."""
        values = latents.values
        with self._lock:
            inputs: list[NDArray[np.int32] | None] = [values, latents.levels, latents.precision, latents.half_width]
            moved = np.frombuffer(self._core.run(self._denoiser, 0, inputs, values.nbytes), np.int32).reshape(values.shape)
            part = values + (((moved.astype(np.int64) - values) * strength + FULL_STRENGTH // 2) >> 4)
            return self._core.guard(part.astype(np.int32), self.pack.l1_limit)

    def decode(self, values: NDArray[np.int32], precision: NDArray[np.int32]) -> NDArray[np.uint8]:
        """See `installed.Networks`."""
        height, width = (self.pack.patch * side for side in values.shape[1:])
        with self._lock:
            rgba = self._core.run(self._decoder, self._linear, [values, None, precision, None], 4 * height * width)
        return np.frombuffer(rgba, np.uint8).reshape(height, width, 4)

    @functools.cached_property
    def _denoiser(self) -> int:
        return self._core.network(self.pack.core_bytes("denoiser"), self.pack.l1_limit)

    @functools.cached_property
    def _decoder(self) -> int:
        return self._core.network(self.pack.core_bytes("decoder"), self.pack.l1_limit)

    @functools.cached_property
    def _linear(self) -> int:
        return open_linear(self._core, self.pack)
