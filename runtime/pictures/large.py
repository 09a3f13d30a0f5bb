"""Pictures larger than the runtime encodes, read small: a 200-megapixel photo that is to become two has never all its pixels in memory
twice.

Takes an opened Pillow image and the longest side that is asked for; gives an image at least as large as that asks for. JPEG is decoded at a
fraction of its size by the decoder itself; of other formats whose decoder keeps one copy, bands of rows are averaged.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

from .. import limits
from ..errors import LimitError

OVERSIZE: Final = 2
"""Sides of what is read, in those that are asked for: Lanczos has the last word on which detail is left."""

PLAIN: Final = frozenset(("BMP", "JPEG", "MPO", "PNG", "PPM", "TIFF"))
"""Formats whose decoders hold little beside the picture's own four bytes a pixel."""

MAX_READ_PIXELS: Final = 1 << 28
"""Pixels of a picture in one of `PLAIN` that is read to be made smaller: a gigabyte as Pillow holds them. Also of a progressive JPEG, whose
coefficients are all kept until the last scan."""

MAX_SCANNED_PIXELS: Final = 1 << 30
"""Pixels of a sequential JPEG, of which only the reduced ones are kept; a minute's work."""

BAND_PIXELS: Final = 1 << 22
"""Pixels of the bands that are averaged at a time."""


def read_small(image: Image.Image, longest: int) -> Image.Image:
    """An opened image with its longer side at least `longest`, where its own is no shorter, within the runtime's limits; the image itself
    where it is small enough. Raises LimitError where its format does not allow that, or what Pillow raises for damaged data.
    """
    width, height = image.size
    wanted = OVERSIZE * longest
    if max(width, height) <= wanted:
        return image
    draft = image.draft(None, (max(1, wanted * width // max(image.size)), max(1, wanted * height // max(image.size))))
    if draft is None and _encodable(width, height):
        return image
    reading = image.size[0] * image.size[1]
    scanned = width * height
    most = MAX_READ_PIXELS if draft is None or image.info.get("progressive") else MAX_SCANNED_PIXELS
    if image.format not in PLAIN or reading > MAX_READ_PIXELS or scanned > most:
        raise LimitError(f"{width}x{height} pixels, more than this runtime reads of {image.format}", None, "width x height")
    if _encodable(*image.size):
        return image
    return _averaged(image, max(2, max(image.size) // wanted))


def _encodable(width: int, height: int) -> bool:
    return max(width, height) <= limits.MAX_SIDE and width * height <= limits.MAX_PIXELS


def _averaged(image: Image.Image, factor: int) -> Image.Image:
    """The image with its sides divided by `factor`, rounded up, and its metadata; 16-bit grey as 8 bits."""
    image.load()
    width, height = image.size
    rows = max(1, BAND_PIXELS // (width * factor)) * factor
    small: Image.Image | None = None
    for top in range(0, height, rows):
        band = _averageable(image.crop((0, top, width, min(height, top + rows)))).reduce(factor)
        if small is None:
            small = Image.new(band.mode, (band.width, -(-height // factor)))
        small.paste(band, (0, top // factor))
    assert small is not None
    small.info = {key: value for key, value in image.info.items() if key != "transparency"}
    exif = image.getexif()
    if exif:
        # a TIFF file's own tags are not among `info`
        small.info["exif"] = exif.tobytes()
    return small


def _averageable(band: Image.Image) -> Image.Image:
    """Part of an image in a mode whose samples can be averaged."""
    if band.mode.startswith("I"):
        samples = np.asarray(band, np.float64).clip(0, 65535)
        return Image.fromarray(np.floor(samples / 257.0 + 0.5).astype(np.uint8))
    if band.has_transparency_data:
        return band.convert("RGBA")
    return band.convert({"1": "L", "P": "RGB", "PA": "RGBA"}.get(band.mode, band.mode))
