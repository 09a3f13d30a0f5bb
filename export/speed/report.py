"""The speed report as people read it: Markdown tables, the limits that were asked for beside the figures."""

from __future__ import annotations

import statistics

from ..markdown import table
from .chromium import TILED_SIDE
from .gallery import PHOTOS, RUNS, SIDE, VIEW, VISITS, ratios
from .python import LARGE
from .sizes import GROUPS
from .timing import Figures

ROWS: tuple[tuple[str, str, str, float | None], ...] = (
    ("python", "entropy", "entropy decoding", 30),
    ("python", "dequantize", "integers to values and intervals", None),
    ("python", "linear_stage", "linear stage", None),
    ("python", "denoiser", "denoiser, int8", None),
    ("python", "decoder", "decoder, int8", None),
    ("python", "whole", "whole decode, warm session", 50),
    ("python", "cold", "whole decode, a process of its own: `sdz decode`", 1000),
    ("python", "cold_cpu", "the same, processor time", 350),
    ("python", "encode", "encode, default quality", 1000),
    ("python", "encode_to_size", "encode, to an exact size", None),
    ("python", "reference", "TAESD-shaped decoder, fp32", None),
    ("chromium", "first_linear", "fresh page: bytes to canvas, linear stage", 150),
    ("chromium", "first_linear_cpu", "the same, the main thread's processor time", 75),
    ("chromium", "first_decoder_session", "fresh page: what runs the decoder, opened", None),
    ("chromium", "first_denoiser_session", "fresh page: what runs the denoiser, opened after it", None),
    ("chromium", "first_whole", "fresh page: first whole decode", None),
    ("chromium", "first_whole_cpu", "fresh page: bytes to both stages on the canvas, the main thread's processor time", 250),
    ("chromium", "entropy", "entropy decoding", 20),
    ("chromium", "entropy_cpu", "the same, processor time of all threads", 20),
    ("chromium", "dequantize", "integers to values and intervals", None),
    ("chromium", "linear_stage", "linear stage", None),
    ("chromium", "linear", "bytes to canvas, linear stage", None),
    ("chromium", "networks", "denoiser and decoder, int8", None),
    ("chromium", "decoder", "decoder alone", None),
    ("chromium", "whole", "bytes to canvas, whole decode, warm session", 400),
    ("chromium", "whole_cpu", "the same, processor time of all threads", 110),
    ("chromium", "reference", "TAESD-shaped decoder, fp32", None),
)
"""Place, key, what it is, and the milliseconds asked for at most."""

PLACES = {"python": "Python, onnxruntime", "chromium": "Chromium, WASM"}

MEMORY_ROWS: tuple[tuple[str, str, float | None], ...] = (
    (
        "chromium_counted",
        f"Chromium, {TILED_SIDE}×{TILED_SIDE} above the empty page: JavaScript, WASM, DOM, by the browser's own count",
        150,
    ),
    ("chromium_after", "the same, all that the renderers keep, by the system's count", 150),
    ("chromium_peak", "the same, while it decodes (WASM being compiled)", None),
    ("python_encode", f"Python, {LARGE[0]}×{LARGE[1]}: encode, peak of the whole process", 1500),
    ("python_decode", f"Python, {LARGE[0]}×{LARGE[1]}: decode, peak of the whole process", 1500),
)
"""Key, what it is, and the megabytes of resident memory asked for at most."""

GALLERY_TITLE = f"a gallery of {PHOTOS} photos, {SIDE}×{SIDE}, first view of {VIEW['width']}×{VIEW['height']}, median of {RUNS} visits"
GALLERY_ROWS = (
    ("scripted", "processor seconds of all of Chromium", 2, ""),
    ("plain", "the same without JavaScript, which shows AVIF", 2, ""),
    ("first", "milliseconds until the first picture is finished", 0, "≤ 1000"),
    ("all", "until all in sight are", 0, "≤ 3000"),
)
"""Key, what it is, its decimals, and what is asked for."""

INSTALLED = {
    "wheel": "the wheel",
    "unpacked": "the same, unpacked",
    "required": "with numpy, Pillow, wasmtime and what these require",
}

REFERENCE_RATIO = 15
"""How many times faster than the reference graph a whole decode in Chromium is asked to be."""

SIZES_ASKED = {"core": "≤ 40 brotli", "paint": "≤ 75 brotli", "graphs": "≤ 1500 after gzip", "visit": "≤ 1500 brotli"}
"""Kilobytes that are asked for at most."""


def markdown(report: Figures) -> str:
    """A paragraph on what was measured, and the report's tables."""
    host, file, macs = report["machine"], report["file"], report["macs_per_pixel"]
    browser = f", Chromium {host['chromium']} headless" if "chromium" in host else ""
    parts = [
        f"{host['processor']}, {host['cores']} cores (load {host['load']} before the run), Python {host['python']}, "
        f"onnxruntime {host['onnxruntime']}{browser}; one thread. Pack `{report['pack']}`: decoder {macs['decoder'] / 1000:.1f} and "
        f"denoiser {macs['denoiser'] / 1000:.1f} kMAC per pixel; the TAESD shape has {macs['reference'] / 1000:.0f}. "
        f"{file['photo']}, {file['width']}×{file['height']}, {file['bytes']} bytes; stage reached: {file['stage']}.",
        table(["milliseconds", "fastest", "median", "asked"], _times(report)),
    ]
    if report["memory"]:
        rows = [
            [label, f"{report['memory'][key] / 1e6:.0f}", _at_most(limit)] for key, label, limit in MEMORY_ROWS if key in report["memory"]
        ]
        parts.append(table(["resident memory, MB", "", "asked"], rows))
    if "gallery" in report:
        parts.append(table([GALLERY_TITLE, "cold", "warm", "asked"], _gallery(report["gallery"])))
    if report["installed"]:
        rows = [[label, f"{report['installed'][key] / 1e6:.1f}"] for key, label in INSTALLED.items()]
        parts.append(table(["an installation without extras, MB", ""], rows))
    forms = ("raw", "gzip", "brotli")
    sizes = [
        [label, *(f"{report['sizes'][key][form] / 1000:.1f}" for form in forms), SIZES_ASKED.get(key, "")]
        for key, label in GROUPS.items()
        if key in report["sizes"]
    ]
    parts.append(table(["a page loads, kB", *forms, "asked"], sizes))
    parts += [f"{place} was not measured: {reason}." for place, reason in report["skipped"].items()]
    return "\n\n".join(parts) + "\n"


def _times(report: Figures) -> list[list[str]]:
    rows = []
    for place, title in PLACES.items():
        if place not in report:
            continue
        rows.append([f"**{title}**", "", "", ""])
        for where, key, label, limit in ROWS:
            if where == place and key in report[place]:
                entry = report[place][key]
                rows.append([label, _ms(entry["fastest"]), _ms(entry["median"]), _at_most(limit)])
        ratio = report[place]["reference"]["median"] / report[place]["whole"]["median"]
        asked = f"≥ {REFERENCE_RATIO}" if place == "chromium" else ""
        rows.append(["times faster than the TAESD shape, whole decode", "", f"{ratio:.1f}", asked])
    return rows


def _gallery(found: Figures) -> list[list[str]]:
    rows = []
    for key, label, places, asked in GALLERY_ROWS:
        rows.append([label, *(f"{statistics.median(found[visit][key]):.{places}f}" for visit in VISITS), asked])
    rows.insert(2, ["how many times as much", *(f"{ratio:.1f}" for ratio in ratios(found).values()), "≤ 2 cold, ≤ 1.3 warm"])
    return rows


def _at_most(limit: float | None) -> str:
    return "" if limit is None else f"≤ {limit:g}"


def _ms(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"
