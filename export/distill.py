"""`python -m export distill`: teach the one-step denoiser what the decoder makes of clean latents.

The autoencoder stands still. The teacher decodes the unquantized latents; the student sees truncated ones and is judged
through the same decoder, at precisions drawn as in training. Resumable like `export.train`, whose loop this is.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn

from export.train import COLOURS, PRECISION_RANGE, Trainer, TrainingOptions, launch
from export.truncation import truncate


class Distiller(Trainer):
    """A training run whose only moving part is the denoiser."""

    def _parameters(self) -> list[nn.Parameter]:
        self.pipeline.requires_grad_(False)
        self.pipeline.denoiser.requires_grad_(True)
        return list(self.pipeline.denoiser.parameters())

    def _loss(self, pixels: Tensor) -> tuple[Tensor, dict[str, float]]:
        base, code, depth, rounding = self._draw(len(pixels))
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            with torch.no_grad():
                latents = self.pipeline.autoencoder.encode(pixels)
                finest = torch.full_like(latents, float(PRECISION_RANGE[0]))
                taught = self.pipeline.autoencoder.decode(latents, finest)
            output = self.pipeline.reconstruct(truncate(latents, code, depth, rounding), denoise=True)
        error, figures = self._error(output, taught, natural=True)
        width = torch.exp2(base.flatten() / 8.0)
        return (COLOURS * error / width).mean(), figures


def main(arguments: list[str]) -> int:
    """`python -m export distill`; exit codes as `launch`."""
    command = argparse.ArgumentParser(prog="python -m export distill", description="Distill the one-step denoiser.")
    return launch(arguments, command, Distiller, TrainingOptions(steps=2000, learning_rate=1e-4))
