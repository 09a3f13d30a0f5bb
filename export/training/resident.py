"""Training crops that stay in an accelerator's memory: decoded once, cut, scaled, turned and tinted there, a whole batch at a time."""

from __future__ import annotations

import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F


class ShardError(ValueError):
    """A shard that cannot be held: crops of different sizes, or that are no squares."""


def read_shard(shard: Path, threads: int = 16) -> Tensor:
    """All crops of a tar shard, squares of one size, as (N, 3, S, S) uint8. Raises ShardError where they are not."""
    with tarfile.open(shard) as archive:
        data = [archive.extractfile(m).read() for m in archive.getmembers() if m.isfile()]  # type: ignore[union-attr]
    with ThreadPoolExecutor(threads) as pool:
        arrays = list(pool.map(lambda d: np.asarray(Image.open(io.BytesIO(d)).convert("RGB")), data))
    sizes = sorted({a.shape[:2] for a in arrays})
    if len(sizes) != 1 or sizes[0][0] != sizes[0][1]:
        found = ", ".join(f"{width}x{height}" for height, width in sizes[:4]) or "none"
        raise ShardError(f"{shard}: crops must be squares of one size, found {found}")
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()


class ResidentCrops:
    """Random crops (N, 3, size, size) float32 in [0, 255] on a device, augmented as `export.data.CropSampler` does, without a wait."""

    def __init__(self, photos: Tensor, size: int) -> None:
        self.photos = photos
        self.size = size

    def add(self, photos: Tensor) -> None:
        """More crops of the same size join."""
        self.photos = torch.cat([self.photos, photos.to(self.photos.device)])

    def _cut(self, count: int, side: int) -> Tensor:
        photos, device = self.photos, self.photos.device
        largest = photos.shape[-1] - side + 1
        index = torch.randint(0, len(photos), (count, 1, 1, 1), device=device)
        y, x = (torch.randint(0, largest, (count, 1, 1, 1), device=device) for _ in range(2))
        rows = y + torch.arange(side, device=device)[None, None, :, None]
        columns = x + torch.arange(side, device=device)[None, None, None, :]
        return photos[index, torch.arange(3, device=device)[None, :, None, None], rows, columns].float()

    @torch.no_grad()
    def batch(self, count: int) -> Tensor:
        """`count` crops: half as they are, the others shrunk from larger squares, of two sides a batch."""
        device = self.photos.device
        shrunk = count // 2
        parts = [self._cut(count - shrunk, self.size)]
        for number in (shrunk // 2, shrunk - shrunk // 2):
            side = int(torch.randint(self.size, self.photos.shape[-1] + 1, ()))
            cut = self._cut(number, side)
            if side != self.size:
                cut = F.interpolate(cut, (self.size, self.size), mode="bicubic", antialias=True, align_corners=False)
            parts.append(cut)
        crops = torch.cat(parts)[torch.randperm(count, device=device)]

        def chance(share: float) -> Tensor:
            return torch.rand((count, 1, 1, 1), device=device) < share

        crops = torch.where(chance(0.5), crops.flip(3), crops)
        crops = torch.where(chance(0.25), crops.transpose(2, 3), crops)
        gamma = 0.8 + 0.45 * torch.rand((count, 1, 1, 1), device=device)
        tint = 0.92 + 0.16 * torch.rand((count, 3, 1, 1), device=device)
        changed = 255.0 * (crops.clamp(0, 255) / 255.0).pow(gamma) * tint
        return torch.where(chance(0.3), changed, crops).clamp(0, 255)
