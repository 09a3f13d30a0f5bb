"""PSNR, and AVIF files of pictures: all that a site's figures need without torch.

Takes Pillow images and uint8 arrays (H, W, 3).
"""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

AVIF_SPEED = 4
"""libaom's effort in every comparison with AVIF; slower settings gain a per cent or two."""

Pixels = NDArray[np.uint8]


def psnr(picture: Pixels, reference: Pixels) -> float:
    """Peak signal-to-noise ratio in dB over all samples of two (H, W, 3) arrays; infinite when they are equal."""
    error = float(np.mean(np.square(picture.astype(np.float32) - reference), dtype=np.float64))
    return math.inf if error == 0.0 else 10.0 * math.log10(255.0**2 / error)


def avif_bytes(picture: Image.Image, quality: int, speed: int = AVIF_SPEED) -> bytes:
    """The AVIF file of a picture at a quality from 0 to 100 (libaom, 4:2:0); `speed` from 0, slow, to 10."""
    target = io.BytesIO()
    picture.save(target, "AVIF", quality=quality, speed=speed)
    return target.getvalue()
