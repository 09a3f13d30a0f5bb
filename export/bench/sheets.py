"""Contact sheets: one place of one photo, the original beside AVIF and this codec at equal bytes, for eyes to judge.

Takes the files that the bench kept at equal rates and a list of places, writes a PNG per place: a row per rate at 1:1 and, below it, the
middle of that at 2:1.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...runtime.files import write_atomically
from ...runtime.session import Session
from ..metrics.kept import Kept
from . import sdz_codec
from .peers import Pixels, Plan
from .sdz_codec import FAITHFUL, NATURAL, POINTS
from .summary import Measured

SIDE = 256
"""Pixels of a tile; at 2:1 it shows half as many of the photo."""

RATES = (0.08, 0.15, 0.3)
COLUMNS = ("AVIF", NATURAL, FAITHFUL)
GAP, CAPTION = 6, 20
INK, PAPER = "#1c1c1c", "#ffffff"


class SheetInputError(ValueError):
    """A list of places that says no place."""


@dataclass(frozen=True)
class Place:
    """`SIDE` pixels square of a photo, named by the first digits of its file's digest, from `left` and `top` on; `subject` is its name."""

    photo: str
    subject: str
    left: int
    top: int


def read_places(file: Path) -> list[Place]:
    """The places of a JSON list of objects with `photo`, `subject`, `left` and `top`. Raises SheetInputError, OSError."""
    try:
        return [Place(str(e["photo"]), str(e["subject"]), int(e["left"]), int(e["top"])) for e in json.loads(file.read_bytes())]
    except (ValueError, TypeError, KeyError) as error:
        raise SheetInputError(f"{file}: no list of objects with photo, subject, left and top ({error!r})") from error


def write_sheets(places: list[Place], photos: list[tuple[Pixels, Measured]], session: Session, plan: Plan, out: Path) -> list[Path]:
    """A sheet `sheets/SUBJECT.png` below `out` of every place whose photo is among `photos` and has files at `RATES`."""
    written = []
    for place in places:
        for reference, photo in photos:
            if photo.id.startswith(place.photo) and all(str(rate) in photo.equal for rate in RATES):
                target = io.BytesIO()
                sheet(place, reference, photo, session, plan, out).save(target, "PNG", optimize=True)
                written.append(out / "sheets" / f"{place.subject}.png")
                written[-1].parent.mkdir(exist_ok=True)
                write_atomically(written[-1], target.getvalue())
    return written


def sheet(place: Place, reference: Pixels, photo: Measured, session: Session, plan: Plan, out: Path) -> Image.Image:
    """One place's sheet; where a codec has no file of a rate its tiles stay empty."""
    width, height = GAP + (1 + len(COLUMNS)) * (SIDE + GAP), GAP + len(RATES) * 2 * (SIDE + CAPTION + GAP)
    page = Image.new("RGB", (width, height), PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    for row, rate in enumerate(RATES):
        tiles = [("original", reference), *decoded(reference, photo, rate, session, plan, out)]
        for column, (caption, pixels) in enumerate(tiles):
            if pixels is None:
                continue
            crop = cut(pixels, place, SIDE)
            middle = (SIDE // 4, SIDE // 4, 3 * SIDE // 4, 3 * SIDE // 4)
            for zoomed, tile in enumerate((crop, crop.crop(middle).resize(crop.size, Image.Resampling.NEAREST))):
                left, top = GAP + column * (SIDE + GAP), GAP + (2 * row + zoomed) * (SIDE + CAPTION + GAP)
                page.paste(tile, (left, top + CAPTION))
                draw.text((left, top + 2), f"{caption}, {2 if zoomed else 1}:1", INK, font)
    return page


def cut(pixels: Pixels, place: Place, side: int) -> Image.Image:
    """The place's square, moved inside the picture where it would leave it."""
    height, width = pixels.shape[:2]
    left, top = max(0, min(place.left, width - side)), max(0, min(place.top, height - side))
    return Image.fromarray(pixels[top : top + side, left : left + side])


def decoded(reference: Pixels, photo: Measured, rate: float, session: Session, plan: Plan, out: Path) -> list[tuple[str, Pixels | None]]:
    """Caption and picture of each of `COLUMNS` at a rate; None where it has no file."""
    kept, files = Kept(out, photo.id), photo.equal[str(rate)]
    found: list[tuple[str, Pixels | None]] = []
    for codec in COLUMNS:
        entry: dict[str, Any] | None = files.get(codec)
        if entry is None:
            found.append(("", None))
            continue
        data = kept.file(entry["file"])
        if codec in POINTS:
            pixels = sdz_codec.shown(data, session, codec)
        else:
            setting = next(s for s in plan.of(codec) if s.name == entry["setting"])
            pixels = np.asarray(setting.decode(data, (photo.width, photo.height)))
        found.append((f"{codec}, {8 * entry['bytes'] / reference[..., 0].size:.3f} bpp", pixels))
    return found
