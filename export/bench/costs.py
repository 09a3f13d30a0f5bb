"""What the bytes cost: time per megapixel beside the peers in the same run.

Takes photos and a pack, returns milliseconds. `export.speed` has the browser's times, what it downloads and the memory.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from PIL import Image

from ...runtime.decode import decode
from ...runtime.options import DEFAULT_QUALITY
from ...runtime.pack import Pack
from ...runtime.session import Session
from ..speed.timing import machine
from .peers import FULL, PEERS, Pixels, Setting
from .sdz_codec import NATURAL, SdzCodec

REPETITIONS = 3

PEER_QUALITIES = {"AVIF": 24, "JPEG XL": 15, "WebP": 20, "JPEG": 20}
"""Each at full size: near a quarter of a bit per pixel on photos, or as near as the codec comes."""


def times(photos: list[Pixels], pack: Pack, repetitions: int = REPETITIONS) -> dict[str, Any]:
    """Milliseconds per megapixel: `rows` by codec and step, each with `one` thread and with `all`; medians over photos and repetitions."""
    cores = os.cpu_count() or 1
    columns: dict[str, dict[tuple[str, str], float]] = {}
    for name, threads in (("one", 1), ("all", cores)):
        with _cores(threads):
            columns[name] = _own_times(photos, Session(pack, threads=threads), repetitions)
            for peer in PEERS:
                columns[name] |= _peer_times(photos, _peer(peer, threads), PEER_QUALITIES[peer], repetitions)
    rows = [{"codec": codec, "step": step, **{name: columns[name][codec, step] for name in columns}} for codec, step in columns["one"]]
    return {"machine": machine(), "photos": len(photos), "rows": rows}


def _peer(codec: str, threads: int) -> Setting:
    """The codec's first setting, with as many threads as it can use."""
    setting = FULL.of(codec)[0]
    return replace(setting, options=setting.options | {"max_threads": threads}) if codec == "AVIF" else setting


def _own_times(photos: list[Pixels], session: Session, repetitions: int) -> dict[tuple[str, str], float]:
    own = SdzCodec(session, (), NATURAL)
    steps = {"encode": "encode", "entropy decoding": "entropy", "denoiser": "denoise", "decoder": "decode"}
    found: dict[str, list[float]] = {step: [] for step in [*steps, "decode, all of it"]}
    for photo in photos:
        image, megapixels = Image.fromarray(photo), photo[..., 0].size / 1e6
        data = own.encode(image, round(DEFAULT_QUALITY))
        decode(data, session=session)  # loads the graphs
        for _ in range(repetitions):
            found["encode"].append(_timed(lambda image=image: own.encode(image, round(DEFAULT_QUALITY))) / megapixels)  # type: ignore[misc]
            seconds = decode(data, session=session).timings
            for step, name in steps.items():
                if step != "encode":
                    found[step].append(1000.0 * seconds.get(name, 0.0) / megapixels)
            found["decode, all of it"].append(1000.0 * sum(seconds.values()) / megapixels)
    return {("sdz", step): statistics.median(values) for step, values in found.items()}


def _peer_times(photos: list[Pixels], setting: Setting, quality: int, repetitions: int) -> dict[tuple[str, str], float]:
    found: dict[str, list[float]] = {"encode": [], "decode": []}
    for photo in photos:
        image, megapixels = Image.fromarray(photo), photo[..., 0].size / 1e6
        data = setting.encode(image, quality)
        for _ in range(repetitions):
            found["encode"].append(_timed(lambda image=image: setting.encode(image, quality)) / megapixels)  # type: ignore[misc]
            found["decode"].append(_timed(lambda data=data, image=image: setting.decode(data, image.size)) / megapixels)  # type: ignore[misc]
    return {(setting.codec, step): statistics.median(values) for step, values in found.items()}


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return 1000.0 * (time.perf_counter() - start)


@contextlib.contextmanager
def _cores(count: int) -> Iterator[None]:
    """Holds the process to `count` cores where the system can: not every codec has a setting for its threads."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(before)[:count]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
