"""Tiles that overlap: where they lie, and that their weights make one picture."""

from __future__ import annotations

import numpy as np
import pytest

from sdz.runtime.format.tiles import Span, Tiling


def test_a_small_picture_is_one_piece_however_long() -> None:
    tiling = Tiling(whole=100, overlap=2)
    assert tiling.spans(10, 10) == ([Span(0, 10, False, False)], [Span(0, 10, False, False)])
    assert tiling.spans(2, 50)[1] == [Span(0, 50, False, False)]


def test_a_large_one_is_tiles_that_share_the_overlap() -> None:
    down, across = Tiling(whole=100, overlap=2).spans(9, 21)
    assert down == [Span(0, 9, False, False)]
    assert across == [Span(0, 8, False, True), Span(6, 15, True, True), Span(13, 21, True, False)]


@pytest.mark.parametrize(("whole", "overlap"), [(36, 2), (64, 2), (144, 4), (4096, 8), (600, 8)])
def test_every_pixel_has_the_full_weight_from_two_tiles_at_most(whole: int, overlap: int) -> None:
    tiling = Tiling(whole, overlap)
    assert tiling.problem(4) is None
    side = int(whole**0.5)
    for length in range(1, 6 * side):
        spans = tiling.spans(length, whole + 1)[0]
        sums, cover = np.zeros(4 * length, int), np.zeros(4 * length, int)
        for span in spans:
            assert span.stop - span.start <= side
            weights = tiling.weights(span, 4)
            assert weights.min() >= 1
            sums[4 * span.start : 4 * span.stop] += weights
            cover[4 * span.start : 4 * span.stop] += 1
        assert (sums == tiling.full(4)).all()
        assert cover.max() <= 2


def test_weights_rise_and_fall_by_twos() -> None:
    tiling = Tiling(whole=100, overlap=2)
    assert tiling.weights(Span(6, 11, True, True), 2).tolist() == [1, 3, 5, 7, 8, 8, 7, 5, 3, 1]


@pytest.mark.parametrize(
    ("whole", "overlap", "patch", "problem"),
    [
        (4096, 7, 8, "an overlap of 7 is not an even number from 2 to 128"),
        (4096, 0, 8, "an overlap of 0 is not an even number from 2 to 128"),
        (1 << 20, 34, 32, "an overlap of 34 is not an even number from 2 to 32"),
        (575, 8, 8, "575 positions in one piece are not from 576 to 1048576"),
        ((1 << 20) + 1, 8, 8, "1048577 positions in one piece are not from 576 to 1048576"),
    ],
)
def test_tilings_that_cannot_be(whole: int, overlap: int, patch: int, problem: str) -> None:
    assert Tiling(whole, overlap).problem(patch) == problem
