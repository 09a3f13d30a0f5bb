"""How long a foreign pack's decoder is expected to take, and the warning where a browser cannot be asked for that much."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ....runtime.pack import Pack
from ....runtime.session import Session

SIDE: Final = 512
"""Pixels on the side of the picture that expected times are for."""

KILO_MACS: Final = (270.0, 4730.0)
"""TAESD's decoder and Stable Diffusion's, between which the rates below are interpolated."""

RATES: Final = {
    ("python", "fp32"): (1362 / 270, 41_000 / 4730),
    ("python", "int8"): (423 / 270, 14_000 / 4730),
    ("chromium", "fp32"): (6016 / 270, 193_000 / 4730),
    # Stable Diffusion's was not measured there: TAESD's share of fp32 is taken
    ("chromium", "int8"): (4720 / 270, 4720 / 6016 * 193_000 / 4730),
}
"""Milliseconds for 512x512 pixels and a thousand multiply-accumulates per pixel, on one core, as measured with those two (DESIGN.md)."""

PATIENCE: Final = 10.0
"""Seconds a visitor may be expected to wait for 512x512 pixels; a decoder that takes longer is warned about."""


@dataclass(frozen=True)
class Expected:
    """Seconds for 512x512 pixels on one core."""

    python: float
    chromium: float


def expected(macs: float, precision: str) -> Expected:
    """What a decoder of that many multiply-accumulates per pixel takes; weights stored in half precision are computed in fp32."""
    kind = "int8" if precision == "int8" else "fp32"
    seconds = {place: float(np.interp(macs / 1000, KILO_MACS, RATES[place, kind])) * macs / 1_000_000 for place in ("python", "chromium")}
    return Expected(round(seconds["python"], 2), round(seconds["chromium"], 2))


def measured_python(pack: Pack) -> float:
    """Seconds that this process, on one thread, takes for 512x512 pixels, from a sixteenth of them: the faster of two runs."""
    session = Session(pack)
    side = SIDE // 4 // pack.patch
    values = np.random.default_rng(0).integers(-1000, 1001, (pack.channels, side, side)).astype(np.int32)
    times = []
    for _ in range(2):
        start = time.perf_counter()
        session.decode(values, np.full_like(values, 40))
        times.append(time.perf_counter() - start)
    return 16 * min(times)


def warning(pack: Pack) -> str | None:
    """What to say of a pack too heavy for a browser, None of any other."""
    graph: dict[str, Any] = pack.manifest["graphs"]["decoder"]
    seconds = pack.manifest["expected_seconds"]
    if seconds["chromium"] <= PATIENCE:
        return None
    return (
        f"this decoder is too heavy for a browser: {graph['macs_per_pixel'] / 1000:,.0f} kMAC per pixel, "
        f"{graph['brotli'] / 1e6:.1f} MB to download, about {seconds['chromium']:.0f} s for {SIDE}x{SIDE} pixels in a page "
        f"(WASM, one thread; {seconds['python']:.0f} s in Python). Take a lighter decoder of the same latents "
        "(--decoder-from madebyollin/taesd for Stable Diffusion 1.x and 2.x, madebyollin/taesdxl for XL), or train one: "
        "sdz distill --decoder"
    )
