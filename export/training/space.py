"""An autoencoder as distillation sees it: photos to latents in grey levels and back, differentiable, standing still.

The project's own autoencoder works in grey levels; the latents of any other are multiplied with one gain per channel, so that one grey
level moves a patch by a norm of one, as a coefficient of an orthonormal transform does. The same steps, intervals and networks then serve
all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..families import Family, FamilyError, lapped
from ..models import TinyAutoencoder
from ..packs.foreign.calibrate import fit_linear, gains_of

GAIN_DIGITS = 4
"""Significant digits of a gain: machines that sum in another order find the same."""


class LatentSpace(nn.Module):
    """A frozen autoencoder: `encode(pixels)` (N, 3, H, W) in [0, 255] to the most likely latents (N, channels, H / patch, W / patch) in
    grey levels; `decode(latents, precision)` to pixels, not clipped. `gains` is None where latents are grey levels by themselves."""

    centre: Tensor

    def __init__(self, family: Family, gains: Sequence[float] | None) -> None:
        super().__init__()
        self.encoder = family.encoder.eval().requires_grad_(False)
        self.decoder = family.decoder.eval().requires_grad_(False)
        # the project's own packs code the latents as they are
        self.register_buffer("centre", family.centre if self.own is None else torch.zeros_like(family.centre))
        self.channels = family.channels
        self.patch = family.patch
        self.gains = None if gains is None else [float(g) for g in gains]

    @property
    def own(self) -> TinyAutoencoder | None:
        """The project's autoencoder, where it is that: its decoder is told how precisely the latents are known."""
        return self.decoder.model if isinstance(self.decoder, lapped.Decoder) else None

    @property
    def cost(self) -> int:
        """Weights of the decoder: a measure of what judging by it costs."""
        return sum(p.numel() for p in self.decoder.parameters())

    def scale(self) -> Tensor:
        """The gains, (C, 1, 1) float32; ones where there are none."""
        gains = [1.0] * self.channels if self.gains is None else self.gains
        return torch.tensor(gains, device=self.centre.device)[:, None, None]

    def encode(self, pixels: Tensor) -> Tensor:
        return torch.as_tensor((self.encoder(pixels)[0].float() - self.centre) * self.scale())

    def decode(self, latents: Tensor, precision: Tensor) -> Tensor:
        if self.own is not None:
            return self.own.decode(latents, precision)
        return torch.as_tensor(self.decoder(latents / self.scale() + self.centre)).float()


def open_space(family: Family, photos: Sequence[Tensor], gains: Sequence[float] | None = None) -> LatentSpace:
    """A family's latents in grey levels; its gains, unless given, from `photos`, each (3, H, W) in [0, 255]. Raises FamilyError."""
    if gains is not None and len(gains) != family.channels:
        raise FamilyError(
            f"{family.source}: {family.channels} channels, and what was distilled has {len(gains)}; it belongs to another autoencoder"
        )
    space = LatentSpace(family, gains)
    if gains is None and space.own is None:
        space.gains = fit_gains(space, photos)
    return space


@torch.no_grad()
def fit_gains(space: LatentSpace, photos: Sequence[Tensor]) -> list[float]:
    """A space's gains as a pack's calibration finds them on photos (3, H, W) of one size, to `GAIN_DIGITS` digits."""
    latents, crops = _pairs(space, torch.stack(list(photos)))
    return [float(f"{gain:.{GAIN_DIGITS}g}") for gain in gains_of(fit_linear(latents, crops), latents)]


@torch.no_grad()
def fit_basis(space: LatentSpace, pixels: Tensor) -> Tensor:
    """The best linear decoder (C, 3 * patch * patch) float32 of the space's latents on crops (N, 3, H, W) in [0, 255]."""
    return torch.from_numpy(fit_linear(*_pairs(space, pixels.round()))).float()


def _pairs(space: LatentSpace, pixels: Tensor) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    device = space.centre.device
    latents = torch.cat([space.encode(one[None].to(device)).cpu() for one in pixels])
    return latents.numpy(), pixels.permute(0, 2, 3, 1).to(torch.uint8).numpy()
