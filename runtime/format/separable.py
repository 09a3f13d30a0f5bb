"""A linear table in few bytes: basis functions that are products of a colour, a row and a column.

Takes the bytes of a pack's `linear` table, or its factors, and gives the table. A dense table is most of what a page loads before its first
paint; a DCT's is known from its cosines and one gain a channel. FORMAT.md ("Linear stage") is the specification.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptPackError

MAGIC: Final = b"sdzS"

LARGEST_SHIFT: Final = 62
"""The four factors' product fits 63 bits."""


UPPER_PATCH: Final = 16
"""Patch of the packs that have upper functions."""


def separable_bytes(channels: int, patch: int, upper: bool = False) -> int:
    """Length of a separable table: head, colours, cosines, then gain, plane, row and column of every channel, and the gains of the `upper`
    functions where it has them."""
    return 8 + 18 + 2 * patch * patch + 5 * channels + (6 if upper else 0)


def upper_functions(channels: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """The functions (plane, u, v) of a patch of 16 pixels that no channel has, in their order: by plane, then u u + v v, then u."""
    taken, sides = set(channels), range(UPPER_PATCH)
    rest = [(plane, u, v) for plane in range(3) for u in sides for v in sides if (plane, u, v) not in taken]
    return sorted(rest, key=lambda f: (f[0], f[1] * f[1] + f[2] * f[2], f[1]))


@dataclass(frozen=True)
class SeparableTable:
    """The factors of a linear table.

    `colours` int16 (3, 3): a plane's share in R, G, B. `waves` int16 (p, p): the k-th function of one side, by pixel. For each of C
    channels `gain` int16 and `plane` (0 to 2), `row`, `column` (0 to p - 1) uint8: which function runs down and which across. `shift`:
    binary places. `upper` int16 (3,): the gain, of 2**14, of each plane's functions that no channel has; None where pictures have none.
    """

    colours: NDArray[np.int16]
    waves: NDArray[np.int16]
    gain: NDArray[np.int16]
    plane: NDArray[np.uint8]
    row: NDArray[np.uint8]
    column: NDArray[np.uint8]
    shift: int
    upper: NDArray[np.int16] | None = None

    @property
    def functions(self) -> list[tuple[int, int, int]]:
        """(plane, u, v) of every channel, then of every upper function where there are any."""
        own = list(zip(self.plane.tolist(), self.row.tolist(), self.column.tolist(), strict=True))
        return own if self.upper is None else own + upper_functions(own)

    def products(self) -> NDArray[np.int64]:
        """int64 (C, 3 p p): (gain · colour · wave down · wave across + 2**(shift - 1)) >> shift."""
        waves = self.waves.astype(np.int64)
        colours = self.gain.astype(np.int64)[:, None] * self.colours.astype(np.int64)[self.plane]
        patterns = waves[self.row][:, :, None] * waves[self.column][:, None, :]
        products = colours[:, :, None, None] * patterns[:, None]
        return ((products + (1 << self.shift >> 1)) >> self.shift).reshape(len(self.gain), -1)

    def table(self) -> NDArray[np.int16]:
        """The products as int16. Raises CorruptPackError for one beyond 15 bits and a sign."""
        table = self.products()
        worst = int(np.abs(table).max(axis=1).argmax())
        if np.abs(table[worst]).max() >= 1 << 15:
            raise CorruptPackError(f"the linear table's channel {worst} does not fit 16 bits; rebuild the pack")
        return table.astype(np.int16)

    def to_bytes(self) -> bytes:
        """Magic, C, p, shift, 0 or 1, then colours, waves and gains, i16 little-endian, planes, rows, columns, and at 1 the upper gains."""
        head = MAGIC + bytes([len(self.gain), len(self.waves), self.shift, self.upper is not None])
        words = [a.astype("<i2").tobytes() for a in (self.colours, self.waves, self.gain)]
        places = [a.astype(np.uint8).tobytes() for a in (self.plane, self.row, self.column)]
        return head + b"".join([*words, *places, b"" if self.upper is None else self.upper.astype("<i2").tobytes()])

    @classmethod
    def from_bytes(cls, data: bytes) -> SeparableTable:
        """The inverse of `to_bytes`; raises CorruptPackError where `data` is no such table."""
        if len(data) < 8 or data[:4] != MAGIC or data[7] > 1 or len(data) != separable_bytes(data[4], data[5], data[7] == 1):
            raise CorruptPackError("the linear table is neither dense nor separable; rebuild the pack")
        channels, patch, shift, upper = data[4], data[5], data[6], None
        words = np.frombuffer(data, "<i2", 9 + patch * patch + channels, 8).astype(np.int16)
        plane, row, column = np.frombuffer(data, np.uint8, 3 * channels, 8 + 2 * len(words)).reshape(3, channels)
        bad = (plane > 2) | (row >= patch) | (column >= patch)
        if data[7]:
            upper = np.frombuffer(data, "<i2", 3, len(data) - 6).astype(np.int16)
            bad |= patch != UPPER_PATCH or len({*zip(plane, row, column, strict=True)}) < channels
        if shift > LARGEST_SHIFT or bad.any():
            raise CorruptPackError("the linear table names a function that does not exist; rebuild the pack")
        end = 9 + patch * patch
        return cls(words[:9].reshape(3, 3), words[9:end].reshape(patch, patch), words[end:], plane, row, column, shift, upper)
