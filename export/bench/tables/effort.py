"""What effort is worth: bytes at equal figures against effort 0, by the measures that it minimises and by those it knows nothing of.

Of the middle square of each photo: that of the most effort takes minutes for a whole one.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from PIL import Image

from ....runtime.encode import encode
from ....runtime.options import DEFAULT_EFFORT
from ....runtime.photo import PreparedPhoto
from ....runtime.session import Session
from ...metrics.curves import Curve, bd_rate, envelope, mean_curve
from ...metrics.similarity import middle
from ..peers import figures
from ..report import Section, Table
from ..sdz_codec import POINTS, TUNES, shown
from ..summary import GRID, METRICS, WINDOWS
from .chapter import Chapter

RECIPE: Final = 2
"""Raised when this module would give other figures of the same photo, pack and encoder."""

EFFORTS: Final = (0, 1, 2, 5, 9)
QUALITIES: Final = (20, 30, 40)
"""From about 0.08 to 0.3 bits per pixel."""

SIDE: Final = 384
"""Pixels on the side of the squares."""

Points = dict[str, dict[str, list[dict[str, float]]]]
"""By operating point and effort (JSON has no numbers for names): `bpp`, `seconds` of a core to encode, and the measures of each quality."""


def measure(photo: PreparedPhoto, session: Session) -> Points:
    """The points of the photo's middle square."""
    square = np.ascontiguousarray(middle(photo.rgb, SIDE))
    points: Points = {}
    for point in POINTS:
        points[point] = {str(effort): [] for effort in EFFORTS}
        for effort in EFFORTS:
            for quality in QUALITIES:
                began = time.process_time()
                data = encode(Image.fromarray(square), quality=quality, tune=TUNES[point], effort=effort, session=session)
                seconds = time.process_time() - began
                judged = figures(shown(data, session, point), square, len(data), visible_rate=0.0)
                points[point][str(effort)].append({"seconds": seconds} | judged)
    return points


def section(names: Sequence[str], photos: Sequence[Points]) -> Section:
    """One table: the averages of the photos' curves."""
    rows = []
    for point in POINTS:
        for effort in EFFORTS[1:]:
            cells = []
            for metric in METRICS:
                before, after = ([_curve(photo[point][str(e)], metric.key, metric.sign) for photo in photos] for e in (0, effort))
                rate = bd_rate(mean_curve(before, GRID), mean_curve(after, GRID), WINDOWS[-1])
                cells.append("–" if rate is None else f"{rate.percent:+.1f} %")
            seconds = statistics.fmean(p["seconds"] for photo in photos for p in photo[point][str(effort)])
            name = f"**{effort}**" if effort == DEFAULT_EFFORT else str(effort)
            rows.append([point, name, *cells, f"{seconds:.1f}"])
    count = f"{len(photos)} photo{'s' if len(photos) != 1 else ''}"
    lines = [
        f"Bytes at equal figures against effort 0, the middle squares of {SIDE} pixels of {count}, qualities {QUALITIES[0]} to "
        f"{QUALITIES[-1]}, averages of the curves. PSNR, MS-SSIM and SSIMULACRA2 are what effort minimises; the others are not in it. "
        "Seconds are of a core."
    ]
    return Section("Effort", lines, [Table(["", "effort", *(metric.name for metric in METRICS), "seconds"], rows)])


def _curve(points: Sequence[dict[str, Any]], key: str, sign: int) -> Curve | None:
    return envelope([[(p["bpp"], p[key]) for p in points if key in p]], sign)


CHAPTER = Chapter("effort", lambda: (RECIPE, EFFORTS, QUALITIES, SIDE), measure, section)
