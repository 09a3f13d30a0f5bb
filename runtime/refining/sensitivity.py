"""Where errors are seen: how much squared errors count in each block of a photo.

Takes pixels, returns a map over blocks. An error shows less where the picture is busy (contrast masking; Watson, "DCTune", 1993). Near the
photo 1 - MS-SSIM is a sum of squared errors over local variances (Wang, Simoncelli and Bovik 2003), so the map is both what the quantizer
weighs errors with and how curved effort's objective is from block to block.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

LUMA: Final = (0.299, 0.587, 0.114)
"""BT.601."""

STRUCTURE: Final = 58.5
"""SSIM's constant of contrast, squared levels: (0.03 * 255) ** 2."""

WINDOW: Final = 9
"""Sides of the windows at half the resolution, where MS-SSIM begins to weigh: its finest scale has 4 % of its exponents."""

HALO: Final = WINDOW // 2 * 2

GREATEST: Final = 3.0
"""No block counts more than so many times, or less than such a part of, what the geometric mean of all counts."""

OF_LATENTS: Final = 0.4
"""Exponent of the weights of latents: with all of it squared error loses more than structure gains."""

STRIP: Final = 256
"""Rows of pixels looked at in one go, about: a large photo in floating point would take many times its own memory."""


def sensitivity(rgb: NDArray[np.uint8], patch: int, masking: float) -> NDArray[np.float32] | None:
    """How much squared errors count in each block of `patch` pixels, an even number, of `rgb` uint8 (H, W, 3): float32 (ceil(H/p),
    ceil(W/p)), None without `masking`.

    `masking`, 0 to 1, is the share of an error's weight that goes by the variances around it; the rest is the same everywhere.
    """
    if not masking:
        return None
    height, width = rgb.shape[:2]
    rows, columns = -(-height // patch), -(-width // patch)
    across = np.arange(-HALO, columns * patch + HALO).clip(0, width - 1)
    step = max(1, STRIP // patch)
    seen = np.empty((rows, columns))
    for top in range(0, rows, step):
        bottom = min(top + step, rows)
        down = np.arange(top * patch - HALO, bottom * patch + HALO).clip(0, height - 1)
        seen[top:bottom] = _blocks(1.0 / (2.0 * _variances(_blocks(rgb[down][:, across] @ np.array(LUMA), 2)) + STRUCTURE), patch // 2)
    counts = 1.0 - masking + masking * seen / seen.mean()
    counts /= np.exp(np.log(counts).mean())
    held: NDArray[np.float32] = counts.clip(1.0 / GREATEST, GREATEST).astype(np.float32)
    return held


def latent_weights(counts: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    """What `quantize.rdo_quantize` weighs latents with, float32 (1, h, w), of a map float32 (h, w); None of None."""
    return None if counts is None else np.power(counts, np.float32(OF_LATENTS))[None]


def _blocks(values: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Means of blocks of so many samples a side."""
    height, width = values.shape
    means: NDArray[np.float64] = values.reshape(height // side, side, width // side, side).mean(axis=(1, 3))
    return means


def _variances(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variances of the windows inside `levels` (h, w): (h - WINDOW + 1, w - WINDOW + 1)."""
    mean = _windows(levels)
    return np.maximum(_windows(np.square(levels)) - np.square(mean), 0.0)


def _windows(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    for axis in (0, 1):
        levels = np.lib.stride_tricks.sliding_window_view(levels, WINDOW, axis).mean(axis=-1)
    return levels
