"""AutoencoderKL: the autoencoders of Stable Diffusion 1.x, 2.x, XL and 3, and their fine-tuned kin."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .family import Family, mixes_everything
from .source import Source


class Encoder(nn.Module):
    """Pixels in levels to the posterior's mean and standard deviation, scaled and shifted as diffusion models see them."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.network, self.moments = model.encoder, model.quant_conv
        self.scaling, self.shift = scaling_of(model)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        moments = self.network(pixels / 127.5 - 1.0)
        if self.moments is not None:
            moments = self.moments(moments)
        mean, log_variance = moments.chunk(2, dim=1)
        # the bounds of diffusers' DiagonalGaussianDistribution
        deviation = torch.exp(0.5 * log_variance.clamp(-30.0, 20.0))
        return (mean - self.shift) * self.scaling, deviation * self.scaling


class Decoder(nn.Module):
    """Scaled and shifted latents to pixels in levels."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.network, self.start = model.decoder, model.post_quant_conv
        self.scaling, self.shift = scaling_of(model)

    def forward(self, latents: Tensor) -> Tensor:
        latents = latents / self.scaling + self.shift
        if self.start is not None:
            latents = self.start(latents)
        return torch.as_tensor(self.network(latents) * 127.5 + 127.5)


def scaling_of(model: Any) -> tuple[float, float]:
    """A model's scaling and shift factors, 1 and 0 where its configuration names none."""
    return float(model.config.get("scaling_factor") or 1.0), float(model.config.get("shift_factor") or 0.0)


def load(source: Source, config: dict[str, Any]) -> Family:
    """The family of the model at `source`. Raises FamilyError."""
    from diffusers import AutoencoderKL

    model: Any = source.load(AutoencoderKL)
    return Family(
        kind="AutoencoderKL",
        source=str(source),
        channels=int(model.config.latent_channels),
        patch=2 ** (len(model.config.block_out_channels) - 1),
        encoder=Encoder(model),
        decoder=Decoder(model),
        has_posterior=True,
        has_global_operations=mixes_everything(model),
    )
