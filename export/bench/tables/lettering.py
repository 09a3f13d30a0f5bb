"""Whether lettering in photos can still be read at a rate, with and without protection, beside AVIF.

Of each photo in which there is some, the share of characters that a reader of text (RapidOCR, of the extra `protect`) gets wrong in each
codec's picture at equal bytes. What it reads in the photo itself, at the same places, counts as right.
"""

from __future__ import annotations

import functools
import io
import statistics
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from PIL import Image

from ....runtime.decode import decode
from ....runtime.encode import encode
from ....runtime.options import Tune
from ....runtime.photo import PreparedPhoto
from ....runtime.regions.detectors import find_text
from ....runtime.session import Session
from ...metrics.pictures import avif_bytes
from ..peers import Pixels
from ..report import Section, Table
from .chapter import Chapter

RECIPE: Final = 2
"""Raised when this module would give other figures of the same photo, pack and encoder."""

RATE: Final = 0.15
"""Bits per pixel."""

TUNE: Final[Tune] = "natural"
"""One tuning for all photos: what protecting text is worth is asked, not which tuning suits it."""

CHARACTERS: Final = 10
"""Photos with fewer of them have no lettering to speak of."""


@dataclass(frozen=True)
class Lettering:
    """One photo: its lines of lettering have so many `characters`; what share of them is read wrong in AVIF's picture, in this codec's, and
    in this codec's with its text protected, each over that many characters (it can exceed 1), and the bytes of each file."""

    characters: int
    avif: float
    plain: float
    protected: float
    sizes: tuple[int, int, int]


def measure(photo: PreparedPhoto, session: Session) -> tuple[Any, ...] | None:
    """The fields of a photo's lettering; None where it has none to speak of."""
    found = lettering(photo, session)
    return None if found is None else astuple(found)


def lettering(photo: PreparedPhoto, session: Session, bpp: float = RATE) -> Lettering | None:
    """How much of a photo's lettering is read at that rate; None where it has none to speak of."""
    reader = _Reader(photo.rgb)
    if reader.characters < CHARACTERS:
        return None
    size = int(bpp * photo.width * photo.height / 8)
    files = [encode(photo, target_size=size, tune=TUNE, session=session, protect=protect) for protect in ((), ("text",))]
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


def section(names: Sequence[str], photos: Sequence[list[Any] | None]) -> Section:
    """Per cent of the characters that are read wrong, of each photo that has lettering and of all, their characters weighted equally."""
    found = [(name, Lettering(*fields)) for name, fields in zip(names, photos, strict=True) if fields is not None]
    rows = [[name, str(p.characters), *(f"{100 * v:.0f} %" for v in (p.avif, p.plain, p.protected))] for name, p in found]
    if len(found) > 1:
        weights = [p.characters for _, p in found]
        means = (statistics.fmean((getattr(p, name) for _, p in found), weights) for name in ("avif", "plain", "protected"))
        rows.append(["all", str(sum(weights)), *(f"{100 * v:.0f} %" for v in means)])
    lines = [
        f"Characters that RapidOCR reads otherwise than in the photo, at {RATE:g} bits per pixel; {len(found)} of {len(photos)} photos "
        "have lettering to speak of."
    ]
    header = ["photo", "characters", "AVIF", "sdz", "sdz, text protected"]
    return Section("Lettering", lines, [Table(header, rows)] if rows else [])


def lacks() -> str | None:
    """Why lettering cannot be read here."""
    return None if find_spec("rapidocr_onnxruntime") else "the lettering table is left out; it needs pip install 'sdz[protect]'"


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


CHAPTER = Chapter("lettering", lambda: (RECIPE, RATE, CHARACTERS, TUNE), measure, section, lacks)
