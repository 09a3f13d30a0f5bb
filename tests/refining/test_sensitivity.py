"""Where errors are seen: exact weights of pictures whose variances are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sdz.runtime.refining import sensitivity as module
from sdz.runtime.refining.sensitivity import latent_weights, sensitivity


def half_busy(levels: int) -> NDArray[np.uint8]:
    """Mid-grey 96 x 192, the right half a chessboard of squares of two pixels, so many levels above and below it."""
    picture = np.full((96, 192, 3), 128, np.uint8)
    board = np.indices((48, 48)).sum(axis=0) % 2
    picture[:, 96:] = np.where(np.kron(board, np.ones((2, 2), int)), 128 - levels, 128 + levels)[:, :, None]
    return picture


def test_a_flat_picture_counts_the_same_everywhere() -> None:
    found = sensitivity(np.full((20, 33, 3), 90, np.uint8), 16, 0.5)
    assert found is not None and found.dtype == np.float32
    # part blocks are repeated to whole ones
    assert found.tolist() == [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    assert sensitivity(np.full((20, 33, 3), 90, np.uint8), 16, 0.0) is None


def test_errors_count_by_the_variance_of_windows_of_nine_at_half_the_resolution() -> None:
    found = sensitivity(half_busy(4), 16, 1.0)
    assert found is not None and found.shape == (6, 12)
    # of 81 samples one more is above than below
    variance = 16 * (1 - 1 / 81**2)
    assert found[3, 2] / found[3, 9] == pytest.approx((2 * variance + 58.5) / 58.5, rel=1e-5)
    assert np.log(found).mean() == pytest.approx(0.0, abs=1e-6)
    assert np.array_equal(found[1:5], found[1:2].repeat(4, axis=0)) and found[0, 2] == found[0, 0]
    # the share that is the same everywhere
    share = 0.75 + 0.25 * found / found.mean()
    assert sensitivity(half_busy(4), 16, 0.25) == pytest.approx(share / np.exp(np.log(share).mean()), rel=1e-5)


def test_no_block_counts_more_or_less_than_threefold() -> None:
    found = sensitivity(half_busy(100), 8, 1.0)
    assert found is not None and found.shape == (12, 24)
    assert found[5, 3] == 3.0 and found[5, 20] == np.float32(1 / 3)


@pytest.mark.parametrize("patch", [4, 8, 16])
def test_a_large_photo_is_looked_at_in_strips(monkeypatch: pytest.MonkeyPatch, patch: int) -> None:
    noise = np.random.default_rng(4).integers(0, 256, (90, 70, 3)).astype(np.uint8)
    whole = sensitivity(noise, patch, 0.6)
    monkeypatch.setattr(module, "STRIP", 16)
    assert whole is not None and np.array_equal(sensitivity(noise, patch, 0.6), whole)


def test_latents_are_weighed_with_about_the_root() -> None:
    assert latent_weights(None) is None
    weights = latent_weights(np.array([[1.0, 3.0], [0.5, 1.0]], np.float32))
    assert weights is not None and weights.shape == (1, 2, 2)
    assert weights[0] == pytest.approx(np.array([[1.0, 3**0.4], [0.5**0.4, 1.0]]), rel=1e-5)
