"""What goes wrong where the eye forgives least: colours that drift, and a codec's own basis showing in flat areas and skin.

Takes uint8 pictures (H, W, 3), returns figures that are 0 for equal pictures. Each asks one question that measures of likeness average
away.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn
from skimage.color import rgb2lab

from .pictures import Pixels

BLOCK = 16
"""Sides of the blocks that are looked at: those of the default pack's basis, from the picture's upper left corner."""

FLAT_DEVIATION = 6.0
"""Deviation of a block's luma, levels, up to which the photo counts as flat there ..."""

SKIN_DEVIATION = 12.0
"""... and up to which a block of skin's colour counts as smooth skin."""

SKIN = ((77.0, 127.0), (133.0, 173.0))
"""Cb and Cr of skin (Chai and Ngan, "Face segmentation using skin-color map", 1999)."""

LEAST_FREQUENCY = 3
"""Half waves per block from which a basis function is seen as a pattern and not as a gradient."""

LEAST_BLOCKS = 16
"""Flat or skin blocks under which a picture says nothing about patterns."""

YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
"""BT.601, from RGB levels; 128 is added to the colours."""

PEAK = 8.0
"""An orthonormal coefficient of a 16 x 16 block is so many times the amplitude of its wave, where that runs in both directions."""


def block_colour(picture: Pixels, reference: Pixels) -> float:
    """Mean over all whole blocks of the distance between their mean (a, b) in CIE Lab (D65): 1 is about what can just be seen.

    0 for pictures without a whole block.
    """
    first, second = (_blocks(rgb2lab(p)[..., 1:]).mean(axis=(2, 3)) for p in (picture, reference))
    return float(np.hypot(*np.moveaxis(first - second, -1, 0)).mean()) if first.size else 0.0


def hatching(picture: Pixels, reference: Pixels) -> float | None:
    """How strongly a codec's basis shows, in levels of luma: the root of the mean over the flat and skin blocks *of the photo* of two
    energies that the picture has and the photo has not, squared levels:

    - at the basis' own frequencies: the largest squared amplitude of a block's DCT of `LEAST_FREQUENCY` half waves and more, less the
      photo's largest there. Texture and noise spread over many functions, hatching is few.
    - at the block's period: the squared mean step over the block's left and upper border against the mean of its other steps, less the same
      of the photo.

    What the picture has less of than the photo counts as nothing: blur is for other measures. None with fewer than `LEAST_BLOCKS` blocks.
    """
    chosen = _sensitive(reference)
    if chosen.sum() < LEAST_BLOCKS:
        return None
    (basis, border), (basis_of, border_of) = (_patterns(p) for p in (picture, reference))
    excess = (basis - basis_of).clip(0) + (border - border_of).clip(0)
    return float(np.sqrt(excess[chosen].mean()))


def _blocks(planes: NDArray[np.floating]) -> NDArray[np.float64]:
    """(rows, columns, BLOCK, BLOCK, ...) of (H, W, ...), whole blocks only."""
    rows, columns = (side // BLOCK for side in planes.shape[:2])
    whole = planes[: rows * BLOCK, : columns * BLOCK].astype(np.float64)
    return whole.reshape(rows, BLOCK, columns, BLOCK, *planes.shape[2:]).swapaxes(1, 2)


def _sensitive(reference: Pixels) -> NDArray[np.bool_]:
    """Which blocks (rows, columns) of a photo are flat or smooth skin."""
    blocks = _blocks(reference @ YCBCR.T)
    deviation = blocks[..., 0].std(axis=(2, 3))
    colours = blocks[..., 1:].mean(axis=(2, 3)) + 128.0
    skin = np.all([(low <= colours[..., i]) & (colours[..., i] <= high) for i, (low, high) in enumerate(SKIN)], axis=0)
    flat: NDArray[np.bool_] = (deviation <= FLAT_DEVIATION) | (skin & (deviation <= SKIN_DEVIATION))
    return flat


def _patterns(picture: Pixels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Squared amplitude of the strongest function and squared excess of the border's step, (rows, columns) each."""
    luma = picture @ YCBCR[0]
    waves = np.square(dctn(_blocks(luma), axes=(2, 3), norm="ortho") / PEAK)
    order = np.arange(BLOCK)
    strongest = waves[:, :, np.maximum.outer(order, order) >= LEAST_FREQUENCY].max(axis=2)
    excess = np.zeros_like(strongest)
    for axis in (0, 1):
        # the first row and column have nothing before them: no step
        steps = _blocks(np.abs(np.diff(luma, axis=axis, prepend=np.take(luma, [0], axis))))
        lines = steps.mean(axis=3 - axis)
        excess += np.square((lines[..., 0] - lines[..., 1:].mean(axis=2)).clip(0))
    return strongest, excess
