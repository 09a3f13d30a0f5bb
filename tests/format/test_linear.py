"""The linear stage: exact values of a table small enough to compute by hand, rounding, clamping, layout."""

from __future__ import annotations

import numpy as np
import pytest
from numpy_forms import lapped, linear_stage, reduced, reduced_stage

from sdz.runtime.format.linear import LAP_LIMIT, LAP_SUM, reductions


def test_zero_latents_are_mid_grey() -> None:
    pixels = linear_stage(np.zeros((2, 2, 3), np.int32), np.ones((2, 768), np.int16), 4)
    assert pixels.shape == (32, 48, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == 128).all()


def test_each_table_entry_reaches_its_pixel() -> None:
    table = np.zeros((1, 768), np.int16)
    table[0, 256 * 2 + 16 * 3 + 5] = 16
    pixels = linear_stage(np.array([[[0, 10]]], np.int32), table, 4)
    expected = np.full((16, 32, 3), 128, np.uint8)
    expected[3, 16 + 5, 2] = 138
    assert np.array_equal(pixels, expected)


def test_sums_are_rounded_half_up_and_clamped() -> None:
    table = np.tile(np.array([[1], [-1]], np.int16), (1, 768))
    values = np.array([[[7, 8, 0, 0, 5000, 0]], [[0, 0, 8, 9, 0, 5000]]], np.int32)
    assert linear_stage(values, table, 4)[0, ::16, 0].tolist() == [128, 129, 128, 127, 255, 0]


@pytest.mark.parametrize("patch", [4, 8, 32])
def test_any_patch(patch: int) -> None:
    table = np.zeros((1, 3, patch, patch), np.int16)
    table[0, 2, 1, patch - 1] = 16
    table = table.reshape(1, -1)
    pixels = linear_stage(np.array([[[0, 40]]], np.int32), table, 4)
    expected = np.full((patch, 2 * patch, 3), 128, np.uint8)
    expected[1, -1, 2] = 168
    assert np.array_equal(pixels, expected)
    assert reductions(patch) == tuple(2**n for n in range(1, 6) if 2**n <= patch)
    small = reduced_stage(np.array([[[0, 40]]], np.int32), *reduced(table, 4, 2), patch // 2)
    assert small.shape == (patch // 2, patch, 3)
    assert small[0, -1].tolist() == [128, 128, 138] and int(small.astype(int).sum()) == 128 * small.size + 10


LAPPING = np.array([[-64, 32], [16, -128]], np.int32)


def test_lapping_moves_what_differs_across_a_border() -> None:
    # two blocks of 4 side by side, one row of them: a = 40, 8 and b = -24, 72 from the border on, so differences 64 and -64
    row = np.array([0, 0, 8, 40, -24, 72, 0, 0], np.int32)
    levels = np.tile(row[None, :, None], (4, 1, 3))
    # (-64 * 64 + 32 * -64) / 256 = -24 and (16 * 64 + 128 * 64) / 256 = 36
    expected = np.array([0, 0, 8 + 36, 40 - 24, -24 + 24, 72 - 36, 0, 0])
    for picture, wanted in ((levels, expected), (levels.transpose(1, 0, 2), expected)):
        found = lapped(np.ascontiguousarray(picture), 4, LAPPING)
        assert (found == (wanted[None, :, None] if picture is levels else wanted[:, None, None])).all()
    assert (levels == row[None, :, None]).all()


def test_halves_are_rounded_up_on_both_sides_of_a_border() -> None:
    levels = np.zeros((1, 2, 3), np.int32)
    levels[0, 0] = [2, 6, -2]
    # t = 64 * 2 = 128, a half: up to 1 before the border, up to 0 behind it
    assert lapped(levels, 1, np.array([[64]], np.int32))[0, :, :].T.tolist() == [[3, 0], [8, -1], [-2, 1]]


def test_rows_are_lapped_before_columns() -> None:
    random = np.random.default_rng(4)
    levels = random.integers(-4000, 4000, (8, 12, 3)).astype(np.int32)
    rows = levels.copy()
    for at, i in ((4, 0), (4, 1)):
        differences = [levels[at - 1 - j] - levels[at + j] for j in range(2)]
        total = sum(int(LAPPING[i, j]) * differences[j] for j in range(2))
        rows[at - 1 - i] += (total + 128) >> 8
        rows[at + i] += (128 - total) >> 8
    wanted = rows.copy()
    for at in (4, 8):
        for i in range(2):
            total = sum(int(LAPPING[i, j]) * (rows[:, at - 1 - j] - rows[:, at + j]) for j in range(2))
            wanted[:, at - 1 - i] += (total + 128) >> 8
            wanted[:, at + i] += (128 - total) >> 8
    assert np.array_equal(lapped(levels, 4, LAPPING), wanted)


def test_levels_before_a_lapping_are_held_and_have_four_places() -> None:
    table = np.zeros((1, 48), np.int16)
    table[0, :16] = 1
    still = np.zeros((1, 1), np.int32)
    values = np.array([[[3, 4, -4, -5, 4096, 8191 * 2, 1 << 20]]], np.int32)
    # of shift 5 four places are left, halves up; then whole levels, halves up again
    assert linear_stage(values, table, 5, still)[0, ::4, 0].tolist() == [128, 128, 128, 128, 255, 255, 255]
    assert linear_stage(values[:, :, :4] * 4, table, 5, still)[0, ::4, 0].tolist() == [128, 129, 128, 127]
    strong = np.array([[LAP_SUM]], np.int32)
    far = np.array([[[1 << 20, -(1 << 20)]]], np.int32)
    shown = linear_stage(far, table, 5, -strong // 2)[0, :, 0].astype(int)
    # levels of +-LAP_LIMIT, 2 * LAP_LIMIT apart, brought together by 116/256 of that on either side
    left = LAP_LIMIT - (2 * LAP_LIMIT * (LAP_SUM // 2)) // 256
    assert shown[3] == min(255, (left + 2056) >> 4) and shown[4] == max(0, (-left + 2056) >> 4) and shown[0] == 255 and shown[7] == 0


@pytest.mark.parametrize("factor", [2, 4, 8, 16])
def test_reduced_pictures_are_means_of_lapped_ones(factor: int) -> None:
    random = np.random.default_rng(3)
    table = random.integers(-300, 300, (5, 768)).astype(np.int16)
    values = random.integers(-25, 25, (5, 3, 4)).astype(np.int32)
    lapping = random.integers(-50, 50, (4, 4)).astype(np.int32)
    full = linear_stage(values, table, 8, lapping).astype(np.float64)
    assert full.min() > 0 and full.max() < 255
    means = full.reshape(48 // factor, factor, 64 // factor, factor, 3).mean(axis=(1, 3))
    found = reduced_stage(values, *reduced(table, 8, factor, lapping), 16 // factor)
    assert found.shape == means.shape and np.abs(found - means).max() < 1
    alone = reduced_stage(values, *reduced(table, 8, factor), 16 // factor)
    assert (alone != found).any()
