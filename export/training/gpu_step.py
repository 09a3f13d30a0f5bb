"""One step of `export.gpu_train` as a function of tensors: what is drawn, what is decoded, what it costs.

Nothing here reads a number back from the device, so that steps queue up and the whole function compiles.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ...runtime.limits import MAX_TILT
from ..models import OneStepDenoiser, TinyAutoencoder
from ..models.autoencoder import CENTRE, GRID
from ..models.layers import round_ste
from ..models.truncation import Truncated, truncate
from . import perception
from .critic import Critic
from .loop import COARSE_FROM, COARSE_SHARE, COLOURS, PRECISION_RANGE, ROUNDING_RANGE
from .options import option
from .rate import ContextRateModel
from .train import LAGRANGIAN

FIGURES = ("loss", "mse", "structure", "ssimulacra2", "colour", "perceptual", "st_lpips", "bpp", "critic")
"""What a step reports, in this order: `structure` is 1 - MS-SSIM, `ssimulacra2` 100 minus the score, `critic` the adversary's own loss."""

NATURAL_TILT = 0
"""The tilt that `natural` has; every second natural image is drawn at it, the others from none to the largest."""


@dataclass
class Recipe:
    """What a batch is made of and how its pictures are judged; weights in squared grey levels."""

    batch: int = option(64, "N", "crops per step")
    natural_files: int = option(8, "N", "images of a batch that are natural files shown without the denoiser; what is neither is faithful")
    natural: int = option(24, "N", "images of a batch that are natural files shown with it")
    crop: int = option(256, "PIXELS", "side of the crops")
    squared: float = option(0.65, "WEIGHT", "what the squared error is worth, in grey levels, of faithful pictures")
    squared_natural: float = option(0.35, "WEIGHT", "the same of natural ones")
    structure: float = option(1800.0, "LEVELS", "what a unit of 1 - MS-SSIM is worth, in squared grey levels")
    ssimulacra2: float = option(0.5, "LEVELS", "what a point of SSIMULACRA2 is worth, in squared grey levels")
    colour: float = option(0.9, "LEVELS", "what a squared thousandth in OKLab's a and b is worth, of blocks' means")
    perceptual: float = option(600.0, "LEVELS", "what a unit of Wasserstein distortion is worth, of natural pictures")
    adversary: float = option(0.7, "SHARE", "how strong the critic's gradient is, of that of Wasserstein distortion, once it counts")
    decoder_perceptual: float = option(0.5, "SHARE", "share of its gradient that reaches decoder and encoder")


class Batch(NamedTuple):
    """Pixels (N, 3, H, W) in [0, 255] and what becomes of each, (N, 1, 1, 1): precision code, planes cut, the channel from which one more
    is cut, the encoder's rounding, the file's tilt (int64)."""

    pixels: Tensor
    base: Tensor
    depth: Tensor
    cut: Tensor
    rounding: Tensor
    tilt: Tensor


def draw(pixels: Tensor, recipe: Recipe, channels: int) -> Batch:
    """Random truncations as `export.loop` draws them; faithful images first, natural pictures last."""
    device, shape = pixels.device, (len(pixels), 1, 1, 1)
    faithful = torch.arange(len(pixels), device=device).reshape(shape) < len(pixels) - recipe.natural - recipe.natural_files

    def chance(share: float) -> Tensor:
        return torch.rand(shape, device=device) < share

    low, high = PRECISION_RANGE
    fine, coarse = torch.randint(low, COARSE_FROM, shape, device=device), torch.randint(COARSE_FROM, high + 1, shape, device=device)
    depth = torch.rand(shape, device=device)
    depth = (depth > 0.75).float() + (depth > 0.875).float()
    cut = torch.where(chance(0.4), torch.randint(1, channels, shape, device=device), channels)
    least, most = ROUNDING_RANGE
    moved = (most - least) * torch.rand(shape, device=device).square()
    any_tilt = (torch.rand(shape, device=device) * (MAX_TILT + 1)).long()
    # squared: half of the faithful images have none
    coarser = -(torch.rand(shape, device=device).square() * (MAX_TILT + 1)).long()
    return Batch(
        pixels,
        torch.where(chance(COARSE_SHARE), coarse, fine).float(),
        depth,
        cut.float(),
        torch.where(faithful, least + moved, most - moved),
        torch.where(faithful, coarser, torch.where(chance(0.5), NATURAL_TILT, any_tilt)),
    )


class Step(nn.Module):
    """The networks in training and the loss of a `Batch`."""

    octaves: Tensor
    flattered: Tensor
    """What a unit of the critic's score is worth, in squared grey levels; 0 until `balance` is asked."""

    def __init__(
        self, autoencoder: TinyAutoencoder, denoiser: OneStepDenoiser, judge: perception.WassersteinDistortion, recipe: Recipe
    ) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.denoiser = denoiser
        self.rate = ContextRateModel(autoencoder.channels)
        self.critic = Critic()
        self.judge = judge.requires_grad_(False)
        self.recipe = recipe
        self.register_buffer("octaves", torch.tensor(autoencoder.octaves)[None, :, None, None])
        self.register_buffer("flattered", torch.zeros(()))

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(the loss, `FIGURES`); the last `recipe.natural` images are denoised."""
        recipe = self.recipe
        plain = len(batch.pixels) - recipe.natural
        latents = self.autoencoder.encode(batch.pixels)
        known, codes = self._known(latents, batch)
        part = Truncated(*(x[plain:] for x in (known.values, known.levels, known.precision, known.half_width)))
        output = self.autoencoder.decode(torch.cat([known.values[:plain], self._denoised(part)]), known.precision).float()
        judged, photos, base = self._leaking(part), batch.pixels[plain:], batch.base[plain:]
        linear = self._linear(part)
        perceptual, point = self.judge(judged, photos)
        flattery, critic = self.critic.flattery(judged, linear, base), self.critic.loss(judged, photos, linear, base)
        with torch.autocast(batch.pixels.device.type, enabled=False):
            natural = torch.arange(len(output), device=output.device) >= plain
            error, parts = self._errors(output, batch.pixels, torch.where(natural, recipe.squared_natural, recipe.squared))
            error = torch.cat([error[:plain], error[plain:] + recipe.perceptual * perceptual + self.flattered * flattery])
        bits = self._bits(latents, codes)
        width = torch.exp2(batch.base.flatten() / 8.0)
        loss = (COLOURS * error / width + LAGRANGIAN * width * bits).mean()
        figures = torch.stack([loss, *parts.mean(dim=0), perceptual.mean(), point.mean(), bits.mean(), critic])
        return loss + critic, figures.detach()

    def balance(self, batch: Batch, strength: float) -> None:
        """Set `flattered` so that over this batch's natural pictures the critic's gradient is `strength` of Wasserstein distortion's."""
        plain = len(batch.pixels) - self.recipe.natural
        with torch.no_grad():
            known, _ = self._known(self.autoencoder.encode(batch.pixels[plain:]), Batch(*(x[plain:] for x in batch)))
            picture = self.autoencoder.decode(self._denoised(known), known.precision).float()
            linear = self._linear(known)
        picture.requires_grad_(True)
        width = torch.exp2(batch.base[plain:].flatten() / 8.0)
        perceptual, _ = self.judge(picture, batch.pixels[plain:])
        flattery = self.critic.flattery(picture, linear, batch.base[plain:])
        by_judge, by_critic = (torch.autograd.grad((x / width).sum(), picture)[0].norm() for x in (perceptual, flattery))
        self.flattered.copy_(strength * self.recipe.perceptual * by_judge / by_critic.clamp_min(1e-12))

    def figures(self, batch: Batch, *, denoise: bool) -> Tensor:
        """`FIGURES` of a batch shown as the decoder's clipped and rounded pictures, all of them denoised or none; the loss is 0."""
        latents = self.autoencoder.encode(batch.pixels)
        known, codes = self._known(latents, batch)
        values = self._denoised(known) if denoise else known.values
        output = self.autoencoder.decode(values, known.precision).float().clamp(0, 255).round()
        perceptual, point = self.judge(output, batch.pixels)
        with torch.autocast(output.device.type, enabled=False):
            _, parts = self._errors(output, batch.pixels, torch.ones(len(output), device=output.device))
        bits = self._bits(latents, codes)
        none = torch.zeros_like(bits[0])
        return torch.stack([none, *parts.mean(dim=0), perceptual.mean(), point.mean(), bits.mean(), none])

    def _known(self, latents: Tensor, batch: Batch) -> tuple[Truncated, Tensor]:
        codes = batch.base - ((batch.tilt * self.octaves + 8) >> 4).float()
        channel = torch.arange(latents.shape[1], device=latents.device)[None, :, None, None]
        behind = ((channel >= batch.cut) & (batch.depth > 0)).float()
        return truncate(latents, codes + 8.0 * behind, batch.depth + behind, batch.rounding), codes

    def _denoised(self, known: Truncated) -> Tensor:
        return torch.as_tensor(self.denoiser(known.values, known.levels, known.precision, known.half_width))

    @torch.no_grad()
    def _linear(self, known: Truncated) -> Tensor:
        """What the critic is told of a file: its linear stage's picture, levels."""
        return self.autoencoder.decode_linear(known.values).clamp(0, 255)

    def _leaking(self, known: Truncated) -> Tensor:
        """The denoised picture once more, through weights and latents that its gradient moves `decoder_perceptual` times as much."""
        share, decoder = self.recipe.decoder_perceptual, self.autoencoder.decoder

        def leak(x: Tensor) -> Tensor:
            return x.detach() + share * (x - x.detach())

        values = self._denoised(replace(known, values=leak(known.values)))
        weights = {name: leak(parameter) for name, parameter in decoder.named_parameters()}
        return torch.as_tensor(functional_call(decoder, weights, (round_ste(values * GRID) / GRID, known.precision))) + CENTRE

    def _errors(self, output: Tensor, pixels: Tensor, squared: Tensor) -> tuple[Tensor, Tensor]:
        """Distortion (N,), and its four parts (N, 4)."""
        recipe = self.recipe
        mse = (output - pixels).square().mean(dim=(1, 2, 3))
        structure = 1.0 - perception.ms_ssim(output, pixels)
        ours, theirs = perception.to_linear(output), perception.to_linear(pixels)
        score = perception.ssimulacra2_loss(ours, theirs, self.judge.ssimulacra2)
        colour = perception.colour_loss(ours, theirs)
        error = squared * mse + recipe.structure * structure + recipe.ssimulacra2 * score + recipe.colour * colour
        return error, torch.stack([mse, structure, score, colour], dim=1)

    def _bits(self, latents: Tensor, codes: Tensor) -> Tensor:
        positions = latents.shape[-1] * latents.shape[-2]
        return torch.as_tensor(self.rate(latents, codes).sum(dim=(1, 2, 3)) / (positions * 256.0))
