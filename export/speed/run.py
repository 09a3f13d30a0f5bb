"""`python -m export speed`: what decoding and encoding cost here, beside a TAESD-shaped decoder in the same run.

Takes a model pack, hands on times, memory and download sizes as a Markdown table or JSON. One photo that comes with scikit-image, one
thread, in Python and in headless Chromium. Asked-for limits stand beside the figures; the clock never fails anything.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import brotli
import numpy as np
import onnxruntime
from PIL import Image

from ...runtime.decode import decode
from ...runtime.encode import encode
from ...runtime.errors import SdzError
from ...runtime.files import write_atomically
from ...runtime.format.container import LATENTS, parse
from ...runtime.format.linear import linear_stage
from ...runtime.format.planes import channel_steps, decode_planes, dequantize
from ...runtime.pack import Pack, default_pack, load_pack
from ...runtime.session import Session
from ..site.assets import BROTLI_QUALITY, BROTLI_WINDOW, Asset, digest
from ..site.library import ROOT, Library, MissingRuntimeError, collect, loads
from .chromium import Chromium, NoBrowserError, page_files
from .reference import SCALE, Reference, taesd_decoder

PROGRAM = "python -m export speed"

PHOTO = "astronaut.png"
"""In scikit-image's data folder: 512 x 512."""

FILE_BYTES = 5000
"""Size of the file that is decoded: the 2022 experiment's, 0.15 bits per pixel."""

TILED_SIDE = 2048
LARGE = (4000, 3000)

REPETITIONS = 15
QUICK_REPETITIONS = 3
WARM_UPS = 2
SLOW_SHARE = 5
"""Things that take seconds are repeated this many times less often."""

FRESH_PAGES = 3

ROWS: tuple[tuple[str, str, str, float | None], ...] = (
    ("python", "entropy", "entropy decoding", 30),
    ("python", "dequantize", "integers to values and intervals", None),
    ("python", "linear_stage", "linear stage", None),
    ("python", "denoiser", "denoiser, int8", None),
    ("python", "decoder", "decoder, int8", None),
    ("python", "whole", "whole decode, warm session", 50),
    ("python", "cold", "whole decode, a process of its own: `python -m runtime decode`", 1000),
    ("python", "cold_cpu", "the same, processor time", None),
    ("python", "encode", "encode, default quality", 1000),
    ("python", "encode_to_size", "encode, to an exact size", None),
    ("python", "reference", "TAESD-shaped decoder, fp32", None),
    ("chromium", "first_linear", "fresh page: bytes to canvas, linear stage", 150),
    ("chromium", "first_decoder_session", "fresh page: onnxruntime-web and decoder session", None),
    ("chromium", "first_denoiser_session", "fresh page: denoiser session after it", None),
    ("chromium", "first_whole", "fresh page: first whole decode", None),
    ("chromium", "entropy", "entropy decoding", 30),
    ("chromium", "dequantize", "integers to values and intervals", None),
    ("chromium", "linear_stage", "linear stage", None),
    ("chromium", "linear", "bytes to canvas, linear stage", None),
    ("chromium", "denoiser", "denoiser, int8", None),
    ("chromium", "decoder", "decoder, int8", None),
    ("chromium", "whole", "bytes to canvas, whole decode, warm session", 400),
    ("chromium", "later_session", "one more decoder session", None),
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

REFERENCE_RATIO = 15
"""How many times faster than the reference graph a whole decode in Chromium is asked to be."""

GRAPHS_GZIP = 1_500_000
"""Bytes that decoder and denoiser are asked to have after gzip, together."""

SIZE_ROWS = {
    "scripts": "scripts",
    "tables": "tables of the linear stage and the coder",
    "graphs": "decoder and denoiser",
    "runtime": "onnxruntime-web",
}

# the peak is read in the process itself: what a parent is told of a child includes the parent's own size before exec
PEAK_SCRIPT = """
import runpy, sys
try:
    runpy.run_module("runtime", run_name="__main__", alter_sys=True)
except SystemExit as stop:
    if stop.code:
        raise
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) * 1024, file=sys.stderr)
"""

Figures = dict[str, Any]


def timed(work: Callable[[], object], repetitions: int, warm_ups: int = WARM_UPS) -> list[float]:
    """Milliseconds of every repetition."""
    times = []
    for i in range(-warm_ups, repetitions):
        start = time.perf_counter()
        work()
        if i >= 0:
            times.append(1000.0 * (time.perf_counter() - start))
    return times


def figure(times: list[float]) -> Figures:
    """What is reported of repetitions: the fastest, the median, and how many there were."""
    return {"fastest": round(min(times), 2), "median": round(statistics.median(times), 2), "repetitions": len(times)}


def python_stages(pack: Pack, image: Image.Image, data: bytes, repetitions: int) -> Figures:
    """Times of the stages of decoding `data` and of encoding `image`, in this process, on one thread."""
    session = Session(pack)
    container = parse(data)
    header, chunk = container.header, container.find(LATENTS)
    assert chunk is not None
    shape = (pack.channels, -(-header.height // pack.patch), -(-header.width // pack.patch))
    known = decode_planes(chunk.payload, *shape, header.planes, header.step_index, pack.coder)
    steps = channel_steps(header.step_index, header.tilt, pack.octaves, pack.channels)
    latents = dequantize(known, steps, pack.reconstruction, pack.l1_limit)
    values = session.denoise(latents)
    slow = -(-repetitions // SLOW_SHARE)
    return {
        "entropy": figure(timed(lambda: decode_planes(chunk.payload, *shape, header.planes, header.step_index, pack.coder), repetitions)),
        "dequantize": figure(timed(lambda: dequantize(known, steps, pack.reconstruction, pack.l1_limit), repetitions)),
        "linear_stage": figure(timed(lambda: linear_stage(latents.values, pack.linear, pack.linear_shift), repetitions)),
        "denoiser": figure(timed(lambda: session.denoise(latents), repetitions)),
        "decoder": figure(timed(lambda: session.decode(values, latents.precision), repetitions)),
        "whole": figure(timed(lambda: decode(data, session=session), repetitions)),
        "encode": figure(timed(lambda: encode(image, session=session), slow)),
        "encode_to_size": figure(timed(lambda: encode(image, session=session, target_size=len(data)), slow)),
    }


def python_reference(reference: Reference, shape: tuple[int, ...], repetitions: int) -> Figures:
    """Times of the reference graph in onnxruntime, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(reference.graph, options, providers=["CPUExecutionProvider"])
    latents = np.sin(np.arange(np.prod(shape), dtype=np.float32)).reshape(shape)
    return figure(timed(lambda: session.run(None, {"latents": latents}), repetitions, warm_ups=1))


def cold_decode(pack: Pack, data: bytes, repetitions: int) -> Figures:
    """Wall and processor time of whole processes that decode `data` to a PNG."""
    wall, cpu = [], []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.sdz"
        source.write_bytes(data)
        command = ["-m", "runtime", "decode", str(source), "-o", str(Path(folder) / "out.png"), "--force"]
        for _ in range(repetitions):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            start = time.perf_counter()
            _process(command, pack)
            wall.append(1000.0 * (time.perf_counter() - start))
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu.append(1000.0 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    return {"cold": figure(wall), "cold_cpu": figure(cpu)}


def large_memory(pack: Pack, image: Image.Image) -> Figures:
    """Peak resident bytes of processes that encode and decode `image` at LARGE; none where there is no /proc to read them from."""
    if not Path("/proc/self/status").exists():
        return {}
    with tempfile.TemporaryDirectory() as folder:
        photo, coded, back = (str(Path(folder) / name) for name in ("in.png", "coded.sdz", "back.png"))
        image.resize(LARGE, Image.Resampling.LANCZOS).save(photo, compress_level=1)
        peaks = {}
        for name, arguments in (("encode", [photo, "-o", coded]), ("decode", [coded, "-o", back])):
            peaks[f"python_{name}"] = int(_process(["-c", PEAK_SCRIPT, name, *arguments], pack).split()[-1])
    return peaks


def _process(arguments: list[str], pack: Pack) -> str:
    """Runs Python on a command of the runtime, with `pack`; what it writes to standard error. Raises CalledProcessError."""
    command = [sys.executable, *arguments, "--pack", str(pack.directory.resolve())]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stderr


def browser_figures(
    pack: Pack, shared: Library, image: Image.Image, data: bytes, reference: Reference, repetitions: int, quick: bool
) -> tuple[Figures, Figures, str]:
    """Times and memory in Chromium, and its version. Raises NoBrowserError."""
    files = {"photo.sdz": data, "reference.onnx": reference.graph}
    if not quick:
        large = image.resize((TILED_SIDE, TILED_SIDE), Image.Resampling.LANCZOS)
        files["tiled.sdz"] = encode(large, pack=pack)
    what = {"pack": pack.id.hex(), "file": "/photo.sdz"}
    slow = -(-repetitions // SLOW_SHARE)
    with Chromium(page_files(shared, files)) as chromium:
        first: dict[str, list[float]] = {}
        for _ in range(1 if quick else FRESH_PAGES):
            with chromium.page() as page:
                for name, times in page.call("measureFirst", **what).items():
                    first.setdefault(f"first_{name}", []).extend(times)
        with chromium.page() as page:
            warm = page.call("measureWarm", **what, repetitions=repetitions)
            shape = [1, reference.channels, image.height // SCALE, image.width // SCALE]
            warm["reference"] = page.call("measureReference", graph="/reference.onnx", shape=shape, repetitions=slow)
        stage = warm.pop("stage")
        grown = None if quick else chromium.grown("/tiled.sdz")
        memory = {} if grown is None else {f"chromium_{name}": value for name, value in asdict(grown).items()}
        return {"stage": stage} | {name: figure(times) for name, times in (first | warm).items()}, memory, chromium.version


def sizes(shared: Library, quick: bool) -> dict[str, dict[str, int]]:
    """Bytes of what a page loads, by what it is for: as it is, after gzip and after brotli. `quick` leaves the large runtime out."""
    assets = []
    for name, data in shared.files.items():
        if quick and name.startswith("ort/"):
            continue
        small = brotli.compress(data, quality=BROTLI_QUALITY, lgwin=BROTLI_WINDOW)
        assets.append(Asset(shared.path(name), len(data), digest(data), len(small), len(gzip.compress(data, 9, mtime=0))))
    groups = asdict(loads(assets, shared))
    return {
        name: {"raw": sum(a["bytes"] for a in groups[name]), **{k: sum(a[k] for a in groups[name]) for k in ("gzip", "brotli")}}
        for name in SIZE_ROWS
        if groups[name]
    }


def machine() -> Figures:
    """What the figures were measured on, and how busy it was."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
    }


def measure(pack: Pack, quick: bool, browser: bool) -> Figures:
    """The whole report. Raises MissingRuntimeError, OSError, SdzError; what cannot be measured here is left out, with the reason."""
    repetitions = QUICK_REPETITIONS if quick else REPETITIONS
    slow = -(-repetitions // SLOW_SHARE)
    image = Image.open(photo_path()).convert("RGB")
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
    return report


def photo_path() -> Path:
    """The photo; raises FileNotFoundError where scikit-image is not installed."""
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the photo comes with scikit-image: pip install scikit-image")
    return Path(spec.origin).parent / "data" / PHOTO


def markdown(report: Figures) -> str:
    """The report's tables, for a README."""
    host, file, macs = report["machine"], report["file"], report["macs_per_pixel"]
    browser = f", Chromium {host['chromium']} headless" if "chromium" in host else ""
    lines = [
        f"{host['processor']}, {host['cores']} cores (load {host['load']} before the run), Python {host['python']}, "
        f"onnxruntime {host['onnxruntime']}{browser}; one thread. Pack `{report['pack']}`: decoder {macs['decoder'] / 1000:.1f} and "
        f"denoiser {macs['denoiser'] / 1000:.1f} kMAC per pixel; the TAESD shape has {macs['reference'] / 1000:.0f}. "
        f"{file['photo']}, {file['width']}×{file['height']}, {file['bytes']} bytes; stage reached: {file['stage']}.",
        "",
        "| milliseconds | fastest | median | asked |",
        "|---|---|---|---|",
    ]
    for place, title in PLACES.items():
        if place not in report:
            continue
        lines.append(f"| **{title}** | | | |")
        for where, key, label, limit in ROWS:
            if where == place and key in report[place]:
                entry = report[place][key]
                lines.append(f"| {label} | {_ms(entry['fastest'])} | {_ms(entry['median'])} | {'' if limit is None else f'≤ {limit:g}'} |")
        ratio = report[place]["reference"]["median"] / report[place]["whole"]["median"]
        asked = f"≥ {REFERENCE_RATIO}" if place == "chromium" else ""
        lines.append(f"| times faster than the TAESD shape, whole decode | | {ratio:.1f} | {asked} |")
    if report["memory"]:
        lines += ["", "| resident memory, MB | | asked |", "|---|---|---|"]
        for key, label, limit in MEMORY_ROWS:
            if key in report["memory"]:
                lines.append(f"| {label} | {report['memory'][key] / 1e6:.0f} | {'' if limit is None else f'≤ {limit:g}'} |")
    lines += ["", "| a page loads, kB | raw | gzip | brotli | asked |", "|---|---|---|---|---|"]
    for key, label in SIZE_ROWS.items():
        if key in report["sizes"]:
            cells = " | ".join(f"{report['sizes'][key][form] / 1000:.1f}" for form in ("raw", "gzip", "brotli"))
            asked = f"≤ {GRAPHS_GZIP / 1000:.0f} after gzip" if key == "graphs" else ""
            lines.append(f"| {label} | {cells} | {asked} |")
    lines += [f"\n{place} was not measured: {reason}." for place, reason in report["skipped"].items()]
    return "\n".join(lines) + "\n"


def _ms(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def main(arguments: list[str]) -> int:
    """`python -m export speed`; 0 done, 1 something needed is missing."""
    command = argparse.ArgumentParser(prog=PROGRAM, description="Measure time, memory and download sizes on this machine.")
    command.add_argument("--pack", type=Path, metavar="DIR", help="directory of another model pack (default: the built-in one)")
    command.add_argument("--out", type=Path, metavar="DIR", help="write speed.json and speed.md there")
    command.add_argument("--json", action="store_true", help="print JSON instead of tables")
    command.add_argument("--no-browser", action="store_true", help="leave Chromium out")
    command.add_argument("--quick", action="store_true", help="few repetitions, no large images, no compression of onnxruntime-web")
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
        print(f"{PROGRAM}: python -m runtime failed: {error.stderr.strip()}", file=sys.stderr)
        return 1
    except (SdzError, MissingRuntimeError, OSError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1
    print(document if options.json else tables, end="")
    return 0
