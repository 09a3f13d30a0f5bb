"""The pictures of the bench's report: curves of every measure, and crops of the worst and best photos at equal bytes.

Takes measured photos, writes PNG files, returns their addresses relative to the report.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from ...runtime.files import write_atomically
from .palette2022 import PALETTE_2022
from .peers import PEERS, Pixels
from .sdz_codec import FAITHFUL, NATURAL, POINTS
from .summary import GRID, METRICS, Measured, mean_curves

matplotlib.use("Agg")
from matplotlib import pyplot

CROP = 256
"""Side of the middle square that is shown."""

STYLES: dict[str, dict[str, Any]] = {
    NATURAL: {"color": "#d1340c", "linewidth": 2.4},
    FAITHFUL: {"color": "#d1340c", "linewidth": 1.6, "linestyle": "--"},
    "AVIF": {"color": "#1f5fa8"},
    "JPEG XL": {"color": "#2b8a57"},
    "WebP": {"color": "#8a6d2b"},
    "JPEG": {"color": "#777777"},
    PALETTE_2022: {"color": "#8a3ba8", "linestyle": ":"},
}

TICKS = (0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)


def charts(photos: list[Measured], report: Path) -> list[str]:
    """One chart per measure that was taken: averages over the photos, over the rates that every photo reaches."""
    out = []
    for metric in METRICS:
        curves = {codec: mean_curves(photos, codec, metric) for codec in (*POINTS, *PEERS, PALETTE_2022)}
        if all(curve is None for curve in curves.values()):
            continue
        figure, axes = pyplot.subplots(figsize=(7, 4.6), dpi=150, layout="constrained")
        for codec, curve in curves.items():
            if curve is not None:
                axes.plot(np.exp(curve.log_rates), curve.values, label=codec, **STYLES[codec])
        axes.set_xscale("log")
        axes.set_xlim(GRID[0], GRID[-1])
        axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
        axes.minorticks_off()
        axes.set_xlabel("bits per pixel, whole file")
        axes.set_title(f"{metric.name} ({'higher' if metric.sign > 0 else 'lower'} is better), mean of {len(photos)} photos", loc="left")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        target = io.BytesIO()
        figure.savefig(target, format="png")
        pyplot.close(figure)
        out.append(_written(report, f"plots/{metric.key}.png", target.getvalue()))
    return out


def crops(name: str, pictures: list[tuple[str, Pixels]], report: Path) -> list[tuple[str, str]]:
    """The middle squares of captioned pictures of one photo as (address, caption)."""
    out = []
    for index, (caption, pixels) in enumerate(pictures):
        height, width = pixels.shape[:2]
        top, left = max(0, height - CROP) // 2, max(0, width - CROP) // 2
        target = io.BytesIO()
        Image.fromarray(pixels[top : top + CROP, left : left + CROP]).save(target, "PNG")
        out.append((_written(report, f"crops/{name}-{index}.png", target.getvalue()), caption))
    return out


def _written(report: Path, address: str, data: bytes) -> str:
    (report / address).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(report / address, data)
    return address
