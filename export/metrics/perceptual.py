"""Perceptual distances by networks, from packages nobody here wrote, with the weights that ship inside them."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import types
from typing import Any

from torch import Tensor, nn


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
