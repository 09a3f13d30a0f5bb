"""`sdz train`: rate-distortion training of the autoencoder and its denoiser under simulated truncation.

Every step draws, per image, how precisely its latents are known (a step and a cut, `export.models.truncation`), so one model
serves every rate. The loss is `distortion / step + LAGRANGIAN * step * bits`: the Lagrangian of a uniform quantizer
whose slope dD/dR is proportional to step squared, scaled so that coarse and fine precisions pull equally hard. With `--encoder 0` files and
their bits stand still, and a step costs half.
Resumable: a run directory holds `autoencoder/`, `denoiser/` (moving
averages, diffusers layout) and `state.safetensors`.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..commands import failed, parser
from ..crops import CropSampler, TrainingDataError, load_photos
from ..models import OneStepDenoiser, TinyAutoencoder
from ..models.layers import is_calibrated
from ..models.truncation import Truncated, truncate
from .loop import COLOURS, Loop, draw_precision, draw_tilt
from .options import TrainingOptions, add_options, chosen, option
from .rate import ContextRateModel

LAGRANGIAN = 0.13
"""dD/dR of a uniform quantizer with dead zone in units of step**2 per bit (0.85 * 2**(-8/3) in HEVC's reference encoder)."""


@dataclass
class JointOptions(TrainingOptions):
    """What `train` needs besides what training needs."""

    faithful: float = option(
        0.25, "SHARE", "share of the steps without the denoiser, judged by distortion alone: what teaches the decoder to stand alone"
    )
    encoder: int = option(
        1, "0|1", "1: train the encoder and the linear pair too; 0: only decoder and denoiser, on latents that stay as they are"
    )


class Pipeline(nn.Module):
    """Autoencoder, denoiser and training-time rate model as one module."""

    def __init__(self, autoencoder: TinyAutoencoder, denoiser: OneStepDenoiser) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.denoiser = denoiser
        self.rate = ContextRateModel(autoencoder.channels)

    def reconstruct(self, known: Truncated, *, denoise: bool) -> Tensor:
        """Pixels (N, 3, H, W) from truncated latents, with or without the denoiser."""
        values = known.values
        if denoise:
            values = self.denoiser(values, known.levels, known.precision, known.half_width)
        return self.autoencoder.decode(values, known.precision)


def known_latents(
    autoencoder: TinyAutoencoder, pixels: Tensor, generator: torch.Generator, *, natural: bool
) -> tuple[Tensor, Tensor, Tensor, Truncated]:
    """A batch's latents, their precision codes by image and by channel, and what is known of them under a random truncation."""
    drawn = draw_precision(len(pixels), autoencoder.channels, generator, natural=natural)
    base, code, depth, rounding = (t.to(pixels.device) for t in drawn)
    finer = draw_tilt(len(pixels), autoencoder.octaves, generator, natural=natural).to(pixels.device)
    latents = autoencoder.encode(pixels)
    return latents, base, base - finer, truncate(latents, code - finer, depth, rounding)


class Trainer(Loop[JointOptions]):
    """One run that trains autoencoder, denoiser and rate model together."""

    def __init__(self, pipeline: Pipeline, sampler: CropSampler, out: Path, options: JointOptions) -> None:
        self.pipeline = pipeline
        if not options.encoder:
            decoder = pipeline.autoencoder.decoder
            assert decoder.lapping is not None
            for part in (pipeline.rate, pipeline.autoencoder.encoder, decoder.linear, decoder.lapping):
                part.requires_grad_(False)
        super().__init__(pipeline, sampler, out, options)

    def _quantized(self) -> bool:
        return is_calibrated(self.pipeline.autoencoder.decoder) and is_calibrated(self.pipeline.denoiser)

    def _models(self) -> dict[str, Any]:
        return {"autoencoder": self.pipeline.autoencoder, "denoiser": self.pipeline.denoiser}

    def _known(self, pixels: Tensor, *, natural: bool) -> tuple[Tensor, Tensor, Tensor, Truncated]:
        with contextlib.nullcontext() if self.options.encoder else torch.no_grad():
            return known_latents(self.pipeline.autoencoder, pixels, self.generator, natural=natural)

    def _observe(self, pixels: Tensor) -> None:
        self.pipeline.reconstruct(self._known(pixels, natural=True)[-1], denoise=True)

    def _loss(self, pixels: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Rate-distortion loss of a batch (N, 3, H, W) and its figures."""
        # without the denoiser the picture is the faithful one, judged by distortion alone; with it, the natural one
        natural = bool(torch.rand((), generator=self.generator) >= self.options.faithful)
        # the denoiser is made for natural files only; the decoder alone, at realism 0, shows files of either tuning
        tuned = natural or bool(torch.rand((), generator=self.generator) < 0.5)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            latents, base, codes, known = self._known(pixels, natural=tuned)
            output = self.pipeline.reconstruct(known, denoise=natural)
        error, figures = self._error(output, pixels, natural=natural)
        width = torch.exp2(base.flatten() / 8.0)
        loss = COLOURS * error / width
        if self.options.encoder:
            bits = self.pipeline.rate(latents, codes).sum(dim=(1, 2, 3)) / float(pixels.shape[-1] * pixels.shape[-2])
            loss = loss + LAGRANGIAN * width * bits
            figures = {"bpp": float(bits.detach().mean())} | figures
        return loss.mean(), figures


def load_pipeline(weights: Path | None) -> Pipeline:
    """Fresh networks, or those of a run."""
    if weights is None:
        return Pipeline(TinyAutoencoder(), OneStepDenoiser())
    return Pipeline(
        TinyAutoencoder.from_pretrained(weights / "autoencoder", low_cpu_mem_usage=False),
        OneStepDenoiser.from_pretrained(weights / "denoiser", low_cpu_mem_usage=False),
    )


def main(arguments: list[str]) -> int:
    """`sdz train`; 0 done, 1 no usable data."""
    command = parser("train", "Train the autoencoder and its denoiser. A run that was interrupted goes on where its directory stands.")
    add_options(command, JointOptions())
    given = command.parse_args(arguments)
    options = chosen(given, JointOptions())
    try:
        sampler = CropSampler(load_photos(given.data, options.crop), options.crop, options.seed)
    except TrainingDataError as error:
        return failed("train", error)
    Trainer(load_pipeline(given.weights), sampler, given.out, options).run()
    return 0
