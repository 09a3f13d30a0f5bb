"""AutoencoderTiny: TAESD and its kin, small stand-ins for the big autoencoders in the same latent space."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .family import Family, mixes_everything
from .kl import scaling_of
from .source import Source


class Encoder(nn.Module):
    """Pixels in levels to latents; there is no posterior."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.network = model.encoder
        self.scaling, self.shift = scaling_of(model)

    def forward(self, pixels: Tensor) -> tuple[Tensor]:
        return ((self.network(pixels / 127.5 - 1.0) - self.shift) * self.scaling,)


class Decoder(nn.Module):
    """Latents to pixels in levels."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.network = model.decoder
        self.scaling, self.shift = scaling_of(model)

    def forward(self, latents: Tensor) -> Tensor:
        return torch.as_tensor(self.network(latents / self.scaling + self.shift) * 127.5 + 127.5)


def load(source: Source, config: dict[str, Any]) -> Family:
    """The family of the model at `source`. Raises FamilyError."""
    from diffusers import AutoencoderTiny

    model: Any = source.load(AutoencoderTiny)
    return Family(
        kind="AutoencoderTiny",
        source=str(source),
        channels=int(model.config.latent_channels),
        patch=2 ** (len(model.config.decoder_block_out_channels) - 1),
        encoder=Encoder(model),
        decoder=Decoder(model),
        has_posterior=False,
        has_global_operations=mixes_everything(model),
    )
