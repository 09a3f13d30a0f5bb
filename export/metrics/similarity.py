"""How like two pictures are: PSNR, MS-SSIM, ST-LPIPS, LPIPS, DISTS and SSIMULACRA2, and what AVIF would need to be as like.

Takes uint8 arrays (H, W, 3) as every decoder gives them; the measures themselves come from packages nobody here wrote.
"""

from __future__ import annotations

import functools
import hashlib
import io
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from PIL import Image
from pytorch_msssim import ms_ssim

from ...runtime.pictures.written import on_white
from .perceptual import Dists, Lpips, PerceptualDistance
from .pictures import Pixels, avif_bytes

MS_SSIM_MINIMUM = 161
"""Smallest side MS-SSIM takes: its fifth scale must still hold the 11-pixel window (Wang, Simoncelli and Bovik 2003)."""

JUDGED_SIDE = 256
"""While a site is built ST-LPIPS is taken on the middle square of at most this side: its VGG16 costs some seconds per megapixel and
comparison, and one picture is compared up to eight times."""

JUDGED_MINIMUM = 64
"""Smallest side that the networks take: VGG16 halves its maps four times and the shift-tolerant layers pad them."""

JUDGED_PIXELS = 1 << 20
"""Larger pictures go through the networks in tiles of at most so many pixels, which bounds their memory to about two gigabytes."""

AVIF_QUALITIES = (0, 100)
"""Pillow's range of AVIF qualities."""


def structural_similarity(picture: Pixels, reference: Pixels) -> float | None:
    """MS-SSIM of two (H, W, 3) arrays, at most 1; None when a side is under `MS_SSIM_MINIMUM`."""
    if min(reference.shape[:2]) < MS_SSIM_MINIMUM:
        return None
    with torch.inference_mode():
        return float(ms_ssim(_tensor(picture), _tensor(reference), data_range=255))


def perceptual_distance(picture: Pixels, reference: Pixels) -> float:
    """ST-LPIPS (VGG16) of the middle squares of two (H, W, 3) arrays of at least `JUDGED_MINIMUM` a side; 0 when equal."""
    with torch.inference_mode():
        return float(_judge()(_tensor(middle(picture, JUDGED_SIDE)), _tensor(middle(reference, JUDGED_SIDE))))


def whole_distance(picture: Pixels, reference: Pixels) -> float:
    """ST-LPIPS (VGG16) of two whole (H, W, 3) arrays of at least `JUDGED_MINIMUM` a side; 0 when equal.

    Above `JUDGED_PIXELS` the mean over tiles, weighted by their pixels: the measure is itself a mean over positions.
    """
    return _tiled(_judge, picture, reference)


def lpips(picture: Pixels, reference: Pixels) -> float:
    """LPIPS (AlexNet), as `whole_distance` otherwise."""
    return _tiled(_lpips, picture, reference)


def dists(picture: Pixels, reference: Pixels) -> float:
    """DISTS (VGG16) at the pictures' own size, as `whole_distance` otherwise."""
    return _tiled(_dists, picture, reference)


def tiles(height: int, width: int) -> list[tuple[slice, slice]]:
    """Rows and columns of the tiles of a picture: one where it has at most `JUDGED_PIXELS`, else a grid of nearly equal ones."""
    rows, columns = 1, 1
    while -(-height // rows) * -(-width // columns) > JUDGED_PIXELS:
        rows, columns = (rows + 1, columns) if height / rows >= width / columns else (rows, columns + 1)
    ends = [[side * i // count for i in range(count + 1)] for side, count in ((height, rows), (width, columns))]
    return [(slice(*y), slice(*x)) for y in pairwise(ends[0]) for x in pairwise(ends[1])]


def ssimulacra2(picture: Pixels, reference: Pixels) -> float:
    """SSIMULACRA2 (Sneyers 2023) of two (H, W, 3) arrays: 100 when equal, from 90 on no visible difference, no lower bound."""
    from ssimulacra2 import compute_ssimulacra2  # of the extra for benchmarks, which building a site does without

    return float(compute_ssimulacra2(_opened(reference), _opened(picture)))


@dataclass(frozen=True)
class EqualAvif:
    """AVIF's bytes (`size`) at a given distance; `bound` is "=" or, past the ends of AVIF's range, "<=" or ">=".

    `data` is the file of the lowest quality that is not farther, and `quality` that; b"" and the highest where none is.
    """

    size: int
    bound: str
    data: bytes
    quality: int


def avif_at_distance(picture: Image.Image, distance: float) -> EqualAvif:
    """How many bytes AVIF takes to be as near to `picture` (RGB, or RGBA as it looks on white) as `distance` (ST-LPIPS, VGG16).

    Bisects the quality, then interpolates the bytes between the two neighbouring qualities. Where even the lowest quality is
    nearer its size is an upper bound ("<="), where the highest is farther its size is a lower one (">=").
    """
    pixels = np.asarray(on_white(picture))

    @functools.cache
    def tried(quality: int) -> tuple[bytes, float]:
        data = avif_bytes(picture, quality)
        with Image.open(io.BytesIO(data)) as decoded:
            return data, perceptual_distance(np.asarray(on_white(decoded)), pixels)

    low, high = AVIF_QUALITIES
    if tried(low)[1] <= distance:
        return EqualAvif(len(tried(low)[0]), "<=", tried(low)[0], low)
    while high - low > 1:
        middle = (low + high) // 2
        if tried(middle)[1] <= distance:
            high = middle
        else:
            low = middle
    (smaller, far), (larger, near) = tried(low), tried(high)
    if near > distance:
        return EqualAvif(len(larger), ">=", b"", high)
    share = (far - distance) / (far - near)
    return EqualAvif(round(len(smaller) + (len(larger) - len(smaller)) * share), "=", larger, high)


@functools.cache
def _judge() -> PerceptualDistance:
    # the trunk runs an eighth faster in this layout
    judge = PerceptualDistance("vgg")
    judge.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    judge.metric.net.forward = _remembering(judge.metric.net.forward)
    return judge


@functools.cache
def _lpips() -> Lpips:
    judge = Lpips()
    judge.metric.net.forward = _remembering(judge.metric.net.forward)
    return judge


@functools.cache
def _dists() -> Dists:
    judge = Dists()
    judge.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    judge.metric.forward_once = _remembering(judge.metric.forward_once)
    return judge


def _tiled(network: Callable[[], Any], picture: Pixels, reference: Pixels) -> float:
    total = 0.0
    with torch.inference_mode():
        for rows, columns in tiles(*reference.shape[:2]):
            part = reference[rows, columns]
            total += float(network()(_tensor(picture[rows, columns]), _tensor(part))) * part[..., 0].size
    return total / reference[..., 0].size


def _remembering(forward: Callable[[torch.Tensor], Any]) -> Callable[[torch.Tensor], Any]:
    """`forward` with its last two results kept: one reference is compared with many pictures, and its features are half the cost."""
    kept: OrderedDict[bytes, Any] = OrderedDict()

    def remembered(pixels: torch.Tensor) -> Any:
        key = hashlib.sha256(pixels.numpy().tobytes() + repr(pixels.shape).encode()).digest()
        if key not in kept:
            kept[key] = forward(pixels)
        kept.move_to_end(key)
        while len(kept) > 2:
            kept.popitem(last=False)
        return kept[key]

    return remembered


def _opened(pixels: Pixels) -> io.BytesIO:
    """The picture as a file, the only thing `ssimulacra2` takes."""
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PPM")
    target.seek(0)
    return target


def _tensor(pixels: Pixels) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels).astype(np.float32)).permute(2, 0, 1)[None]


def middle(pixels: Pixels, side: int) -> Pixels:
    """The middle square of `side` pixels of an array (H, W, 3), or what there is of it."""
    height, width = pixels.shape[:2]
    top, left = max(0, height - side) // 2, max(0, width - side) // 2
    return pixels[top : top + side, left : left + side]
