"""Rate curves against values that follow from their definition: shifts of the rate, envelopes, ends that are never passed."""

from __future__ import annotations

import math

import bjontegaard
import numpy as np
import pytest

from sdz.export.metrics.curves import Curve, ahead, bd_rate, envelope, mean_curve

POINTS = [(0.05, 24.0), (0.1, 26.5), (0.2, 29.0), (0.4, 31.0), (0.8, 34.0)]
WINDOW = (0.01, 10.0)


def curve(points: list[tuple[float, float]], sign: int = 1) -> Curve:
    out = envelope([points], sign)
    assert out is not None
    return out


def shifted(factor: float) -> list[tuple[float, float]]:
    return [(factor * rate, value) for rate, value in POINTS]


@pytest.mark.parametrize(("factor", "percent"), [(0.8, -20.0), (1.0, 0.0), (1.25, 25.0)])
def test_a_curve_at_a_multiple_of_the_rate_has_that_bd_rate(factor: float, percent: float) -> None:
    found = bd_rate(curve(POINTS), curve(shifted(factor)), WINDOW)
    assert found is not None
    assert found.percent == pytest.approx(percent, abs=1e-9)
    assert (found.low, found.high) == (pytest.approx(0.05), pytest.approx(0.8))


def test_where_less_is_better_the_sign_of_the_figures_does_not_matter() -> None:
    fewer = [(rate, -value) for rate, value in shifted(0.8)]
    found = bd_rate(curve([(rate, -value) for rate, value in POINTS], -1), curve(fewer, -1), WINDOW)
    assert found is not None
    assert found.percent == pytest.approx(-20.0, abs=1e-9)


def test_the_window_holds_for_the_anchor_and_is_never_extended() -> None:
    inside = bd_rate(curve(POINTS), curve(shifted(0.8)), (0.1, 0.3))
    assert inside is not None
    assert (inside.low, inside.high) == (pytest.approx(0.1), pytest.approx(0.3, rel=1e-3))
    assert inside.percent == pytest.approx(-20.0, abs=1e-9)
    # the test curve reaches 29.0 at most, which the anchor has at 0.2 bits per pixel
    short = bd_rate(curve(POINTS), curve(POINTS[:3]), WINDOW)
    assert short is not None
    assert (short.percent, short.high) == (pytest.approx(0.0, abs=0.5), pytest.approx(0.2))


def test_the_figure_is_that_of_the_usual_computation_on_the_points() -> None:
    """Rates as functions of quality, piecewise cubics through the measured points themselves, for curves of the usual four or five."""
    other = [(0.06, 24.9), (0.11, 27.3), (0.22, 30.0), (0.45, 32.6), (0.9, 35.0)]
    anchor, test = (np.array(points).T for points in (POINTS, other))
    usual = bjontegaard.bd_rate(*anchor, *test, method="pchip", min_overlap=0)
    found = bd_rate(curve(POINTS), curve(other), WINDOW)
    assert found is not None
    assert found.percent == pytest.approx(usual, abs=0.5)
    assert usual == pytest.approx(-18.2180025, abs=1e-6)


def test_without_a_common_range_there_is_no_bd_rate() -> None:
    better = [(rate, value + 20.0) for rate, value in POINTS]
    assert bd_rate(curve(POINTS), curve(better), WINDOW) is None
    assert bd_rate(curve(POINTS), curve(POINTS), (0.1, 0.11)) is None
    assert bd_rate(None, curve(POINTS), WINDOW) is None


def test_a_curve_is_known_only_between_its_points() -> None:
    values = curve(POINTS).at([0.049, 0.05, 0.2, 0.8, 0.81])
    assert np.isnan(values[[0, 4]]).all()
    assert values[1:4].tolist() == pytest.approx([24.0, 29.0, 34.0])
    line = curve([(0.1, 20.0), (0.4, 30.0)])
    assert line.at([0.2])[0] == pytest.approx(25.0)
    assert line.rate_for(25.0) == pytest.approx(0.2)
    assert line.rate_for(19.9) is None
    assert line.rate_for(30.1) is None


def test_the_envelope_takes_the_best_setting_at_every_rate_and_never_falls() -> None:
    half = [(0.05, 25.0), (0.2, 27.0)]
    full = [(0.1, 24.0), (0.4, 32.0)]
    both = envelope([half, full, [(0.3, 10.0)]], 1)
    assert both is not None
    assert both.at([0.05, 0.1])[0] == pytest.approx(25.0)
    assert both.at([0.1])[0] == pytest.approx(26.0)
    assert both.at([0.2])[0] == pytest.approx(28.0)
    assert both.at([0.4])[0] == pytest.approx(32.0)
    falling = envelope([[(0.1, 30.0), (0.2, 29.0)]], 1)
    assert falling is not None
    assert falling.values.tolist() == [30.0] * len(falling.values)


def test_equal_rates_keep_the_better_point_and_infinite_ones_are_left_out() -> None:
    out = curve([(0.1, 20.0), (0.1, 21.0), (0.4, 30.0), (0.8, math.inf)])
    assert out.at([0.1])[0] == pytest.approx(21.0)
    assert math.isnan(out.at([0.5])[0])
    assert envelope([[(0.1, 20.0)]], 1) is None
    assert envelope([], 1) is None


def test_the_mean_covers_only_what_every_photo_reaches() -> None:
    rates = np.geomspace(0.05, 0.8, 41)
    longer, shorter = curve(POINTS), curve([(r, v + 2.0) for r, v in POINTS[1:]])
    mean = mean_curve([longer, shorter], rates)
    assert mean is not None
    assert math.isnan(mean.at([0.09])[0])
    assert mean.at([0.2])[0] == pytest.approx(30.0)
    assert mean_curve([longer, None], rates) is None
    assert mean_curve([], rates) is None
    assert mean_curve([longer, curve([(0.9, 1.0), (1.0, 2.0)])], rates) is None


def test_stretches_ahead_end_where_the_peer_is_better() -> None:
    rates = np.geomspace(0.05, 0.8, 5)
    rising, flat = curve([(0.05, 20.0), (0.8, 30.0)]), curve([(0.05, 25.0), (0.8, 25.0)])
    assert ahead(flat, rising, rates) == [(pytest.approx(0.05), pytest.approx(0.2))]
    assert ahead(rising, flat, rates) == [(pytest.approx(0.2), pytest.approx(0.8))]
    assert ahead(curve([(0.1, 40.0), (0.2, 41.0)]), flat, rates) == [(pytest.approx(0.1), pytest.approx(0.2))]
