"""Colour drift and hatching on pictures whose figures follow from their definition."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sdz.export.metrics.artefacts import BLOCK, block_colour, hatching

GREY = np.full((80, 96, 3), 120, np.uint8)


def wave(amplitude: float, half_waves: int) -> NDArray[np.uint8]:
    """GREY with one cosine of the 16-point basis across every block."""
    x = np.arange(GREY.shape[1]) % BLOCK
    levels = 120 + amplitude * np.cos(np.pi * (2 * x + 1) * half_waves / (2 * BLOCK))
    return np.broadcast_to(levels.round()[None, :, None], GREY.shape).astype(np.uint8)


def test_equal_pictures_have_neither() -> None:
    assert (block_colour(GREY, GREY), hatching(GREY, GREY)) == (0.0, 0.0)


def test_colour_is_the_distance_in_lab_of_block_means() -> None:
    tinted = GREY.copy()
    tinted[:, :48, 0] += 20
    # skimage: Lab of (140, 120, 120) is (51.85, 7.69, 3.06)
    assert block_colour(tinted, GREY) == pytest.approx(np.hypot(7.69, 3.06) / 2, rel=0.02)
    rim = GREY.copy()
    rim[:, 64:80] = (0, 255, 0)
    narrow = rim[:15, :15]
    assert block_colour(narrow, narrow) == 0.0  # no whole block


def test_hatching_is_the_amplitude_of_a_basis_function_or_of_the_steps_between_blocks() -> None:
    # eight half waves: 3 levels up and down, so a block's one coefficient is 16 * 3, of which 8 count as a level
    assert hatching(wave(4, 8), GREY) == pytest.approx(6.0)
    assert hatching(wave(4, 2), GREY) == pytest.approx(0.0, abs=0.6)  # a gradient, not a pattern
    steps = GREY.copy()
    steps[:, BLOCK : 2 * BLOCK] += 6
    # of six blocks in a row two have a step of 6 before them, none has a wave
    assert hatching(steps, GREY) == pytest.approx(np.sqrt(36 * 2 / 6))


def test_what_the_photo_has_itself_is_no_hatching() -> None:
    assert hatching(wave(4, 8), wave(4, 8)) == 0.0
    assert hatching(GREY, wave(4, 8)) == 0.0  # blur is for other measures


def test_a_busy_photo_says_nothing_about_hatching() -> None:
    noise = np.random.default_rng(1).integers(0, 256, GREY.shape).astype(np.uint8)
    assert hatching(GREY, noise) is None
    assert hatching(GREY[:48, :48], GREY[:48, :48]) is None  # nine blocks
