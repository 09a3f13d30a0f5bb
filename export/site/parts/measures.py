"""What a photo's file decodes to, and how near that is: the figures of each stage, and PSNR over the bytes.

Takes the bytes of an `.sdz` and the photo's pixels, hands on records for the report.
"""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ....runtime.decode import Opened, decode, open_latents
from ....runtime.format.container import Header
from ....runtime.options import STAGES
from ....runtime.pictures.written import on_white
from ....runtime.session import Session
from ...metrics.pictures import psnr
from ..report import LEAST_BYTES, Ladder, Measured

LADDER_RUNGS = 6
"""Cuts of each file at which PSNR is measured, for the curve above the byte slider, beside its first stops."""

LADDER_PIXELS = 1 << 22
"""Photos over four megapixels go without the curve: so many more decodes would double the time they take."""


@dataclass(frozen=True)
class Original:
    """A photo: its file's bytes; prepared for Pillow, and as a page shows it, uint8 (H, W, 3), transparency on white."""

    data: bytes
    picture: Image.Image
    shown: NDArray[np.uint8]


@dataclass(frozen=True)
class Decoded:
    """What the file decodes to: the figures of each stage, the pixels of the last one on white, PSNR at some cuts of the file."""

    header: Header
    stages: list[Measured]
    shown: NDArray[np.uint8]
    ladder: Ladder
    milliseconds: float


def decode_stages(data: bytes, original: Original, head: int, ms_ssim: bool, session: Session) -> Decoded:
    """Decodes the latents once and every stage from them. `head` bytes stand in the page, 0 for none; `ms_ssim` as in `measured`."""
    start = time.perf_counter()
    opened = open_latents(data, pack=session.pack)
    alpha = opened.alpha()[:, :, None] if opened.has_alpha else None
    opening = time.perf_counter() - start
    stages = []
    for stage in STAGES:
        if opened.reached(stage) != stage:
            continue
        start = time.perf_counter()
        pixels = opened.paint(stage, session)
        painting = time.perf_counter() - start
        found, shown = measured(stage, pixels if alpha is None else np.concatenate([pixels, alpha], axis=2), original, ms_ssim)
        stages.append(found)
    ladder = _ladder(data, opened, head, stages[-1], original, session)
    return Decoded(opened.header, stages, shown, ladder, 1000.0 * (opening + painting))


def measured(stage: str, pixels: NDArray[np.uint8], original: Original, ms_ssim: bool) -> tuple[Measured, NDArray[np.uint8]]:
    """The figures of decoded pixels, uint8 (H, W, 1 to 4), and the pixels as a page shows them; MS-SSIM, which needs torch, where it is
    asked for."""
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    shown = np.asarray(on_white(picture))
    error = psnr(shown, original.shown)
    structure = None
    if ms_ssim:
        from ...metrics import similarity  # torch takes seconds to load: not in a process that finds nothing to do

        structure = similarity.structural_similarity(shown, original.shown)
    return Measured(stage, error if math.isfinite(error) else None, structure, rgba_digest(picture)), shown


def rgba_digest(picture: Image.Image) -> str:
    """SHA-256 of a picture's pixels as RGBA, row by row, in hexadecimal: what a browser's canvas holds of them."""
    return hashlib.sha256(picture.convert("RGBA").tobytes()).hexdigest()


def _ladder(data: bytes, opened: Opened, head: int, best: Measured, original: Original, session: Session) -> Ladder:
    """PSNR at some cuts of the file, the whole of it last; nothing for a large photo."""
    if opened.header.width * opened.header.height > LADDER_PIXELS:
        return []
    out: Ladder = []
    for cut in cuts(len(data), head):
        if cut == len(data):
            out.append((cut, best.psnr if best.psnr is None else round(best.psnr, 3)))
        else:
            shown = np.asarray(on_white(decode(data, session=session, max_bytes=cut).to_pil()))
            out.append((cut, round(psnr(shown, original.shown), 3)))
    return out


def cuts(size: int, head: int) -> list[int]:
    """Byte counts up to `size`: where the slider begins, those that stand in the page, and from there on each a constant factor above the
    one before."""
    first = head or LEAST_BYTES
    rungs: NDArray[np.float64] = np.geomspace(min(first, size), size, LADDER_RUNGS)
    return sorted({min(size, round(n)) for n in (LEAST_BYTES, *rungs.tolist())})
