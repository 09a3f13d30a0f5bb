"""An autoencoder as distillation sees it: photos to latents in grey levels and back, differentiable, standing still.

The project's own autoencoder works in grey levels; the latents of any other are multiplied with one gain per channel, so that one grey
level moves a patch by a norm of one, as a coefficient of an orthonormal transform does. The same steps, intervals and networks then serve
all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.models import TinyAutoencoder
from export.models.autoencoder import CENTRE

RIDGE = 1e-3
"""Share of a channel's power that is added to it in least squares, so that channels which say the same do no harm."""

GAIN_DIGITS = 4
"""Significant digits of a gain: machines that sum in another order find the same."""


class SpaceError(ValueError):
    """A model that cannot be distilled for; says which and what would do."""


class LatentSpace(nn.Module):
    """A frozen autoencoder: `encode(pixels)` (N, 3, H, W) in [0, 255] to the most likely latents (N, channels, H / patch, W / patch) in
    grey levels; `decode(latents, precision)` to pixels, not clipped. `gains` is None where latents are grey levels by themselves."""

    def __init__(self, model: Any, channels: int, patch: int, gains: Sequence[float] | None) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.channels = channels
        self.patch = patch
        self.gains = None if gains is None else [float(g) for g in gains]

    @property
    def cost(self) -> int:
        """Weights of the whole autoencoder: a measure of what judging by its decoder costs."""
        return sum(p.numel() for p in self.model.parameters())

    def scale(self, like: Tensor) -> Tensor:
        """The gains, (C, 1, 1), where `like` is; ones where there are none."""
        gains = [1.0] * self.channels if self.gains is None else self.gains
        return torch.tensor(gains, device=like.device)[:, None, None]

    def encode(self, pixels: Tensor) -> Tensor:
        if isinstance(self.model, TinyAutoencoder):
            return torch.as_tensor(self.model.encode(pixels))
        coded = self.model.encode(pixels / 127.5 - 1.0)
        latents = coded.latent_dist.mode() if hasattr(coded, "latent_dist") else coded.latents
        return torch.as_tensor(latents.float() * self.scale(latents))

    def decode(self, latents: Tensor, precision: Tensor) -> Tensor:
        if isinstance(self.model, TinyAutoencoder):
            return torch.as_tensor(self.model.decode(latents, precision))
        options = {"force_not_quantize": True} if isinstance(self.model, diffusers.VQModel) else {}
        decoded = self.model.decode(latents / self.scale(latents), **options).sample
        return torch.as_tensor((decoded.float() + 1.0) * 127.5)


def open_space(source: str, photos: Iterable[Tensor], *, subfolder: str | None = None, gains: Sequence[float] | None = None) -> LatentSpace:
    """The autoencoder at `source`, a folder in diffusers layout; its gains, unless given, from `photos`, each (3, H, W) in [0, 255].

    Raises SpaceError for a folder that holds none.
    """
    folder = Path(source) / (subfolder or "")
    if (folder / "autoencoder").is_dir():
        folder = folder / "autoencoder"
    try:
        name = json.loads((folder / "config.json").read_text())["_class_name"]
    except (OSError, ValueError, KeyError) as error:
        raise SpaceError(f"{folder}: no config.json of an autoencoder; name a folder in diffusers layout") from error
    kinds = {"TinyAutoencoder": TinyAutoencoder} | {n: getattr(diffusers, n) for n in ("AutoencoderKL", "AutoencoderTiny", "VQModel")}
    if name not in kinds:
        raise SpaceError(f"{folder}: a {name}; distillation knows {', '.join(kinds)}")
    try:
        model = kinds[name].from_pretrained(folder, use_safetensors=True, low_cpu_mem_usage=False)
    except (OSError, ValueError) as error:
        raise SpaceError(f"{folder}: {error}") from error
    if isinstance(model, TinyAutoencoder):
        return LatentSpace(model, model.channels, 16, None)
    with torch.no_grad():
        probe = LatentSpace(model, model.config.latent_channels, 1, None).encode(torch.zeros(1, 3, 64, 64))
    space = LatentSpace(model, probe.shape[1], 64 // probe.shape[-1], gains)
    if gains is None:
        space.gains = fit_gains(space, photos)
    elif len(gains) != space.channels:
        raise SpaceError(f"{folder}: {space.channels} channels, and {len(gains)} gains are given; they belong to another autoencoder")
    return space


@torch.no_grad()
def fit_linear(space: LatentSpace, batches: Iterable[Tensor]) -> Tensor:
    """The linear map (C, 3 * patch * patch) float64 from latents in grey levels to pixels minus 128 with the least squared error over
    batches (N, 3, H, W); columns as `pixel_unshuffle` orders them."""
    outputs = 3 * space.patch**2
    power, cross, count = torch.zeros(space.channels, space.channels).double(), torch.zeros(space.channels, outputs).double(), 0
    for pixels in batches:
        latents = space.encode(pixels).double().cpu().transpose(0, 1).flatten(1)
        target = F.pixel_unshuffle(pixels.double().cpu() - CENTRE, space.patch).transpose(0, 1).flatten(1)
        power += latents @ latents.t()
        cross += latents @ target.t()
        count += latents.shape[1]
    # in proportion to each channel's power, so that the fit does not depend on gains
    ridge = torch.diag(RIDGE * power.diagonal() + 1e-12 * count)
    return torch.as_tensor(torch.linalg.solve(power + ridge, cross))


def fit_gains(space: LatentSpace, photos: Iterable[Tensor]) -> list[float]:
    """Per channel, the norm of what one unit of the latent adds to a patch under the best linear decoder: `GAIN_DIGITS` digits."""
    norms = fit_linear(space, (photo[None] for photo in photos)).norm(dim=1)
    return [float(f"{max(float(norm), 1e-3):.{GAIN_DIGITS}g}") for norm in norms]
