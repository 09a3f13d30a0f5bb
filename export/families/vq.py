"""VQModel: vector-quantized autoencoders (latent diffusion's, Kandinsky's with spatial normalisation, aMUSEd's)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...runtime.format.indices import MAX_ENTRIES
from .errors import FamilyError
from .family import Family, mixes_everything
from .kl import scaling_of
from .source import Source


class Encoder(nn.Module):
    """Pixels in levels to latents that no codebook has rounded yet, scaled as diffusion models see them."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.network, self.end = model.encoder, model.quant_conv
        self.scaling = scaling_of(model)[0]

    def forward(self, pixels: Tensor) -> tuple[Tensor]:
        return (self.end(self.network(pixels / 127.5 - 1.0)) * self.scaling,)


class Decoder(nn.Module):
    """Scaled latents, entries of the codebook or means of some, to pixels in levels. They are not rounded to the codebook again."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.network, self.start = model.decoder, model.post_quant_conv
        self.scaling = scaling_of(model)[0]
        self.spatial = model.config.norm_type == "spatial"

    def forward(self, latents: Tensor) -> Tensor:
        latents = latents / self.scaling
        # spatial normalisation takes its scales and shifts from the latents
        pixels = self.network(self.start(latents), latents if self.spatial else None)
        return torch.as_tensor(pixels * 127.5 + 127.5)


def load(source: Source, config: dict[str, Any]) -> Family:
    """The family of the model at `source`. Raises FamilyError."""
    from diffusers import VQModel

    norm = config.get("norm_type", "group")
    if norm not in ("group", "spatial"):
        raise FamilyError(f"{source}: 'norm_type' is {norm!r}; known are 'group' and 'spatial'")
    model: Any = source.load(VQModel)
    codebook = model.quantize.embedding.weight.detach()
    if not 2 <= len(codebook) <= MAX_ENTRIES:
        raise FamilyError(f"{source}: a codebook of {len(codebook)} entries; a pack has 2 to {MAX_ENTRIES}")
    return Family(
        kind="VQModel",
        source=str(source),
        channels=codebook.shape[1],
        patch=2 ** (len(model.config.block_out_channels) - 1),
        encoder=Encoder(model),
        decoder=Decoder(model),
        has_posterior=False,
        has_global_operations=mixes_everything(model),
        codebook=codebook * scaling_of(model)[0],
    )
