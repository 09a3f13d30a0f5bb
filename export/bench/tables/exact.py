"""Photos without loss, by this format and by its peers.

Bits per pixel of the whole files, and seconds of processor time to write and to read one. An `.sdz` holds a picture of `BASE_BPP` bits
per pixel and the lossless tail behind it; its time is that of all of it. No file has metadata.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import pillow_jxl  # noqa: F401 (registers JPEG XL with Pillow)
from PIL import Image

from ....runtime.decode import decode
from ....runtime.encode import encode
from ....runtime.photo import PreparedPhoto
from ....runtime.session import Session
from ..peers import Pixels
from ..photos import BenchInputError
from ..report import Section, Table
from .chapter import Chapter

RECIPE = 2
"""Raised when this module would give other figures of the same photo, pack and encoder."""

BASE_BPP = 0.1
"""Of the picture that stands before the tail."""


@dataclass(frozen=True)
class Coder:
    """One way to keep a photo: `write` gives a file, `read` its pixels."""

    name: str
    write: Callable[[PreparedPhoto], bytes]
    read: Callable[[bytes], Pixels]


@dataclass(frozen=True)
class Cost:
    """Of one photo by the coder of that name: bits per pixel, and seconds of processor time in each direction."""

    name: str
    bpp: float
    written: float
    read: float


def coders(session: Session) -> list[Coder]:
    """This format, then the peers, the strongest first."""
    return [
        Coder(
            "sdz",
            lambda photo: encode(photo, bpp=BASE_BPP, lossless=True, session=session),
            lambda data: decode(data, session=session).pixels,
        ),
        _pillows("JPEG XL, effort 7", "JXL", lossless=True, effort=7),
        _pillows("WebP, method 6", "WEBP", lossless=True, quality=100, method=6),
        _pillows("PNG, optimized", "PNG", optimize=True),
    ]


def _pillows(name: str, form: str, **options: Any) -> Coder:
    def write(photo: PreparedPhoto) -> bytes:
        out = io.BytesIO()
        photo.to_pil().save(out, form, **options)
        return out.getvalue()

    return Coder(name, write, lambda data: np.asarray(Image.open(io.BytesIO(data))))


def cost(photo: PreparedPhoto, coder: Coder) -> Cost:
    """What a photo costs. Raises BenchInputError where it does not come back as it was."""
    start = time.process_time()
    data = coder.write(photo)
    middle = time.process_time()
    pixels = coder.read(data)
    end = time.process_time()
    if not np.array_equal(pixels.squeeze(), np.asarray(photo.to_pil())):
        raise BenchInputError(f"{coder.name} gives other pixels than it was given")
    return Cost(coder.name, 8 * len(data) / (photo.width * photo.height), middle - start, end - middle)


def measure(photo: PreparedPhoto, session: Session) -> list[tuple[Any, ...]]:
    """The fields of a photo's cost by each of `coders`."""
    return [astuple(cost(photo, coder)) for coder in coders(session)]


def section(names: Sequence[str], photos: Sequence[list[list[Any]]]) -> Section:
    """The mean of each coder's costs over all photos, and how many more bits per pixel it takes than the first."""
    rows = []
    means = [[statistics.fmean(photo[coder][part] for photo in photos) for part in (1, 2, 3)] for coder in range(len(photos[0]))]
    for (name, *_), (bpp, written, read) in zip(photos[0], means, strict=True):
        rows.append([name, f"{bpp:.3f}", f"{100 * (bpp / means[0][0] - 1):+.1f} %", f"{written:.2f}", f"{read:.2f}"])
    lines = [
        f"{len(photos)} photos, whole files without metadata, each of which gave its photo back byte for byte; the `.sdz` begin with a "
        f"picture of {BASE_BPP:g} bits per pixel. Seconds are processor time."
    ]
    header = ["", "bits per pixel", "against sdz", "seconds to write", "seconds to read"]
    return Section("Lossless", lines, [Table(header, rows)])


CHAPTER = Chapter("lossless", lambda: (RECIPE, BASE_BPP), measure, section)
