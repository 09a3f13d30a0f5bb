"""`sdz bench`: what the codec is worth, measured beside its peers in one run.

Takes photos and a model pack, writes `report.json`, `report.md`, `report.html` with charts and crops, and `ladder.jpg`. The peers'
figures of a photo are kept apart from the pack's, and each table's from the others': an interrupted run goes on, and a new pack costs only
its own part.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tqdm import tqdm

from ...runtime.errors import SdzError
from ...runtime.files import evenly, write_atomically
from ...runtime.pack import Pack, default_pack, load_pack
from ...runtime.session import Session
from ..commands import failed, parser
from ..families.unet import CleanUp, UnetError, load_clean_up
from ..metrics import perceptual
from ..metrics.kept import Kept
from ..site.assets import digest
from ..site.library import MissingRuntimeError, collect
from ..speed.sizes import sizes
from . import costs, palette2022, peers, plots, report, sdz_codec, sheets, summary
from .ladder import ladder
from .palette2022 import PaletteError
from .peers import AVIF, FULL, QUICK, SHRINKING, Pixels, Plan
from .photos import BenchInputError, find_photos, read, read_familiar
from .sdz_codec import POINTS
from .sheets import SheetInputError
from .summary import Measured
from .tables.all import CHAPTERS
from .tables.chapter import Chapter

QUALITY = "quality"
"""The table of rate and distortion beside the peers; the others are chapters."""

TABLES = (QUALITY, *CHAPTERS)

QUICK_PHOTOS = 4

FAMILIAR = Plan("familiar", (replace(FULL.of("AVIF")[0], qualities=(0, 20, 42)),), (8, 24, 40, 56), (), math.inf, tables=False)
"""What is measured of training photos: this codec, and AVIF at full size as the codec that has seen none of them."""

FAMILIAR_PHOTOS = 32
FAMILIAR_RATES = (0.1, 0.15, 0.2)

TIMED_PHOTOS = 3

KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(8 << 30)}
"""For worker processes: glibc gives every large array back to the system and asks for it again, a fifth of a worker's time with VGG16 and
more on a busy machine. Both are needed: with one of them set, glibc no longer learns the other."""

CROPPED_RATE = 0.1
"""Bits per pixel at which crops stand side by side; one of every plan's `equal_rates`."""


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
        if options.palette_pack is not None:
            palette2022.check(load_pack(options.palette_pack), options.unet is not None)
            _clean_up(options.unet)
        elif options.unet is not None:
            raise BenchInputError("a UNet cleans up palettes: name a pack of them with --palette-pack")
        if options.unseen is not None and options.familiar is None:
            raise BenchInputError("what training never saw is compared with what it saw: name photos of that with --familiar")
        chapters = [chapter for name, chapter in CHAPTERS.items() if name in options.tables and _can(chapter)]
        names = tuple(chapter.name for chapter in chapters)
        work = functools.partial(
            _measured, report=options.out, pack_path=options.pack, plan=plan if QUALITY in options.tables else None, chapters=names,
            palette_path=options.palette_pack, unet=options.unet,
        )  # fmt: skip
        done = _each(work, photos, options.jobs, "photos")
        told = {name: [found[name] for _, found in done] for name in names}
        sections = [chapter.section([path.name for path in photos], told[chapter.name]) for chapter in chapters]
        figures: dict[str, Any] = {"pack": pack.id.hex(), "tables": report.rounded(told)}
        charts: list[str] = []
        crops: list[tuple[str, list[tuple[str, str]]]] = []
        if QUALITY in options.tables:
            measured = [photo for photo, _ in done]
            familiar = _familiar(options.familiar, measured, options) if options.familiar else None
            figures |= _report(photos, measured, pack, plan, familiar, options)
            sections = [*report.sections(figures), *sections]
            charts, crops = plots.charts(measured, options.out), _crops(photos, measured, figures, pack, plan, options.out)
            write_atomically(options.out / "ladder.jpg", ladder(Image.fromarray(read(first.read_bytes(), str(first)).rgb), Session(pack)))
        text = report.markdown(sections)
        write_atomically(options.out / "report.json", (json.dumps(figures, separators=(",", ":")) + "\n").encode())
        write_atomically(options.out / "report.md", text.encode())
        write_atomically(options.out / "report.html", report.html(figures["pack"], sections, charts, crops).encode())
        if places:
            pictures = [(read(path.read_bytes(), str(path)).rgb, photo) for path, photo in zip(photos, measured, strict=True)]
            sheets.write_sheets(places, pictures, Session(pack), plan, options.out)
    except (BenchInputError, SheetInputError, PaletteError, UnetError, SdzError, OSError) as error:
        return failed("bench", error)
    except KeyboardInterrupt:
        return failed("bench", "interrupted; what is measured is kept for the next run", 130)
    print(text)
    return 0


def _parser() -> argparse.ArgumentParser:
    command = parser("bench", "Measure the codec beside AVIF, JPEG XL, WebP and JPEG at equal bytes.")
    command.add_argument("photos", type=Path, nargs="*", metavar="PHOTOS", help="photos, and folders of them (default: scikit-image's)")
    command.add_argument("--out", type=Path, required=True, metavar="REPORT", help="folder of the report; resumed")
    command.add_argument("--pack", type=Path, metavar="DIR", help="directory of another model pack; the peers are not measured again")
    command.add_argument(
        "--familiar", type=Path, metavar="PHOTOS", help="folder or .tar of training photos, to show what familiarity is worth"
    )
    command.add_argument(
        "--unseen", type=Path, metavar="PHOTOS",
        help="folder or .tar of photos of the same sources that training never saw, to compare --familiar's with (default: the bench's)",
    )  # fmt: skip
    command.add_argument("--ladder", type=Path, metavar="PHOTO", help="photo of the ladder picture (default: the first one)")
    command.add_argument(
        "--sheets", type=Path, metavar="PLACES", help="JSON list of places in photos: a contact sheet of each at 0.08, 0.15 and 0.3 bpp"
    )
    command.add_argument("--palette-pack", type=Path, metavar="DIR", help="pack built with --quantizer palette: adds the method of 2022")
    command.add_argument("--unet", metavar="MODEL", help="hub id or folder of a latent diffusion model, to clean the palette's pictures up")
    command.add_argument("--quick", action="store_true", help="four photos, few rates, no SSIMULACRA2: minutes")
    command.add_argument("--avif", action="store_true", help="of the peers AVIF alone: half the time")
    command.add_argument(
        "--tables", type=_tables, default=TABLES, metavar="NAMES",
        help=f"what the report is to hold, of {','.join(TABLES)}: other tables cost nothing where they are measured (default: all)",
    )  # fmt: skip
    command.add_argument("--peers-only", action="store_true", help="measure the peers, which no pack changes, and stop")
    command.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="worker processes (default: one per core)")
    return command


def _each(work: Callable[[Path], Any], photos: list[Path], jobs: int, name: str) -> list[Any]:
    """`work` on every photo, here or in worker processes, with a progress bar on a terminal."""
    with contextlib.ExitStack() as stack:
        results: Iterator[Any] = map(work, photos)
        if jobs > 1:
            for variable, value in KEEP_MEMORY.items():
                os.environ.setdefault(variable, value)
            # spawned, not forked: onnxruntime and torch keep threads that a fork would leave behind
            results = stack.enter_context(ProcessPoolExecutor(jobs, get_context("spawn"))).map(work, photos)
        return list(tqdm(results, total=len(photos), desc=name, unit="photo", disable=None))


def _tables(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in TABLES:
            raise argparse.ArgumentTypeError(f"{name!r} is no table: {', '.join(TABLES)}")
    return names


def _can(chapter: Chapter) -> bool:
    """Whether a chapter can be measured here; if not, a line says why."""
    reason = chapter.lacks()
    if reason is not None:
        failed("bench", reason)
    return reason is None


@functools.cache
def _session(pack_path: Path | None) -> Session:
    torch.set_num_threads(1)
    return Session(default_pack() if pack_path is None else load_pack(pack_path))


def _peers_of(path: Path, report: Path, plan: Plan) -> dict[str, Any]:
    torch.set_num_threads(1)
    data = path.read_bytes()
    return peers.measure_photo(read(data, str(path)).rgb, Kept(report, digest(data)), plan)


@functools.cache
def _clean_up(unet: str | None) -> CleanUp | None:
    return None if unet is None else load_clean_up(unet)


def _measured(
    path: Path,
    report: Path,
    pack_path: Path | None,
    plan: Plan | None,
    chapters: tuple[str, ...],
    palette_path: Path | None = None,
    unet: str | None = None,
) -> tuple[Measured | None, dict[str, Any]]:
    """A photo's part of the quality table, where there is a plan of it, and its figures for the chapters of these names."""
    data = path.read_bytes()
    photo, kept, session = read(data, str(path)), Kept(report, digest(data)), _session(pack_path)
    found = None
    if plan is not None:
        found = measure(photo.rgb, kept, digest(data), session, plan)
        if palette_path is not None:
            theirs = palette2022.measure_photo(photo.rgb, kept, _session(palette_path), plan, _clean_up(unet), unet)
            found = replace(found, points=[*found.points, *theirs["points"]])
    return found, {name: CHAPTERS[name].of(photo, session, kept) for name in chapters}


def measure(reference: Pixels, kept: Kept, identity: str, session: Session, plan: Plan) -> Measured:
    """A photo of that `identity`, by the peers and by this codec; what is `kept` is not measured again."""
    theirs = peers.measure_photo(reference, kept, plan)
    ours = sdz_codec.measure_photo(reference, kept, session, plan)
    equal = {rate: entry | ours["equal"].get(rate, {}) for rate, entry in theirs["equal"].items()}
    return Measured(
        id=identity,
        width=reference.shape[1],
        height=reference.shape[0],
        points=[*ours["points"], *theirs["points"]],
        equal=equal,
        features=kept.features(plan.name) | kept.features(sdz_codec.kept_name(session.pack, plan)),
        coder=ours.get("coder", {}),
        denoiser=ours.get("denoiser", {}),
    )


def _familiar(source: Path, bench: list[Measured], options: argparse.Namespace) -> dict[str, Any]:
    session = _session(options.pack)
    seen = _drawn(source, session, options.out)
    held_out, kind = (bench, "bench") if options.unseen is None else (_drawn(options.unseen, session, options.out), "unseen")
    control = FAMILIAR.settings[0]
    others = [
        replace(p, points=[q for q in p.points if q["codec"] in POINTS or (q["codec"], q["setting"]) == (control.codec, control.name)])
        for p in held_out
    ]
    return {"photos": len(seen), "held_out": kind, "rows": summary.familiarity(seen, others, control.codec, FAMILIAR_RATES)}


def _drawn(source: Path, session: Session, out: Path) -> list[Measured]:
    """FAMILIAR_PHOTOS photos of a folder or tar shard, measured."""
    return [
        measure(read(data, f"{source}, photo {i + 1}").rgb, Kept(out, digest(data)), digest(data), session, FAMILIAR)
        for i, data in enumerate(tqdm(read_familiar(source, FAMILIAR_PHOTOS), desc=source.stem, disable=None))
    ]


def _report(
    photos: list[Path], measured: list[Measured], pack: Pack, plan: Plan, familiar: dict[str, Any] | None, options: argparse.Namespace
) -> dict[str, Any]:
    """What `report.json` holds of the quality table."""
    downloads = _downloads(pack, options.out) if not options.quick else None
    download = None if downloads is None else downloads["visit"]["brotli"]
    timed = [read(p.read_bytes(), str(p)).rgb for p in evenly(photos, 1 if options.quick else TIMED_PHOTOS)]
    keep = ("codec", "setting", "quality", "bytes", "bpp", *(m.key for m in summary.METRICS))
    figures = {
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
        write_atomically(target, json.dumps(sizes(shared, quick=False)).encode())
    kept: dict[str, dict[str, int]] = json.loads(target.read_text())
    return kept


def _crops(
    photos: list[Path], measured: list[Measured], figures: dict[str, Any], pack: Pack, plan: Plan, out: Path
) -> list[tuple[str, list[tuple[str, str]]]]:
    """The worst and the best photos: a heading, and address and caption of each picture."""
    session = Session(pack)
    extremes = figures["summary"]["extremes"]
    by_id = {p.id: (path, p) for path, p in zip(photos, measured, strict=True)}
    rows = []
    for kind in ("worst", "best"):
        for entry in extremes[kind]:
            path, photo = by_id[entry["id"]]
            title = f"{kind}: {path.name}, ST-LPIPS {entry['sdz']:.3f}, AVIF {entry['AVIF']:.3f}"
            rows.append((title, plots.crops(photo.id[:8], _side_by_side(path, photo, session, plan, out), out)))
    return rows


def _side_by_side(path: Path, photo: Measured, session: Session, plan: Plan, out: Path) -> list[tuple[str, Pixels]]:
    """The original and each codec's picture of just under `CROPPED_RATE` bits per pixel, captioned."""
    kept, size = Kept(out, photo.id), (photo.width, photo.height)
    files = photo.equal[str(CROPPED_RATE)]
    pictures: list[tuple[str, Pixels]] = [("original", read(path.read_bytes(), str(path)).rgb)]
    for point in (p for p in POINTS if p in files):
        entry = files[point]
        pictures.append((f"{point}: {entry['bytes']:,} bytes", sdz_codec.shown(kept.file(entry["file"]), session, point)))
    for codec in (c for c in SHRINKING if c in files):
        entry = files[codec]
        setting = next(s for s in plan.of(codec) if s.name == entry["setting"])
        caption = f"{codec}: {entry['bytes']:,} bytes ({entry['setting']})"
        pictures.append((caption, setting.decode(kept.file(entry["file"]), size)))
    return pictures
