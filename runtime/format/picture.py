"""A file's latents in the exact core: read once, then any window of them as values and intervals, or as the linear stage's pixels.

Takes a parsed file and its pack. What depends on how files carry the latents stands in `quantizers`; everything behind it, up to the linear
stage's pixels, is the core's, the same for all kinds (FORMAT.md, "Reconstruction", "Linear stage").
"""

from __future__ import annotations

import functools
import threading

import numpy as np
from numpy.typing import NDArray

from ..core import Core
from ..errors import CorruptFileError
from ..pack import Pack
from .container import Container
from .indices import KnownIndices
from .quantizers import Positions, positions, quantizer_of
from .reconstruction import Known, Latents, channel_steps

Window = tuple[slice, slice]
"""Rows and columns of latent positions."""


class Picture:
    """What a file tells of its latents: of one without their chunk, or with a cut one, what is there of it.

    It lives in an instance of the core of its own, which goes with it; calls from several threads wait for each other. `complete` tells
    whether nothing was cut; `codes` is the sum of the precision codes of the channels' latents, `count` how many these are; `fine` whether
    there are upper functions, and the linear stage is all there is of it.
    Raises CorruptFileError, and LimitError where memory runs out.
    """

    def __init__(self, container: Container, pack: Pack) -> None:
        if container.header.tilt and pack.octaves is None:
            raise CorruptFileError(f"{container.header.tilt}, but the file's pack allows 0 only", 3, "tilt")
        self.pack = pack
        self.sides: Positions = positions(container.header, pack)
        self.steps = channel_steps(container.header.step_index, container.header.tilt, pack.octaves, pack.channels)
        self._core = Core()
        self._lock = threading.Lock()
        self._handle = quantizer_of(pack).open(self._core, container, pack)
        self._core.quantization(self._handle, self.steps, pack.reconstruction, pack.l1_limit)
        facts = self._core.facts(self._handle)
        self.complete, self.codes, self.fine = facts.complete, facts.codes, facts.upper > 0
        self.count = pack.channels * self.sides[0] * self.sides[1]

    def known(self) -> Known | KnownIndices:
        """What is known of every latent, or of every position's index."""
        with self._lock:
            values, plane = self._core.known(self._handle, self._core.facts(self._handle))
        if not plane.size:
            return KnownIndices(values, self.complete)
        negative = values < 0
        return Known(np.abs(values, out=values), negative, plane, self.complete)

    def latents(self, window: Window | None = None) -> Latents:
        """Values, guarded, and intervals of a window, or of the whole picture."""
        rows, columns = window or self.whole
        size = (rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)
        with self._lock:
            return Latents(*self._core.latents(self._handle, self.pack.channels, *size))

    def linear(self, window: Window | None = None, reduce: int = 1) -> NDArray[np.uint8]:
        """The linear stage's RGB of a window, uint8 (side rows, side columns, 3), the side the pack's patch / `reduce`: the means of as
        many pixels, summed from patterns that are means themselves."""
        rows, columns = window or self.whole
        size = (rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)
        with self._lock:
            rgba = self._core.paint_linear(self._handle, self._linear, *size, self.pack.patch // reduce, reduce)
        return rgba[:, :, :3]

    @property
    def whole(self) -> Window:
        """All positions."""
        return slice(0, self.sides[0]), slice(0, self.sides[1])

    @functools.cached_property
    def _linear(self) -> int:
        return open_linear(self._core, self.pack)


def open_linear(core: Core, pack: Pack) -> int:
    """The pack's linear stage in an instance of the core. Raises CorruptPackError."""
    return core.linear(pack.linear_bytes, pack.channels, pack.patch, pack.linear_shift, pack.l1_limit, pack.lapping)
