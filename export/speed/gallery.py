"""What a gallery costs who looks at it: its first view in Chromium, beside the same page without JavaScript, which shows AVIF.

Takes a pack, builds a gallery of 25 photos, returns processor time of all of Chromium's processes and times by the clock. "Cold" is a
browser that has seen nothing, "warm" one in which the page was open before.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ..photo_files import samples
from ..site.build import BuildOptions, build
from ..site.photos import PhotoOptions
from .chromium import TIMEOUT, Chromium
from .timing import Figures

PHOTOS = 25
SIDE = 512
"""Pixels of each photo, a square."""

VIEW = {"width": 1280, "height": 800}

RUNS = 3

VISITS = ("cold", "warm")

SETTLED = 1.0
"""Seconds after a page has shown everything in which it may still be at work."""

WATCH = """
window.finished = new Map();
document.addEventListener("load", ({ target }) => {
  if (target.localName === "sdz-img" && !finished.has(target)) finished.set(target, performance.now());
}, true);
window.seen = () => [...document.querySelectorAll("sdz-img")].filter((image) => {
  const { width, top, bottom } = image.getBoundingClientRect();
  return width > 0 && top < innerHeight && bottom > 0;
});
"""
"""Runs before a page's own scripts: when each picture was finished, and which are in sight."""

ALL_IN_SIGHT = "seen().length > 0 && seen().every((image) => finished.has(image))"
TIMES = "[Math.min(...finished.values()), Math.max(...seen().map((image) => finished.get(image)))]"


def gallery(pack: Path, runs: int = RUNS) -> Figures:
    """By visit, lists over the runs: seconds of processor time, `scripted` and `plain`, and milliseconds until the `first` picture and
    `all` in sight were finished. Raises NoBrowserError, OSError, SdzError."""
    with tempfile.TemporaryDirectory() as folder:
        photos, site = Path(folder) / "photos", Path(folder) / "site"
        photos.mkdir()
        for index, picture in enumerate(crops([Image.open(path).convert("RGB") for path in samples()])):
            picture.save(photos / f"{index:02}.png")
        build(BuildOptions([str(photos)], site, PhotoOptions(ms_ssim=False), pack))
        files = {path.relative_to(site).as_posix(): path.read_bytes() for path in site.rglob("*") if path.is_file()}
    found: Figures = {visit: {name: [] for name in ("scripted", "plain", "first", "all")} for visit in VISITS}
    with Chromium(files, cached=True) as chromium:
        for _ in range(runs):
            for scripted in (True, False):
                with chromium.context(viewport=VIEW, java_script_enabled=scripted) as context:
                    for visit in VISITS:
                        spent, times = _view(chromium, context, scripted)
                        found[visit]["scripted" if scripted else "plain"].append(spent)
                        for name, value in zip(("first", "all"), times, strict=False):
                            found[visit][name].append(value)
    return found


def _view(chromium: Chromium, context: Any, scripted: bool) -> tuple[float, list[float]]:
    """Opens the gallery's page: seconds of processor time until it has come to rest, and the times of its pictures where it has scripts."""
    page = context.new_page()
    page.set_default_timeout(1000 * TIMEOUT)
    page.add_init_script(WATCH)
    before = chromium.spent()
    page.goto(chromium.base, wait_until="load" if scripted else "networkidle")
    times: list[float] = []
    if scripted:
        page.wait_for_function(ALL_IN_SIGHT)
        times = page.evaluate(TIMES)
    page.wait_for_timeout(1000 * SETTLED)
    spent = chromium.spent() - before
    page.close()
    return spent, times


def crops(photos: Sequence[Image.Image]) -> list[Image.Image]:
    """`PHOTOS` squares: of each photo the largest, then smaller ones from its corners."""
    found = []
    for index in range(PHOTOS):
        turn, photo = index // len(photos), photos[index % len(photos)]
        side = round(min(photo.size) * (1.0, 0.8, 0.65, 0.5)[turn])
        left, top = ((photo.width - side) * (turn % 2), (photo.height - side) * (turn // 2))
        found.append(photo.resize((SIDE, SIDE), Image.Resampling.LANCZOS, (left, top, left + side, top + side)))
    return found


def ratios(found: Figures) -> dict[str, float]:
    """By visit, the median over the runs of how many times the processor time of the page without JavaScript the page takes."""
    pairs = {visit: zip(found[visit]["scripted"], found[visit]["plain"], strict=True) for visit in VISITS}
    return {visit: statistics.median(scripted / plain for scripted, plain in runs) for visit, runs in pairs.items()}
