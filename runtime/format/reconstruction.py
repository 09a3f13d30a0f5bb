"""What is known of latents, what the linear stage and the networks see of them, and the quantization step, with the tilt that tells
channels' steps apart.

The core reconstructs (`picture`); FORMAT.md ("Reconstruction") is the specification, integer arithmetic throughout.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import limits

MANTISSA = tuple(round(2 ** (j / 8) * 4 * 4096) for j in range(8))
"""One octave of steps: 2**(j / 8) grey levels in 1/4096 of a grid unit (a quarter of a level)."""


@dataclass(frozen=True)
class Known:
    """What a prefix tells of latents (C, h, w): `magnitude` int32 with unknown low bits zero, `negative` bool, `plane`
    uint8 the lowest plane known of each latent, `complete` whether nothing was cut."""

    magnitude: NDArray[np.int32]
    negative: NDArray[np.bool_]
    plane: NDArray[np.uint8]
    complete: bool

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns of latent positions."""
        return self.plane.shape[1], self.plane.shape[2]


@dataclass(frozen=True)
class Latents:
    """What the networks and the linear stage see, int32 (C, h, w) each: `values` and `half_width` in grid units (quarter
    grey levels), `levels` signed known magnitudes in intervals (clipped to +-15), `precision` in eighths of an octave."""

    values: NDArray[np.int32]
    levels: NDArray[np.int32]
    precision: NDArray[np.int32]
    half_width: NDArray[np.int32]


def step_units(step_index: int) -> int:
    """The quantization step 2**(step_index / 8) grey levels in grid units, by integers."""
    return (MANTISSA[step_index % 8] << (step_index // 8)) >> 12


def step_sizes(steps: NDArray[np.int32]) -> NDArray[np.int32]:
    """The quantization steps of the channels' step indices (C,), in grid units, int32 (C, 1, 1)."""
    return np.array([step_units(index) for index in steps.tolist()], np.int32)[:, None, None]


def finer_by(tilt: int | NDArray[np.int64], octaves: NDArray[np.int32]) -> NDArray[np.int32]:
    """By how many step indices channels of these `octaves` (sixteenths) are finer at a tilt, of the shape that both broadcast to."""
    finer: NDArray[np.int32] = ((tilt * octaves + 8) >> 4).astype(np.int32)
    return finer


def channel_steps(step_index: int, tilt: int, octaves: NDArray[np.int32] | None, channels: int) -> NDArray[np.int32]:
    """The step index of each of the channels, 0..MAX_STEP_INDEX, int32 (C,).

    It is the file's, lowered by `tilt` eighths of an octave of the step for every octave of the channel's frequency. `octaves`, sixteenths,
    int32 (C,), are the pack's; where it has none, all channels have the file's step.
    """
    if octaves is None:
        return np.full(channels, step_index, np.int32)
    steps: NDArray[np.int32] = np.clip(step_index - finer_by(tilt, octaves), 0, limits.MAX_STEP_INDEX)
    return steps
