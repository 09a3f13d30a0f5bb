"""Integer latents in bit-planes: FORMAT.md, "Contexts" and "Planes"; the means' passes stand in `means`."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np

from .coder import Coder, EndOfKnownBits, Model, clamp
from .means import SETS, SLOTS, Pyramid, read_mean_pass
from .regions import Regions, no_regions
from .upper import fine_order, read_group_pass, upper_functions, upper_slots

DENSITY = [2, 5, 9, 15, 24, 36, 52, 74, 104, 140]
COUNTS = [1, 2, 3, 5, 8, 13, 21]
STEPS = [1, 2, 3, 4, 5, 6, 8, 11, 16, 24, 36]
TOWARD = [1, 2, 4, 8, 16]
V = [0, 3, 5, 7, 9]
BORDER = 2  # of zeros around the picture: no neighbour is further away


class PlaneTables:
    """A pack's coder tables, "sdzT"."""

    def __init__(self, data: bytes) -> None:
        assert data[:4] == b"sdzT"
        c, self.means, g = data[4], data[5] & 3, data[5] >> 2
        self.channels = c
        self.mix_rate, self.count_limit = data[6], data[7]
        slots = [24 * c, 576, 16 * c, 16 * c, 288, 12 * c, 256, 9 * c, 11 * c, 9 * c, 3 * c, 72, 9 * c, 16 * c]
        sets = [24, c, 11, c, 24, c]
        self.slot = [0, *accumulate(slots)]
        self.set = [0, *accumulate(8 * n for n in sets)]
        self.mean_slot = [*accumulate(SLOTS if self.means else [], initial=self.slot[-1])]
        self.mean_set = [*accumulate([8 * n for n in SETS] if self.means else [], initial=self.set[-1])]
        self.upper_slot = [*accumulate(upper_slots(g) if g else [], initial=self.mean_slot[-1])]
        self.upper_set = [*accumulate([8 * 24, 8 * g, 8 * 24, 8 * g] if g else [], initial=self.mean_set[-1])]
        self.plane_slot = self.upper_slot[-1]
        at = 8

        def read(kind: str, *shape: int) -> Any:
            nonlocal at
            array = np.frombuffer(data, kind, int(np.prod(shape)), at).reshape(shape)
            at += array.nbytes
            return array.tolist()

        self.upper_step = read("u1", 1)[0] if g else -1
        self.order = read("<i2", c, 2)
        self.energy_space = read("u1", c, 6)
        self.energy_cross_channel, self.energy_cross = read("u1", c, 8), read("u1", c, 8)
        self.prediction_channel, self.prediction_dy, self.prediction_dx = read("u1", c, 12), read("i1", c, 12), read("i1", c, 12)
        self.prediction = read("<i2", c, 12)
        self.energy_thresholds = read("<u2", 23)
        self.mean_order = read("<i2", 3 if self.means else 0, 14)
        self.mean_fill = read("u1", 3 if self.means else 0, 4)
        self.functions = list(zip(*read("u1", 3, c if g else 0), strict=True))
        self.upper = upper_functions(self.functions) if g else []
        self.fine_order, self.upper_sizes = read("i1", c if g else 0), read("u1", g)
        self.upper_order, self.upper_octaves, self.upper_weights = read("<i2", g, 2), read("i1", g), read("u1", g, 11)
        states = self.plane_slot + 32
        self.probability, self.count, self.weights = read("<u2", states), read("u1", states), read("<i2", self.upper_set[-1])
        assert at == len(data)

    def bucket(self, energy: int) -> int:
        """0 ... 23."""
        return bisect_right(self.energy_thresholds, min(4095, energy))


@dataclass
class KnownPlanes:
    """What a prefix leaves, int32 (C, h, w) each: integers with unknown bits zero, and the lowest plane known.

    `means` are the pyramids of the first channels, of which `integers` are whole numbers nearest to what is known. For tests only:
    `chances`, the probability of a one of each latent's last decision; `passes` that were begun: (0, plane, 16 · colour + level, 0) of a
    mean, (1, plane, channel, 0 near or 1 far) of a channel; `ends`, the coder's position behind each that was finished; `planes`.
    """

    integers: Any
    plane: Any
    complete: bool
    chances: Any = None
    passes: list[tuple[int, int, int, int]] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    planes: int = 15
    regions: Regions | None = None
    means: list[Pyramid] = field(default_factory=list)


class PlaneDecoder:
    """The latents known so far. `m`, `sign`, `plane` and `chance` hold one list a channel, `significant` one for all, of the picture
    with its border, row after row."""

    def __init__(self, payload: bytes, rows: int, columns: int, step_index: int, tables: PlaneTables, regions: Regions) -> None:
        self.regions = regions
        self.rows, self.columns, self.line, self.step_index, self.tables = rows, columns, columns + 2 * BORDER, step_index, tables
        area = (rows + 2 * BORDER) * self.line
        self.fine = step_index + 8 * regions.base <= tables.upper_step
        bands = tables.channels + (len(tables.upper) if self.fine else 0)
        self.m, self.sign, self.chance = ([[0] * area for _ in range(bands)] for _ in range(3))
        self.plane = [[15] * area for _ in range(bands)]
        self.significant = [0] * area
        self.active = [False] * bands
        self.pyramids = [Pyramid(rows, columns) for _ in range(tables.means)]
        self.seen_plane = 16
        self.coder = Coder(payload)
        self.model = Model(tables.probability, tables.count, tables.weights, tables.mix_rate, tables.count_limit)

    def read_planes(self) -> int:
        """How many planes there are; from then on nothing is known below them."""
        t, planes = self.tables, 0
        for k in range(15, 0, -1):
            if self.model.adaptive_bit(self.coder, t.plane_slot + min(31, (self.step_index >> 3) + k)):
                planes = k
                break
        self.plane = [[planes] * len(one) for one in self.plane]
        for pyramid in self.pyramids:
            pyramid.floor = dict.fromkeys(pyramid.floor, planes)
        return planes

    def see_means(self) -> None:
        """The means as the channels' contexts see them, painted anew."""
        for c, pyramid in enumerate(self.pyramids):
            for (y, x), value in np.ndenumerate(pyramid.paint(8)):
                q = (y + BORDER) * self.line + x + BORDER
                self.m[c][q] = min(32767, (abs(int(value)) + 8) >> 4 << self.regions.base)
                self.sign[c][q] = -1 if value < 0 else 1

    def read_pass(self, k: int, c: int, far: int) -> None:
        """Plane k of channel c, at positions near what planes above it have found, or at the others."""
        absolute = min(15, (self.step_index >> 3) + k)
        if not self.active[c]:
            if not far:
                return
            probability = self.tables.probability[self.tables.slot[13] + 16 * c + absolute]
            if not self.coder.bit(clamp(probability, 500, 65000)):
                self.plane[c] = [k] * len(self.plane[c])
                return
            self.active[c] = True
        if k < self.seen_plane:
            self.see_means()
            self.seen_plane = k
        # before any of this pass: what the near pass of the plane found is below 2^(k + 1)
        found = {q for q, m in enumerate(self.m[c]) if m >> (k + 1)}
        around = [dy * self.line + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        decisions = ones = 0
        for y in range(self.rows):
            density = 11 if decisions < 16 else bisect_right(DENSITY, 256 * ones // decisions)
            for x in range(self.columns):
                q = (y + BORDER) * self.line + x + BORDER
                if found.isdisjoint(q + there for there in around) != bool(far) or self.regions.floors[y, x] > k:
                    continue
                if self.m[c][q] == 0:
                    significant = self.significance(k, c, q, absolute, density)
                    if significant:
                        self.sign[c][q] = -1 if self.is_negative(k, c, q) else 1
                        self.m[c][q] = 1 << k
                        self.significant[q] += 1
                    decisions, ones = decisions + 1, ones + significant
                else:
                    self.m[c][q] += self.refinement(k, c, q) << k
                self.plane[c][q] = k

    def v(self, k: int, c: int, q: int) -> int:
        """What the level of channel c at q adds to an energy."""
        return V[min(4, self.m[c][q] >> k)]

    def energies(self, k: int, c: int, q: int) -> tuple[int, int]:
        """space and across."""
        t, line = self.tables, self.line
        w, n, e, s, above, below = t.energy_space[c]
        space = w * self.v(k, c, q - 1) + n * self.v(k, c, q - line) + e * self.v(k, c, q + 1) + s * self.v(k, c, q + line)
        space += above * (self.v(k, c, q - line - 1) + self.v(k, c, q - line + 1))
        space += below * (self.v(k, c, q + line - 1) + self.v(k, c, q + line + 1))
        return space, sum(weight * self.v(k, other, q) for weight, other in zip(t.energy_cross[c], t.energy_cross_channel[c], strict=True))

    def guess(self, k: int, c: int, q: int) -> int:
        """The predicted value."""
        t, total = self.tables, 0
        for weight, other, dy, dx in zip(t.prediction[c], t.prediction_channel[c], t.prediction_dy[c], t.prediction_dx[c], strict=True):
            there = q + dy * self.line + dx
            half = 0 if other < t.means else 1 << k >> 1
            total += weight * self.sign[other][there] * (self.m[other][there] + half)
        return total >> 8

    def significance(self, k: int, c: int, q: int, absolute: int, density: int) -> int:
        """Whether |q| reaches 2^k."""
        t, line, m, count = self.tables, self.line, self.m[c], self.significant
        band = (c >= 6) + (c >= 24) + (c >= 54)
        space, across = self.energies(k, c, q)
        energy = t.bucket(space + across)
        pattern = sum((m[q + there] >> k > 0) << bit for bit, there in enumerate((-1, -line, 1, line)))
        steps = bisect_right(STEPS, (abs(self.guess(k, c, q)) << 2) >> k)
        around = (count[q - 1] + count[q - line] + count[q + 1] + count[q + line]) >> 1
        states = [
            t.slot[0] + 24 * c + energy,
            t.slot[1] + ((t.bucket(space) >> 1) * 12 + (t.bucket(across) >> 1)) * 4 + band,
            t.slot[2] + 16 * c + pattern,
            t.slot[3] + 16 * c + absolute,
            t.slot[4] + 24 * density + energy,
            t.slot[5] + 12 * c + steps,
            t.slot[6] + (bisect_right(COUNTS, count[q]) * 8 + bisect_right(COUNTS, around)) * 4 + band,
        ]
        bit = self.model.decide(self.coder, states, t.set[0] + 8 * energy, t.set[1] + 8 * c)
        self.chance[c][q] = self.coder.chance
        return bit

    def is_negative(self, k: int, c: int, q: int) -> int:
        """The sign's bit."""
        t, line, sign = self.tables, self.line, self.sign[c]
        guess = self.guess(k, c, q)
        toward = bisect_right(TOWARD, (abs(guess) << 2) >> k) * (-1 if guess < 0 else 1)
        states = [
            t.slot[7] + 9 * c + 3 * (sign[q - 1] + 1) + sign[q - line] + 1,
            t.slot[8] + 11 * c + toward + 5,
            t.slot[9] + 9 * c + 3 * (sign[q + 1] + 1) + sign[q + line] + 1,
        ]
        return self.model.decide(self.coder, states, t.set[2] + 8 * (toward + 5), t.set[3] + 8 * c)

    def refinement(self, k: int, c: int, q: int) -> int:
        """Bit k of |q|."""
        t, m = self.tables, self.m[c][q]
        energy = t.bucket(sum(self.energies(k, c, q)))
        level = min(3, m >> (k + 1)) - 1
        away = clamp((2 * (self.sign[c][q] * self.guess(k, c, q) - m - (1 << k))) >> k, -4, 4)
        states = [t.slot[10] + 3 * c + level, t.slot[11] + 3 * energy + level, t.slot[12] + 9 * c + away + 4]
        bit = self.model.decide(self.coder, states, t.set[4] + 8 * energy, t.set[5] + 8 * c)
        self.chance[c][q] = self.coder.chance
        return bit

    def picture(self, lists: list[list[int]]) -> Any:
        """(C, h, w) without the border."""
        whole = np.array(lists, np.int32).reshape(len(lists), -1, self.line)
        return whole[:, BORDER:-BORDER, BORDER:-BORDER]


Pass = tuple[int, int, int, int]


def pass_order(planes: int, levels: int, tables: PlaneTables, fine: bool, tilt: int, base: int) -> list[Pass]:
    """All passes (kind, plane, band, part), first to last."""
    passes = [(0, k, 16 * c + level, 0) for k in range(planes) for c in range(tables.means) for level in range(1, levels + 2)]
    passes += [(1, k, c, far) for k in range(planes) for c in range(tables.means, tables.channels) for far in (0, 1)]
    passes += [(2, k, g, far) for k in range(planes) for g in range(len(tables.upper_sizes) if fine else 0) for far in (0, 1)]

    def place(one: Pass) -> tuple[int, ...]:
        kind, k, band, part = one
        if not kind:
            return -10 * (k + base) - tables.mean_order[band >> 4][band & 15], kind, band, part
        below = 0 if k >= base else 2 * (base - k) - 1 + part
        if below:
            k, part = base, 1
        order = fine_order(tables, kind, band, part, tilt) if fine else tables.order[band][part]
        return -10 * k - order, kind, band, part, below

    return sorted(passes, key=place)


def decode_planes(
    payload: bytes, rows: int, columns: int, step_index: int, tables: PlaneTables, tilt: int = 0, regions: Regions | None = None
) -> KnownPlanes:
    """What a payload, whole or cut anywhere, determines of latents (C, rows, columns)."""
    regions = regions or no_regions(rows, columns)
    decoder = PlaneDecoder(payload, rows, columns, step_index, tables, regions)
    passes, ends, planes, complete = [], [], 15, False
    try:
        planes = decoder.read_planes()
        passes = pass_order(planes, Pyramid(rows, columns).levels, tables, decoder.fine, tilt, regions.base)
        for kind, k, band, part in passes:
            if kind == 2:
                read_group_pass(decoder, k, band, part)
            elif kind:
                decoder.read_pass(k, band, part)
            else:
                read_mean_pass(decoder, k, band >> 4, band & 15)
            ends.append(decoder.coder.position)
        complete = True
    except EndOfKnownBits:
        pass
    integers, plane = decoder.picture(decoder.m) * decoder.picture(decoder.sign), decoder.picture(decoder.plane).copy()
    plane = np.maximum(plane, regions.floors)
    for c, pyramid in enumerate(decoder.pyramids):
        painted = pyramid.paint(0)
        integers[c] = np.sign(painted) * ((abs(painted) + 8) >> 4)
        plane[c] = pyramid.known
    begun = passes[: len(ends) + (not complete)]
    return KnownPlanes(integers, plane, complete, decoder.picture(decoder.chance), begun, ends, planes, regions, decoder.pyramids)
