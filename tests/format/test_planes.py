"""Bit-planes: round trips, cuts at every byte, golden bytes, pass order, and the integers the networks see."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from numpy_forms import dequantize, guard_l1
from standins import neutral_tables

from sdz.export.models.truncation import truncate
from sdz.runtime.errors import EncodeInputError
from sdz.runtime.format.coder_tables import A_PLANE
from sdz.runtime.format.planes import decode_planes, encode_planes, pass_order, plane_count, spent_bytes
from sdz.runtime.format.reconstruction import Known, channel_steps, step_units
from sdz.runtime.quantize import dead_zone

STEP_INDEX = 40


def latents(channels: int = 6, rows: int = 5, columns: int = 7, seed: int = 3) -> NDArray[np.int32]:
    rng = np.random.default_rng(seed)
    spread = 40.0 / (1.0 + np.arange(channels))[:, None, None]
    return np.round(rng.laplace(0.0, spread, (channels, rows, columns))).astype(np.int32)


def varied_tables(channels: int) -> object:
    rng = np.random.default_rng(11)
    tables = neutral_tables(channels)
    return replace(
        tables,
        order=np.stack([np.arange(channels) % A_PLANE, np.zeros(channels)], 1).astype(np.int16) + rng.integers(-12, 12, (channels, 1)),
        energy_space=rng.integers(0, 200, (channels, 6)).astype(np.uint8),
        energy_cross_channel=rng.integers(0, channels, tables.energy_cross_channel.shape).astype(np.uint8),
        energy_cross=rng.integers(0, 200, tables.energy_cross.shape).astype(np.uint8),
        prediction_channel=rng.integers(0, channels, tables.prediction_channel.shape).astype(np.uint8),
        prediction_dy=rng.integers(-2, 3, tables.prediction_dy.shape).astype(np.int8),
        prediction_dx=rng.integers(-2, 3, tables.prediction_dx.shape).astype(np.int8),
        prediction=rng.integers(-300, 300, tables.prediction.shape).astype(np.int16),
        probability=rng.integers(2000, 60000, tables.probability.shape).astype(np.uint16),
        count=rng.integers(0, 30, tables.count.shape).astype(np.uint8),
        weights=rng.integers(-3000, 20000, tables.weights.shape).astype(np.int32),
        energy_thresholds=np.round(np.geomspace(4, 3000, 23)).astype(np.uint16),
    )


def test_golden_payload() -> None:
    source = latents()
    planes, payload = encode_planes(source, STEP_INDEX, varied_tables(6))  # type: ignore[arg-type]
    assert (planes, len(payload)) == (8, 221)
    assert hashlib.sha256(payload).hexdigest() == "608dd365a144d4158377c8cdd8e3f242111a1389f5f5f5844d04514bfb758f22"


@pytest.mark.parametrize("shape", [(1, 1, 1), (6, 1, 9), (6, 9, 1), (6, 16, 16)])
def test_whole_payload_gives_the_latents_back(shape: tuple[int, int, int]) -> None:
    source = latents(*shape)
    tables = varied_tables(shape[0])
    planes, payload = encode_planes(source, STEP_INDEX, tables)  # type: ignore[arg-type]
    known = decode_planes(payload, *shape, planes, STEP_INDEX, tables)  # type: ignore[arg-type]
    assert known.complete
    assert not known.plane.any()
    assert np.array_equal(np.where(known.negative, -known.magnitude, known.magnitude), source)


def test_cuts_at_every_byte_know_a_growing_part_of_the_truth() -> None:
    source = latents()
    tables = varied_tables(6)
    planes, payload = encode_planes(source, STEP_INDEX, tables)  # type: ignore[arg-type]
    before = np.full(source.shape, planes, np.uint8)
    for cut in range(len(payload) + 1):
        known = decode_planes(payload[:cut], *source.shape, planes, STEP_INDEX, tables)  # type: ignore[arg-type]
        assert np.array_equal(known.magnitude, (np.abs(source) >> known.plane) << known.plane)
        assert np.array_equal(known.negative, (source < 0) & (known.magnitude > 0))
        assert (known.plane <= before).all()
        assert known.complete == (cut == len(payload))
        before = known.plane


def test_every_byte_went_into_a_pass() -> None:
    source = latents()
    tables = varied_tables(6)
    planes, payload = encode_planes(source, STEP_INDEX, tables)  # type: ignore[arg-type]
    whole = spent_bytes(payload, *source.shape, planes, STEP_INDEX, tables)  # type: ignore[arg-type]
    assert whole.tolist() == [
        [[5, 0], [4, 1], [5, 0], [7, 0], [5, 0], [6, 0]],
        [[6, 0], [5, 0], [7, 0], [8, 0], [7, 0], [8, 0]],
        [[7, 0], [5, 0], [9, 0], [6, 0], [6, 1], [5, 0]],
        [[7, 0], [9, 0], [7, 1], [4, 1], [3, 1], [2, 3]],
        [[10, 1], [6, 2], [2, 7], [0, 6], [3, 1], [1, 1]],
        [[6, 1], [0, 3], [0, 4], [0, 0], [0, 3], [0, 2]],
        [[0, 8], [0, 1], [0, 0], [0, 0], [0, 0], [0, 1]],
        [[0, 1], [0, 0], [0, 0], [0, 0], [0, 0], [0, 0]],
    ]
    in_order = [whole[tuple(one)] for one in pass_order(tables, planes)]  # type: ignore[arg-type]
    for cut in range(len(payload) + 1):
        part = spent_bytes(payload[:cut], *source.shape, planes, STEP_INDEX, tables)  # type: ignore[arg-type]
        cut_in_order = [part[tuple(one)] for one in pass_order(tables, planes)]  # type: ignore[arg-type]
        last = max(np.flatnonzero(cut_in_order), default=0)
        assert cut_in_order[:last] == in_order[:last]
        assert sum(cut_in_order) == cut


def test_no_latents_need_no_bytes() -> None:
    planes, payload = encode_planes(np.zeros((6, 4, 4), np.int32), STEP_INDEX, neutral_tables(6))
    assert (planes, payload) == (0, b"")
    assert decode_planes(b"", 6, 4, 4, 0, STEP_INDEX, neutral_tables(6)).complete


def test_bytes_of_anything_decode_to_something() -> None:
    noise = np.random.default_rng(0).integers(0, 256, 400, dtype=np.uint8).tobytes()
    known = decode_planes(noise, 6, 5, 7, 15, 80, varied_tables(6))  # type: ignore[arg-type]
    assert known.magnitude.max() < 1 << 15
    assert known.magnitude.min() >= 0


def test_magnitudes_over_15_planes_are_refused() -> None:
    assert plane_count(np.array([[[(1 << 15) - 1]]], np.int32)) == 15
    with pytest.raises(EncodeInputError, match="16 bit-planes"):
        plane_count(np.array([[[-(1 << 15)]]], np.int32))


def test_pass_order_brings_channels_forward() -> None:
    tables = replace(neutral_tables(3), order=np.array([[0, -2], [10, 8], [-1, -1]], np.int16))
    near, far = 0, 1
    assert pass_order(tables, 2).tolist() == [
        [1, 1, near], [1, 1, far], [1, 0, near], [0, 1, near], [1, 2, near], [1, 2, far],
        [1, 0, far], [0, 1, far], [0, 0, near], [0, 2, near], [0, 2, far], [0, 0, far],
    ]  # fmt: skip


def test_steps_are_the_specified_integers() -> None:
    assert [step_units(i) for i in (0, 1, 7, 8, 15, 16, 44, 80)] == [4, 4, 7, 8, 14, 16, 181, 4096]


def test_dequantize_is_what_training_simulated() -> None:
    rng = np.random.default_rng(5)
    true = rng.laplace(0.0, 60.0, (6, 8, 8)).astype(np.float32)
    for depth in (0, 1, 3):
        magnitude = np.abs(dead_zone(true, STEP_INDEX, 1 / 3))
        known = Known((magnitude >> depth) << depth, true < 0, np.full(true.shape, depth, np.uint8), True)
        seen = dequantize(known, np.full(6, STEP_INDEX, np.int32), 7, 1 << 20)
        taught = truncate(
            torch.from_numpy(true)[None], torch.tensor(STEP_INDEX + 8.0 * depth), torch.tensor(float(depth)), torch.tensor(1 / 3)
        )
        assert np.array_equal(seen.levels, np.clip(taught.levels[0].numpy(), -15, 15))
        assert np.array_equal(seen.precision, taught.precision[0].numpy())
        assert np.abs(seen.values / 4.0 - taught.values[0].numpy()).max() <= 0.25
        assert np.array_equal(seen.half_width / 4.0, taught.half_width[0].numpy())


def test_a_tilt_makes_steps_finer_where_frequencies_are_higher() -> None:
    octaves = np.array([0, -32, 7, 8, 32, 64], np.int32)
    assert channel_steps(40, 0, octaves, 6).tolist() == [40] * 6
    assert channel_steps(40, 1, octaves, 6).tolist() == [40, 42, 40, 39, 38, 36]
    assert channel_steps(40, -1, octaves, 6).tolist() == [40, 38, 40, 40, 42, 44]
    assert channel_steps(40, 3, octaves, 6).tolist() == [40, 46, 39, 38, 34, 28]
    assert channel_steps(2, 3, octaves, 6).tolist() == [2, 8, 1, 0, 0, 0]
    assert channel_steps(79, -3, octaves, 6).tolist() == [79, 73, 80, 80, 80, 80]
    assert channel_steps(40, 3, None, 2).tolist() == [40, 40]


def test_dequantize_gives_every_channel_its_own_step() -> None:
    known = Known(np.array([[[3]], [[0]], [[2]]], np.int32), np.zeros((3, 1, 1), bool), np.array([[[0]], [[1]], [[1]]], np.uint8), True)
    seen = dequantize(known, np.array([32, 40, 24], np.int32), 7, 1 << 20)
    assert seen.values.ravel().tolist() == [3 * 64, 0, 2 * 32 + 14]
    assert seen.precision.ravel().tolist() == [32, 48, 32]
    assert seen.half_width.ravel().tolist() == [32, 256, 32]


def test_guard_halves_what_no_photo_reaches() -> None:
    negative = np.array([[[True, False]], [[False, False]]])
    known = Known(np.array([[[100, 1]], [[60, 0]]], np.int32), negative, np.zeros((2, 1, 2), np.uint8), True)
    steps = np.array([32, 32], np.int32)
    free = dequantize(known, steps, 7, 1 << 20)
    assert free.values.tolist() == [[[-6400, 64]], [[3840, 0]]]
    assert free.half_width.tolist() == [[[32, 32]], [[32, 64]]]
    held = dequantize(known, steps, 7, 5200)
    assert held.values.tolist() == [[[-3200, 64]], [[1920, 0]]]
    assert held.half_width.tolist() == free.half_width.tolist()
    assert held.levels.tolist() == [[[-15, 1]], [[15, 0]]]


def test_guard_halves_towards_zero_until_the_norm_fits() -> None:
    values = np.array([[[-7, 3]], [[5, -3]]], np.int32)
    assert guard_l1(values.copy(), 6).tolist() == [[[-3, 3]], [[2, -3]]]
    assert guard_l1(values.copy(), 5).tolist() == [[[-3, 1]], [[2, -1]]]
    assert guard_l1(values.copy(), 0).tolist() == [[[0, 0]], [[0, 0]]]
