"""A differentiable estimate of the coder's bits, used in training only; no float of it ever reaches a decoder.

It resembles what the real coder knows: causal neighbours in space and all coarser channels at the same position predict
a Laplace distribution for each latent (in the manner of PixelCNN and MADE masks).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ContextRateModel(nn.Module):
    """Bits of uniform-noise-quantized latents given causal context; `forward` returns bits per latent (N, C, h, w)."""

    spatial_mask: Tensor
    channel_mask: Tensor

    def __init__(self, channels: int, hidden: int = 128) -> None:
        super().__init__()
        self.channels = channels
        self.spatial = nn.Conv2d(2 * channels, hidden, 5, padding=2)
        self.mix = nn.Conv2d(hidden, 2 * channels, 1)
        self.across = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.precision = nn.Parameter(torch.zeros(2, channels, 3))
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(self.across.weight)
        mask = torch.zeros(1, 1, 5, 5)
        mask[..., :2, :] = 1.0
        mask[..., 2, :2] = 1.0
        self.register_buffer("spatial_mask", mask)
        lower = torch.tril(torch.ones(channels, channels), diagonal=-1)
        self.register_buffer("channel_mask", lower.repeat(2, 2)[:, :, None, None])

    def forward(self, latents: Tensor, precision: Tensor) -> Tensor:
        """`latents` (N, C, h, w) grey levels, `precision` (N, C or 1, 1, 1) eighths of an octave."""
        width = torch.exp2(precision / 8.0)
        scaled = latents.float() / width
        known = scaled.detach().round().clamp(-64, 64)
        features = torch.cat([torch.log1p(known.abs()), known.clamp(-8, 8) * 0.25], dim=1)
        hidden = F.relu(F.conv2d(features, self.spatial.weight * self.spatial_mask, self.spatial.bias, padding=2))
        code = precision.expand(-1, self.channels, -1, -1)[:, :, 0, 0] / 64.0
        basis = torch.stack([torch.ones_like(code), code, code * code], dim=-1)
        offset = torch.einsum("ncb,pcb->npc", basis, self.precision).reshape(len(latents), -1, 1, 1)
        out = self.mix(hidden) + F.conv2d(features, self.across.weight * self.channel_mask, self.across.bias) + offset
        mean, log_scale = out.float().chunk(2, dim=1)
        scale = torch.exp(log_scale.clamp(-5.0, 6.0))
        noisy = scaled + torch.rand_like(scaled) - 0.5
        return laplace_bits(noisy - mean, scale)


def laplace_bits(x: Tensor, scale: Tensor) -> Tensor:
    """-log2 of the Laplace mass of [x - 1/2, x + 1/2], stable in both tails; any shape."""
    a = x.abs()
    tail = 0.5 * torch.exp(-(a - 0.5).clamp_min(0) / scale) * -torch.expm1(-1.0 / scale)
    centre = 1.0 - 0.5 * (torch.exp(-(0.5 - a).clamp_min(0) / scale) + torch.exp(-(0.5 + a) / scale))
    mass = torch.where(a > 0.5, tail, centre)
    return -torch.log2(mass.clamp_min(1e-9))
