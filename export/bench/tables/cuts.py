"""What a cut of a file is worth beside a file written at the cut's size.

Of each photo, and on the average and at worst: how far the picture of a prefix falls behind the one that the encoder makes when it is asked
for so many bytes, by PSNR and by the colours of blocks.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from ....runtime.decode import decode
from ....runtime.encode import encode
from ....runtime.options import DEFAULT_QUALITY, TUNES, Tune
from ....runtime.photo import PreparedPhoto
from ....runtime.session import Session
from ...metrics.artefacts import block_colour
from ...metrics.pictures import psnr
from ..report import Section, Table
from .chapter import Chapter

RECIPE = 3
"""Raised when this module would give other figures of the same photo, pack and encoder."""

CUTS = (25, 37, 50, 62, 75, 87)
"""Per cent of a file's bytes that are kept."""

FILES: tuple[tuple[Tune, float], ...] = tuple((tune, quality) for tune in TUNES for quality in (DEFAULT_QUALITY, 25.0))
"""Tuning and quality of the whole files."""

DECIBELS, LAB = 0.15, 0.2
"""How far a cut may fall behind: PSNR, and the mean distance of blocks' (a, b) from the photo's (`metrics.artefacts.block_colour`)."""


@dataclass(frozen=True)
class Cut:
    """One photo's file cut to `percent` of its bytes, and one of just so many bytes: `psnr`, dB, and `colour`, Lab, of each."""

    percent: int
    psnr: float
    colour: float
    equal_psnr: float
    equal_colour: float

    @property
    def gain(self) -> float:
        """By how many dB the cut is the nearer picture; negative where it is not."""
        return self.psnr - self.equal_psnr

    @property
    def drift(self) -> float:
        """By how much Lab its blocks' colours are farther from the photo's; negative where they are nearer."""
        return self.colour - self.equal_colour


def cuts_of(photo: PreparedPhoto, session: Session, tune: Tune, quality: float) -> list[Cut]:
    """A photo's file of that quality at all of `CUTS`."""
    whole = encode(photo, quality=quality, tune=tune, session=session)

    def judged(data: bytes) -> tuple[float, float]:
        picture = np.asarray(decode(data, session=session).to_pil().convert("RGB"))
        return psnr(picture, photo.rgb), block_colour(picture, photo.rgb)

    cuts = []
    for percent in CUTS:
        size = round(len(whole) * percent / 100)
        equal = encode(photo, target_size=size, tune=tune, session=session)
        cuts.append(Cut(percent, *judged(whole[:size]), *judged(equal)))
    return cuts


def measure(photo: PreparedPhoto, session: Session) -> list[list[tuple[Any, ...]]]:
    """The fields of the cuts of each of `FILES`."""
    return [[astuple(cut) for cut in cuts_of(photo, session, tune, quality)] for tune, quality in FILES]


def section(names: Sequence[str], photos: Sequence[list[list[list[Any]]]]) -> Section:
    """A table of each of `FILES`."""
    tables = []
    for number, (tune, quality) in enumerate(FILES):
        cuts = [[Cut(*fields) for fields in photo[number]] for photo in photos]
        tables.append(cut_table(f"{tune}, quality {quality:g}", names, cuts))
    lines = [
        "A file cut to so many per cent of its bytes against one that the encoder writes at that size: dB of PSNR / Lab by which the mean "
        "colours of 16 × 16 blocks are off farther than the other file's (negative: nearer)."
    ]
    return Section("Cuts", lines, tables)


def cut_table(title: str, names: Sequence[str], photos: Sequence[Sequence[Cut]]) -> Table:
    """Each photo's gain, dB, and drift, Lab, at each cut, then the averages, the worst ones, and how many photos are within DECIBELS and
    LAB."""
    columns = list(zip(*photos, strict=True))
    rows = [[name, *(_cell(cut.gain, cut.drift) for cut in cuts)] for name, cuts in zip(names, photos, strict=True)]
    means = (_cell(statistics.fmean(c.gain for c in column), statistics.fmean(c.drift for c in column)) for column in columns)
    rows.append(["average", *means])
    rows.append(["worst", *(_cell(min(c.gain for c in column), max(c.drift for c in column)) for column in columns)])
    within = (f"{sum(c.gain >= -DECIBELS for c in column)} / {sum(c.drift <= LAB for c in column)}" for column in columns)
    rows.append([f"within {DECIBELS} dB / {LAB} Lab, of {len(photos)}", *within])
    return Table([title, *(f"{column[0].percent} %" for column in columns)], rows)


def _cell(gain: float, drift: float) -> str:
    return f"{gain:+.2f} / {drift:+.2f}"


CHAPTER = Chapter("cuts", lambda: (RECIPE, CUTS, FILES), measure, section)
