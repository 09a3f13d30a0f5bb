"""Lapping: what the linear pair does across the borders of blocks, so that no block stands alone.

A time-domain lapped transform (Tran, Liang and Tu, "Lapped transform via time-domain pre- and post-filtering", 2003): before the analysis a
filter over the borders makes neighbouring blocks differ more, after the synthesis its inverse makes them differ less. Here in its
lifting form, one small matrix: of the mirrored pixels a[i] = x[b - 1 - i] and b[i] = x[b + i], i < overlap, the filter adds M (a - b) to a
and takes it from b. Outermost borders stay as they are.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor, nn

BOOST = 1.4
"""Gain of the smoothest difference in the analysis; 1 would be the orthogonal lapped transform. Of 1.0 to 1.8 it had the best PSNR."""


def boosted_matrix(overlap: int) -> Tensor:
    """The synthesis' M (overlap, overlap) float32: I + 2 M is the inverse of the paper's V = J C2' diag(BOOST, 1, ..., 1) C4 J."""
    identity = np.eye(overlap)
    second, fourth = (dct(identity, axis=0, norm="ortho", type=kind) for kind in (2, 4))
    boost = np.diag([BOOST] + [1.0] * (overlap - 1))
    analysis = (second.T @ boost @ fourth)[::-1, ::-1]
    return torch.from_numpy((np.linalg.inv(analysis) - identity) / 2.0).float()


def inverse(matrix: Tensor) -> Tensor:
    """The M that undoes `matrix`, both (overlap, overlap)."""
    identity = torch.eye(len(matrix), dtype=matrix.dtype)
    undone: Tensor = (torch.linalg.inv(identity + 2.0 * matrix) - identity) / 2.0
    return undone


def kernel_of(matrix: Tensor, patch: int) -> Tensor:
    """What the filter does to `patch` pixels with a border in their middle: (patch, patch) of `matrix` (overlap, overlap)."""
    overlap, middle = len(matrix), patch // 2
    # upper left: M on the mirrored pixels before the border; the others by its mirror images
    flipped = matrix.flip(0)
    before = torch.cat([flipped.flip(1), -flipped], dim=1)
    inner = torch.cat([before, before.flip(0, 1)])
    grown: Tensor = nn.functional.pad(inner, [middle - overlap] * 4)
    return torch.eye(patch, dtype=matrix.dtype, device=matrix.device) + grown


class Lapping(nn.Module):
    """The filter over the borders of blocks of `patch` pixels, rows first; `matrix` (overlap, overlap) is trained."""

    def __init__(self, matrix: Tensor, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.matrix = nn.Parameter(matrix.clone())

    def kernel(self) -> Tensor:
        """`kernel_of` what is trained."""
        return kernel_of(self.matrix, self.patch)

    def forward(self, pixels: Tensor) -> Tensor:
        """Filtered pixels (N, 3, patch h, patch w)."""
        kernel = self.kernel()
        for _ in range(2):
            pixels = _rows(pixels, kernel).transpose(2, 3)
        return pixels


def _rows(pixels: Tensor, kernel: Tensor) -> Tensor:
    """`kernel` over the rows around every inner border."""
    patch = len(kernel)
    count, colours, height, width = pixels.shape
    middle = patch // 2
    inner = pixels[:, :, middle : height - middle].reshape(count, colours, -1, patch, width)
    filtered = (kernel @ inner).reshape(count, colours, -1, width)
    return torch.cat([pixels[:, :, :middle], filtered, pixels[:, :, height - middle :]], dim=2)
