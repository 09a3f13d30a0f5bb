"""How a foreign pack's files carry the latents: what its coder's table holds, and what its decoder gets to see of a latent.

Takes a family and its calibration. One class per quantizer of `runtime.pack.QUANTIZERS`.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ....runtime.format.coder import exact_core
from ....runtime.format.indices import decode_index_latents, encode_indices
from ....runtime.format.reconstruction import channel_steps, step_sizes
from ....runtime.pack import INDICES, PLANES
from ....runtime.quantize import TYPICAL_ROUNDING, dead_zone, nearest_entries
from ...families import Family
from ..codebook import learn_tables, uniform_gain
from ..prime import prime
from .calibrate import Calibration
from .traced import Feeds

STEPS: Final = (16, 40, 56)
"""Step indices of the latents that a decoder is calibrated and gated with, in turn: fine, usual, coarse."""

BITS_LEFT_OUT: Final = (0, 1, 3)
"""Likewise, of a codebook's indices."""


class Coding(Protocol):
    """How latents (C, h, w), float32 in grey levels, travel."""

    quantizer: str

    def table(self) -> bytes:
        """The pack's `coder` table."""

    def coded(self, latents: NDArray[np.float32], number: int) -> Feeds:
        """The decoder's inputs once the latents were coded, at one of several precisions in turn."""


def coding_of(family: Family, measured: Calibration) -> Coding:
    """The codebook's of a family that has one, else bit-planes."""
    return PlaneCoding(measured) if family.codebook is None else CodebookCoding(family, measured)


def gains_for(family: Family) -> NDArray[np.float32] | None:
    """What all channels of a family with a codebook are multiplied with, float32 (C,): one number, so that the nearest entry stays so."""
    if family.codebook is None:
        return None
    return np.full(family.channels, uniform_gain(_entries(family)), np.float32)


class PlaneCoding:
    """Bit-planes of integers on a grid."""

    quantizer = PLANES

    def __init__(self, measured: Calibration) -> None:
        self._measured = measured

    def table(self) -> bytes:
        """Coder tables learned from the calibration's latents."""
        latents = self._measured.latents
        return prime(latents, np.ones(latents.shape[1], np.float32)).to_bytes()

    def coded(self, latents: NDArray[np.float32], number: int) -> Feeds:
        """At one of STEPS."""
        steps = channel_steps(STEPS[number % len(STEPS)], 0, None, len(latents))
        integers = dead_zone(latents, steps, TYPICAL_ROUNDING)
        # known to the last bit: nothing is left to a reconstruction point
        with exact_core() as core:
            values = core.guard(integers * step_sizes(steps), self._measured.l1_limit)
        return _feeds(values, np.broadcast_to(steps[:, None, None], values.shape))


class CodebookCoding:
    """Entries of a codebook."""

    quantizer = INDICES

    def __init__(self, family: Family, measured: Calibration) -> None:
        self._tables = learn_tables(_entries(family) * measured.gains, measured.latents)
        self._l1_limit = measured.l1_limit

    def table(self) -> bytes:
        """The codebook and coder tables learned from the calibration's latents."""
        return self._tables.to_bytes()

    def coded(self, latents: NDArray[np.float32], number: int) -> Feeds:
        """With some of BITS_LEFT_OUT."""
        bits = max(1, self._tables.levels - BITS_LEFT_OUT[number % len(BITS_LEFT_OUT)])
        payload = encode_indices(nearest_entries(latents, self._tables.codebook), self._tables, bits)
        _, rows, columns = latents.shape
        seen = decode_index_latents(payload, rows, columns, self._tables, self._l1_limit)
        return _feeds(seen.values, seen.precision)


def _entries(family: Family) -> NDArray[np.float32]:
    """The codebook as latents that `Family.encode` gives, (K, C)."""
    assert family.codebook is not None
    entries: NDArray[np.float32] = (family.codebook - family.centre.reshape(1, -1)).numpy()
    return entries


def _feeds(values: NDArray[np.int32], precision: NDArray[np.int32]) -> Feeds:
    return {"latents": values[None].astype(np.float32), "precision": precision[None].astype(np.float32)}
