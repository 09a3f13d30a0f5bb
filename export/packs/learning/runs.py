"""Integers as files have them, of training photos: what a coder's states are learned from.

Takes latents and tables by which bits are weighed; gives runs at steps drawn from those that files have, by both tunings in turn.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ....runtime.format.coder_tables import CoderTables
from ....runtime.format.reconstruction import channel_steps
from ....runtime.quantize import FINE_TUNINGS, TUNINGS, TYPICAL_ROUNDING, dead_zone, rdo_quantize
from .states import Run

COARSE_STEPS: Final = range(38, 77)
"""Step indices of files that networks decode, from 1 bit per pixel to 0.04."""

FINE_STEPS: Final = range(10, 38)
"""Step indices of files with the upper functions."""

A_PHOTO: Final = 2
"""At how many of them each photo is coded."""


def plain_runs(latents: Iterable[NDArray[np.float32]], steps: range | tuple[int, ...], each: int, rng: np.random.Generator) -> list[Run]:
    """A plain quantizer's integers of every photo at `each` of the steps, in random order: for tables that know nothing yet."""
    drawn = [(photo, int(index)) for photo in latents for index in rng.choice(steps, each, replace=False)]
    shuffled = (drawn[i] for i in rng.permutation(len(drawn)))
    return [Run(dead_zone(photo, index, TYPICAL_ROUNDING).astype(np.int16), index) for photo, index in shuffled]


def coarse_runs(latents: Iterable[NDArray[np.float32]], tables: CoderTables, rng: np.random.Generator) -> list[Run]:
    """Of latents (C, h, w), which the tunings' tilts have been applied to."""
    runs = []
    for photo, tuning in zip(latents, itertools.cycle(TUNINGS.values()), strict=False):
        for index in rng.choice(COARSE_STEPS, A_PHOTO, replace=False).tolist():
            runs.append(Run(rdo_quantize(photo, index, tables, tuning).astype(np.int16), index))
    return runs


def fine_runs(
    latents: Iterable[NDArray[np.float32]], tables: CoderTables, octaves: NDArray[np.int32], rng: np.random.Generator
) -> list[Run]:
    """Of latents (n, h, w) in all functions; `octaves` are the channels'."""
    octaves = np.concatenate([octaves, np.repeat(tables.upper_octaves.astype(np.int32), tables.upper_sizes)])
    runs = []
    for photo, tuning in zip(latents, itertools.cycle(FINE_TUNINGS.values()), strict=False):
        for index in rng.choice(FINE_STEPS, A_PHOTO, replace=False).tolist():
            steps = channel_steps(index, tuning.tilt, octaves, len(octaves))
            runs.append(Run(rdo_quantize(photo, index, tables, tuning, None, steps, tuning.tilt).astype(np.int16), index, tuning.tilt))
    return runs
