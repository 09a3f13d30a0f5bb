"""Distortion measures for training and evaluation, each from a package nobody here wrote."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import types
from typing import Any

import torch
from pytorch_msssim import ms_ssim
from torch import Tensor, nn

MSE_SHARE = 0.45
"""Share of the mean squared error in the distortion; the rest is structure."""

STRUCTURE_GAIN = 1600.0
"""Squared levels that 1 - MS-SSIM is worth: near 0.15 bpp (MSE 130, 1 - MS-SSIM 0.06) structure is three fifths of the distortion."""


def structure_loss(output: Tensor, target: Tensor) -> Tensor:
    """1 - MS-SSIM (Wang, Simoncelli and Bovik 2003) per image (N,), for (N, 3, H, W) in [0, 255], sides over 160."""
    return torch.as_tensor(1.0 - ms_ssim(output.float(), target.float(), data_range=255, size_average=False))


def squared_error(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error per image (N,), squared levels."""
    return (output.float() - target.float()).square().mean(dim=(1, 2, 3))


def distortion(output: Tensor, target: Tensor) -> tuple[Tensor, dict[str, float]]:
    """What training minimises per image (N,), in squared levels, and its figures (PSNR, MS-SSIM) for the progress line."""
    mse = squared_error(output, target)
    structure = structure_loss(output, target)
    figures = {
        "psnr": float((10 * torch.log10(255.0**2 / mse.detach())).mean()),
        "msssim": float(1 - structure.detach().mean()),
    }
    return MSE_SHARE * mse + STRUCTURE_GAIN * structure, figures


class PerceptualDistance(nn.Module):
    """ST-LPIPS (Ghildyal and Liu 2022) through the `stlpips-pytorch` package; (N,) for (N, 3, H, W) in [0, 255].

    `trunk` is "alex" (training) or "vgg" (reports). The package imports torchvision only for weights that it then
    overwrites with its own files, so a stand-in for that import is enough; torchvision itself is never installed.
    """

    def __init__(self, trunk: str) -> None:
        super().__init__()
        with _torchvision_stand_in(), contextlib.redirect_stdout(io.StringIO()):
            module: Any = importlib.import_module("stlpips_pytorch.stlpips")
            self.metric = module.LPIPS(net=trunk, variant="shift_tolerant", verbose=False)
        self.metric.requires_grad_(False)
        self.metric.eval()

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        value: Tensor = self.metric(output / 127.5 - 1.0, target / 127.5 - 1.0)
        return value.float().reshape(len(output))


@contextlib.contextmanager
def _torchvision_stand_in() -> Any:
    added = []
    for name in ("torchvision", "torchvision.models", "IPython", "torchsummary"):
        if name not in sys.modules:
            sys.modules[name] = types.ModuleType(name)
            added.append(name)
    for name, attribute in (("torchvision", "models"), ("IPython", "embed"), ("torchsummary", "summary")):
        if name in added:
            setattr(sys.modules[name], attribute, sys.modules.get(f"{name}.{attribute}"))
    try:
        yield
    finally:
        for name in added:
            del sys.modules[name]


__all__ = ["PerceptualDistance", "distortion", "squared_error", "structure_loss"]
