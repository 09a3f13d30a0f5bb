"""Codebook indices: FORMAT.md, "Indices"."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from .coder import Coder, EndOfKnownBits, Model, clamp

TOWARDS = [16, 40, 72, 112, 160, 224, 304, 416, 576, 800, 1152]
SIDES = [6, 14, 24, 36, 52]
AGREE = [0, 1, 2, 3, 3, 4, 4, 4, 4]
NEIGHBOURS = [(0, -1), (-1, 0), (-1, -1), (-1, 1), (0, 1), (1, 0), (1, -1), (1, 1)]  # W, N, NW, NE, E, S, SW, SE: (row, column)


class IndexTables:
    """A pack's coder tables, "sdzI", and the tree of its codebook: by node its first entry and how many it holds, its usage and centre."""

    def __init__(self, data: bytes) -> None:
        assert data[:4] == b"sdzI"
        c, k = data[4], int.from_bytes(data[5:7], "little") + 1
        self.channels, self.mix_rate, self.count_limit, self.usage_limit = c, data[7], data[8], data[9]
        levels = self.levels = (k - 1).bit_length()
        self.lead = [max(0, min(level + 1, 4, (13 - level) >> 1)) for level in range(levels)]
        joint = [1 << (level + 2 * lead) for level, lead in enumerate(self.lead)]
        slots = [1 << levels, 1 << levels, levels * 5 * 23, levels * 144, levels * 144, levels * 324, sum(joint)]
        self.slot = [0, *accumulate(slots)]
        self.joint = [self.slot[6], *accumulate(joint, initial=self.slot[6])][1:]
        self.second_set = 8 * 5 * levels
        at = 10

        def read(kind: str, *shape: int) -> Any:
            nonlocal at
            array = np.frombuffer(data, kind, int(np.prod(shape)), at).reshape(shape)
            at += array.nbytes
            return array.tolist()

        self.codebook, self.usage = read("<i2", k, c), read("<u2", k)
        self.precision, self.half_width = read("u1", levels + 1), read("<u2", levels + 1)
        self.pull = read("<i2", levels, 8)
        stored = sum(slots[2:])
        probability, count = read("<u2", stored), read("u1", stored)
        self.weights = read("<i2", self.second_set + 8 * 23)
        assert at == len(data)
        self.entries: dict[int, tuple[int, int]] = {}
        self.node_usage: dict[int, int] = {}
        self.centre: dict[int, list[int]] = {}
        self._grow(1, 0, k)
        first = [32768] * slots[0]
        first_count = [0] * slots[0]
        for node, (_, held) in self.entries.items():
            if held > 1:
                usage = self.node_usage[node]
                first[node] = clamp(65536 * self.node_usage[2 * node + 1] // usage, 64, 65472)
                first_count[node] = min(self.usage_limit, usage - held)
        self.probability = first + [32768] * slots[1] + probability
        self.count = first_count + [0] * slots[1] + count

    def _grow(self, node: int, start: int, held: int) -> None:
        inside = range(start, start + held)
        usage = sum(self.usage[i] for i in inside)
        self.entries[node], self.node_usage[node] = (start, held), usage
        sums = [sum(self.usage[i] * self.codebook[i][c] for i in inside) for c in range(self.channels)]
        self.centre[node] = [(2 * total + usage) // (2 * usage) for total in sums]
        if held > 1:
            self._grow(2 * node, start, (held + 1) // 2)
            self._grow(2 * node + 1, start + (held + 1) // 2, held // 2)


@dataclass
class KnownIndices:
    """What a prefix leaves: the tree's node of each position, int32 (h, w)."""

    node: Any
    complete: bool


def signed_bucket(value: int, steps: list[int]) -> int:
    """How many steps |value| has reached, to either side of the middle."""
    reached = bisect_right(steps, abs(value))
    return len(steps) + (reached if value >= 0 else -reached)


class IndexDecoder:
    """The nodes known so far, by (row, column)."""

    def __init__(self, payload: bytes, rows: int, columns: int, tables: IndexTables) -> None:
        self.tables = tables
        self.node = {(y, x): 1 for y in range(rows) for x in range(columns)}
        self.coder = Coder(payload)
        self.model = Model(tables.probability, tables.count, tables.weights, tables.mix_rate, tables.count_limit)

    def lean(self, n: int, q: int) -> int:
        """Towards which child of n the centre of q lies."""
        centre = self.tables.centre
        first, second = centre[2 * n], centre[2 * n + 1]
        span = sum((b - a) ** 2 for a, b in zip(first, second, strict=True))
        if span == 0:
            return 0
        along = sum((b - a) * (2 * other - a - b) for a, b, other in zip(first, second, centre[q], strict=True))
        return clamp(32 * along // span, -64, 64)

    def bit(self, level: int, y: int, x: int) -> int:
        """The bit that follows for the position."""
        t, n = self.tables, self.node[y, x]
        around = [self.node.get((y + dy, x + dx), 0) for dy, dx in NEIGHBOURS]
        leans = [self.lean(n, q) if q else None for q in around]
        pull = sum(weight * lean for weight, lean in zip(t.pull[level], leans, strict=True) if lean is not None) >> 5
        agreeing = [q != 0 and (q == n or q >> 1 == n) for q in around]
        row = 5 * level + AGREE[sum(agreeing)]
        side = [11 if lean is None else signed_bucket(lean, SIDES) for lean in leans]
        pattern = 0
        for i in range(4):
            pattern = 3 * pattern + (1 + (around[i] & 1) if around[i] and around[i] >> 1 == n else 0)
        for i in (4, 5):
            pattern = 2 * pattern + agreeing[i]
        lead = t.lead[level]
        joint = n - (1 << level)
        for q in around[:2]:
            # the bits behind the leading one, from the highest
            joint = (joint << lead) + (int(bin(q)[3 : 3 + lead] or "0", 2) if q else 0)
        states = [
            t.slot[0] + n,
            t.slot[1] + n,
            t.slot[2] + 23 * row + signed_bucket(pull, TOWARDS),
            t.slot[3] + (level * 12 + side[0]) * 12 + side[1],
            t.slot[4] + (level * 12 + side[4]) * 12 + side[5],
            t.slot[5] + level * 324 + pattern,
            t.joint[level] + joint,
        ]
        return self.model.decide(self.coder, states, 8 * row, t.second_set + 8 * signed_bucket(pull, TOWARDS))


def decode_indices(payload: bytes, rows: int, columns: int, tables: IndexTables) -> KnownIndices:
    """What a payload, whole or cut anywhere, determines of indices (rows, columns)."""
    decoder, complete = IndexDecoder(payload, rows, columns, tables), True
    try:
        for level in range(tables.levels):
            for y in range(rows):
                for x in range(columns):
                    n = decoder.node[y, x]
                    if tables.entries[n][1] > 1:
                        decoder.node[y, x] = 2 * n + decoder.bit(level, y, x)
    except EndOfKnownBits:
        complete = False
    return KnownIndices(np.array(list(decoder.node.values()), np.int32).reshape(rows, columns), complete)
