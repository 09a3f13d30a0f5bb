"""From half a bit per pixel up to three, where this codec's files have all functions of the transform and no network.

Each codec's figures at equal bytes, the rates at which no difference is seen, and BD-rates. Only measures of likeness count here (PSNR,
SSIMULACRA2): at these rates there is nothing left to imagine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from PIL import Image

from ....runtime.photo import PreparedPhoto
from ....runtime.session import Session
from ...metrics.curves import Curve, bd_rate, envelope, mean_curve
from ...metrics.pictures import AVIF_SPEED, psnr
from ...metrics.similarity import ssimulacra2
from ..peers import Pixels, Setting
from ..report import Section, Table
from ..sdz_codec import FAITHFUL, NATURAL, SdzCodec, shown
from ..summary import TRANSPARENT
from .chapter import Chapter

RECIPE: Final = 3
"""Raised when this module would give other figures of the same photo, pack and encoder."""

AVIF_OPTIONS: Final = {"speed": AVIF_SPEED, "max_threads": 1}

PEERS: Final = (
    Setting("AVIF", "4:2:0", "AVIF", (40, 60, 72, 82), options=AVIF_OPTIONS | {"subsampling": "4:2:0"}),
    Setting("AVIF", "4:4:4", "AVIF", (45, 60, 72, 82, 90, 96), options=AVIF_OPTIONS | {"subsampling": "4:4:4"}),
    Setting("JPEG XL", "effort 7", "JXL", (40, 65, 80, 88, 93, 96, 98), options={"effort": 7}),
    Setting("WebP", "method 6", "WEBP", (40, 70, 86, 94, 100), options={"method": 6}),
    Setting("JPEG", "4:2:0", "JPEG", (40, 65, 80, 90), options={"optimize": True, "progressive": True, "subsampling": "4:2:0"}),
    Setting("JPEG", "4:4:4", "JPEG", (65, 80, 90, 95, 98), options={"optimize": True, "progressive": True, "subsampling": "4:4:4"}),
)
"""The codecs at full size, each with the settings that are best at some of these rates."""

QUALITIES: Final = (36, 48, 58, 66, 68, 74, 80, 86, 92, 100)
"""This codec's: up to 66 with networks, from 68 on without."""

RATES: Final = (0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0)
WINDOW: Final = (0.5, 2.5)
GRID: Final = np.geomspace(0.4, 3.2, 80)

POINTS: Final = (NATURAL, FAITHFUL)
CODECS: Final = (*POINTS, *dict.fromkeys(s.codec for s in PEERS))
MEASURES: Final = {"psnr": ("PSNR", 2), "ssimulacra2": ("SSIMULACRA2", 1)}

Curves = dict[tuple[str, str], Curve | None]
"""By codec and measure."""


def section(names: Sequence[str], photos: Sequence[dict[str, Any]]) -> Section:
    """Figures at equal bytes, averages over all photos; then rates of transparency and BD-rates."""
    curves = [_curves(points) for points in photos]
    tables = []
    for key, (name, digits) in MEASURES.items():
        rows = [[codec, *(_average(curves, (codec, key), rate, digits) for rate in RATES)] for codec in CODECS]
        tables.append(Table([f"{name} at bpp", *(f"{rate:g}" for rate in RATES)], rows))
    tables += [_transparent(curves), _bd_rates(curves)]
    lines = [f"{len(photos)} photos. AVIF is libaom at speed {AVIF_SPEED}, JPEG XL effort 7, WebP method 6, all at full size."]
    return Section("From half a bit to three", lines, tables)


def _transparent(curves: list[Curves]) -> Table:
    rows = []
    for codec in CODECS:
        found = [curve[codec, "ssimulacra2"] for curve in curves]
        rates = [None if curve is None else curve.rate_for(TRANSPARENT) for curve in found]
        known = [rate for rate in rates if rate is not None]
        mean = mean_curve(found, GRID)
        average = None if mean is None else mean.rate_for(TRANSPARENT)
        rows.append([codec, "–" if average is None else f"{average:.2f}", f"{np.median(known):.2f} ({len(known)})" if known else "–"])
    return Table([f"bpp of SSIMULACRA2 {TRANSPARENT:g}", "average picture", "median photo (of how many)"], rows)


def _bd_rates(curves: list[Curves]) -> Table:
    rows = []
    for peer in CODECS[len(POINTS) :]:
        for point in POINTS:
            cells = []
            for key in MEASURES:
                both = [mean_curve([curve[codec, key] for curve in curves], GRID) for codec in (peer, point)]
                rate = bd_rate(both[0], both[1], WINDOW)
                cells.append("–" if rate is None else f"{rate.percent:+.1f} % ({rate.low:.2f}–{rate.high:.2f})")
            rows.append([peer, point, *cells])
    return Table(["BD-rate against", "", *(name for name, _ in MEASURES.values())], rows)


def _average(curves: list[Curves], which: tuple[str, str], rate: float, digits: int) -> str:
    """The average over the photos that reach the rate, and how many those are if not all."""
    values = [float(curve.at([rate])[0]) for found in curves if (curve := found[which]) is not None]
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return "–"
    return f"{np.mean(known):.{digits}f}" + ("" if len(known) == len(curves) else f" ({len(known)})")


def measure(photo: PreparedPhoto, session: Session) -> dict[str, list[list[dict[str, float]]]]:
    """By codec and setting, a photo's points of `bpp` and MEASURES."""
    image, rgb = Image.fromarray(photo.rgb), photo.rgb
    points: dict[str, list[list[dict[str, float]]]] = {codec: [] for codec in CODECS}
    for setting in PEERS:
        files = (setting.encode(image, quality) for quality in setting.qualities)
        points[setting.codec].append([_figures(setting.decode(data, image.size), rgb, len(data)) for data in files])
    for point in POINTS:
        own = SdzCodec(session, QUALITIES, point)
        files = (own.encode(image, quality) for quality in QUALITIES)
        points[point].append([_figures(shown(data, session, point), rgb, len(data)) for data in files])
    return points


def _curves(points: dict[str, list[list[dict[str, float]]]]) -> Curves:
    return {
        (codec, key): envelope([[(p["bpp"], p[key]) for p in setting] for setting in settings], 1)
        for codec, settings in points.items()
        for key in MEASURES
    }


def _figures(picture: Pixels, photo: Pixels, size: int) -> dict[str, float]:
    return {"bpp": 8 * size / photo[..., 0].size, "psnr": psnr(picture, photo), "ssimulacra2": ssimulacra2(picture, photo)}


CHAPTER: Final = Chapter("high", lambda: (RECIPE, [repr(s) for s in PEERS], QUALITIES, list(MEASURES)), measure, section)
