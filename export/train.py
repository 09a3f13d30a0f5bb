"""`python -m export train`: rate-distortion training of the autoencoder and its denoiser under simulated truncation.

Every step draws, per image, how precisely its latents are known (a step and a cut, `export.truncation`), so one model
serves every rate. The loss is `distortion / step + LAGRANGIAN * step * bits`: the Lagrangian of a uniform quantizer
whose slope dD/dR is proportional to step squared, scaled so that coarse and fine precisions pull equally hard.
`python -m export train --help` lists the options. Resumable: a run directory holds `autoencoder/`, `denoiser/` (moving
averages, diffusers layout) and `state.safetensors`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from export.data import CropSampler, TrainingDataError, load_photos
from export.loop import COLOURS, Loop, TrainingOptions, add_options, chosen, draw_precision, draw_tilt
from export.models import OneStepDenoiser, TinyAutoencoder
from export.quantize import is_calibrated
from export.rate import ContextRateModel
from export.truncation import Truncated, truncate

LAGRANGIAN = 0.13
"""dD/dR of a uniform quantizer with dead zone in units of step**2 per bit (0.85 * 2**(-8/3) in HEVC's reference encoder)."""

DENOISED_SHARE = 0.75
"""Share of training steps that run the denoiser; the others teach the decoder to stand alone while the denoiser loads."""


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


class Trainer(Loop):
    """One run that trains autoencoder, denoiser and rate model together."""

    def __init__(self, pipeline: Pipeline, sampler: CropSampler, out: Path, options: TrainingOptions) -> None:
        self.pipeline = pipeline
        super().__init__(pipeline, sampler, out, options)

    def _quantized(self) -> bool:
        return is_calibrated(self.pipeline.autoencoder.decoder) and is_calibrated(self.pipeline.denoiser)

    def _models(self) -> dict[str, Any]:
        return {"autoencoder": self.pipeline.autoencoder, "denoiser": self.pipeline.denoiser}

    def _draw(self, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        base, code, depth, rounding = draw_precision(count, self.pipeline.autoencoder.channels, self.generator)
        return base.to(self.device), code.to(self.device), depth.to(self.device), rounding.to(self.device)

    def _observe(self, pixels: Tensor) -> None:
        _, code, depth, rounding = self._draw(len(pixels))
        self.pipeline.reconstruct(truncate(self.pipeline.autoencoder.encode(pixels), code, depth, rounding), denoise=True)

    def _loss(self, pixels: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Rate-distortion loss of a batch (N, 3, H, W) and its figures."""
        base, code, depth, rounding = self._draw(len(pixels))
        denoise = bool(torch.rand((), generator=self.generator) < DENOISED_SHARE)
        finer = draw_tilt(len(pixels), self.pipeline.autoencoder.octaves, self.generator, natural=denoise).to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            latents = self.pipeline.autoencoder.encode(pixels)
            known = truncate(latents, code - finer, depth, rounding)
            output = self.pipeline.reconstruct(known, denoise=denoise)
        bits = self.pipeline.rate(latents, base - finer).sum(dim=(1, 2, 3))
        # without the denoiser the picture is the faithful one, judged by distortion alone; with it, the natural one
        error, figures = self._error(output, pixels, natural=denoise)
        width = torch.exp2(base.flatten() / 8.0)
        area = float(pixels.shape[-1] * pixels.shape[-2])
        loss = (COLOURS * error / width + LAGRANGIAN * width * bits / area).mean()
        return loss, {"bpp": float(bits.detach().mean() / area)} | figures


def load_pipeline(weights: Path | None) -> Pipeline:
    """Fresh networks, or those of a run."""
    if weights is None:
        return Pipeline(TinyAutoencoder(), OneStepDenoiser())
    return Pipeline(
        TinyAutoencoder.from_pretrained(weights / "autoencoder", low_cpu_mem_usage=False),
        OneStepDenoiser.from_pretrained(weights / "denoiser", low_cpu_mem_usage=False),
    )


def main(arguments: list[str]) -> int:
    """`python -m export train`; 0 done, 1 no usable data."""
    command = argparse.ArgumentParser(prog="python -m export train", description="Train the autoencoder and its denoiser.")
    add_options(command, TrainingOptions())
    given = command.parse_args(arguments)
    options = chosen(given, TrainingOptions())
    try:
        sampler = CropSampler(load_photos(given.data, options.crop), options.crop, options.seed)
    except TrainingDataError as error:
        print(f"{command.prog}: {error}", file=sys.stderr)
        return 1
    Trainer(load_pipeline(given.weights), sampler, given.out, options).run()
    return 0
