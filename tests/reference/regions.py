"""Maps of regions: FORMAT.md, "Regions"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .coder import Coder, EndOfKnownBits, Model, clamp
from .container import FormatError


@dataclass
class Regions:
    """`base`, the floor of the means, and `floors` (h, w) of all other channels."""

    base: int
    floors: Any


def no_regions(rows: int, columns: int) -> Regions:
    """Those of a file without a map."""
    return Regions(0, np.zeros((rows, columns), np.int64))


class _Map:
    def __init__(self, payload: bytes) -> None:
        self.coder, self.model = Coder(payload), Model([32768] * 26, [0] * 26, [], 0, 60)

    def bit(self, state: int) -> int:
        p = self.model.probability[state]
        bit = self.coder.bit(clamp(p, 64, 65472))
        self.model.learn(state, bit)
        return bit

    def literal(self) -> int:
        node = 1
        for _ in range(4):
            node = 2 * node + self.bit(10 + node)
        return node - 16


def read_regions(payload: bytes, offset: int, rows: int, columns: int) -> Regions:
    """The map of a chunk whose payload begins at `offset`."""
    if not payload or payload[0] > 15:
        raise FormatError("CorruptFileError", offset, "regions")
    found, regions = _Map(payload[1:]), Regions(payload[0], no_regions(rows, columns).floors)
    f = regions.floors
    try:
        for y in range(rows):
            for x in range(columns):
                n = f[y - 1, x] if y else f[y, x - 1] if x else 0
                w = f[y, x - 1] if x else n
                nw = f[y - 1, x - 1] if y and x else n
                ne = f[y - 1, x + 1] if y and x + 1 < columns else n
                if found.bit((w == nw) + 2 * (n == nw) + 4 * (ne == n)):
                    f[y, x] = w
                elif n != w and found.bit(8 + (ne == n)):
                    f[y, x] = n
                else:
                    f[y, x] = found.literal()
    except EndOfKnownBits:
        raise FormatError("CorruptFileError", offset, "regions") from None
    if found.coder.position < len(payload) - 1:
        raise FormatError("CorruptFileError", offset, "regions")
    return regions
