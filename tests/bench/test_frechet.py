"""The Fréchet distance of Gaussians whose distance is known, and the patches it is taken over."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sdz.export.metrics.frechet import PATCH, SQUARE, STRIDE, frechet_distance, patch_features


def gaussian(mean: list[float], deviations: list[float]) -> NDArray[np.float64]:
    """Rows whose sample mean and covariance are exactly these (a diagonal one)."""
    size = len(mean)
    corners = np.sqrt((2 * size - 1) / 2) * np.concatenate([np.eye(size), -np.eye(size)])
    rows: NDArray[np.float64] = np.array(mean) + corners * np.array(deviations)
    return rows


def test_equal_sets_have_no_distance() -> None:
    rows = np.random.default_rng(1).normal(size=(40, 6))
    assert frechet_distance(rows, rows) == pytest.approx(0.0, abs=1e-9)


def test_the_distance_of_gaussians_is_that_of_means_and_deviations() -> None:
    first, second = gaussian([0.0, 1.0, 2.0], [1.0, 2.0, 3.0]), gaussian([3.0, 1.0, -2.0], [1.0, 4.0, 0.5])
    # |m1 - m2|² = 25, and for commuting covariances the sum of (s1 - s2)²
    assert frechet_distance(first, second) == pytest.approx(25.0 + 4.0 + 6.25)
    assert frechet_distance(second, first) == pytest.approx(35.25)


def test_a_singular_covariance_is_no_trouble() -> None:
    first, second = gaussian([0.0, 0.0], [1.0, 0.0]), gaussian([0.0, 0.0], [0.0, 2.0])
    assert frechet_distance(first, second) == pytest.approx(5.0)


def test_one_patch_is_no_set() -> None:
    with pytest.raises(ValueError, match="two patches"):
        frechet_distance(np.zeros((1, 4)), np.zeros((9, 4)))


def test_patches_tile_the_middle_square() -> None:
    noise = np.random.default_rng(2).integers(0, 256, (96, 128, 3), np.uint8)
    features = patch_features(noise)
    assert features.shape == (2 * 3, 256)
    assert features.dtype == np.float32
    assert features.std() > 0
    assert patch_features(noise[:63]).shape == (0, 256)
    assert ((SQUARE - PATCH) // STRIDE + 1) ** 2 == 81
