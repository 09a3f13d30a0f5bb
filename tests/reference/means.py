"""The means' wavelet pyramid: FORMAT.md, "Pyramid" and "Contexts of the means"."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .planes import PlaneDecoder

OWN = [3, 5, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 50, 64, 85]
AROUND = [3, 6, 9, 12, 15, 18, 22, 26, 30, 35, 40, 46, 53, 61, 70, 80, 92, 106, 122, 140, 160, 185, 215]
V = [0, 3, 5, 7, 9]
SLOTS = [576, 864, 576, 576, 750, 750, 360, 486, 81, 243, 54, 72, 144, 672, 126, 126]
SETS = [24, 36, 9, 18, 24, 18, 1, 3]
Place = tuple[int, int, int]  # orientation, y, x


def grid(side: int, level: int) -> int:
    """Places along a side."""
    return (side + 2**level - 1) >> level


def merge(low: Any, high: Any) -> Any:
    """Lows and details along the first axis to values."""
    n = len(low) + len(high)
    out = np.zeros((n, *low.shape[1:]), np.int64)
    if not len(high):
        return low
    for i in range(len(low)):
        out[2 * i] = low[i] - ((high[max(i - 1, 0)] + high[min(i, len(high) - 1)] + 2) >> 2)
    for i in range(len(high)):
        out[2 * i + 1] = high[i] + ((out[2 * i] + out[2 * min(i + 1, len(low) - 1)] + 1) >> 1)
    return out


class Pyramid:
    """What is known of one mean: coefficients by level (1 the finest, `levels` + 1 the top) and place, magnitude and sign; the lowest
    plane known of each."""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows, self.columns, self.levels = rows, columns, 0
        while grid(rows, self.levels) > 1 or grid(columns, self.levels) > 1:
            self.levels += 1
        bands = range(1, self.levels + 2)
        self.m: dict[int, dict[Place, int]] = {level: {} for level in bands}
        self.sign: dict[int, dict[Place, int]] = {level: {} for level in bands}
        self.floor = dict.fromkeys(bands, 15)
        self.finer: dict[int, set[Place]] = {level: set() for level in bands}
        self.active = dict.fromkeys(bands, 0)  # planes at which the first of a level was found, plus one

    def places(self, level: int) -> list[Place]:
        """A level's coefficients, in the order in which they are coded."""
        if level > self.levels:
            return [(0, 0, 0)]
        high, wide = grid(self.rows, level - 1) >> 1, grid(self.columns, level - 1) >> 1
        out = []
        for y in range(grid(self.rows, level)):
            for x in range(grid(self.columns, level)):
                out += [(o, y, x) for o in range(3) if (o == 1 or x < wide) and (o == 0 or y < high)]
        return out

    @property
    def known(self) -> int:
        """The plane down to which the mean counts as known."""
        return max(self.floor.values())

    def paint(self, middle: int) -> Any:
        """The mean (rows, columns) in sixteenths, `middle` sixteenths of what is unknown of each coefficient added to it."""

        def coefficient(level: int, place: Place, sixteenths: bool) -> int:
            m = self.m[level].get(place, 0)
            if m and sixteenths:
                m = 16 * m + (2 ** (self.floor[level] - (place in self.finer[level])) - 1) * middle
            return m * self.sign[level].get(place, 0)

        sixteenths = self.floor[self.levels + 1] > 0
        low = np.array([[coefficient(self.levels + 1, (0, 0, 0), sixteenths)]], np.int64)
        for level in range(self.levels, 0, -1):
            if not sixteenths and self.floor[level]:
                low, sixteenths = low * 16, True
            high, wide = grid(self.rows, level - 1) >> 1, grid(self.columns, level - 1) >> 1
            shapes = [(grid(self.rows, level), wide), (high, grid(self.columns, level)), (high, wide)]
            details = [np.zeros(shape, np.int64) for shape in shapes]
            for o, y, x in self.places(level):
                details[o][y, x] = coefficient(level, (o, y, x), sixteenths)
            low = merge(merge(low.T, details[0].T).T, merge(details[1].T, details[2].T).T)
        return (low if sixteenths else low * 16).clip(-32767 * 16, 32767 * 16)


def read_mean_pass(decoder: PlaneDecoder, k: int, colour: int, level: int) -> None:
    """Plane k of a level of a mean."""
    t, model, coder = decoder.tables, decoder.model, decoder.coder
    p = decoder.pyramids[colour]
    top = level > p.levels
    rows, columns = (1, 1) if top else (grid(p.rows, level), grid(p.columns, level))
    absolute, kind_of_level = min(15, (decoder.step_index >> 3) + k + decoder.regions.base), 0 if top else min(level, 5)
    others = [decoder.pyramids[c] if c < t.means else None for c in ((1, 2) if colour == 0 else (0, 3 - colour))]

    def since(pyramid: Pyramid | None, of: int) -> int:
        found = pyramid.active.get(of, 0) if pyramid else 0
        return 0 if not found else 2 if found > k + 1 else 1

    if not p.active[level]:
        if rows * columns > 1:
            band = 14 * colour + level
            states = [
                t.mean_slot[13] + 16 * band + absolute,
                t.mean_slot[14] + 3 * band + since(p, level + 1),
                t.mean_slot[15] + 3 * band + since(others[0], level),
            ]
            if not model.decide(coder, states, t.mean_set[6], t.mean_set[7] + 8 * colour):
                p.floor[level] = k
                return
        p.active[level] = k + 1
    m, sign = p.m[level], p.sign[level]

    def lev(magnitudes: dict[Place, int], place: Place) -> int:
        return min(4, magnitudes.get(place, 0) >> k)

    nothing: dict[Place, int] = {}
    parents = p.m[level + 1] if level < p.levels else nothing
    parent_signs = p.sign[level + 1] if level < p.levels else nothing
    beside = [(o.m[level], o.sign[level]) if o else (nothing, nothing) for o in others]
    for o, y, x in p.places(level):
        place = (o, y, x)

        def at(dy: int, dx: int, o: int = o, y: int = y, x: int = x) -> Place:
            return (o, y + dy, x + dx)

        a, b, e, f = [at(-1, 0), at(1, 0), at(0, -1), at(0, 1)] if o == 0 else [at(0, -1), at(0, 1), at(-1, 0), at(1, 0)]
        elder = (o, y >> 1, x >> 1)
        twin, third = lev(m, (1 if o == 0 else 0, y, x)), lev(m, (1 if o == 2 else 2, y, x))
        near, far = (lev(magnitudes, place) for magnitudes, _ in beside)
        diagonals = [at(-1, -1), at(-1, 1), at(1, -1), at(1, 1)]
        own = 3 * (V[lev(m, a)] + V[lev(m, b)]) + 2 * (V[lev(m, e)] + V[lev(m, f)]) + sum(V[lev(m, q)] for q in diagonals)
        around = own + 4 * V[lev(parents, elder)] + 3 * V[twin] + 2 * V[third] + 4 * V[near] + 4 * V[far]
        energy, mine = bisect_right(AROUND, around), bisect_right(OWN, own)
        pair = 2 * colour + (o == 2)
        group, shape = 6 * pair + kind_of_level, 3 * colour + o
        if not m.get(place, 0):
            pattern = sum((m.get(q, 0) > 0) << bit for bit, q in enumerate((a, b, e, f)))
            finer = min(4, min(4, parents.get(elder, 0) >> (k + 1)) + min(4, parents.get(elder, 0) >> (k + 2)))
            states = [
                t.mean_slot[0] + 16 * group + mine,
                t.mean_slot[1] + 24 * group + energy,
                t.mean_slot[2] + 16 * group + pattern,
                t.mean_slot[3] + 16 * group + absolute,
                t.mean_slot[4] + 25 * (5 * pair + lev(parents, elder)) + 5 * twin + third,
                t.mean_slot[5] + 25 * (5 * pair + near) + 5 * far + (mine >> 2),
                t.mean_slot[6] + 24 * (5 * colour + finer) + energy,
            ]
            if model.decide(coder, states, t.mean_set[0] + 8 * energy, t.mean_set[1] + 8 * group):
                s = [sign.get(q, 0) + 1 for q in (a, b, e, f)]
                states = [
                    t.mean_slot[7] + 9 * (6 * shape + kind_of_level) + 3 * s[0] + s[1],
                    t.mean_slot[8] + 9 * shape + 3 * (beside[0][1].get(place, 0) + 1) + beside[1][1].get(place, 0) + 1,
                    t.mean_slot[9] + 27 * shape + 9 * s[2] + 3 * s[3] + parent_signs.get(elder, 0) + 1,
                ]
                negative = model.decide(coder, states, t.mean_set[2] + 8 * shape, t.mean_set[3] + 8 * (6 * colour + kind_of_level))
                m[place], sign[place] = 1 << k, -1 if negative else 1
        else:
            beyond = min(3, m[place] >> (k + 1)) - 1
            states = [
                t.mean_slot[10] + 3 * (6 * colour + kind_of_level) + beyond,
                t.mean_slot[11] + 3 * energy + beyond,
                t.mean_slot[12] + 3 * (16 * colour + absolute) + beyond,
            ]
            m[place] += model.decide(coder, states, t.mean_set[4] + 8 * energy, t.mean_set[5] + 8 * (6 * colour + kind_of_level)) << k
        p.finer[level].add(place)
    p.floor[level] = k
    p.finer[level] = set()
