"""What training minimises: squared error and structure, both per picture."""

from __future__ import annotations

import torch
from pytorch_msssim import ms_ssim
from torch import Tensor

MSE_SHARE = 0.45
"""Share of the mean squared error in the distortion; the rest is structure."""

STRUCTURE_GAIN = 1600.0
"""Squared levels that 1 - MS-SSIM is worth: near 0.15 bpp (MSE 130, 1 - MS-SSIM 0.06) structure is three fifths of the distortion."""


def structure_loss(output: Tensor, target: Tensor) -> Tensor:
    """1 - MS-SSIM (Wang, Simoncelli and Bovik 2003) per picture (N,), for (N, 3, H, W) in [0, 255], sides over 160."""
    return torch.as_tensor(1.0 - ms_ssim(output.float(), target.float(), data_range=255, size_average=False))


def squared_error(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error per picture (N,), squared levels."""
    return (output.float() - target.float()).square().mean(dim=(1, 2, 3))


def distortion(output: Tensor, target: Tensor) -> tuple[Tensor, dict[str, float]]:
    """What training minimises per picture (N,), in squared levels, and its figures (PSNR, MS-SSIM) for the progress line."""
    mse = squared_error(output, target)
    structure = structure_loss(output, target)
    figures = {
        "psnr": float((10 * torch.log10(255.0**2 / mse.detach())).mean()),
        "msssim": float(1 - structure.detach().mean()),
    }
    return MSE_SHARE * mse + STRUCTURE_GAIN * structure, figures
