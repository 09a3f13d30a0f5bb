"""`sdz build`: photos in, a complete static site out.

Takes files and folders, hands on a report. Order is what makes it safe to interrupt: assets are written first, under names no
older page knows; then each page is replaced by a rename; then the manifest; last, files only the previous manifest names go.
"""

from __future__ import annotations

import json
import math
import os
import re
import signal
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ...runtime.files import find_inputs, image_suffixes, write_atomically
from . import library, pages
from .assets import BROTLI_QUALITY, Asset, copy_asset, digest, hashed_name, write_asset
from .library import Library
from .photos import Photo, PhotoJob, PhotoOptions, PhotoResult, make_photo, open_pack

FORMAT = 1
"""Of the site's manifest; another one is built anew."""

MANIFEST = "manifest.json"

JOURNAL = ".build.json"
"""The photos made so far; only there while a build runs, or after one was cut off."""


class NoPhotosError(ValueError):
    """Nothing to build a site from."""


class SiteWriteError(ValueError):
    """The site cannot be written; what stood there before still stands."""


@dataclass(frozen=True)
class BuildOptions:
    """What `build` is asked for. `judged` photos, spread evenly over all, get ST-LPIPS and their AVIF of equal ST-LPIPS."""

    inputs: list[str]
    site: Path
    photo: PhotoOptions = field(default_factory=PhotoOptions)
    pack: Path | None = None
    title: str = "Photos"
    jobs: int = 1
    judged: int = 12
    force: bool = False
    brotli_quality: int = BROTLI_QUALITY


@dataclass(frozen=True)
class Download:
    """Files a visitor downloads for one purpose: how many, their bytes, and their bytes with brotli."""

    files: int
    raw: int
    brotli: int

    @staticmethod
    def of(assets: Iterable[Asset]) -> Download:
        """The sum over some files."""
        listed = list(assets)
        return Download(len(listed), sum(a.bytes for a in listed), sum(a.wire for a in listed))


@dataclass(frozen=True)
class Report:
    """What was built. `pays_after` counts the images after which sdz has sent fewer bytes than AVIF of equal ST-LPIPS:
    None means never (or not measured, when `judged` is 0); `saving` is in bytes per image, 0 for one that is kept as AVIF. `exact`: the
    pack's; `denoises`: whether it has a denoiser."""

    site: Path
    pack: str
    photos: list[Photo]
    reused: int
    problems: list[str]
    downloads: dict[str, Download]
    judged: int
    saving: float | None
    pays_after: int | None
    exact: bool = True
    denoises: bool = True

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        out = asdict(self) | {"site": str(self.site)}
        for entry, photo in zip(out["photos"], self.photos, strict=True):
            entry["bpp"] = photo.bpp
        return out


def build(options: BuildOptions) -> Report:
    """Builds or updates a site.

    Raises `NoPhotosError` when no input yields a photo, `SiteWriteError` when the disk refuses, SdzError for a bad pack,
    `library.MissingRuntimeError` without onnxruntime-web. An unreadable photo is a line in `Report.problems`.
    """
    sources, problems = gather(options.inputs)
    pack = open_pack(options.pack)
    previous = {} if options.force else read_manifest(options.site)
    shared = library.collect(pack)
    try:
        options.site.mkdir(parents=True, exist_ok=True)
        _sweep(options.site)
        known = _known_photos(options, previous)
        with _Workers(options.jobs) as run:
            files = [
                run(_write_shared, options.site, shared.path(name), data, options.brotli_quality, _twin(options.site, previous, data))
                for name, data in shared.files.items()
            ]
            results = _photos(options, sources, pack.id, known, run)
            library_assets = sorted((future.result() for future in files), key=lambda a: a.path)
        problems += [r.problem for r in results if r.problem is not None]
        photos = [r.photo for r in results if r.photo is not None]
        if not photos:
            raise NoPhotosError("\n".join([*problems, "no photo could be read: the site was left as it was"]))
        report = summarize(options, pack.id.hex(), photos, library_assets, shared, sum(r.reused for r in results), problems)
        report = replace(report, exact=pack.exact, denoises=pack.denoiser_min_step_index is not None)
        made_before = {path for entry in known.values() for asset in Photo.from_json(entry).assets() for path in asset.paths()}
        _publish(options, report, library_assets, shared, old_files(previous) | made_before)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise SiteWriteError(f"cannot write the site {options.site}: {error.strerror}{where}; the pages there are as they were") from error
    except BrokenProcessPool as error:
        raise SiteWriteError("a worker process died (out of memory?): try fewer with --jobs 1, or a smaller --max-side") from error
    return report


def gather(inputs: list[str]) -> tuple[list[Path], list[str]]:
    """Every photo the inputs name, once each in their order, and a line for each input that names none."""
    sources: dict[Path, Path] = {}
    problems = []
    for name, _, problem in find_inputs(inputs, image_suffixes()):
        if problem is not None:
            problems.append(f"{name}: {problem}")
        else:
            sources.setdefault(Path(name).resolve(), Path(name))
    if not sources:
        raise NoPhotosError("\n".join([*problems, "no photo to build from: name picture files, or folders that hold some"]))
    return list(sources.values()), problems


def read_manifest(site: Path) -> dict[str, Any]:
    """The previous build's manifest, or {} when there is none that this version wrote."""
    try:
        manifest = json.loads((site / MANIFEST).read_bytes())
        if manifest["format"] != FORMAT:
            return {}
        for entry in manifest["photos"]:
            Photo.from_json(entry)
        for entry in manifest["files"]:
            Asset(**entry)
        return dict(manifest)
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def names_for(sources: list[Path]) -> list[str]:
    """A unique name fit for addresses for each source, lower-case ASCII letters, digits and hyphens, from its file name."""
    taken: set[str] = set()
    names = []
    for source in sources:
        ascii_stem = unicodedata.normalize("NFKD", source.stem).encode("ascii", "ignore").decode().lower()
        base = re.sub(r"[^a-z0-9]+", "-", ascii_stem).strip("-")[:64] or "photo"
        name = base
        number = 2
        while name in taken:
            name = f"{base}-{number}"
            number += 1
        taken.add(name)
        names.append(name)
    return names


def summarize(
    options: BuildOptions, pack: str, photos: list[Photo], assets: list[Asset], shared: Library, reused: int, problems: list[str]
) -> Report:
    """Adds up what a visitor downloads, and when that has paid for itself against AVIF of equal ST-LPIPS."""
    loads = library.loads(assets, shared)
    downloads = {
        "runtime": Download.of(loads.scripts + loads.runtime),
        "models": Download.of(loads.tables + loads.graphs),
        "images": Download.of(p.shown for p in photos),
        "fallbacks": Download.of(a for p in photos if (a := p.fallback or p.avif) is not None),
        "first_paint": Download.of(loads.scripts + loads.tables),
    }
    savings = [0 if p.avif is not None else p.avif_equal - p.sdz.bytes for p in photos if p.avif_equal is not None]
    saving = sum(savings) / len(savings) if savings else None
    decoder = downloads["runtime"].brotli + downloads["models"].brotli
    pays_after = math.ceil(decoder / saving) if saving is not None and saving > 0.0 else None
    return Report(options.site, pack, photos, reused, problems, downloads, len(savings), saving, pays_after)


def old_files(manifest: dict[str, Any]) -> set[str]:
    """Every path a manifest lists."""
    return {path for entry in manifest.get("files", []) for path in Asset(**entry).paths()}


def _photos(options: BuildOptions, sources: list[Path], pack_id: bytes, known: dict[str, dict[str, Any]], run: Runner) -> list[PhotoResult]:
    """The photos in the order of their sources, with a progress bar on a terminal and a journal for a build that is cut off."""
    count = min(options.judged, len(sources))
    judged = {round((i + 0.5) * len(sources) / count - 0.5) for i in range(count)}
    journal = dict(known)
    futures: list[Future[PhotoResult]] = []
    with tqdm(total=len(sources), unit="photo", disable=None, dynamic_ncols=True) as bar:

        def finished(future: Future[PhotoResult]) -> None:
            bar.update()
            if future.cancelled() or future.exception() is not None or (photo := future.result().photo) is None:
                return
            journal[photo.name] = asdict(photo)
            if not future.result().reused:
                write_atomically(options.site / JOURNAL, json.dumps(journal).encode())

        for index, (source, name) in enumerate(zip(sources, names_for(sources), strict=True)):
            job = PhotoJob(source, name, index in judged, options.site, options.pack, pack_id, options.photo, known.get(name))
            futures.append(run(make_photo, job))
            futures[-1].add_done_callback(finished)
        return [future.result() for future in futures]


def _known_photos(options: BuildOptions, previous: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Photos of the last build, and of one that was cut off after it, by name."""
    known = {entry["name"]: entry for entry in previous.get("photos", [])}
    if not options.force:
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            journal = json.loads((options.site / JOURNAL).read_bytes())
            known |= {name: entry for name, entry in journal.items() if Photo.from_json(entry).name == name}
    return known


Runner = Callable[..., "Future[Any]"]


class _Workers:
    """A context that gives a `Runner`: in worker processes, or here and now when one job is asked for."""

    def __init__(self, jobs: int) -> None:
        # spawned, not forked: onnxruntime and torch keep threads that a fork would leave behind
        self.pool = ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_start_worker) if jobs > 1 else None

    def __enter__(self) -> Runner:
        return self.pool.submit if self.pool is not None else _run_here

    def __exit__(self, *error: object) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)


def _run_here(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(function(*arguments))
    return future


def _start_worker() -> None:
    # the parent answers Ctrl+C for all; one thread each, or the workers would fight over the cores
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"


def _twin(site: Path, previous: dict[str, Any], data: bytes) -> Asset | None:
    """A file of the previous build with these bytes, compressed already."""
    wanted = digest(data)
    found = (Asset(**entry) for entry in previous.get("files", []) if entry["sha256"] == wanted)
    return next((asset for asset in found if asset.intact(site)), None)


def _write_shared(site: Path, path: str, data: bytes, quality: int, twin: Asset | None) -> Asset:
    if twin is not None:
        return twin if twin.path == path else copy_asset(site, twin, path)
    return write_asset(site, path, data, quality)


def _publish(options: BuildOptions, report: Report, assets: list[Asset], shared: Library, old: set[str]) -> None:
    """The pages, the manifest, and the end of what only the previous manifest names."""
    rules = pages.size_rules(report.photos).encode()
    styles = write_asset(options.site, hashed_name("sizes", rules, ".css"), rules, options.brotli_quality)
    # at the root, so that its scope is the whole site; no page registers it unless its owner adds that line
    worker = write_asset(options.site, library.SERVICE_WORKER, f'import "./{shared.path(library.SERVICE_WORKER)}";\n'.encode())
    written = pages.render(options.title, report, assets, shared, styles)
    listed = [*assets, styles, worker, *(a for p in report.photos for a in p.assets())]
    listed += [write_asset(options.site, path, text.encode(), options.brotli_quality) for path, text in written]
    manifest = {
        "format": FORMAT,
        "title": options.title,
        "pack": report.pack,
        "photos": [asdict(p) for p in report.photos],
        "downloads": {name: asdict(d) for name, d in report.downloads.items()},
        "files": [asdict(a) for a in sorted(listed, key=lambda a: a.path)],
    }
    write_atomically(options.site / MANIFEST, (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode())
    (options.site / JOURNAL).unlink(missing_ok=True)
    for path in sorted(old - {path for asset in listed for path in asset.paths()}, reverse=True):
        _remove(options.site, path)


def _sweep(site: Path) -> None:
    """Removes temporary files that a killed build left behind."""
    for path in site.rglob(".*.part"):
        path.unlink(missing_ok=True)


def _remove(site: Path, path: str) -> None:
    """Removes a file and the directories it leaves empty; a manifest that was tampered with reaches nothing outside the site."""
    target = (site / path).resolve()
    root = site.resolve()
    if not target.is_relative_to(root):
        return
    target.unlink(missing_ok=True)
    for parent in target.parents:
        if parent == root or not parent.is_dir() or any(parent.iterdir()):
            break
        parent.rmdir()
