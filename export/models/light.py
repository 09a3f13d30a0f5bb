"""The light decoder: the tiny autoencoder's decoder, for another autoencoder's latents.

A linear path fitted by least squares and a small network of convolutions on top (`export.distill --decoder`), for patches of 4, 8 or 16
pixels. It quantizes and exports as the project's own decoder does, so it is bit-exact where the decoder it stands in for is not.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

from .autoencoder import CENTRE, GRID, Decoder
from .layers import round_ste

BUDGETS = {4: ((48,), (6,)), 8: ((32, 96), (4, 7)), 16: ((32, 96, 128), (4, 5, 2))}
"""Widths and blocks, fine to coarse, by patch: 10 to 15 kMAC per pixel, so that a denoiser finds room under 25."""


class LightDecoder(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Latents (N, C, h, w) in grey levels (the autoencoder's own times `gains`) and precision codes to pixels (N, 3, patch h, patch w)."""

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        channels: int,
        patch: int = 8,
        widths: Sequence[int] | None = None,
        blocks: Sequence[int] | None = None,
        gains: Sequence[float] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if patch not in BUDGETS:
            raise ValueError(f"patches of {patch} pixels: a light decoder has patches of {', '.join(map(str, BUDGETS))}")
        if gains is not None and len(gains) != channels:
            raise ValueError(f"{len(gains)} gains for {channels} channels")
        self.channels = channels
        self.patch = patch
        self.decoder = Decoder(torch.zeros(channels, 3 * patch * patch), widths or BUDGETS[patch][0], blocks or BUDGETS[patch][1])

    def decode(self, latents: Tensor, precision: Tensor) -> Tensor:
        """Pixels (N, 3, patch h, patch w), about [0, 255], not clipped."""
        return torch.as_tensor(self.decoder(round_ste(latents * GRID) / GRID, precision)) + CENTRE
