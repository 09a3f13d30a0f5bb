"""The one-step denoiser at latent resolution, conditioned on the interval every latent is known to lie in.

It moves each latent inside its interval: `latents + half_width * delta` with |delta| <= 1. The student sees truncated
latents and is taught the clean ones, or what the decoder should make of them (`export.training.distill`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from .autoencoder import GRID, INPUT_GAIN, PRECISION_GAIN
from .layers import GridConv2d, QuantConv2d, residual_blocks, round_ste

LEVEL_LIMIT = 15
"""Known magnitudes (in intervals of their precision) are clipped here before the network sees them."""

LEVEL_GAIN = 1.0 / 4.0
"""What a clipped magnitude is multiplied with before the first layer."""

FINEST_TRAINED = 22
"""Finer precision codes the denoiser is never trained for, and there is little left to gain: intervals of 2**(22/8) = 6.7 grey levels."""

DELTA_SCALE_EXPONENT = -7
"""The output grid: delta in steps of 1/128, range [-1, 127/128]."""


class OneStepDenoiser(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """(latents, levels, precision, half_width), each (N, C, h, w), to denoised latents of the same shape.

    `latents` in grey levels, `levels` the signed known magnitudes in units of their interval (clipped to +-15),
    `precision` the interval's size as a code in eighths of an octave, `half_width` half the interval in grey levels.

    In its configuration: `gains`, what each channel of a foreign autoencoder's latents was multiplied with to give grey levels (None: they
    are grey levels), `min_step_index`, the mean precision code from which on it does good, and `hidden`, how many hidden channels every
    block has (None: `width`).
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        channels: int = 192,
        width: int = 128,
        blocks: int = 4,
        gains: Sequence[float] | None = None,
        min_step_index: int = FINEST_TRAINED,
        hidden: Sequence[int] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if gains is not None and len(gains) != channels:
            raise ValueError(f"{len(gains)} gains for {channels} channels")
        self.stem = GridConv2d(3 * channels, width)
        self.trunk = residual_blocks(width, blocks, hidden)
        self.head = QuantConv2d(width, channels, 1, relu=False)
        nn.init.zeros_(self.head.conv.weight)
        assert self.head.conv.bias is not None
        nn.init.zeros_(self.head.conv.bias)
        self.head.activation.exponent.fill_(DELTA_SCALE_EXPONENT)

    def delta(self, latents: Tensor, levels: Tensor, precision: Tensor) -> Tensor:
        """Where in its interval each latent is taken to lie, in [-1, 1]."""
        x = torch.cat(
            [
                round_ste(latents.float() * GRID) / GRID * INPUT_GAIN,
                levels.float().clamp(-LEVEL_LIMIT, LEVEL_LIMIT) * LEVEL_GAIN,
                precision.float() * PRECISION_GAIN,
            ],
            dim=1,
        )
        return torch.as_tensor(self.head(self.trunk(self.stem(x)))).float().clamp(-1.0, 1.0)

    def forward(self, latents: Tensor, levels: Tensor, precision: Tensor, half_width: Tensor) -> Tensor:
        return latents + half_width * self.delta(latents, levels, precision)
