"""The order of a coder's passes, from what they save in squared error and cost in bits.

Takes float latents (grey levels) and tables that have learned states, returns the tables' `order` and `mean_order`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from ....runtime.core import Core
from ....runtime.format.coder import WINDOW_BYTES
from ....runtime.format.coder_tables import A_PLANE, LEVELS, MEANS, MEANS_LIMIT, PARTS, CoderTables
from ....runtime.format.planes import code
from ....runtime.format.pyramid import split
from ....runtime.quantize import TYPICAL_ROUNDING, dead_zone
from ...models.truncation import RECONSTRUCTION

SLOPE_PRIOR_BITS = 200.0
"""Added to a channel's bits, so that a channel hardly ever used is not brought forward by chance."""

ORDER_LIMIT = 24
"""Channels' passes move by at most three planes."""

LUMA_AHEAD, CHROMA_AHEAD = (4, 4, 7, 12), (6, 1, 4, 9)
"""How much further forward than by their slope stand levels 1, 2, 3, and 4 and coarser: by the linear picture of files cut to 30 to 500
bytes, which slopes over all planes alike do not tell, and chroma's finest by the colours of cuts. It costs the whole file nothing."""

A_LEVEL = 8
"""What a level of a pyramid counts in the order of passes, where none was measured: a coefficient reaches four times as far."""


@functools.lru_cache(64)
def waves(side: int, level: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What one unit in each low and in each detail of a level makes in a line of `side` values, rounding left out: float32 (side, lows)
    and (side, details)."""
    if level == 0:
        return np.eye(side, dtype=np.float32), np.zeros((side, 0), np.float32)
    before = waves(side, level - 1)[0]
    count = before.shape[1]
    lows, highs = count - count // 2, count // 2
    unit = np.eye(count)
    low, high = unit[:, :lows], unit[:, lows:]
    values = np.zeros((count, count))
    if not highs:
        return before, np.zeros((side, 0), np.float32)
    here, there = np.arange(lows), np.arange(highs)
    even = low.T - (high.T[np.maximum(here - 1, 0)] + high.T[np.minimum(here, highs - 1)]) / 4
    values[0::2] = even
    values[1::2] = high.T + (even[:highs] + even[np.minimum(there + 1, lows - 1)]) / 2
    made = before @ values.astype(np.float32)
    return made[:, :lows], made[:, lows:]


def squared_reach(rows: int, columns: int, level: int, detail: int) -> float:
    """The sum of squares that a unit in one coefficient in the middle of rows x columns values makes: of detail 0 (across), 1 (down) or 2
    (both) of a level, or, as 3, of what the level is made of."""
    down, across = waves(rows, level)[detail in (1, 2)], waves(columns, level)[detail in (0, 2)]
    if not down.size or not across.size:
        return 1.0
    return float(np.square(down[:, down.shape[1] // 2]).sum() * np.square(across[:, across.shape[1] // 2]).sum())


def measure_order(
    latents: NDArray[np.float32], tables: CoderTables, worth: NDArray[np.floating], step_indices: Sequence[int]
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """How far each channel's near and far passes, (C, 2) as `CoderTables.order`, and those of the means' levels, as
    `CoderTables.mean_order`, belong forward, from the slope of what they save and cost.

    A pass that removes more squared error per bit, relative to its threshold squared, goes earlier; a factor of four in
    slope is eight units.
    """
    channels, means = tables.channels, tables.means
    saved, bits = (np.full((channels, PARTS), 1e-9) for _ in range(2))
    mean_saved, mean_bits = (np.full((means, LEVELS), 1e-9) for _ in range(2))
    core = Core()
    handle = core.tables(tables.stored)
    for number, photo in enumerate(latents):
        index = int(step_indices[number % len(step_indices)])
        source = dead_zone(photo, index, TYPICAL_ROUNDING)
        rows, columns = source.shape[1:]
        picture = core.decode(handle, code(core, handle, source, index)[0], rows, columns, index)
        facts = core.facts(picture)
        core.free(picture)
        kind, _, band, part = facts.passes.T
        cost = np.diff(facts.ends, prepend=WINDOW_BYTES) * 8.0
        magnitude = np.abs(source)
        for plane in range(facts.planes):
            # in units of the pass's own threshold, so that all planes of a channel count alike
            change = (_squared_error(magnitude, plane + 1) - _squared_error(magnitude, plane)) / 4.0**plane
            near = maximum_filter(magnitude >> (plane + 1) > 0, size=(1, 3, 3))
            saved[:, 0] += (change * near).sum(axis=(1, 2))
            saved[:, 1] += (change * ~near).sum(axis=(1, 2))
            for c in range(means):
                levels = split(source[c])
                for level, details in enumerate(levels, 1):
                    for o, detail in enumerate(details):
                        size, top = np.abs(detail), len(details) == 1
                        reach = squared_reach(rows, columns, level - top, 3 if top else o)
                        gained = _squared_error(size, plane + 1) - _squared_error(size, plane)
                        mean_saved[c, level] += gained.sum() * reach / 4.0**plane
        of_mean = kind == MEANS
        np.add.at(bits, (band[~of_mean], part[~of_mean]), cost[~of_mean])
        np.add.at(mean_bits, (band[of_mean] >> 4, band[of_mean] & 15), cost[of_mean])
    slope = np.maximum(saved, 1e-9) * worth[:, None] / (bits + SLOPE_PRIOR_BITS)
    # a part that hardly ever costs anything stands as far forward as its channel
    whole = saved.sum(axis=1) * worth / (bits.sum(axis=1) + SLOPE_PRIOR_BITS)
    slope = np.where(bits < SLOPE_PRIOR_BITS, whole[:, None], slope)
    typical = np.median(whole[means:])
    offsets = np.round(8.0 * np.log(slope / typical) / np.log(4.0)).clip(-ORDER_LIMIT, ORDER_LIMIT)
    offsets[:, 0] = offsets[:, 0].clip(offsets[:, 1], offsets[:, 1] + A_PLANE - 1)
    offsets[:means] = 0
    order: NDArray[np.int16] = offsets.astype(np.int16)
    return order, _mean_order(mean_saved * worth[:means, None] / (mean_bits + 1e-9) / typical, mean_bits)


def _mean_order(slope: NDArray[np.float64], bits: NDArray[np.float64]) -> NDArray[np.int16]:
    """`CoderTables.mean_order` from slopes (means, LEVELS), typical ones of channels 1, and the bits that they were measured from."""
    order = np.zeros((MEANS_LIMIT if len(slope) else 0, LEVELS), np.int16)
    for c, row in enumerate(slope):
        for level in range(1, LEVELS):
            before = int(order[c, level - 1])
            if bits[c, level] < SLOPE_PRIOR_BITS:
                order[c, level] = before + A_LEVEL
                continue
            measured = round(8.0 * np.log(row[level]) / np.log(4.0))
            ahead = CHROMA_AHEAD if c else LUMA_AHEAD
            measured += ahead[min(level, len(ahead)) - 1]
            order[c, level] = measured if level == 1 else max(measured, before + A_LEVEL // 2)
    return order


def _squared_error(magnitude: NDArray[np.int32], plane: int) -> NDArray[np.float64]:
    """Of integers that are known down to a plane, squared steps."""
    known = (magnitude >> plane) << plane
    squared: NDArray[np.float64] = np.square(magnitude - np.where(known > 0, known + ((1 << plane) - 1) * RECONSTRUCTION, 0.0))
    return squared
