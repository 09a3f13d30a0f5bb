"""`sdz bench`: what the codec is worth, measured beside its peers in one run.

Takes photos and a model pack, writes `report.json`, `report.md`, `report.html` with charts and crops, and `ladder.jpg`. The peers'
figures of a photo are kept apart from the pack's: an interrupted run goes on, and a new pack costs only its own part.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import math
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from ...runtime.errors import SdzError
from ...runtime.files import evenly, write_atomically
from ...runtime.pack import Pack, default_pack, load_pack
from ...runtime.photo import open_image, prepare
from ...runtime.session import Session
from ..commands import failed, parser
from ..crops import SUFFIXES
from ..families.unet import CleanUp, UnetError, load_clean_up
from ..metrics import perceptual
from ..metrics.kept import Kept
from ..site.assets import digest
from ..site.library import MissingRuntimeError, collect
from . import costs, palette2022, peers, plots, report, sdz_codec, sheets, summary
from .high import high_rates
from .ladder import ladder
from .palette2022 import PaletteError
from .peers import AVIF, FULL, QUICK, SHRINKING, Pixels, Plan
from .sdz_codec import POINTS
from .sheets import SheetInputError
from .summary import Measured

PHOTOS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "hubble_deep_field.jpg",
    "retina.jpg",
    "motorcycle_left.png",
    "motorcycle_right.png",
)
"""Measured when no photos are named: in scikit-image's data folder, as in the demo."""

QUICK_PHOTOS = 4

FAMILIAR = Plan("familiar", (replace(FULL.of("AVIF")[0], qualities=(0, 20, 42)),), (8, 24, 40, 56), (), math.inf, tables=False)
"""What is measured of training photos: this codec, and AVIF at full size as the codec that has seen none of them."""

FAMILIAR_PHOTOS = 24
FAMILIAR_RATES = (0.1, 0.15, 0.2)

TIMED_PHOTOS = 3

CROPPED_RATE = 0.1
"""Bits per pixel at which crops stand side by side; one of every plan's `equal_rates`."""


class BenchInputError(ValueError):
    """Nothing to measure in what was named."""


def main(arguments: list[str]) -> int:
    """`sdz bench`; 0 done, 1 no photos, or some could not be read, 2 wrong usage."""
    options = _parser().parse_args(arguments)
    plan = QUICK if options.quick else AVIF if options.avif else FULL
    if not perceptual.available():
        failed("bench", f"LPIPS and DISTS are left out; they need pip install --no-deps {' '.join(perceptual.PACKAGES.values())}")
    try:
        photos = find_photos(options.photos, options.out)
        first = photos[0] if options.ladder is None else options.ladder
        if options.quick:
            photos = evenly(photos, QUICK_PHOTOS)
        photos.sort(key=lambda photo: digest(photo.read_bytes()))  # so that an interrupted run has measured a fair draw
        places = [] if options.sheets is None else sheets.read_places(options.sheets)
        options.out.mkdir(parents=True, exist_ok=True)
        if options.peers_only:
            _each(functools.partial(_peers_of, report=options.out, plan=plan), photos, options.jobs, "peers")
            return 0
        pack = default_pack() if options.pack is None else load_pack(options.pack)
        if options.high:
            text = high_rates([_read(photo.read_bytes(), str(photo)) for photo in photos], Session(pack))
            write_atomically(options.out / "high.md", text.encode())
            print(text)
            return 0
        if options.palette_pack is not None:
            palette2022.check(load_pack(options.palette_pack), options.unet is not None)
            _clean_up(options.unet)
        elif options.unet is not None:
            raise BenchInputError("a UNet cleans up palettes: name a pack of them with --palette-pack")
        work = functools.partial(
            _measured, report=options.out, pack_path=options.pack, plan=plan, palette_path=options.palette_pack, unet=options.unet
        )
        measured = _each(work, photos, options.jobs, "photos")
        familiar = _familiar(options.familiar, measured, pack, options) if options.familiar else None
        figures = _report(photos, measured, pack, plan, familiar, options)
        text = _write(photos, measured, figures, pack, plan, options.out)
        write_atomically(options.out / "ladder.jpg", ladder(Image.fromarray(_read(first.read_bytes(), str(first))), Session(pack)))
        if places:
            pictures = [(_read(path.read_bytes(), str(path)), photo) for path, photo in zip(photos, measured, strict=True)]
            sheets.write_sheets(places, pictures, Session(pack), plan, options.out)
    except (BenchInputError, SheetInputError, PaletteError, UnetError, SdzError, OSError) as error:
        return failed("bench", error)
    except KeyboardInterrupt:
        return failed("bench", "interrupted; what is measured is kept for the next run", 130)
    print(text)
    return 0


def find_photos(sources: Sequence[Path], report: Path | None = None) -> list[Path]:
    """The photos that files and folders name, or scikit-image's when there are none; what lies in the folder of the `report`, pictures of
    its own, is none of them. Raises BenchInputError without any."""
    if not sources:
        spec = find_spec("skimage")
        if spec is None or spec.origin is None:
            raise BenchInputError("name photos, or install scikit-image for those that come with it")
        return [Path(spec.origin).parent / "data" / name for name in PHOTOS]
    files = [f for s in sources for f in (sorted(s.rglob("*")) if s.is_dir() else [s])]
    own = None if report is None else report.resolve()
    found = [f for f in files if f.suffix.lower() in SUFFIXES and (own is None or not f.resolve().is_relative_to(own))]
    if not found:
        raise BenchInputError(f"no photos there: {', '.join(map(str, sources))}")
    return found


def read_familiar(source: Path, count: int) -> list[bytes]:
    """`count` photos' files out of a folder, or a tar shard, drawn evenly; raises BenchInputError without any, OSError."""
    if source.suffix == ".tar":
        with tarfile.open(source) as archive:
            members = [m for m in archive.getmembers() if m.isfile() and Path(m.name).suffix.lower() in SUFFIXES]
            files = [archive.extractfile(m) for m in evenly(members, count)]
            found = [file.read() for file in files if file is not None]
    else:
        found = [p.read_bytes() for p in evenly(find_photos([source]), count)]
    if not found:
        raise BenchInputError(f"no photos in {source}")
    return found


def _parser() -> argparse.ArgumentParser:
    command = parser("bench", "Measure the codec beside AVIF, JPEG XL, WebP and JPEG at equal bytes.")
    command.add_argument("photos", type=Path, nargs="*", metavar="PHOTOS", help="photos, and folders of them (default: scikit-image's)")
    command.add_argument("--out", type=Path, required=True, metavar="REPORT", help="folder of the report; resumed")
    command.add_argument("--pack", type=Path, metavar="DIR", help="directory of another model pack; the peers are not measured again")
    command.add_argument(
        "--familiar", type=Path, metavar="PHOTOS", help="folder or .tar of training photos, to show what familiarity is worth"
    )
    command.add_argument("--ladder", type=Path, metavar="PHOTO", help="photo of the ladder picture (default: the first one)")
    command.add_argument(
        "--sheets", type=Path, metavar="PLACES", help="JSON list of places in photos: a contact sheet of each at 0.08, 0.15 and 0.3 bpp"
    )
    command.add_argument("--palette-pack", type=Path, metavar="DIR", help="pack built with --quantizer palette: adds the method of 2022")
    command.add_argument("--unet", metavar="MODEL", help="hub id or folder of a latent diffusion model, to clean the palette's pictures up")
    command.add_argument("--quick", action="store_true", help="four photos, few rates, no SSIMULACRA2: minutes")
    command.add_argument("--avif", action="store_true", help="of the peers AVIF alone: half the time")
    command.add_argument("--high", action="store_true", help="rates of 0.5 to 3 bits per pixel alone, to REPORT/high.md")
    command.add_argument("--peers-only", action="store_true", help="measure the peers, which no pack changes, and stop")
    command.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="worker processes (default: one per core)")
    return command


def _each(work: Callable[[Path], Any], photos: list[Path], jobs: int, name: str) -> list[Any]:
    """`work` on every photo, here or in worker processes, with a progress bar on a terminal."""
    with contextlib.ExitStack() as stack:
        results: Iterator[Any] = map(work, photos)
        if jobs > 1:
            # spawned, not forked: onnxruntime and torch keep threads that a fork would leave behind
            results = stack.enter_context(ProcessPoolExecutor(jobs, get_context("spawn"))).map(work, photos)
        return list(tqdm(results, total=len(photos), desc=name, unit="photo", disable=None))


def _read(data: bytes, name: str) -> Pixels:
    try:
        with open_image(io.BytesIO(data)) as opened:
            return prepare(opened).rgb
    except SdzError as error:
        raise BenchInputError(f"{name}: {error}") from error


@functools.cache
def _session(pack_path: Path | None) -> Session:
    torch.set_num_threads(1)
    return Session(default_pack() if pack_path is None else load_pack(pack_path))


def _peers_of(path: Path, report: Path, plan: Plan) -> dict[str, Any]:
    torch.set_num_threads(1)
    data = path.read_bytes()
    return peers.measure_photo(_read(data, str(path)), Kept(report, digest(data)), plan)


@functools.cache
def _clean_up(unet: str | None) -> CleanUp | None:
    return None if unet is None else load_clean_up(unet)


def _measured(
    path: Path, report: Path, pack_path: Path | None, plan: Plan, palette_path: Path | None = None, unet: str | None = None
) -> Measured:
    data = path.read_bytes()
    found = measure(data, str(path), report, _session(pack_path), plan)
    if palette_path is None:
        return found
    reference, kept = _read(data, str(path)), Kept(report, digest(data))
    theirs = palette2022.measure_photo(reference, kept, _session(palette_path), plan, _clean_up(unet), unet)
    return replace(found, points=[*found.points, *theirs["points"]])


def measure(data: bytes, name: str, report: Path, session: Session, plan: Plan) -> Measured:
    """One photo's file, by the peers and by this codec; what is kept in `report` is not measured again."""
    reference, kept = _read(data, name), Kept(report, digest(data))
    theirs = peers.measure_photo(reference, kept, plan)
    ours = sdz_codec.measure_photo(reference, kept, session, plan)
    equal = {rate: entry | ours["equal"].get(rate, {}) for rate, entry in theirs["equal"].items()}
    return Measured(
        id=digest(data),
        width=reference.shape[1],
        height=reference.shape[0],
        points=[*ours["points"], *theirs["points"]],
        equal=equal,
        features=kept.features(plan.name) | kept.features(sdz_codec.kept_name(session.pack, plan)),
        coder=ours.get("coder", {}),
        denoiser=ours.get("denoiser", {}),
    )


def _familiar(source: Path, held_out: list[Measured], pack: Pack, options: argparse.Namespace) -> dict[str, Any]:
    files = read_familiar(source, FAMILIAR_PHOTOS)
    session = _session(options.pack)
    seen = [
        measure(data, f"{source}, photo {i + 1}", options.out, session, FAMILIAR)
        for i, data in enumerate(tqdm(files, desc="familiar", disable=None))
    ]
    control = FAMILIAR.settings[0]
    others = [
        replace(p, points=[q for q in p.points if q["codec"] in POINTS or (q["codec"], q["setting"]) == (control.codec, control.name)])
        for p in held_out
    ]
    return {"photos": len(seen), "rows": summary.familiarity(seen, others, control.codec, FAMILIAR_RATES)}


def _report(
    photos: list[Path], measured: list[Measured], pack: Pack, plan: Plan, familiar: dict[str, Any] | None, options: argparse.Namespace
) -> dict[str, Any]:
    """The whole report: everything `report.json` holds."""
    downloads = _downloads(pack, options.out) if not options.quick else None
    download = None if downloads is None else downloads["total"]["brotli"]
    timed = [_read(p.read_bytes(), str(p)) for p in evenly(photos, 1 if options.quick else TIMED_PHOTOS)]
    keep = ("codec", "setting", "quality", "bytes", "bpp", *(m.key for m in summary.METRICS))
    figures = {
        "pack": pack.id.hex(),
        "plan": plan.name,
        "summary": summary.summarize(measured),
        "familiar": familiar,
        "downloads": downloads,
        "method_2022": _method_2022(measured, options),
        "break_even": summary.break_even(measured, download),
        "times": costs.times(timed, pack, 1 if options.quick else costs.REPETITIONS),
        "photos": [
            {"id": p.id[:16], "width": p.width, "height": p.height, "points": [{k: q[k] for k in keep if k in q} for q in p.points]}
            for p in measured
        ],
    }
    return dict(report.rounded({k: v for k, v in figures.items() if v is not None}))


def _method_2022(measured: list[Measured], options: argparse.Namespace) -> dict[str, Any] | None:
    """The palette pack's part of the report; None without one."""
    if options.palette_pack is None:
        return None
    pack = load_pack(options.palette_pack)
    points = [[p for p in photo.points if p["codec"] in palette2022.METHODS] for photo in measured]
    rows = palette2022.averages(points, tuple(m.key for m in summary.METRICS))
    return {"pack": pack.id.hex(), "name": pack.name, "unet": options.unet is not None, "rows": rows}


def _downloads(pack: Pack, out: Path) -> dict[str, dict[str, int]] | None:
    """Sizes of what a visitor downloads, kept because compressing them takes a minute; None where onnxruntime-web is not installed."""
    try:
        shared = collect(pack)
    except MissingRuntimeError as error:
        failed("bench", f"{error}; sizes and break-even are left out")
        return None
    target = out / f"downloads-{shared.directory.rpartition('-')[2]}.json"
    if not target.exists():
        write_atomically(target, json.dumps(costs.downloads(shared)).encode())
    sizes: dict[str, dict[str, int]] = json.loads(target.read_text())
    return sizes


def _write(photos: list[Path], measured: list[Measured], figures: dict[str, Any], pack: Pack, plan: Plan, out: Path) -> str:
    """All files of the report; returns its Markdown."""
    session = Session(pack)
    text = report.markdown(figures)
    extremes = figures["summary"]["extremes"]
    by_id = {p.id: (path, p) for path, p in zip(photos, measured, strict=True)}
    rows = []
    for kind in ("worst", "best"):
        for entry in extremes[kind]:
            path, photo = by_id[entry["id"]]
            title = f"{kind}: {path.name}, ST-LPIPS {entry['sdz']:.3f}, AVIF {entry['AVIF']:.3f}"
            rows.append((title, plots.crops(photo.id[:8], _side_by_side(path, photo, session, plan, out), out)))
    page = report.html(figures, plots.charts(measured, out), rows)
    write_atomically(out / "report.json", (json.dumps(figures, separators=(",", ":")) + "\n").encode())
    write_atomically(out / "report.md", text.encode())
    write_atomically(out / "report.html", page.encode())
    return text


def _side_by_side(path: Path, photo: Measured, session: Session, plan: Plan, out: Path) -> list[tuple[str, Pixels]]:
    """The original and each codec's picture of just under `CROPPED_RATE` bits per pixel, captioned."""
    kept, size = Kept(out, photo.id), (photo.width, photo.height)
    files = photo.equal[str(CROPPED_RATE)]
    pictures: list[tuple[str, Pixels]] = [("original", np.asarray(_read(path.read_bytes(), str(path))))]
    for point in (p for p in POINTS if p in files):
        entry = files[point]
        pictures.append((f"{point}: {entry['bytes']:,} bytes", sdz_codec.shown(kept.file(entry["file"]), session, point)))
    for codec in (c for c in SHRINKING if c in files):
        entry = files[codec]
        setting = next(s for s in plan.of(codec) if s.name == entry["setting"])
        caption = f"{codec}: {entry['bytes']:,} bytes ({entry['setting']})"
        pictures.append((caption, setting.decode(kept.file(entry["file"]), size)))
    return pictures
