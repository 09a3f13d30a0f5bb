"""`sdz exact`: photos without loss, by this format and by its peers.

Takes photos and a pack, prints Markdown: bits per pixel of the whole files, and seconds of processor time to write and to read one.
An `.sdz` holds a picture of `BASE_BPP` bits per pixel and the lossless tail behind it; its time is that of all of it. No file has metadata.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pillow_jxl  # noqa: F401 (registers JPEG XL with Pillow)
from PIL import Image
from tqdm import tqdm

from ...runtime.decode import decode
from ...runtime.encode import encode
from ...runtime.errors import SdzError
from ...runtime.pack import default_pack, load_pack
from ...runtime.photo import PreparedPhoto, read_photo
from ...runtime.session import Session
from ..bench.run import BenchInputError, find_photos
from ..commands import failed, parser
from ..markdown import table

BASE_BPP = 0.1
"""Of the picture that stands before the tail."""

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Coder:
    """One way to keep a photo: `write` gives a file, `read` its pixels."""

    name: str
    write: Callable[[PreparedPhoto], bytes]
    read: Callable[[bytes], Pixels]


@dataclass(frozen=True)
class Cost:
    """Of one photo by one coder: bits per pixel, and seconds of processor time in each direction."""

    bpp: float
    written: float
    read: float


def coders(session: Session) -> list[Coder]:
    """This format, then the peers, the strongest first."""
    return [
        Coder("sdz", lambda photo: encode(photo, bpp=BASE_BPP, lossless=True, session=session), lambda data: decode(data).pixels),
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


def measure(photo: PreparedPhoto, coder: Coder) -> Cost:
    """What a photo costs. Raises BenchInputError where it does not come back as it was."""
    start = time.process_time()
    data = coder.write(photo)
    middle = time.process_time()
    pixels = coder.read(data)
    end = time.process_time()
    if not np.array_equal(pixels.squeeze(), np.asarray(photo.to_pil())):
        raise BenchInputError(f"{coder.name} gives other pixels than it was given")
    return Cost(8 * len(data) / (photo.width * photo.height), middle - start, end - middle)


def exact_table(names: list[str], costs: list[list[Cost]]) -> str:
    """Markdown: the mean of each coder's `costs` over all photos, and how many more bits per pixel it takes than the first."""
    rows = []
    first = statistics.fmean(cost.bpp for cost in costs[0])
    for name, own in zip(names, costs, strict=True):
        bpp = statistics.fmean(cost.bpp for cost in own)
        seconds = (f"{statistics.fmean(getattr(cost, part) for cost in own):.2f}" for part in ("written", "read"))
        rows.append([name, f"{bpp:.3f}", f"{100 * (bpp / first - 1):+.1f} %", *seconds])
    return table(["", "bits per pixel", "against sdz", "seconds to write", "seconds to read"], rows)


def main(arguments: list[str]) -> int:
    """`sdz exact`; 0 done, 1 no photos or an unreadable one, 2 wrong usage."""
    command = parser("exact", "Compare lossless files of photos with those of JPEG XL, WebP and PNG, and print Markdown.")
    command.add_argument("photos", type=Path, nargs="*", metavar="PHOTOS", help="photos, and folders of them (default: scikit-image's)")
    command.add_argument("--pack", type=Path, metavar="DIR", help="directory of another model pack")
    options = command.parse_args(arguments)
    try:
        photos = find_photos(options.photos)
        chosen = coders(Session(default_pack() if options.pack is None else load_pack(options.pack)))
        costs: list[list[Cost]] = [[] for _ in chosen]
        for path in tqdm(photos, desc="photos", disable=None):
            photo = read_photo(path)
            for own, coder in zip(costs, chosen, strict=True):
                own.append(measure(photo, coder))
    except (BenchInputError, SdzError, OSError) as error:
        return failed("exact", error)
    print(f"{len(photos)} photos\n\n{exact_table([coder.name for coder in chosen], costs)}")
    return 0
