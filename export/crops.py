"""Training crops: photos from folders and tar shards, decoded once into memory, augmented per crop."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

SUFFIXES = {".avif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
"""File name endings that are read from a training folder or shard."""


class TrainingDataError(ValueError):
    """No usable photo in what was given as training data."""


def load_photos(sources: list[Path], minimum: int) -> list[NDArray[np.uint8]]:
    """All photos of tar shards, folders of either, and single files as (H, W, 3) uint8, those smaller than `minimum` left out."""
    photos: list[NDArray[np.uint8]] = []
    files = [f for source in sources for f in (sorted(source.rglob("*")) if source.is_dir() else [source])]
    for shard in [f for f in files if f.suffix == ".tar"]:
        with tarfile.open(shard) as archive:
            for member in tqdm(archive.getmembers(), desc=shard.name, disable=None):
                data = archive.extractfile(member) if Path(member.name).suffix.lower() in SUFFIXES else None
                if data is not None:
                    photos.append(_pixels(io.BytesIO(data.read())))
    singles = [f for f in files if f.suffix.lower() in SUFFIXES]
    photos += [_pixels(f) for f in tqdm(singles, desc="photos", disable=None)]
    photos = [p for p in photos if min(p.shape[:2]) >= minimum]
    if not photos:
        raise TrainingDataError(
            f"no photo of at least {minimum}x{minimum} pixels in {', '.join(map(str, sources))}; give folders or .tar shards of photos"
        )
    return photos


def _pixels(source: Path | io.BytesIO) -> NDArray[np.uint8]:
    with Image.open(source) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


class CropSampler:
    """Random crops (N, 3, size, size) float32 in [0, 255]: scale, flips, transposition, gamma and light colour jitter."""

    def __init__(self, photos: list[NDArray[np.uint8]], size: int, seed: int) -> None:
        self.photos = photos
        self.size = size
        self.random = np.random.default_rng(seed)

    def batch(self, count: int) -> Tensor:
        """`count` crops from as many photos."""
        return torch.stack([self._crop() for _ in range(count)])

    def _crop(self) -> Tensor:
        rng = self.random
        photo = self.photos[int(rng.integers(len(self.photos)))]
        largest = min(photo.shape[0], photo.shape[1]) / self.size
        scale = 1.0 if rng.random() < 0.5 else float(rng.uniform(1.0, largest))
        side = min(round(self.size * scale), photo.shape[0], photo.shape[1])
        y, x = (int(rng.integers(0, n - side + 1)) for n in photo.shape[:2])
        crop = torch.from_numpy(photo[y : y + side, x : x + side].copy()).permute(2, 0, 1).float()
        if side != self.size:
            crop = F.interpolate(crop[None], (self.size, self.size), mode="bicubic", antialias=True, align_corners=False)[0]
        if rng.random() < 0.5:
            crop = crop.flip(2)
        if rng.random() < 0.25:
            crop = crop.transpose(1, 2)
        if rng.random() < 0.3:
            gamma = float(rng.uniform(0.8, 1.25))
            tint = torch.from_numpy(rng.uniform(0.92, 1.08, (3, 1, 1))).float()
            crop = 255.0 * (crop.clamp(0, 255) / 255.0).pow(gamma) * tint
        return crop.clamp(0, 255)
