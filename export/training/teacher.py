"""A diffusion UNet as the denoiser's second teacher: what a few unconditional DDIM steps at low strength make of clean latents.

The latents get the noise of that strength first, as image to image does it, and `export.families.unet` takes it away again.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..families.unet import CleanUp, UnetError
from .space import LatentSpace


class Teacher:
    """`Teacher(clean_up, space)(latents, generator)`: latents (N, C, h, w) in grey levels to the same. Raises UnetError."""

    def __init__(self, clean_up: CleanUp, space: LatentSpace) -> None:
        channels = int(clean_up.unet.config.in_channels)
        if channels != space.channels:
            raise UnetError(f"the UNet takes latents of {channels} channels, the autoencoder has {space.channels}")
        if space.own is not None:
            raise UnetError("no UNet knows the project's own latents; --teacher is for autoencoders that diffusion models use")
        self.clean_up = clean_up
        clean_up.unet.to(space.centre.device)
        self.space = space

    @torch.no_grad()
    def __call__(self, latents: Tensor, generator: torch.Generator) -> Tensor:
        seen = latents.float() / self.space.scale() + self.space.centre
        noise = torch.randn(seen.shape, generator=generator).to(seen.device)
        return (self.clean_up(seen + self.clean_up.noise * noise).float() - self.space.centre) * self.space.scale()
