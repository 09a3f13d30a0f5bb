"""The functions that no channel has: FORMAT.md, "Upper functions" and "Contexts of the upper functions"."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from .coder import clamp

if TYPE_CHECKING:
    from .planes import KnownPlanes, PlaneDecoder

DENSITY = [2, 5, 9, 15, 24, 36, 52, 74, 104, 140]
SUMS = [1, 2, 3, 5, 8, 12, 17, 24, 32, 44, 60]
V = [0, 3, 5, 7, 9]

Function = tuple[int, int, int]


def upper_functions(channels: list[Function]) -> list[Function]:
    """All (plane, u, v) that no channel has, in their order."""
    rest = {(k, u, v) for k in range(3) for u in range(16) for v in range(16)} - set(channels)
    return sorted(rest, key=lambda f: (f[0], f[1] ** 2 + f[2] ** 2, f[1]))


def upper_slots(g: int) -> list[int]:
    """States of the slots for g groups."""
    return [24 * g, 432, 16 * g, 1536, 288, 12 * g, 144, 12 * g, 72, 48, 16 * g]


def fine_order(tables: Any, kind: int, band: int, part: int, tilt: int) -> int:
    """The order of a pass of a channel (kind 1) or a group (2) in a picture with upper functions."""
    if kind == 2:
        return tables.upper_order[band][part] - ((tilt * tables.upper_octaves[band] + 8) >> 4)
    _, u, v = tables.functions[band]
    squares = u * u + v * v
    octaves = 4 * ((squares * squares).bit_length() - 1) - 30 if squares else 0
    return tables.fine_order[band] + (0 if part else 2) - ((tilt * octaves + 8) >> 4)


def read_group_pass(d: PlaneDecoder, k: int, g: int, far: int) -> None:
    """Plane k of the functions of group g, one after the other, near or far positions of each."""
    t, line = d.tables, d.line
    absolute = min(15, (d.step_index >> 3) + k)
    first = t.channels + sum(t.upper_sizes[:g])
    members = range(first, first + t.upper_sizes[g])
    if not d.active[first]:
        if not far:
            return
        reached = d.coder.bit(clamp(t.probability[t.upper_slot[10] + 16 * g + absolute], 500, 65000))
        for f in members:
            d.active[f] = bool(reached)
            if not reached:
                d.plane[f] = [k] * len(d.plane[f])
        if not reached:
            return
    place = {function: f for f, function in enumerate([*t.functions, *t.upper])}
    around = [dy * line + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    weights = t.upper_weights[g]
    for f in members:
        colour, u, v = t.upper[f - t.channels]
        near = [(colour, u - 1, v), (colour, u, v - 1), (colour, u + 1, v), (colour, u, v + 1), (colour, u - 2, v), (colour, u, v - 2)]
        near += [(colour, u - 1, v - 1), (colour, u + 1, v - 1), (colour, u - 1, v + 1), (colour, u + 1, v + 1)]
        near += [((colour + 1) % 3, u, v), ((colour + 2) % 3, u, v)]
        # the means are none of them
        others = [place.get(one) for one in near]
        others = [None if other is not None and other < t.means else other for other in others]
        m = d.m[f]
        found = {q for q, size in enumerate(m) if size >> (k + 1)}
        decisions = ones = 0
        for y in range(d.rows):
            density = 11 if decisions < 16 else bisect_right(DENSITY, 256 * ones // decisions)
            for x in range(d.columns):
                q = (y + 2) * line + x + 2
                if found.isdisjoint(q + there for there in around) != bool(far) or d.regions.floors[y, x] > k:
                    continue
                w, n, e, s, nw, ne, sw, se = (min(4, m[q + i] >> k) for i in (-1, -line, 1, line, -line - 1, -line + 1, line - 1, line + 1))
                level = [0 if other is None else min(4, d.m[other][q] >> k) for other in others]
                pairs = [V[w] + V[n], V[e] + V[s], V[nw] + V[ne], V[sw] + V[se]]
                pairs += [V[level[0]] + V[level[1]], V[level[2]] + V[level[3]], V[level[4]] + V[level[5]]]
                pairs += [V[level[6]] + V[level[7]] + V[level[8]], V[level[9]], V[level[10]], V[level[11]]]
                terms = [weight * pair for weight, pair in zip(weights, pairs, strict=True)]
                space, across = sum(terms[:4]), sum(terms[4:])
                energy, base = t.bucket(space + across), t.upper_slot
                if m[q]:
                    size = min(3, m[q] >> (k + 1)) - 1
                    states = [
                        base[7] + (3 * g + size) * 4 + min(3, (w + n) >> 1),
                        base[8] + 3 * energy + size,
                        base[9] + 3 * absolute + size,
                    ]
                    m[q] += d.model.decide(d.coder, states, t.upper_set[2] + 8 * energy, t.upper_set[3] + 8 * g) << k
                    d.chance[f][q] = d.coder.chance
                    d.plane[f][q] = k
                    continue
                states = [
                    base[0] + 24 * g + energy,
                    base[1] + ((t.bucket(space) >> 1) * 12 + (t.bucket(across) >> 1)) * 3 + colour,
                    base[2] + 16 * g + (w > 0) + 2 * (n > 0) + 4 * (level[0] > 0) + 8 * (level[1] > 0),
                    base[3] + ((8 * colour + (u >> 1)) * 8 + (v >> 1)) * 8 + clamp(absolute - 2, 0, 7),
                    base[4] + 24 * density + energy,
                    base[5] + 12 * g + bisect_right(SUMS, sum(level) + w + n + e + s),
                    base[6] + 9 * absolute + 3 * min(2, level[10]) + min(2, level[11]),
                ]
                bit = d.model.decide(d.coder, states, t.upper_set[0] + 8 * energy, t.upper_set[1] + 8 * g)
                d.chance[f][q] = d.coder.chance
                if bit:
                    d.sign[f][q] = -1 if d.coder.bit(1 << 15) else 1
                    m[q] = 1 << k
                decisions, ones = decisions + 1, ones + bit
                d.plane[f][q] = k


def signed(numbers: Any) -> Any:
    """Modulo 2^32, as 32-bit numbers have it."""
    return (numbers + 2**31) % 2**32 - 2**31


def held(numbers: Any) -> Any:
    """Within 16 bits."""
    return np.clip(numbers, -32767, 32767)


def upper_levels(known: KnownPlanes, tables: Any, step_index: int, tilt: int, rho: int, linear: bytes) -> Any:
    """What the upper functions add to the levels before they are lapped: int64 (h, w, 3 p p), colour, row, column."""
    from .reconstruction import step_of

    numbers = np.frombuffer(linear, "<i2", 9 + 256, 8).astype(np.int64)
    colours, waves = numbers[:9].reshape(3, 3), numbers[9:].reshape(16, 16)
    gains = np.frombuffer(linear, "<i2", 3, len(linear) - 6).astype(np.int64)
    rows, columns = known.integers.shape[1:]
    planes = np.zeros((rows, columns, 3, 16, 16), np.int64)
    for (k, u, v), f in zip(tables.upper, range(tables.channels, len(known.integers)), strict=True):
        g = bisect_right([*accumulate(tables.upper_sizes)], f - tables.channels)
        step = step_of(clamp(step_index - ((tilt * tables.upper_octaves[g] + 8) >> 4), 0, 80))
        q, plane = known.integers[f].astype(np.int64), known.plane[f].astype(np.int64)
        floors = known.regions.floors if known.regions else 0
        middle = ((2**plane - 2**floors) * rho * step + 8) >> 4
        value = np.where(q == 0, 0, np.sign(q) * (abs(q) * step + middle))
        planes[:, :, k, u, v] = held((held(value) * gains[k] + 2**13) >> 14)
    half = held(signed(np.einsum("hwkuv,uy->hwkyv", planes, waves) + 2**13) >> 14)
    pixels = held(signed(np.einsum("hwkyv,vx->hwkyx", half, waves) + 2**13) >> 14)
    return (signed(np.einsum("hwkyx,kc->hwcyx", pixels, colours) + 2**16) >> 17).reshape(rows, columns, 768)
