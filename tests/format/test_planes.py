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
from sdz.runtime.core import Core
from sdz.runtime.errors import EncodeInputError
from sdz.runtime.format.coder import decoded
from sdz.runtime.format.coder_tables import A_PLANE, FILLS, LEVELS, CoderTables
from sdz.runtime.format.planes import decode_planes, encode_planes, plane_count, spent_bytes
from sdz.runtime.format.reconstruction import Known, channel_steps, step_units
from sdz.runtime.quantize import dead_zone

STEP_INDEX = 40


def latents(channels: int = 6, rows: int = 5, columns: int = 7, seed: int = 3) -> NDArray[np.int32]:
    rng = np.random.default_rng(seed)
    spread = 40.0 / (1.0 + np.arange(channels))[:, None, None]
    return np.round(rng.laplace(0.0, spread, (channels, rows, columns))).astype(np.int32)


def varied_tables(channels: int, means: int = 0) -> CoderTables:
    rng = np.random.default_rng(11)
    tables = neutral_tables(channels, means)
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
        mean_order=(rng.integers(-3, 4, tables.mean_order.shape) + 8 * np.arange(LEVELS)).astype(np.int16),
        mean_fill=rng.integers(means, channels, (3, FILLS)).astype(np.uint8) if 0 < means < channels else tables.mean_fill,
        energy_thresholds=np.round(np.geomspace(4, 3000, 23)).astype(np.uint16),
    )


@pytest.mark.parametrize(
    ("means", "size", "digest"),
    [
        (0, 219, "cc6b5332780fabd94e13f2d4a5fc78e26844de2d575b4ce744da02e3753da7a1"),
        (3, 225, "223d2fcee4ac476e9ff749d10705166e5ad3860f274cace63f5eb4e1c3a3beab"),
    ],
)
def test_golden_payload(means: int, size: int, digest: str) -> None:
    payload = encode_planes(latents(), STEP_INDEX, varied_tables(6, means))
    assert (len(payload), hashlib.sha256(payload).hexdigest()) == (size, digest)


@pytest.mark.parametrize("means", [0, 1, 3])
@pytest.mark.parametrize("shape", [(1, 1, 1), (6, 1, 9), (6, 9, 1), (6, 16, 16), (4, 13, 6)])
def test_whole_payload_gives_the_latents_back(shape: tuple[int, int, int], means: int) -> None:
    source = latents(*shape)
    tables = varied_tables(shape[0], min(means, shape[0]))
    known = decode_planes(encode_planes(source, STEP_INDEX, tables), *shape, STEP_INDEX, tables)
    assert known.complete
    assert not known.plane.any()
    assert np.array_equal(np.where(known.negative, -known.magnitude, known.magnitude), source)


@pytest.mark.parametrize("means", [0, 2])
def test_cuts_at_every_byte_know_a_growing_part_of_the_truth(means: int) -> None:
    source = latents()
    tables = varied_tables(6, means)
    payload = encode_planes(source, STEP_INDEX, tables)
    before = np.full(source.shape, 15, np.uint8)
    others = np.s_[means:]
    for cut in range(len(payload) + 1):
        known = decode_planes(payload[:cut], *source.shape, STEP_INDEX, tables)
        assert np.array_equal(known.magnitude[others], ((np.abs(source) >> known.plane) << known.plane)[others])
        assert np.array_equal(known.negative[others], ((source < 0) & (known.magnitude > 0))[others])
        assert (known.plane <= before).all()
        assert known.complete == (cut == len(payload))
        before = known.plane


def test_what_is_not_known_of_a_mean_is_smooth() -> None:
    # one coefficient, the top, says it all: a mean of 40 with a detail of one plane at the finest level
    source = np.full((4, 8, 8), 40, np.int32)
    source[0, 3, 3] += 1
    source[1:] = 0
    tables = replace(neutral_tables(4, 1), mean_order=np.tile(np.where(np.arange(LEVELS) == 1, -60, 0), (3, 1)).astype(np.int16))
    payload = encode_planes(source, STEP_INDEX, tables)
    for cut in range(len(payload) + 1):
        known = decode_planes(payload[:cut], *source.shape, STEP_INDEX, tables)
        found = np.unique(known.magnitude[0]).tolist()
        assert len(found) == 1 or (known.complete and found == [40, 41])


@pytest.mark.parametrize("means", [0, 3])
def test_every_byte_went_into_a_pass(means: int) -> None:
    source = latents()
    tables = varied_tables(6, means)
    payload = encode_planes(source, STEP_INDEX, tables)
    whole = spent_bytes(payload, *source.shape[1:], STEP_INDEX, tables)
    assert whole.shape[1:] == (6, 2) and whole.sum() == len(payload)
    assert not whole[:, :means, 1].any()
    with decoded(tables.stored, payload, *source.shape[1:], STEP_INDEX) as (core, picture):
        kind, plane, band, part = core.facts(picture).passes.T
    # several levels of a mean's plane count as one
    places = list(dict.fromkeys(zip(plane.tolist(), np.where(kind, band, band >> 4).tolist(), part.tolist(), strict=True)))
    levels = len(kind) - len(places)
    assert (levels > 0) == (means > 0)
    for cut in range(3, len(payload) + 1):
        taken = spent_bytes(payload[:cut], *source.shape[1:], STEP_INDEX, tables)
        assert taken.sum() == cut
        other = [whole[one] != taken[one] for one in places]
        # all passes before the one in which the payload ends took what they take of the whole
        assert means or not any(other[: max(i for i, one in enumerate(places) if taken[one])])


def test_no_latents_need_no_bytes() -> None:
    payload = encode_planes(np.zeros((6, 4, 4), np.int32), STEP_INDEX, neutral_tables(6))
    assert len(payload) == 2  # fifteen even bits
    known = decode_planes(payload, 6, 4, 4, STEP_INDEX, neutral_tables(6))
    assert known.complete and not known.plane.any()
    nothing = decode_planes(b"", 6, 4, 4, STEP_INDEX, neutral_tables(6))
    assert not nothing.complete and (nothing.plane == 15).all()


@pytest.mark.parametrize("means", [0, 3])
def test_bytes_of_anything_decode_to_something(means: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, 400, dtype=np.uint8).tobytes()
    known = decode_planes(noise, 6, 5, 7, 80, varied_tables(6, means))
    assert known.magnitude.max() < 1 << 15
    assert known.magnitude.min() >= 0


def test_magnitudes_over_15_planes_are_refused() -> None:
    assert plane_count(np.array([[[(1 << 15) - 1]]], np.int32)) == 15
    with pytest.raises(EncodeInputError, match="16 bit-planes"):
        plane_count(np.array([[[-(1 << 15)]]], np.int32))


def test_pass_order_brings_channels_and_levels_forward() -> None:
    order = np.array([[0, 0], [0, -2], [10, 8], [-1, -1]], np.int16)
    levels = np.zeros((3, LEVELS), np.int16)
    levels[0, 1:4] = 9, 11, 21
    tables = replace(neutral_tables(4, 1), order=order, mean_order=levels)
    source = np.full((4, 2, 4), 3, np.int32)
    core = Core()
    handle = core.tables(tables.to_bytes())
    payload = core.encode(handle, source, STEP_INDEX, room=1000)[0]
    facts = core.facts(core.decode(handle, payload, 2, 4, STEP_INDEX))
    near, far, mean, channel = 0, 1, 0, 1
    assert facts.planes == 2
    assert facts.passes.tolist() == [
        [mean, 1, 3, 0], [mean, 1, 2, 0], [mean, 0, 3, 0], [channel, 1, 2, near], [mean, 1, 1, 0], [channel, 1, 2, far],
        [mean, 0, 2, 0], [channel, 1, 1, near], [channel, 0, 2, near], [mean, 0, 1, 0], [channel, 1, 3, near], [channel, 1, 3, far],
        [channel, 1, 1, far], [channel, 0, 2, far], [channel, 0, 1, near], [channel, 0, 3, near], [channel, 0, 3, far],
        [channel, 0, 1, far],
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
