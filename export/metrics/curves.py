"""Rate and quality: what a codec reaches at a rate, the best of its settings, and BD-rate between two codecs.

Takes (bits per pixel, figure) points, returns curves over the logarithm of the rate. Each setting is interpolated by a monotone
piecewise cubic (Fritsch and Carlson 1980, scipy's PCHIP) between its own points and never beyond them. The BD-rate itself is the
`bjontegaard` package's; envelopes of several settings, averages over photos and windows of rates are what it has not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import bjontegaard
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

SUBDIVISIONS = 24
"""Grid points between two measured ones: the cubic is straight between them to well under a tenth of a per cent of rate."""

LEAST_SPAN = 1.2
"""Smallest ratio of rates in the common range from which a BD-rate is taken: less is one or two points' noise."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A figure over the logarithm of bits per pixel, straight between the grid points; `log_rates` rise, `values` never get worse.

    `sign` is 1 where more is better, -1 where less is; `values` are as measured.
    """

    log_rates: Array
    values: Array
    sign: int

    def at(self, rates: Sequence[float] | Array) -> Array:
        """The figure at each rate (bits per pixel); NaN outside the measured rates."""
        logs = np.log(np.asarray(rates, np.float64))
        # a rate asked for is a rounded one: the ends belong to the range
        inside = (logs >= self.log_rates[0] - 1e-9) & (logs <= self.log_rates[-1] + 1e-9)
        return np.where(inside, np.interp(logs, self.log_rates, self.values), np.nan)

    def rate_for(self, value: float) -> float | None:
        """The lowest rate (bits per pixel) at which the figure is as good as `value`; None where it never is, or always is."""
        goodness, logs = self._rising()
        if not goodness[0] <= self.sign * value <= goodness[-1]:
            return None
        return math.exp(float(np.interp(self.sign * value, goodness, logs)))

    def _rising(self) -> tuple[Array, Array]:
        """Strictly rising goodness (the figure times `sign`) and the lowest logarithmic rate of each."""
        goodness = self.sign * self.values
        first = np.concatenate([[True], goodness[1:] > np.maximum.accumulate(goodness)[:-1]])
        return goodness[first], self.log_rates[first]


def envelope(settings: Iterable[Sequence[tuple[float, float]]], sign: int) -> Curve | None:
    """The best that several settings, each given as (bits per pixel, figure) points, reach at every rate; None without two points.

    A smaller file may stand for a larger one, so the curve never falls.
    """
    known = [_sorted(points, sign) for points in settings]
    known = [(x, y) for x, y in known if len(x)]
    grid = np.unique(np.concatenate([_subdivided(x) for x, _ in known])) if known else np.zeros(0)
    if len(grid) < 2:
        return None
    best = np.full(len(grid), -np.inf)
    for x, y in known:
        inside = (grid >= x[0]) & (grid <= x[-1])
        value = PchipInterpolator(x, y)(grid[inside]) if len(x) > 1 else np.full(np.count_nonzero(inside), y[0])
        best[inside] = np.maximum(best[inside], value)
    return Curve(grid, sign * np.maximum.accumulate(best), sign)


def mean_curve(curves: Sequence[Curve | None], rates: Array) -> Curve | None:
    """The average over photos at each of `rates` (rising, bits per pixel) that every photo's curve reaches; None with less than two."""
    if not curves or any(c is None for c in curves):
        return None
    values = np.array([c.at(rates) for c in curves if c is not None])
    reached = ~np.isnan(values).any(axis=0)
    if np.count_nonzero(reached) < 2:
        return None
    sign = next(c.sign for c in curves if c is not None)
    mean = sign * np.maximum.accumulate(sign * values[:, reached].mean(axis=0))
    return Curve(np.log(rates[reached]), mean, sign)


@dataclass(frozen=True)
class BdRate:
    """Per cent of bytes more (or, negative, fewer) at the same figure, averaged over it; `low` and `high` are the anchor's rates
    (bits per pixel) between which that was taken."""

    percent: float
    low: float
    high: float


def bd_rate(anchor: Curve | None, test: Curve | None, window: tuple[float, float]) -> BdRate | None:
    """Bjøntegaard's delta rate (VCEG-M33, 2001) of `test` against `anchor` where the anchor's rate lies in `window`.

    The integral runs over the figures both reach; None where that is less than `LEAST_SPAN` of the anchor's rates.
    """
    if anchor is None or test is None:
        return None
    goodness, logs = anchor._rising()
    other, other_logs = test._rising()
    if len(goodness) < 2 or len(other) < 2:
        return None
    # outside its own rates the anchor's figure is that of its end, so the window never extends them
    low, high = (float(np.interp(math.log(rate), logs, goodness)) for rate in window)
    low, high = max(low, other[0]), min(high, other[-1])
    if high <= low:
        return None
    theirs, ours = _cut(goodness, logs, low, high), _cut(other, other_logs, low, high)
    first, last = float(theirs[1][0]), float(theirs[1][-1])
    if last / first < LEAST_SPAN:
        return None
    percent = bjontegaard.bd_rate(theirs[1], theirs[0], ours[1], ours[0], method="pchip", require_matching_points=False)
    return BdRate(float(percent), first, last)


def ahead(test: Curve, peer: Curve, rates: Array) -> list[tuple[float, float]]:
    """The stretches of `rates` (rising, bits per pixel) over which `test` is at least as good as `peer`, both measured there."""
    difference = test.sign * (test.at(rates) - peer.at(rates))
    better = np.concatenate([[False], difference >= 0.0, [False]])
    starts, ends = np.flatnonzero(~better[:-1] & better[1:]), np.flatnonzero(better[:-1] & ~better[1:]) - 1
    return [(float(rates[a]), float(rates[b])) for a, b in zip(starts, ends, strict=True)]


def _cut(goodness: Array, logs: Array, low: float, high: float) -> tuple[Array, Array]:
    """The part of a rising curve from `low` to `high`, which it reaches: goodness, and bits per pixel."""
    # knots next to an end would make slopes out of rounding errors
    margin = 1e-9 * (high - low)
    inner = goodness[(goodness > low + margin) & (goodness < high - margin)]
    knots = np.concatenate([[low], inner, [high]])
    return knots, np.exp(np.interp(knots, goodness, logs))


def _sorted(points: Sequence[tuple[float, float]], sign: int) -> tuple[Array, Array]:
    """Rising logarithmic rates and the figure times `sign`; of points at one rate the best stays."""
    best: dict[float, float] = {}
    for rate, value in points:
        if math.isfinite(value):
            best[rate] = max(best.get(rate, -math.inf), sign * value)
    rates = sorted(best)
    return np.log(np.array(rates)), np.array([best[r] for r in rates])


def _subdivided(knots: Array) -> Array:
    steps = np.linspace(0.0, 1.0, SUBDIVISIONS, endpoint=False)
    inner = (knots[:-1, None] + (knots[1:] - knots[:-1])[:, None] * steps).ravel()
    return np.concatenate([inner, knots[-1:]])
