"""The pixel coder of the lossless tail (`core/sdz_lossless.h`) in Python: the core's second module, loaded only where a file has a tail."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core import MEMORY_LIMIT, WASM, Instance

LOSSLESS_WASM: Final = WASM.with_name("lossless.wasm")

BAND_ENDS: Final = 44


class BandError(ValueError):
    """A band's bytes end before its pixels do."""


class Band(NamedTuple):
    """Rows that a band is about, each from and up to: those of the base that it must be given, those of the picture that it brings, and
    those of the picture that an encoder must be given."""

    base: slice
    pixels: slice
    source: slice


class PixelCoder(Instance):
    """The coder of one picture, `shape` (height, width, 1 or 3 planes), in bands of 2**`band` rows from the top; for one direction."""

    def __init__(self, shape: tuple[int, ...], band: int) -> None:
        height, width, planes = shape
        super().__init__(LOSSLESS_WASM, MEMORY_LIMIT)
        self._shape = width, planes
        self._handle = self._open("sdz_tail", width, height, planes, band)

    def band(self) -> Band | None:
        """The next band; None behind the last."""
        rows = struct.unpack("<6i", self._bytes(self._call("sdz_tail_band", self._handle), 24))
        return Band(slice(*rows[0:2]), slice(*rows[2:4]), slice(*rows[4:6])) if any(rows) else None

    def decode(self, payload: bytes, base: NDArray[np.uint8], band: Band) -> NDArray[np.uint8]:
        """The rows `band.pixels` from the bytes of that band and the rows `band.base` of the base. Raises BandError."""
        rows = band.pixels.stop - band.pixels.start
        size = rows * self._shape[0] * self._shape[1]
        out = self._room(size)
        with self._given(payload, np.ascontiguousarray(base), out) as (at, under, _):
            self._check(self._call("sdz_tail_decode", self._handle, at, len(payload), under, out))
            return self._array(out, np.uint8, size).reshape(rows, *self._shape)

    def encode(self, pixels: NDArray[np.uint8], base: NDArray[np.uint8]) -> bytes:
        """The bytes of a band, from the rows `band.source` of the picture and `band.base` of the base."""
        source = np.ascontiguousarray(pixels)
        # a sample costs at most 33 decisions of at most 12 bits
        room = 50 * source.size + 8
        out = self._room(room)
        with self._given(source, np.ascontiguousarray(base), out) as (at, under, _):
            count = self._call("sdz_tail_encode", self._handle, at, under, out, room)
            self._check(count)
            return self._bytes(out, count)

    def _refuse(self, reason: int, where: int) -> None:
        if reason == BAND_ENDS:
            raise BandError(f"step {where}")
