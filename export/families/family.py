"""What every family of autoencoders looks like to the builder of packs and to training: pixels in, latents out, and back."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

GREY = 128.0
"""The level of pixels that latents of zero stand for."""

GREY_SIDE = 256
"""Pixels on the side of the flat picture whose latents are the centre."""


@dataclass(frozen=True)
class Family:
    """An autoencoder as packs are made from it.

    `encoder` takes pixels float32 (N, 3, H, W) in levels 0 to 255 and gives a tuple: latents (N, C, H/p, W/p), and where the family has a
    posterior its standard deviation, of the same shape. `decoder` takes latents and gives pixels in levels, neither rounded nor clipped.
    Their latents are those that a diffusion model sees (scaled, shifted), so that encoders and decoders of one family of models may be
    paired. `encode` and `decode` below put mid-grey at zero and are what everything else should use; both are differentiable.

    `kind`: diffusers' class name. `patch`: p. `has_global_operations`: whether every output pixel of encoder or decoder depends on every
    latent (group normalisation, attention), so that tiles interact. `codebook`: float32 (entries, C) of a vector-quantized family.
    """

    kind: str
    source: str
    channels: int
    patch: int
    encoder: nn.Module
    decoder: nn.Module
    has_posterior: bool
    has_global_operations: bool
    codebook: Tensor | None = None
    centre: Tensor = field(default_factory=lambda: torch.zeros(0))
    """The latents of mid-grey, (1, C, 1, 1); set by `load_family`."""

    def encode(self, pixels: Tensor) -> Tensor:
        """Latents (N, C, h, w), the posterior's mean, zero for mid-grey, of pixels in levels."""
        return torch.as_tensor(self.encoder(pixels)[0] - self.centre)

    def decode(self, latents: Tensor) -> Tensor:
        """Pixels (N, 3, H, W) in levels, neither rounded nor clipped, of latents as `encode` gives them."""
        return torch.as_tensor(self.decoder(latents + self.centre))


def grey_latents(encoder: nn.Module) -> Tensor:
    """The latents (1, C, 1, 1) of a flat mid-grey picture, its edges left out."""
    with torch.no_grad():
        latents = encoder(torch.full((1, 3, GREY_SIDE, GREY_SIDE), GREY))[0]
    edge = latents.shape[2] // 4
    centre: Tensor = latents[:, :, edge:-edge, edge:-edge].mean(dim=(2, 3), keepdim=True)
    return centre


def mixes_everything(module: nn.Module) -> bool:
    """Whether a network has operations over its whole input: group or instance normalisation, attention."""
    from diffusers.models.attention_processor import Attention

    return any(isinstance(part, (nn.GroupNorm, nn.InstanceNorm2d, nn.MultiheadAttention, Attention)) for part in module.modules())
