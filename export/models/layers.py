"""Convolutions that know how they will be quantized.

Every activation of the int8 graphs is uint8 with a power-of-two scale, every weight an integer of 5 or 6 bits with one scale per
output channel (DESIGN-level decision "the int8 decode is the reference"). The modules below compute in floating point
and, once `fake_quantize` is set, round weights and activations to exactly those grids with straight-through gradients
(Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference").
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LARGE_LAYER = 50_000
"""Weights from which a layer is large: nearly all of what a visitor downloads is in those ..."""

LARGE_LEVELS, SMALL_LEVELS = 15, 31
"""... and the largest magnitude of their integers, and of other layers'. A bit less is an eighth of a byte less to download for every
weight, as packs are compressed. At most 63: with that AVX2's sums of pairs in 16 bits (2 * 255 * 63 < 2**15) never saturate."""

GRID_WEIGHT_LEVELS = 127
"""Largest magnitude of a weight of a `GridConv2d`; with the bound on its inputs it keeps fp32 sums under 2**24."""

PERCENTILE_MARGIN = 0.9999
"""Share of activations that a calibrated range keeps; the rest saturates."""


def round_ste(x: Tensor) -> Tensor:
    """Round half to even with the identity as gradient; any shape, float."""
    return x + (x.round() - x).detach()


def weight_levels(weights: int) -> int:
    """The largest magnitude of the integers of a layer of so many weights."""
    return LARGE_LEVELS if weights >= LARGE_LAYER else SMALL_LEVELS


def weight_scale(weight: Tensor) -> Tensor:
    """Scale per output channel (O, 1, 1, 1) under which `weight` (O, I, kh, kw) is at most `weight_levels`."""
    return weight.detach().abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-8) / weight_levels(weight.numel())


def fake_quantize_weight(weight: Tensor) -> Tensor:
    """`weight` (O, I, kh, kw) on its per-output-channel symmetric integer grid, straight-through gradients."""
    scale = weight_scale(weight)
    return round_ste(weight / scale) * scale


def grid_scale(weight: Tensor, levels: int = GRID_WEIGHT_LEVELS) -> Tensor:
    """Power-of-two scale per output channel (O, 1, 1, 1) under which |weight| <= levels."""
    peak = weight.detach().float().abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-8)
    return torch.exp2(torch.ceil(torch.log2(peak / levels)))


class Activation(nn.Module):
    """The uint8 grid behind a layer: `2**exponent` per level, zero point 0 after a ReLU and 128 otherwise."""

    exponent: Tensor
    peak: Tensor

    def __init__(self, *, signed: bool) -> None:
        super().__init__()
        self.signed = signed
        self.fake_quantize = False
        self.observe = False
        self.register_buffer("exponent", torch.zeros((), dtype=torch.int32))
        self.register_buffer("peak", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.observe:
            # kthvalue over a strided sample: an exact percentile of every activation costs more than the forward pass
            sample = x.detach().float().abs().flatten()[:: max(1, x.numel() // 65536)]
            high = sample.kthvalue(max(1, int(PERCENTILE_MARGIN * sample.numel()))).values
            self.peak.copy_(torch.maximum(self.peak * 0.99, high))
        if not self.fake_quantize:
            return x
        # a tensor, never a number: reading one would make an accelerator wait
        scale = torch.exp2(self.exponent.float())
        low, high_level = (-128.0, 127.0) if self.signed else (0.0, 255.0)
        return round_ste((x / scale).clamp(low, high_level)) * scale

    @torch.no_grad()
    def freeze_range(self) -> None:
        """Set the exponent from the observed peak: the smallest power of two that holds it."""
        levels = 127.0 if self.signed else 255.0
        self.exponent.copy_(torch.ceil(torch.log2(self.peak.clamp_min(1e-6) / levels)).to(torch.int32))


class QuantConv2d(nn.Module):
    """Convolution (+ ReLU) whose weights and output live on int8 grids once quantization is switched on.

    Input and output (N, C, H, W) float; zero padding keeps H and W. `quantized_output=False` leaves the output on the
    accumulator's grid, for a sum that is quantized later.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, relu: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        self.relu = relu
        self.activation = Activation(signed=not relu)
        self.fake_quantize = False

    def forward(self, x: Tensor) -> Tensor:
        weight = fake_quantize_weight(self.conv.weight) if self.fake_quantize else self.conv.weight
        y = F.conv2d(x, weight, self.conv.bias, padding=self.conv.padding)
        return torch.as_tensor(self.activation(F.relu(y) if self.relu else y))


class GridConv2d(nn.Module):
    """1x1 convolution (+ ReLU) over integer inputs with integer weights times a power of two: exact in fp32.

    Inputs (N, C, H, W) must be integers whose L1 norm per position is bounded (FORMAT.md, "The L1 guard"); then every
    partial sum stays below 2**24 and fp32 gives the same result in any order of summation. Output uint8 grid.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1)
        self.activation = Activation(signed=False)
        self.fake_quantize = False

    def forward(self, x: Tensor) -> Tensor:
        weight = self.conv.weight
        if self.fake_quantize:
            scale = grid_scale(weight)
            weight = round_ste(weight / scale) * scale
        # the inputs span 14 bits: bf16 autocast would lose them
        with torch.autocast(x.device.type, enabled=False):
            y = F.relu(F.conv2d(x.float(), weight.float(), self.conv.bias))
        return torch.as_tensor(self.activation(y))


class ResidualBlock(nn.Module):
    """x + conv1x1(relu(conv3x3(x))), the sum on a signed uint8 grid; (N, C, H, W) to the same shape. `hidden` channels lie between the
    convolutions, as many as outside where it is None."""

    def __init__(self, channels: int, hidden: int | None = None) -> None:
        super().__init__()
        hidden = channels if hidden is None else hidden
        self.conv1 = QuantConv2d(channels, hidden, 3, relu=True)
        self.conv2 = QuantConv2d(hidden, channels, 1, relu=False)
        self.activation = Activation(signed=True)
        nn.init.zeros_(self.conv2.conv.weight)
        assert self.conv2.conv.bias is not None
        nn.init.zeros_(self.conv2.conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.activation(x + self.conv2(self.conv1(x))))


def residual_blocks(width: int, count: int, hidden: Sequence[int] | None = None) -> nn.Sequential:
    """A chain of `count` blocks with so many hidden channels each, `width` where `hidden` is None. Raises ValueError if it is of another
    length."""
    if hidden is not None and len(hidden) != count:
        raise ValueError(f"hidden channels {list(hidden)} for {count} blocks")
    return nn.Sequential(*(ResidualBlock(width, None if hidden is None else hidden[i]) for i in range(count)))


def set_quantization(module: nn.Module, *, enabled: bool, observe: bool = False) -> None:
    """Switch fake quantization of every layer below `module` on or off, and range observation likewise."""
    for layer in module.modules():
        if isinstance(layer, (QuantConv2d, GridConv2d, Activation)):
            layer.fake_quantize = enabled
        if isinstance(layer, Activation):
            layer.observe = observe


def freeze_ranges(module: nn.Module) -> None:
    """Fix every activation's power-of-two scale below `module` from what was observed."""
    for layer in module.modules():
        if isinstance(layer, Activation):
            layer.freeze_range()


def is_calibrated(module: nn.Module) -> bool:
    """Whether every activation's range below `module` was observed, so that its exponent means something."""
    return all(float(layer.peak) > 0 for layer in module.modules() if isinstance(layer, Activation))
