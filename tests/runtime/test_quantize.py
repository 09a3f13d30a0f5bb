"""Which integers are worth their bits: the dead zone, and bargains against the coder's own probabilities."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from standins import neutral_tables

from sdz.runtime.format.planes import encode_planes, last_chances
from sdz.runtime.format.reconstruction import channel_steps
from sdz.runtime.options import Tune
from sdz.runtime.quantize import TUNINGS, Tuning, dead_zone, posterior_weights, rdo_quantize, weighted_rounding

TABLES = neutral_tables(4)
STEP = 40  # 32 grey levels


def latents(seed: int = 1) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    rng = np.random.default_rng(seed)
    spread = np.array([90.0, 40.0, 20.0, 8.0], np.float32)[:, None, None]
    return (rng.laplace(0.0, 1.0, (4, 12, 12)) * spread).astype(np.float32)


def test_the_dead_zone_rounds_down_past_its_rounding() -> None:
    y = np.array([0.0, 0.6, 0.67, 1.0, 1.66, 1.67, -0.66, -0.67, -2.0, 1e9], np.float32) * 2
    assert dead_zone(y, 8, 1 / 3).tolist() == [0, 0, 1, 1, 1, 2, 0, -1, -2, 32767]
    assert dead_zone(y, 8, 1 / 2).tolist() == [0, 1, 1, 1, 2, 2, -1, -1, -2, 32767]
    assert dead_zone(np.array([100.0], np.float32), 0, 1 / 3).tolist() == [100]


def test_the_step_is_the_one_that_decoders_have() -> None:
    # 2 ** (25 / 8) is 8.72 grey levels; on the grid of quarters 34 units, 8.5 levels
    latents = np.full((1, 1, 1), 8.5 * 200 - 0.01, np.float32)
    assert int(dead_zone(latents, 25, 0.5)[0, 0, 0]) == 200
    assert int(rdo_quantize(latents, 25, neutral_tables(1), TUNINGS["natural"])[0, 0, 0]) == 200


def test_bits_for_nothing_round_to_the_nearest() -> None:
    y = latents()
    nearest = dead_zone(y, STEP, 0.5)
    chosen = rdo_quantize(y, STEP, TABLES, Tuning(rounding=0.5, lagrangian=0.0))
    asked = last_chances(nearest, STEP, TABLES) > 0
    assert asked.any() and np.array_equal(chosen[asked], nearest[asked])


def test_integers_move_by_one_at_most_and_keep_their_sign() -> None:
    y = latents(2)
    scaled = y / 32.0
    for tuning in TUNINGS.values():
        chosen = rdo_quantize(y, STEP, TABLES, tuning)
        assert np.abs(chosen - scaled).max() < 2
        assert (chosen * np.sign(y) >= 0).all()


def test_dearer_bits_make_smaller_files_and_larger_errors() -> None:
    y = latents(3)
    sizes, errors = [], []
    for price in (0.0, 0.05, 0.13, 0.3):
        chosen = rdo_quantize(y, STEP, TABLES, Tuning(rounding=0.5, lagrangian=price))
        sizes.append(len(encode_planes(chosen, STEP, TABLES)))
        errors.append(float(np.square(chosen - y / 32.0).mean()))
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 4
    assert errors == sorted(errors)


def test_one_weight_for_all_channels_of_a_position_is_the_same_as_one_each() -> None:
    y, weights = latents(6), np.random.default_rng(2).uniform(0.5, 2.0, (1, 12, 12)).astype(np.float32)
    for tuning in TUNINGS.values():
        every = np.broadcast_to(weights, y.shape).astype(np.float32)
        assert np.array_equal(rdo_quantize(y, STEP, TABLES, tuning, weights), rdo_quantize(y, STEP, TABLES, tuning, every))


def test_the_finer_a_natural_file_is_the_less_is_invented() -> None:
    steps = (80, 60, 59, 58, 57, 54, 49, 48, 43, 42, 0)
    assert [TUNINGS["natural"].realism(step) for step in steps] == [16, 16, 15, 14, 13, 11, 6, 5, 1, 0, 0]
    assert [TUNINGS["faithful"].realism(step) for step in (80, 60, 30)] == [0, 0, 0]


def test_a_tilt_is_a_step_of_its_own_for_every_channel() -> None:
    y, octaves = latents(5), np.array([0, -32, 16, 32], np.int32)
    steps = channel_steps(STEP, 2, octaves, len(y))
    assert len(set(steps.tolist())) == 4
    by_channel = dead_zone(y, steps, 0.5)
    for channel, step in enumerate(steps.tolist()):
        assert np.array_equal(by_channel[channel], dead_zone(y[channel : channel + 1], step, 0.5)[0])
    tilted = Tuning(rounding=0.5, lagrangian=0.0, tilt=2)
    assert np.array_equal(rdo_quantize(y, STEP, TABLES, tilted, steps=channel_steps(STEP, tilted.tilt, octaves, len(y))), by_channel)
    assert np.array_equal(rdo_quantize(y, STEP, TABLES, tilted), dead_zone(y, STEP, 0.5))


@pytest.mark.parametrize("tune", list(TUNINGS))
def test_the_chosen_integers_are_the_same_everywhere(tune: str) -> None:
    chosen = rdo_quantize(latents(4), STEP, TABLES, TUNINGS[tune])  # type: ignore[index]
    golden = {
        "natural": "6416a3e3e7a97053",
        "faithful": "b5f0b1a37e0f47f9",
    }
    assert hashlib.sha256(chosen.astype("<i4").tobytes()).hexdigest()[:16] == golden[tune]


def test_a_silent_channel_is_asked_nothing() -> None:
    q = np.zeros((4, 3, 3), np.int32)
    q[0, 1, 1] = 3
    chances = last_chances(q, STEP, TABLES)
    assert (chances[0] > 0).all() and not chances[1:].any()


@pytest.mark.parametrize("tune", list(TUNINGS))
def test_equal_weights_change_nothing(tune: Tune) -> None:
    y = latents(4)
    assert np.array_equal(rdo_quantize(y, STEP, TABLES, TUNINGS[tune], np.ones_like(y)), rdo_quantize(y, STEP, TABLES, TUNINGS[tune]))


def test_what_weighs_more_is_sent_more_precisely() -> None:
    y = latents(5)
    weights = np.ones_like(y)
    weights[:, :, :6] = 1 / 8
    weights[:, :, 6:] = 8
    tuning = TUNINGS["faithful"]
    plain, weighted = (np.square(rdo_quantize(y, STEP, TABLES, tuning, w) - y / 32.0) for w in (None, weights))
    assert weighted[:, :, :6].mean() > plain[:, :, :6].mean()
    assert weighted[:, :, 6:].mean() < plain[:, :, 6:].mean()


def test_the_first_rounding_falls_with_the_weight() -> None:
    weights = np.array([1 / 16, 0.5, 1.0, 2.0, 4.0], np.float32)
    assert weighted_rounding(weights, Tuning(rounding=1 / 4, lagrangian=0.1)).tolist() == pytest.approx(
        [-1.625, 0.125, 0.25, 0.3125, 0.34375]
    )
    assert weighted_rounding(weights, Tuning(rounding=0.5, lagrangian=1.0)).tolist() == [-2.0, -0.75, 0.5, 0.5, 0.5]
    assert dead_zone(np.array([2.9, 0.5, -3.2], np.float32), 0, np.array([-2.0, -2.0, 0.25])).tolist() == [0, 0, -3]


def test_posterior_weights_fall_with_the_deviation() -> None:
    deviation = np.array([[[1.0, 2.0], [4.0, 2.0]]], np.float32)
    assert np.allclose(posterior_weights(deviation), [[[2.0, 1.0], [0.5, 1.0]]])
    assert np.array_equal(posterior_weights(deviation * 8), posterior_weights(deviation))
    assert posterior_weights(np.array([[[1e-30, 0.0, 1.0, 1e30]]], np.float32)).tolist() == [[[16.0, 16.0, 0.0625, 0.0625]]]
