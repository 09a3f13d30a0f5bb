"""`sdz lettering`: whether lettering in photos can still be read at a rate, with and without protection, beside AVIF.

Takes photos, finds lines of lettering in them, and prints Markdown: of each photo, the share of characters that a reader of text (RapidOCR)
gets wrong in each codec's picture at equal bytes. What it reads in the photo itself, at the same places, counts as right.
"""

from __future__ import annotations

import functools
import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...runtime.decode import decode
from ...runtime.encode import encode
from ...runtime.errors import SdzError
from ...runtime.options import DEFAULT_TUNE, TUNES, Tune
from ...runtime.pack import default_pack, load_pack
from ...runtime.photo import read_photo
from ...runtime.regions.detectors import find_text
from ...runtime.session import Session
from ..bench.run import BenchInputError, find_photos
from ..commands import failed, parser
from ..markdown import table
from ..metrics.pictures import avif_bytes

RATE: Final = 0.15
"""Bits per pixel."""

CHARACTERS: Final = 10
"""Photos with fewer of them have no lettering to speak of."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Lettering:
    """One photo: its lines of lettering have so many `characters`; what share of them is read wrong in AVIF's picture, in this codec's, and
    in this codec's with its text protected, each over that many characters (it can exceed 1), and the bytes of each file."""

    characters: int
    avif: float
    plain: float
    protected: float
    sizes: tuple[int, int, int]


def main(arguments: list[str]) -> int:
    """`sdz lettering`; 0 done, 1 no photos or an unreadable one, 2 wrong usage."""
    command = parser("lettering", "Tell how much of the lettering in photos can be read at a rate, beside AVIF, and print Markdown.")
    command.add_argument("photos", type=Path, nargs="*", metavar="PHOTOS", help="photos, and folders of them (default: scikit-image's)")
    command.add_argument("--pack", type=Path, metavar="DIR", help="directory of another model pack")
    command.add_argument("--bpp", type=float, default=RATE, metavar="BITS", help=f"bits per pixel of all files (default: {RATE:g})")
    command.add_argument("--tune", choices=TUNES, default=DEFAULT_TUNE, help=f"of all files (default: {DEFAULT_TUNE})")
    options = command.parse_args(arguments)
    try:
        session = Session(default_pack() if options.pack is None else load_pack(options.pack))
        found = [(path.name, measure(path, session, options.tune, options.bpp)) for path in find_photos(options.photos)]
    except (BenchInputError, SdzError, OSError) as error:
        return failed("lettering", error)
    print(lettering_table([(name, letters) for name, letters in found if letters is not None]))
    return 0


def measure(path: Path, session: Session, tune: Tune, bpp: float) -> Lettering | None:
    """A photo at that rate; None where it has no lettering to speak of."""
    photo = read_photo(path)
    reader = _Reader(photo.rgb)
    if reader.characters < CHARACTERS:
        return None
    size = int(bpp * photo.width * photo.height / 8)
    files = [encode(photo, target_size=size, tune=tune, session=session, protect=protect) for protect in ((), ("text",))]
    avif = largest_avif(Image.fromarray(photo.rgb), size)
    pictures = [np.asarray(Image.open(io.BytesIO(avif)).convert("RGB"))]
    pictures += [np.asarray(decode(data, session=session).to_pil().convert("RGB")) for data in files]
    wrong = [reader.wrong(picture) for picture in pictures]
    return Lettering(reader.characters, wrong[0], wrong[1], wrong[2], (len(avif), len(files[0]), len(files[1])))


def largest_avif(picture: Image.Image, size: int) -> bytes:
    """The AVIF of a picture of the highest quality that fits `size` bytes; the smallest there is where none does."""
    low, high, best = 0, 100, b""
    while low <= high:
        quality = (low + high) // 2
        file = avif_bytes(picture, quality)
        if len(file) <= size:
            low, best = quality + 1, file
        else:
            high = quality - 1
    return best or avif_bytes(picture, 0)


def lettering_table(photos: Sequence[tuple[str, Lettering]]) -> str:
    """Markdown: per cent of the characters that are read wrong, of each photo and of all, their characters weighted equally."""
    rows = [[name, str(p.characters), *(f"{100 * v:.0f} %" for v in (p.avif, p.plain, p.protected))] for name, p in photos]
    if len(photos) > 1:
        weights = [p.characters for _, p in photos]
        means = (statistics.fmean((getattr(p, name) for _, p in photos), weights) for name in ("avif", "plain", "protected"))
        rows.append(["all", str(sum(weights)), *(f"{100 * v:.0f} %" for v in means)])
    return table(["photo", "characters", "AVIF", "sdz", "sdz, text protected"], rows)


def distance(one: str, other: str) -> int:
    """Levenshtein's: characters to add, take out or replace."""
    before = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        now = [i]
        for j, b in enumerate(other, 1):
            now.append(min(before[j] + 1, now[-1] + 1, before[j - 1] + (a != b)))
        before = now
    return before[-1]


class _Reader:
    """What stands in a photo, and how much of it is read otherwise in pictures of it."""

    def __init__(self, photo: Pixels) -> None:
        self._boxes = find_text(photo)
        self._lines = self._read(photo)
        self.characters = sum(map(len, self._lines))

    def wrong(self, picture: Pixels) -> float:
        """The share of characters that are read otherwise."""
        return sum(map(distance, self._lines, self._read(picture))) / self.characters

    def _read(self, picture: Pixels) -> list[str]:
        height, width = picture.shape[:2]
        lines = []
        for left, top, wide, high in self._boxes:
            crop = picture[max(0, top) : min(height, top + high), max(0, left) : min(width, left + wide), ::-1]
            # the reader takes lists of pictures, blue first
            found: Any = _recognizer()([np.ascontiguousarray(crop)])[0] if crop.size else [("", 0.0)]
            lines.append(found[0][0])
        return lines


@functools.cache
def _recognizer() -> Any:
    from rapidocr_onnxruntime import RapidOCR

    return RapidOCR().text_rec
