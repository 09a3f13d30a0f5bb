"""The linear stage: exact values of a table small enough to compute by hand, rounding, clamping, layout."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.linear import linear_stage, reduced, reductions


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
    small = linear_stage(np.array([[[0, 40]]], np.int32), *reduced(table, 4, 2))
    assert small.shape == (patch // 2, patch, 3)
    assert small[0, -1].tolist() == [128, 128, 138] and int(small.astype(int).sum()) == 128 * small.size + 10
