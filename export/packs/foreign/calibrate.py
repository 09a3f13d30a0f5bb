"""What photos say about a foreign autoencoder: each channel's step, the linear stage's table, the limits of its integers.

Takes a family and photos, returns a `Calibration`. A latent in grey levels is the family's latent times its channel's gain; the gain is
the norm of what one unit of the latent adds to a patch by the best linear decoder, so that one unit of a scaled latent counts for as much
as a unit of an orthonormal transform, in every channel: the gain is the channel's step.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from ....runtime.errors import SdzError
from ....runtime.files import evenly
from ....runtime.photo import open_image, prepare
from ...crops import CropSampler
from ...families import Family, FamilyError
from ...families.family import GREY
from ...models.autoencoder import GRID
from ..options import Steps

CROP: Final = 256
"""Pixels on the side of the crops; less where the photos are smaller."""

SMALLEST: Final = 64
"""Photos with a shorter side are left out."""

CROPS: Final = 32
"""Crops, drawn from all photos: few photos give several each."""

MOST_PHOTOS: Final = 64
"""Photos that are read, spread evenly over all."""

RIDGE: Final = 1e-3
"""Of the latents' mean square: keeps the fit from telling apart what hardly differs."""

WEAKEST: Final = 0.05
"""A channel's spread in grey levels is at least this part of the widest channel's: no linear decoder sees what texture is worth."""

L1_MARGIN: Final = 4.0
"""The L1 limit over the largest norm that the photos show."""

TABLE_LIMIT: Final = 32_767
SUM_LIMIT: Final = 1 << 31
L1_LIMIT: Final = 1 << 24
SHIFTS: Final = range(20, 0, -1)
"""What a manifest and `linear.bin` hold."""


@dataclass(frozen=True)
class Calibration:
    """`crops` uint8 (N, S, S, 3); `latents` float32 (N, C, S/p, S/p) of these in grey levels; `gains` float32 (C,); `table` int16
    (C, 3 p p), `shift`, `l1_limit` as in a pack."""

    crops: NDArray[np.uint8]
    latents: NDArray[np.float32]
    gains: NDArray[np.float32]
    table: NDArray[np.int16]
    shift: int
    l1_limit: int


def read_photos(paths: list[Path]) -> list[NDArray[np.uint8]]:
    """The pixels, uint8 (H, W, 3), of up to MOST_PHOTOS of the pictures; those that cannot be read or are too small are left out.

    Raises FamilyError where none is left.
    """
    photos = []
    for path in tqdm(evenly(paths, MOST_PHOTOS), desc="calibration photos", disable=None):
        try:
            with open_image(path) as image:
                photos.append(prepare(image).rgb)
        except (SdzError, OSError):
            continue  # a build names it when it comes to it
    photos = [photo for photo in photos if min(photo.shape[:2]) >= SMALLEST]
    if not photos:
        raise FamilyError(f"no photo of at least {SMALLEST}x{SMALLEST} pixels to calibrate the pack with: name some with --calibrate")
    return photos


def calibrate(
    family: Family, photos: list[NDArray[np.uint8]], *, gains: NDArray[np.float32] | None = None, steps: Steps = "linear", seed: int = 0
) -> Calibration:
    """Measures `family` on crops of the photos; `gains` where they are given already, else by `steps`. Raises FamilyError."""
    side = min(CROP, min(min(photo.shape[:2]) for photo in photos) // SMALLEST * SMALLEST)
    pixels = CropSampler(photos, side, seed).batch(CROPS).round()
    with torch.inference_mode():
        rows = [family.encode(crop[None])[0].numpy() for crop in tqdm(pixels, desc="latents", disable=None)]
    raw = np.stack(rows).astype(np.float32)
    if not np.isfinite(raw).all() or not raw.any():
        raise FamilyError(f"{family.source}: its encoder gives no usable latents (NaN, infinity, or nothing but zeros)")
    crops = pixels.permute(0, 2, 3, 1).to(torch.uint8).numpy()
    weights = fit_linear(raw, crops)
    if gains is None:
        gains = gains_of(weights, raw)
        if steps == "posterior":
            gains = posterior_gains(family, pixels, gains)
    latents = raw * gains[:, None, None]
    largest_norm = float(np.abs(latents).sum(axis=1).max()) * GRID
    if family.codebook is not None:
        entries = (family.codebook - family.centre.reshape(1, -1)).numpy() * gains
        largest_norm = max(largest_norm, float(np.abs(entries).sum(axis=1).max()) * GRID / L1_MARGIN)
    table, shift, l1_limit = integer_table(weights / gains[:, None], L1_MARGIN * largest_norm)
    return Calibration(crops, latents, gains, table, shift, l1_limit)


def fit_linear(latents: NDArray[np.float32], crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The best linear decoder by ridge least squares, float64 (C, 3 p p): levels that a unit of each latent adds to its patch's pixels
    (colour, row, column), from latents (N, C, h, w), zero for mid-grey, of crops uint8 (N, p h, p w, 3)."""
    count, channels, rows, columns = latents.shape
    patch = crops.shape[1] // rows
    x = latents.transpose(0, 2, 3, 1).reshape(-1, channels).astype(np.float64)
    blocks = crops.reshape(count, rows, patch, columns, patch, 3).transpose(0, 1, 3, 5, 2, 4)
    y = blocks.reshape(len(x), -1).astype(np.float64) - GREY
    gram = x.T @ x
    weights: NDArray[np.float64] = np.linalg.solve(gram + np.eye(channels) * (RIDGE * np.trace(gram) / channels + 1e-12), x.T @ y)
    return weights


def gains_of(weights: NDArray[np.float64], latents: NDArray[np.float32]) -> NDArray[np.float32]:
    """What each channel's latents are multiplied with to be grey levels, float32 (C,), all above zero."""
    spread = latents.std(axis=(0, 2, 3)).astype(np.float64) + 1e-12
    gains = np.linalg.norm(weights, axis=1)
    widest = float((gains * spread).max())
    out: NDArray[np.float32] = np.maximum(gains, max(WEAKEST * widest, 1e-6) / spread).astype(np.float32)
    return out


def posterior_gains(family: Family, pixels: torch.Tensor, gains: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gains, float32 (C,), with the geometric mean of `gains`, that bring every channel's mean deviation on crops, levels (N, 3, H, W), to
    the same: a step is then the same part of what the autoencoder's training let each channel be off by. Raises FamilyError."""
    if not family.has_posterior:
        raise FamilyError(f"{family.source}: it has no posterior to take steps from")
    with torch.inference_mode():
        deviations = torch.stack([family.encoder(crop[None])[1][0].mean(dim=(1, 2)) for crop in pixels]).mean(dim=0).double().numpy()
    if not (np.isfinite(deviations).all() and deviations.all()):
        raise FamilyError(f"{family.source}: its posterior has no usable deviation in every channel")
    logs = np.log(gains.astype(np.float64)).mean() + np.log(deviations).mean() - np.log(deviations)
    out: NDArray[np.float32] = np.exp(logs).astype(np.float32)
    return out


def integer_table(weights: NDArray[np.float64], norm: float) -> tuple[NDArray[np.int16], int, int]:
    """`linear.bin` of levels per grey level (C, 3 p p), its binary places, and the L1 limit, at least `norm` grid units where possible."""
    for shift in SHIFTS:
        table = np.round(weights / GRID * (1 << shift))
        largest = max(1, int(np.abs(table).max()))
        limit = min(L1_LIMIT, (SUM_LIMIT - (1 << (shift + 8)) - 1) // largest)
        if largest <= TABLE_LIMIT and (limit >= norm or limit == L1_LIMIT):
            return table.astype(np.int16), shift, limit
    raise FamilyError(
        f"the linear stage's table does not fit 16 bits: a unit of a latent moves a pixel by {np.abs(weights).max():.3g} levels"
    )
