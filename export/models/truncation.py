"""What the decoder knows of a latent when a file is cut: the training-time twin of the embedded bit-planes.

A file quantizes every latent with one step; a cut leaves the lowest `depth` planes unknown. `truncate` gives, for float
latents, what `runtime.format.planes` would give back: reconstructed values, known magnitudes, precision codes, half-widths.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .layers import round_ste

RECONSTRUCTION = 7.0 / 16.0
"""Where in the unknown low planes a magnitude is taken to lie: a little below the middle, as Laplacian tails ask."""


@dataclass(frozen=True)
class Truncated:
    """What is known of latents (N, C, h, w): `values` grey levels, `levels` signed integers, `precision` eighths of an
    octave of the interval, `half_width` grey levels."""

    values: Tensor
    levels: Tensor
    precision: Tensor
    half_width: Tensor


def truncate(latents: Tensor, precision: Tensor, depth: Tensor, rounding: Tensor) -> Truncated:
    """Quantize `latents` (N, C, h, w) so that each is known to an interval of `2 ** (precision / 8)` grey levels.

    `precision` and `depth` (how many planes were cut below it) are integers as float, `rounding` is what the encoder adds
    before it rounds a magnitude down, in [0, 1/2]; all broadcastable to the latents.
    Gradients pass straight through to the latents.
    """
    latents = latents.float()
    width = torch.exp2(precision / 8.0)
    offset = rounding * torch.exp2(-depth)
    magnitude = torch.floor(latents.abs() / width + offset)
    tail = (1.0 - torch.exp2(-depth)) * RECONSTRUCTION
    centre = torch.where(magnitude > 0, magnitude + tail, torch.zeros_like(magnitude))
    values = latents + (torch.sign(latents) * centre * width - latents).detach()
    levels = (torch.sign(latents) * magnitude).detach()
    half = torch.where(magnitude > 0, 0.5 * width, width.expand_as(magnitude)).detach()
    return Truncated(round_ste(values * 4.0) / 4.0, levels, precision.expand_as(latents), half)
