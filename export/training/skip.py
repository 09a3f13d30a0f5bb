"""From which precision on a denoiser does good: measured, so that below it a decoder can leave it out.

Takes a denoiser and photos that it was not trained on; returns, per precision code, the squared error with and without it, and the bound
that a pack's manifest states. A denoiser that never does good gets a bound that no file reaches.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...runtime import limits
from ...runtime.quantize import TYPICAL_ROUNDING
from ..models import OneStepDenoiser
from ..models.denoiser import FINEST_TRAINED
from ..models.layers import is_calibrated, set_quantization
from ..models.truncation import truncate
from .space import LatentSpace

CODES = range(FINEST_TRAINED, limits.NETWORKS_COARSEST + 1, 6)
"""Precision codes measured: from the finest trained to the coarsest at which a decoder runs a denoiser."""

DEPTHS = (0, 1)
"""Planes cut: a whole file, and one with its last plane missing."""

NEVER = 255
"""A bound that no file reaches."""

SIDE = 256
"""Pixels: photos are cropped to this, in the middle."""

Row = dict[str, float]


@torch.no_grad()
def measure(denoiser: OneStepDenoiser, space: LatentSpace, photos: list[NDArray[np.uint8]], *, through_decoder: bool) -> list[Row]:
    """Per precision code the mean squared errors `without` and `with` the denoiser, in squared levels: of the decoded pixels against the
    photos, or of the latents against the photos' own."""
    set_quantization(denoiser.eval(), enabled=is_calibrated(denoiser))
    rows = [{"code": float(code), "without": 0.0, "with": 0.0} for code in CODES]
    for photo in photos:
        pixels = _cropped(photo, space.patch).to(space.centre.device)
        clean = space.encode(pixels).float()
        for row in rows:
            for depth in DEPTHS:
                given = (torch.tensor(v, device=clean.device) for v in (row["code"], float(depth), TYPICAL_ROUNDING))
                known = truncate(clean, *given)
                moved = denoiser(known.values, known.levels, known.precision, known.half_width)
                for name, values in (("without", known.values), ("with", moved)):
                    if through_decoder:
                        error = (space.decode(values, known.precision).float().clamp(0, 255) - pixels).square().mean()
                    else:
                        error = (values - clean).square().sum(dim=1).mean() / (3 * space.patch**2)
                    row[name] += float(error) / (len(photos) * len(DEPTHS))
    return rows


def least_code(rows: list[Row]) -> int:
    """The smallest measured code from which on, at every coarser one too, the error is not larger with the denoiser; else NEVER."""
    bound = NEVER
    for row in reversed(rows):
        if not row["with"] <= row["without"]:
            break
        bound = int(row["code"])
    return bound


def table(rows: list[Row], bound: int) -> str:
    """The measurement for people."""
    lines = ["precision code  interval   RMSE without     with        gain"]
    for row in rows:
        gain = 10 * math.log10(max(row["without"], 1e-12) / max(row["with"], 1e-12))
        interval = 2 ** (row["code"] / 8)
        lines.append(f"{row['code']:14.0f}  {interval:8.1f}   {row['without'] ** 0.5:12.3f} {row['with'] ** 0.5:8.3f} {gain:8.2f} dB")
    lines.append(f"the denoiser runs from precision code {bound} on" if bound < NEVER else "the denoiser never does good: it will not run")
    return "\n".join(lines)


def _cropped(photo: NDArray[np.uint8], patch: int) -> Tensor:
    """The middle of a photo, (1, 3, H, W) float in [0, 255], whole patches."""
    sides = [min(n, SIDE) // patch * patch for n in photo.shape[:2]]
    top, left = ((n - side) // 2 for n, side in zip(photo.shape[:2], sides, strict=True))
    crop = photo[top : top + sides[0], left : left + sides[1]]
    return torch.from_numpy(crop.copy()).permute(2, 0, 1).float()[None]
