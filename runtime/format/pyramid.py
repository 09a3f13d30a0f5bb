"""The means' wavelet pyramid in numpy, for those who choose integers and learn tables: coefficients of integers and back, and the integers
whose coefficients are worth their bits.

The core's `pyramid.c` is the one that codes; FORMAT.md ("Pyramid") is the specification.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

APART: Final = 3
"""Coefficients of one orientation so many places apart hardly touch the same values."""

SIGN_BITS: Final = 1.0
"""What a sign costs."""

LEAST_MEAN: Final = 0.08
"""A neighbourhood of zeros still expects a magnitude of so much."""

Level = list[NDArray[np.int32]]
"""The details of one level, int32 (places, places) each: across, down, both; of the top, the one value that is left."""


def _split(values: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Lows and details along the first axis."""
    even, odd = values[0::2], values[1::2]
    if not len(odd):
        return even, odd
    after = np.minimum(np.arange(len(odd)) + 1, len(even) - 1)
    detail = odd - ((even[: len(odd)] + even[after] + 1) >> 1)
    here = np.arange(len(even))
    low = even + ((detail[np.maximum(here - 1, 0)] + detail[np.minimum(here, len(odd) - 1)] + 2) >> 2)
    return low, detail


def _merge(low: NDArray[np.int32], high: NDArray[np.int32]) -> NDArray[np.int32]:
    """The values of lows and details along the first axis."""
    if not len(high):
        return low
    here, there = np.arange(len(low)), np.arange(len(high))
    values = np.empty((len(low) + len(high), *low.shape[1:]), np.int32)
    values[0::2] = low - ((high[np.maximum(here - 1, 0)] + high[np.minimum(here, len(high) - 1)] + 2) >> 2)
    after = values[0::2][np.minimum(there + 1, len(low) - 1)]
    values[1::2] = high + ((values[0::2][: len(high)] + after + 1) >> 1)
    return values


def split(values: NDArray[np.int32]) -> list[Level]:
    """All levels of int32 (h, w), the finest first, and last the top."""
    levels: list[Level] = []
    low = values
    while low.size > 1:
        low_rows, high_rows = _split(low)
        low, across = (part.T for part in _split(low_rows.T))
        down, both = (part.T for part in _split(high_rows.T))
        levels.append([across, down, both])
    return [*levels, [low]]


def merge(levels: list[Level]) -> NDArray[np.int32]:
    """The integers (h, w) whose levels these are."""
    low = levels[-1][0]
    for across, down, both in reversed(levels[:-1]):
        low = _merge(_merge(low.T, across.T).T, _merge(down.T, both.T).T)
    return low


def quantize_mean(exact: NDArray[np.float32], lagrangian: float, weights: NDArray[np.float32] | None = None) -> NDArray[np.int32]:
    """Integers int32 (h, w) for a mean `exact` float32 (h, w), in steps, quantized with rate and distortion in mind.

    A bit is worth `lagrangian` squared steps; `weights` float32 (h, w) say how much each squared error counts. The nearest integers come
    first; then each detail of the finest level, which costs most of the bits, goes one step towards zero where what that saves, by a
    geometric model of its neighbourhood, is worth more than the squared error that it makes.
    """
    levels = split(np.rint(exact).astype(np.int32))
    if lagrangian and len(levels) > 1:
        for detail in levels[0]:
            _lower(levels, detail, exact, lagrangian, np.ones_like(exact) if weights is None else weights)
    return merge(levels)


def _lower(
    levels: list[Level], detail: NDArray[np.int32], exact: NDArray[np.float32], lagrangian: float, weights: NDArray[np.float32]
) -> None:
    """Brings details of one orientation of the finest level nearer to zero, those that do not touch each other at a time."""
    finest = [levels[0], [merge(levels[1:])]]

    def errors() -> NDArray[np.float32]:
        squared: NDArray[np.float32] = weights * np.square(exact - merge(finest))
        return squared

    before = errors()
    for y in range(APART):
        for x in range(APART):
            those = np.s_[y::APART, x::APART]
            now = detail[those].copy()
            if not now.any():
                continue
            # magnitudes fall geometrically, with the neighbours' mean: each step costs the logarithm of the ratio
            mean = np.maximum(_around(np.abs(detail))[those], LEAST_MEAN)
            saved = np.log2((1.0 + mean) / mean) + SIGN_BITS * (np.abs(now) == 1)
            detail[those] -= np.sign(now)
            lost = _by_place(errors() - before, y, x, *now.shape)
            detail[those] = np.where(lost < lagrangian * saved, now - np.sign(now), now)
            before = errors()


def _by_place(values: NDArray[np.float32], y: int, x: int, rows: int, columns: int) -> NDArray[np.float32]:
    """Sums of what (h, w) values lie around each of rows x columns details, APART places apart, the first at place (y, x)."""
    side, above, left = 2 * APART, APART - 1 - 2 * y, APART - 1 - 2 * x
    wide = np.pad(values[max(0, -above) :, max(0, -left) :], ((max(0, above), side * rows), (max(0, left), side * columns)))
    sums: NDArray[np.float32] = wide[: side * rows, : side * columns].reshape(rows, side, columns, side).sum(axis=(1, 3))
    return sums


def _around(size: NDArray[np.int32]) -> NDArray[np.float32]:
    """The mean of the eight neighbours' magnitudes, edges repeated."""
    wide = np.pad(size, 1, mode="edge").astype(np.float32)
    rows, columns = size.shape
    total = np.zeros(size.shape, np.float32)
    for dy in range(3):
        for dx in range(3):
            total += wide[dy : dy + rows, dx : dx + columns]
    return (total - size.astype(np.float32)) / np.float32(8.0)
