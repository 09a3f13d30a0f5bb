"""TinyAutoencoder: the project's own, for training against. Its packs come from `export.packs.trained`, which keeps them exact."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..models import TinyAutoencoder
from ..models.autoencoder import PATCH
from .family import Family
from .source import Source


class Encoder(nn.Module):
    """Pixels in levels to latents in grey levels."""

    def __init__(self, model: TinyAutoencoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor]:
        return (self.model.encode(pixels),)


class Decoder(nn.Module):
    """Latents in grey levels, known precisely, to pixels in levels."""

    def __init__(self, model: TinyAutoencoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, latents: Tensor) -> Tensor:
        return self.model.decode(latents, torch.zeros_like(latents))


def load(source: Source, config: dict[str, Any]) -> Family:
    """The family of the model at `source`. Raises FamilyError."""
    model = source.load(TinyAutoencoder)
    assert isinstance(model, TinyAutoencoder)
    return Family(
        kind="TinyAutoencoder",
        source=str(source),
        channels=model.channels,
        patch=PATCH,
        encoder=Encoder(model),
        decoder=Decoder(model),
        has_posterior=False,
        has_global_operations=False,
    )
