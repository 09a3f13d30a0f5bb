"""The Fréchet distance between patches of photos and of their decoded selves: how real a codec's output looks as a whole.

Takes uint8 pictures (H, W, 3), returns patch features and the distance between two sets of them. Unlike the other measures it
does not ask whether a patch is the right one, only whether such patches occur: blur and blocks do not, plausible texture does.
After Heusel et al., "GANs Trained by a Two Time-Scale Update Rule" (2017), on patches as in Mentzer et al., "High-Fidelity Generative
Image Compression" (2020), with the AlexNet trunk that ships inside `stlpips-pytorch` in the place of Inception.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from .perceptual import PerceptualDistance

SQUARE = 320
"""Side of the middle square that patches are taken from: the trunk costs three seconds per megapixel."""

PATCH = 64
STRIDE = 32
"""Patches overlap by half: 81 of a full square, so that two dozen photos fill the covariance of 256 features."""

MAP_STEP = 8
"""Pixels per position of the trunk's last map."""

Features = NDArray[np.float32]


def patch_features(picture: NDArray[np.uint8]) -> Features:
    """Mean activations (n, 256) of the trunk's last convolution over each patch of the middle square; n = 0 under `PATCH` a side."""
    height, width = picture.shape[:2]
    if min(height, width) < PATCH:
        return np.zeros((0, 256), np.float32)
    top, left = max(0, height - SQUARE) // 2, max(0, width - SQUARE) // 2
    square = np.ascontiguousarray(picture[top : top + SQUARE, left : left + SQUARE]).astype(np.float32)
    with torch.inference_mode():
        maps = _trunk()(torch.from_numpy(square).permute(2, 0, 1)[None] / 127.5 - 1.0)[-1]
        pooled = F.avg_pool2d(maps, PATCH // MAP_STEP, STRIDE // MAP_STEP)
    return np.ascontiguousarray(pooled[0].flatten(1).T.numpy())


def frechet_distance(first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]]) -> float:
    """|m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½) of two sets of features (n, d), each with at least two rows; 0 for equal sets.

    Raises ValueError for fewer rows.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError("the Fréchet distance needs at least two patches in each set")
    means = first.mean(axis=0, dtype=np.float64) - second.mean(axis=0, dtype=np.float64)
    covariances = [np.atleast_2d(np.cov(s.astype(np.float64), rowvar=False)) for s in (first, second)]
    # the root of C1 C2 has the trace of the root of the symmetric A C2 A with A = C1^½, whose eigenvalues are real and not negative
    values, vectors = np.linalg.eigh(covariances[0])
    root = vectors * np.sqrt(np.clip(values, 0.0, None)) @ vectors.T
    eigenvalues = np.linalg.eigvalsh(root @ covariances[1] @ root)
    overlap = np.sqrt(np.clip(eigenvalues, 0.0, None)).sum()
    return max(0.0, float(means @ means + np.trace(covariances[0]) + np.trace(covariances[1]) - 2.0 * overlap))


@functools.cache
def _trunk() -> Any:
    return PerceptualDistance("alex").metric.net
