"""Differentiable measures for `export.gpu_train`: MS-SSIM, SSIMULACRA2, block colour, and Wasserstein distortion of VGG16 features.

All take (N, 3, H, W) in [0, 255] and give one figure per image (N,). Blurs are products with banded matrices: on an accelerator that is
faster than a convolution of one channel, and it needs no compiler. Nothing here ever judges a report: those use packages nobody here wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

RADIUS = 5
"""Taps on either side of the Gaussian that MS-SSIM and SSIMULACRA2 both use ..."""

SIGMA = 1.5
"""... and its deviation, pixels."""

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of MS-SSIM's five scales (Wang, Simoncelli and Bovik 2003)."""

OPSIN = ((0.30, 0.622, 0.078), (0.23, 0.692, 0.078), (0.24342268924547819, 0.20476744424496821, 0.55180986650955360))
"""Linear RGB to the cones' mixture of JPEG XL's XYB ..."""

OPSIN_BIAS = 0.0037930732552754493
"""... and what is added before the cube root."""

SMALLEST_SCALE = 8
"""Sides below which SSIMULACRA2 takes no further scale."""

OKLAB_CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
"""Linear sRGB to cones, and below the cones' cube roots to OKLab's a and b (Ottosson 2020)."""

OKLAB_AB = ((1.9779984951, -2.4285922050, 0.4505937099), (0.0259040371, 0.7827717662, -0.8086757660))

COLOUR_BLOCK = 16
"""Sides of the blocks whose mean colours are compared."""


@cache
def _taps() -> tuple[float, ...]:
    x = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
    g = torch.exp(-x.square() / (2 * SIGMA**2))
    return tuple((g / g.sum()).tolist())


_BANDS: dict[tuple[int, bool, torch.device], Tensor] = {}


def band(size: int, device: torch.device, *, valid: bool) -> Tensor:
    """The Gaussian as a matrix: (size, size - 10) for inner positions only, or (size, size) with weights that sum to one at the borders."""
    key = (size, valid, device)
    if key not in _BANDS:
        full = torch.zeros(size, size + 2 * RADIUS, dtype=torch.float64)
        index = torch.arange(size)
        for k, tap in enumerate(_taps()):
            full[index, index + k] = tap
        matrix = full[:, 2 * RADIUS : size] if valid else full[:, RADIUS : size + RADIUS]
        if not valid:
            matrix = matrix / matrix.sum(dim=0, keepdim=True)
        _BANDS[key] = matrix.float().contiguous().to(device)
    return _BANDS[key]


def blur(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Both sides of (..., H, W) multiplied with `band`s."""
    return rows.t() @ (x @ columns)


def ms_ssim(output: Tensor, target: Tensor) -> Tensor:
    """MS-SSIM (N,) as `pytorch_msssim` computes it, sides over 160."""
    levels = []
    for scale, _ in enumerate(SCALE_WEIGHTS):
        rows, columns = (band(size, output.device, valid=True) for size in output.shape[-2:])
        with torch.no_grad():
            mean_t = blur(target, rows, columns)
            power_t = blur(target * target, rows, columns) - mean_t * mean_t
        mean_o = blur(output, rows, columns)
        power_o = blur(output * output, rows, columns) - mean_o * mean_o
        common = blur(output * target, rows, columns) - mean_o * mean_t
        structure = (2 * common + 58.5225) / (power_o + power_t + 58.5225)
        if scale < len(SCALE_WEIGHTS) - 1:
            levels.append(structure.mean(dim=(2, 3)).clamp_min(1e-4))
            pad = [s % 2 for s in output.shape[-2:]]
            output, target = (F.avg_pool2d(x, 2, padding=pad) for x in (output, target))
        else:
            light = (2 * mean_o * mean_t + 6.5025) / (mean_o * mean_o + mean_t * mean_t + 6.5025)
            levels.append((light * structure).mean(dim=(2, 3)).clamp_min(1e-4))
    product = torch.ones_like(levels[0])
    for level, weight in zip(levels, SCALE_WEIGHTS, strict=True):
        product = product * level.pow(weight)
    return product.mean(dim=1)


def to_linear(pixels: Tensor) -> Tensor:
    """sRGB levels to linear light in [0, 1]."""
    x = pixels.clamp(0, 255) / 255.0
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp_min(0.04045) + 0.055) / 1.055).pow(2.4))


def _mixed(linear: Tensor, matrix: Sequence[Sequence[float]]) -> Tensor:
    r, g, b = linear.unbind(dim=1)
    return torch.stack([m[0] * r + m[1] * g + m[2] * b for m in matrix], dim=1)


def _xyb(linear: Tensor) -> Tensor:
    """JPEG XL's XYB, shifted to be positive as SSIMULACRA2 wants it."""
    roots = (_mixed(linear, OPSIN) + OPSIN_BIAS).clamp_min(1e-6).pow(1.0 / 3.0) - OPSIN_BIAS ** (1.0 / 3.0)
    long, middle, short = roots.unbind(dim=1)
    y = 0.5 * (long + middle)
    return torch.stack([14.0 * 0.5 * (long - middle) + 0.42, y + 0.01, short - y + 0.55], dim=1)


def _norms(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and the fourth root of the mean fourth power over the picture, (N, 3) each."""
    return x.mean(dim=(2, 3)), (x.square().square().mean(dim=(2, 3)) + 1e-14).pow(0.25)


def ssimulacra2_loss(output: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """100 minus SSIMULACRA2 (N,), from *linear* light (N, 3, H, W); `weights` (3, 6, 2, 3) are the measure's own: plane, scale, norm, kind.

    Borders are blurred by weights that sum to one; elsewhere it is the measure.
    """
    total: Tensor | None = None
    scale = 0
    while min(output.shape[-2:]) >= SMALLEST_SCALE and scale < weights.shape[1]:
        rows, columns = (band(size, output.device, valid=False) for size in output.shape[-2:])
        with torch.no_grad():
            t = _xyb(target)
            mean_t = blur(t, rows, columns)
            power_t = blur(t * t, rows, columns) - mean_t * mean_t
            edge_t = 1.0 + (t - mean_t).abs()
        o = _xyb(output)
        mean_o = blur(o, rows, columns)
        power_o = blur(o * o, rows, columns) - mean_o * mean_o
        common = blur(o * t, rows, columns) - mean_o * mean_t
        light = 1.0 - (mean_t - mean_o).square()
        dissimilar = (1.0 - light * (2 * common + 0.0009) / (power_o + power_t + 0.0009)).clamp_min(0)
        edges = (1.0 + (o - mean_o).abs()) / edge_t - 1.0
        for kind, x in enumerate((dissimilar, edges.clamp_min(0), (-edges).clamp_min(0))):
            for norm, value in enumerate(_norms(x)):
                part = (value * weights[:, scale, norm, kind]).sum(dim=1)
                total = part if total is None else total + part
        output, target = (F.avg_pool2d(x, 2) for x in (output, target))
        scale += 1
    assert total is not None
    s = 0.9562382616834844 * total
    s = 2.326765642916932 * s - 0.020884521182843837 * s * s + 6.248496625763138e-05 * s * s * s
    return 10.0 * (s + 1e-3).pow(0.6276336467831387)


def colour_loss(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared distance (N,) of the blocks' mean a and b in OKLab, in thousandths squared, from *linear* light (N, 3, H, W)."""
    means = []
    for linear in (output, target):
        roots = (_mixed(linear, OKLAB_CONES) + 1e-4).pow(1.0 / 3.0)
        means.append(F.avg_pool2d(_mixed(roots, OKLAB_AB), COLOUR_BLOCK))
    return 1e6 * (means[0] - means[1]).square().sum(dim=1).mean(dim=(1, 2))


CONVOLUTIONS = ("1.0", "1.2", "2.6", "2.8", "3.12", "3.14", "3.16", "4.20", "4.22", "4.24")
"""The convolutions of ST-LPIPS' VGG16 up to its fourth layer, by slice and number in `stlpips_pytorch`."""

POOLED = (2, 4, 7)
"""Before these, features are pooled and halved ..."""

JUDGED = {1: 0, 3: 1, 6: 2, 9: 3}
"""... and behind these they are compared: the measure's layers by convolution. Its fifth costs as much as the fourth and says the least."""


def write_features(file: Path) -> None:
    """Write what `WassersteinDistortion` needs, to be carried where the packages are not: weights as int8 per output channel, 7.7 MB."""
    from ssimulacra2 import ssimulacra2

    from ..metrics.perceptual import PerceptualDistance

    state = PerceptualDistance("vgg").metric.state_dict()
    stored = {"shift": state["scaling_layer.shift"], "scale": state["scaling_layer.scale"]}
    stored["ssimulacra2"] = torch.tensor(ssimulacra2.weights).reshape(3, 6, 2, 3).float()
    for k, name in enumerate(CONVOLUTIONS):
        weight = state[f"net.slice{name}.weight"]
        scale = weight.abs().amax(dim=(1, 2, 3)) / 127
        stored[f"conv.{k}.weight"] = (weight / scale[:, None, None, None]).round().to(torch.int8)
        stored[f"conv.{k}.scale"] = scale
        stored[f"conv.{k}.bias"] = state[f"net.slice{name}.bias"]
    for layer in JUDGED.values():
        stored[f"lin.{layer}"] = state[f"lin{layer}.model.1.weight"].flatten()
    save_file({k: v.contiguous() for k, v in stored.items()}, file)


class WassersteinDistortion(nn.Module):
    """ST-LPIPS' VGG16 features, compared by their local means and deviations (Qiu et al. 2024, "Wasserstein distortion"); (N,).

    `file` is what `write_features` wrote. Features are normalised and weighted as the measure has it. `share` of the distance is
    position by position (ST-LPIPS itself, without its fifth layer), the rest in windows of `WINDOW` positions, where texture may lie
    elsewhere than in the photo. Carries SSIMULACRA2's weights as `ssimulacra2`.
    """

    WINDOW = 4

    shift: Tensor
    scale: Tensor
    ssimulacra2: Tensor

    def __init__(self, file: Path, share: float = 0.5) -> None:
        super().__init__()
        stored = load_file(file)
        self.share = share
        for k in range(len(CONVOLUTIONS)):
            weight = stored[f"conv.{k}.weight"].float() * stored[f"conv.{k}.scale"][:, None, None, None]
            self.register_buffer(f"weight{k}", weight)
            self.register_buffer(f"bias{k}", stored[f"conv.{k}.bias"])
        for layer in JUDGED.values():
            self.register_buffer(f"lin{layer}", stored[f"lin.{layer}"].clamp_min(0).sqrt()[None, :, None, None])
        for name in ("shift", "scale", "ssimulacra2"):
            self.register_buffer(name, stored[name])

    def features(self, pixels: Tensor) -> list[Tensor]:
        """Weighted features (N, C, h, w) of every layer, float32."""
        x = ((pixels / 127.5 - 1.0 - self.shift) / self.scale).contiguous(memory_format=torch.channels_last)
        found = []
        for k in range(len(CONVOLUTIONS)):
            if k in POOLED:
                x = F.pad(F.max_pool2d(x, 2, stride=1), (2, 2, 2, 2), mode="reflect")
                # twice a mean of two is the binomial 1 2 1
                x = F.avg_pool2d(F.avg_pool2d(x, 2, stride=1), 2)
            x = F.relu(F.conv2d(x, getattr(self, f"weight{k}"), getattr(self, f"bias{k}"), padding=1))
            if k in JUDGED:
                f = x.float()
                f = f * torch.rsqrt(f.square().sum(dim=1, keepdim=True) + 1e-8)
                found.append(f * getattr(self, f"lin{JUDGED[k]}"))
        return found

    def forward(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """(the loss, the part position by position), both (N,)."""
        with torch.no_grad():
            wanted = self.features(target)
        point, local = output.new_zeros(len(output)), output.new_zeros(len(output))
        for ours, theirs in zip(self.features(output), wanted, strict=True):
            point = point + (ours - theirs).square().sum(dim=1).mean(dim=(1, 2))
            (mean_o, spread_o), (mean_t, spread_t) = (_moments(f, self.WINDOW) for f in (ours, theirs))
            local = local + ((mean_o - mean_t).square() + (spread_o - spread_t).square()).sum(dim=1).mean(dim=(1, 2))
        return self.share * point + (1.0 - self.share) * local, point


def _moments(features: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Means and deviations in overlapping windows."""
    mean = F.avg_pool2d(features, window, stride=window // 2)
    power = F.avg_pool2d(features.square(), window, stride=window // 2)
    return mean, ((power - mean.square()).clamp_min(0) + 1e-6).sqrt()
