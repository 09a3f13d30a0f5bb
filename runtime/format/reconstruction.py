"""What is known of integer latents -> the values and intervals that the linear stage and the networks see.

Takes `Known` (what a prefix of a file tells of its integers) and the header's step index and tilt; gives `Latents` in grid units. The one
home of the quantization step, of the tilt that tells channels' steps apart, and of the guard that keeps the networks' sums exact. Integer
arithmetic throughout; FORMAT.md ("Reconstruction") is the specification.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import limits

MANTISSA = tuple(round(2 ** (j / 8) * 4 * 4096) for j in range(8))
"""One octave of steps: 2**(j / 8) grey levels in 1/4096 of a grid unit (a quarter of a level)."""

LEVEL_LIMIT = 15
"""Levels are clipped here before the denoiser sees them."""


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


def dequantize(known: Known, steps: NDArray[np.int32], reconstruction: int, l1_limit: int) -> Latents:
    """Values, guarded (`guard_l1`), and intervals of what is known at the channels' step indices `steps`, int32 (C,);
    `reconstruction` in sixteenths of the unknown part."""
    step, plane = step_sizes(steps), known.plane.astype(np.int32)
    # 2**15 * 16 * 4096, the largest product there is, is 2**31: the unknown part is one less
    middle = (((1 << plane) - 1) * (step * reconstruction) + 8) >> 4
    values = np.where(known.magnitude == 0, 0, known.magnitude * step + middle)
    levels = np.minimum(known.magnitude >> plane, LEVEL_LIMIT)
    for signed in (values, levels):
        np.negative(signed, out=signed, where=known.negative)
    return Latents(
        guard_l1(values, l1_limit),
        levels,
        plane * 8 + steps[:, None, None],
        (step << plane) >> (known.magnitude > 0),
    )


def guard_l1(values: NDArray[np.int32], l1_limit: int) -> NDArray[np.int32]:
    """Values (C, h, w) whose sum of magnitudes at every position is at most `l1_limit`.

    Where it is more, all values of the position are halved towards zero until it is not. No photo gets there; it keeps
    every fp32 sum of the networks' first layers below 2**24, where fp32 is exact in any order of summation.
    """
    norm = np.abs(values).sum(axis=0, dtype=np.int64)
    while (over := norm > l1_limit).any():
        held = values[:, over]
        values[:, over] = np.sign(held) * (np.abs(held) >> 1)
        norm = np.abs(values).sum(axis=0, dtype=np.int64)
    return values
