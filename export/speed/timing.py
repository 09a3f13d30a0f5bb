"""Time and the machine it was taken on: milliseconds of repeated work, their summary, and what computed them."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime

REPETITIONS = 15
QUICK_REPETITIONS = 3
WARM_UPS = 2
SLOW_SHARE = 5
"""Things that take seconds are repeated this many times less often."""

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


def fewer(repetitions: int) -> int:
    """Repetitions of what takes seconds."""
    return -(-repetitions // SLOW_SHARE)


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
