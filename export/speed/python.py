"""Python's half of `sdz speed`: stages of decoding and encoding on one thread, whole processes, and their memory."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from ...runtime.decode import decode
from ...runtime.encode import encode
from ...runtime.format.container import parse
from ...runtime.format.picture import Picture
from ...runtime.pack import Pack
from ...runtime.session import Session
from .reference import Reference
from .timing import Figures, fewer, figure, timed

ROOT = Path(__file__).resolve().parents[2]
"""Where `sdz` is imported from by a process that is started there: the checkout."""

LARGE = (4000, 3000)
"""Width and height of the picture whose memory is measured."""

# the peak is read in the process itself: what a parent is told of a child includes the parent's own size before exec
PEAK_SCRIPT = """
import runpy, sys
try:
    runpy.run_module("sdz.runtime", run_name="__main__", alter_sys=True)
except SystemExit as stop:
    if stop.code:
        raise
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) * 1024, file=sys.stderr)
"""


def python_stages(pack: Pack, image: Image.Image, data: bytes, repetitions: int) -> Figures:
    """Times of the stages of decoding `data` and of encoding `image`, in this process, on one thread."""
    session = Session(pack)
    container = parse(data)
    picture = Picture(container, pack)
    latents = picture.latents()
    values = session.denoise(latents)
    slow = fewer(repetitions)
    return {
        "entropy": figure(timed(lambda: Picture(container, pack), repetitions)),
        "dequantize": figure(timed(picture.latents, repetitions)),
        "linear_stage": figure(timed(picture.linear, repetitions)),
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
        command = ["-m", "sdz.runtime", "decode", str(source), "-o", str(Path(folder) / "out.png"), "--force"]
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
