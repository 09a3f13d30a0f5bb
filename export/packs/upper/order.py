"""The order of passes in files with upper functions, from what they save in squared error and cost in bits.

What `pass_order` is to files of channels alone. There the networks make the most of the coarse channels, which go first; here nothing
stands behind the linear stage, and every function counts by its own slope.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from ....runtime.core import Core
from ....runtime.format.coder import WINDOW_BYTES
from ....runtime.format.coder_tables import A_PLANE, CHANNELS, MEANS, PARTS, CoderTables
from ....runtime.format.planes import code
from ....runtime.format.reconstruction import step_units
from ....runtime.pack import GRID
from ....runtime.quantize import TYPICAL_ROUNDING, dead_zone
from ...models.truncation import RECONSTRUCTION

PLANES: Final = 8
"""Planes from this one on count as one."""

A_PLANES_SLOPE: Final = 8.6
"""Eighths of a factor of four by which slopes fall from one plane to the next: a little more than the eight of a flat distribution."""

MEASURED_BITS: Final = 300.0
"""A pass of fewer bits says nothing."""

AHEAD: Final = 2
"""By how much near passes of channels stand before far ones, as decoders have it."""

FORWARD: Final = -1.0
"""Where the typical slope stands beside the passes of the means, whose order is the same in all files."""


def measure_fine_order(
    tables: CoderTables, latents: list[NDArray[np.float32]], reach: NDArray[np.floating], step_indices: Sequence[int]
) -> tuple[NDArray[np.int8], NDArray[np.int16]]:
    """How far the channels' passes, (C,) as `CoderTables.fine_order`, and the groups', (G, 2) as `upper_order`, belong forward.

    `latents` (n, h, w) in all functions; `reach` (n,): the pixels' squared error by a latent's.
    """
    channels, bands = tables.channels, tables.channels + tables.groups
    band_of = np.concatenate([np.arange(channels), channels + np.repeat(np.arange(tables.groups), tables.upper_sizes)])
    saved, bits = (np.zeros((bands, PARTS, PLANES)) for _ in range(2))
    core = Core()
    handle = core.tables(tables.to_bytes())
    for number, photo in enumerate(latents):
        index = step_indices[number % len(step_indices)]
        source = dead_zone(photo, index, TYPICAL_ROUNDING)
        payload = code(core, handle, source, index)[0]
        rows, columns = source.shape[1:]
        picture = core.decode(handle, payload, rows, columns, index)
        facts = core.facts(picture)
        core.free(picture)
        kind, plane_of, band, part = facts.passes.T
        kept = kind != MEANS
        found = np.where(kind == CHANNELS, band, channels + band)[kept], part[kept], np.minimum(plane_of[kept], PLANES - 1)
        np.add.at(bits, found, np.diff(facts.ends, prepend=WINDOW_BYTES)[kept] * 8.0)
        scaled, magnitude = photo * (GRID / step_units(index)), np.abs(source)
        for plane in range(min(PLANES, int(magnitude.max()).bit_length())):
            change = (_squared_error(scaled, source, plane + 1) - _squared_error(scaled, source, plane)) * reach[:, None, None]
            near = maximum_filter(magnitude >> (plane + 1) > 0, size=(1, 3, 3))
            for which, where in enumerate((near, ~near)):
                np.add.at(saved[:, which, plane], band_of, (change * where).sum(axis=(1, 2)))
    slope = 8.0 * np.log(np.maximum(saved, 1e-9) / (bits + 1.0)) / np.log(4.0) - A_PLANES_SLOPE * np.arange(PLANES)
    weight = bits * (bits > MEASURED_BITS)
    total = weight.sum(axis=2)
    typical = np.where(total > 0, (slope * weight).sum(axis=2) / np.maximum(total, 1.0), np.nan)
    # a part that was hardly met stands beside the other one, and a band that was not where the typical one does
    near = np.where(np.isnan(typical[:, 0]), typical[:, 1] + AHEAD, typical[:, 0])
    far = np.where(np.isnan(typical[:, 1]), typical[:, 0] - AHEAD, typical[:, 1])
    own = slice(tables.means, None)
    middle = np.nanmedian(((near + far) / 2)[own])
    places = np.stack([np.nan_to_num(part - middle) for part in (near, far)], axis=1) * A_PLANE / A_PLANES_SLOPE + FORWARD
    fine = np.round(places[:channels].mean(axis=1) - AHEAD / 2)
    fine[: tables.means] = 0
    order = np.round(places[channels:]).astype(np.int16)
    order[:, 0] = order[:, 0].clip(order[:, 1], order[:, 1] + A_PLANE - 1)
    return fine.clip(-128, 127).astype(np.int8), order


def _squared_error(scaled: NDArray[np.floating], source: NDArray[np.int32], plane: int) -> NDArray[np.floating]:
    """Of latents in steps whose integers are known down to a plane."""
    known = (np.abs(source) >> plane) << plane
    value = np.sign(source) * np.where(known > 0, known + ((1 << plane) - 1) * RECONSTRUCTION, 0.0)
    squared: NDArray[np.floating] = np.square(scaled - value)
    return squared
