"""`sdz speed`: what decoding and encoding cost here, beside a TAESD-shaped decoder in the same run.

Takes a model pack, prints times, memory and download sizes as Markdown tables or JSON. One photo that comes with scikit-image, one
thread, in Python and in headless Chromium. Asked-for limits stand beside the figures; the clock never fails anything.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from pathlib import Path

from PIL import Image

from ...runtime.decode import decode
from ...runtime.encode import encode
from ...runtime.errors import SdzError
from ...runtime.files import write_atomically
from ...runtime.pack import Pack, default_pack, load_pack
from ...runtime.session import Session
from ..commands import failed, parser
from ..photo_files import NoPhotosError, samples
from ..site.library import Library, MissingRuntimeError, collect, onnxruntime_web
from .chromium import TILED_SIDE, Chromium, NoBrowserError, Page, page_files
from .gallery import gallery
from .installed import installed
from .python import cold_decode, large_memory, python_reference, python_stages
from .reference import SCALE, Reference, taesd_decoder
from .report import markdown
from .sizes import sizes
from .timing import QUICK_REPETITIONS, REPETITIONS, Figures, fewer, figure, machine

PHOTO = "astronaut.png"
"""In scikit-image's data folder: 512 x 512."""

FILE_BYTES = 5000
"""Size of the file that is decoded: the 2022 experiment's, 0.15 bits per pixel."""

FRESH_PAGES = 3

AT_ONCE = 5
"""Repetitions between two looks at the processor time, which itself costs the page a little."""


def measure(pack: Pack, quick: bool, browser: bool) -> Figures:
    """The whole report. Raises NoPhotosError, MissingRuntimeError, OSError, SdzError; what cannot be measured here is left out, with
    the reason."""
    repetitions = QUICK_REPETITIONS if quick else REPETITIONS
    slow = fewer(repetitions)
    image = Image.open(samples(PHOTO)[0]).convert("RGB")
    session = Session(pack)
    data = encode(image, session=session, target_size=FILE_BYTES)
    reference = taesd_decoder()
    shape = (1, reference.channels, image.height // SCALE, image.width // SCALE)
    costs = {name: pack.manifest["graphs"][name]["macs_per_pixel"] for name in ("decoder", "denoiser")}
    report: Figures = {
        "machine": machine(),
        "pack": pack.id.hex(),
        "file": {
            "photo": PHOTO,
            "width": image.width,
            "height": image.height,
            "bytes": len(data),
            "stage": decode(data, session=session).stage,
        },
        "macs_per_pixel": costs | {"reference": round(reference.macs)},
        "python": python_stages(pack, image, data, repetitions)
        | cold_decode(pack, data, repetitions)
        | {"reference": python_reference(reference, shape, slow)},
        "memory": {} if quick else large_memory(pack, image),
        "installed": {} if quick else installed(),
        "skipped": {},
    }
    shared = collect(pack)
    report["sizes"] = sizes(shared, quick)
    if browser:
        try:
            found, memory, version = browser_figures(pack, shared, image, data, reference, repetitions, quick)
        except NoBrowserError as error:
            report["skipped"]["chromium"] = str(error)
        else:
            report["machine"]["chromium"] = version
            report["chromium"] = found
            report["memory"] |= memory
            if not quick:
                report["gallery"] = gallery(pack.directory)
    return report


def browser_figures(
    pack: Pack, shared: Library, image: Image.Image, data: bytes, reference: Reference, repetitions: int, quick: bool
) -> tuple[Figures, Figures, str]:
    """Times and memory in Chromium, and its version. Raises NoBrowserError."""
    files = {"photo.sdz": data, "reference.onnx": reference.graph}
    # the reference graph's, if not the pack's
    files |= {f"web/ort/{name}": content for name, content in onnxruntime_web().items()}
    if not quick:
        large = image.resize((TILED_SIDE, TILED_SIDE), Image.Resampling.LANCZOS)
        files["tiled.sdz"] = encode(large, pack=pack)
    what = {"pack": pack.id.hex(), "file": "/photo.sdz"}
    slow = fewer(repetitions)
    with Chromium(page_files(shared, files)) as chromium:
        times: dict[str, list[float]] = {}
        for _ in range(1 if quick else FRESH_PAGES):
            with chromium.page() as page:
                spent = 0.0
                for name in page.call("prepareFirst", **what):
                    before, _ = chromium.cpu()
                    times.setdefault(f"first_{name}", []).extend(page.call("step", work=name, repetitions=1))
                    spent += chromium.cpu()[0] - before
                    if name in ("linear", "whole"):
                        times.setdefault(f"first_{name}_cpu", []).append(spent)
        with chromium.page() as page:
            stage = page.call("stageOf", **what)
            for name in page.call("prepareWarm", **what):
                times[name] = page.call("step", work=name, repetitions=repetitions)
                if name in ("entropy", "whole"):
                    times[f"{name}_cpu"] = [_spent(chromium, page, name) for _ in range(repetitions)]
            shape = [1, reference.channels, image.height // SCALE, image.width // SCALE]
            times["reference"] = page.call("measureReference", graph="/reference.onnx", shape=shape, repetitions=slow)
        grown = None if quick else chromium.grown("/tiled.sdz")
        memory = {} if grown is None else {f"chromium_{name}": value for name, value in asdict(grown).items()}
        return {"stage": stage} | {name: figure(found) for name, found in times.items()}, memory, chromium.version


def _spent(chromium: Chromium, page: Page, name: str) -> float:
    """Processor time of all the renderers' threads, ms, in one of the page's steps, the mean of a few."""
    _, before = chromium.cpu()
    page.call("step", work=name, repetitions=AT_ONCE)
    return (chromium.cpu()[1] - before) / AT_ONCE


def main(arguments: list[str]) -> int:
    """`sdz speed`; 0 done, 1 something needed is missing."""
    command = parser("speed", "Measure time, memory and download sizes on this machine.")
    command.add_argument("--pack", type=Path, metavar="DIR", help="directory of another model pack (default: the built-in one)")
    command.add_argument("--out", type=Path, metavar="DIR", help="write speed.json and speed.md there")
    command.add_argument("--json", action="store_true", help="print JSON instead of tables")
    command.add_argument("--no-browser", action="store_true", help="leave Chromium out")
    command.add_argument("--quick", action="store_true", help="few repetitions, no large images, no gallery, no wheel")
    options = command.parse_args(arguments)
    try:
        pack = default_pack() if options.pack is None else load_pack(options.pack)
        report = measure(pack, options.quick, not options.no_browser)
        document, tables = json.dumps(report, indent=1) + "\n", markdown(report)
        if options.out is not None:
            options.out.mkdir(parents=True, exist_ok=True)
            write_atomically(options.out / "speed.json", document.encode())
            write_atomically(options.out / "speed.md", tables.encode())
    except subprocess.CalledProcessError as error:
        return failed("speed", f"{' '.join(error.cmd[1:3])} failed: {error.stderr.strip()}")
    except (NoPhotosError, SdzError, MissingRuntimeError, OSError) as error:
        return failed("speed", error)
    print(document if options.json else tables, end="")
    return 0
