"""`sdz build`: photos in, a complete static site out.

Takes files and folders, hands on a report. What a build needs is looked for before its work begins. Order is what makes it safe to
interrupt: assets are written first, under names no older page knows, and written down in a journal; then every page is replaced by a
rename; then the manifest; last, files only the previous manifest names go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from ...runtime.files import evenly, sync_folder
from ...runtime.pack import Pack
from ..photo_files import NoPhotosError, Source, find_photos
from ..workers import Call, Lost, run
from . import library
from .albums import Album, make_albums, read_folders
from .assets import BROTLI_QUALITY, Asset, Staged, Write, copy_asset, digest, hashed_name, write_asset, write_file
from .feeds import FEED, SITEMAP, feeds
from .library import Library
from .manifest import MANIFEST, Journal, Known, read_known, write_manifest
from .names import names_for, source_key
from .pages import INDEX, Pages, page_paths, path_of, size_rules
from .photos import PhotoJob, PhotoOptions, PhotoResult, known_key, make_photo, open_pack
from .place import SiteWriteError, apart, check_folder, check_pages, remove, skipped, sweep
from .report import Decoder, Report, summarize
from .texts import Folder, Texts
from .theme.theme import Theme


@dataclass(frozen=True)
class BuildOptions:
    """What `build` is asked for. `judged` photos, spread evenly over all, get ST-LPIPS and their AVIF of equal ST-LPIPS. `jobs` counts
    worker processes; with 0 the work is done in this one, and `time_limit`, seconds for one photo, does not hold. `order` of an album's
    photos is one of `albums.ORDERS`; `url` is where the site will stand, for what has to name whole addresses; pages that are
    `watched` load themselves again when they change."""

    inputs: list[str]
    site: Path
    photo: PhotoOptions = field(default_factory=PhotoOptions)
    pack: Path | None = None
    title: str | None = None
    order: str = "date"
    url: str | None = None
    jobs: int = 0
    judged: int = 0
    force: bool = False
    brotli_quality: int = BROTLI_QUALITY
    webgpu: bool = False
    time_limit: float | None = None
    theme: Theme = field(default_factory=Theme)
    watched: bool = False


Progress = Callable[[int, int, PhotoResult], None]
"""Is told how many photos are done, of how many, and the one that just was."""


def build(options: BuildOptions, progress: Progress = lambda done, count, result: None) -> Report:
    """Builds or updates a site.

    Raises `NoPhotosError` when no input yields a photo, `SiteWriteError` when the disk refuses or somebody's own files are in the way,
    SdzError for a bad pack, `library.MissingPartError` where the installation lacks something. An unreadable photo is a line in
    `Report.problems`, a file that a folder's photos leave out one in `Report.left_out`.
    """
    apart(options.inputs, options.site)
    found = find_photos(options.inputs, lambda folder: skipped(folder, options.site))
    sources, problems = found.photos, found.problems
    pack = open_pack(options.pack)
    shared = library.collect(pack, options.webgpu)
    pages = Pages(options.theme)
    rules = options.theme.rules().encode() + options.theme.sheet()
    try:
        known = read_known(options.site)
        check_folder(options.site, known.ours, options.force)
        sweep(options.site)
        names = names_for([source.inside for source in sources], {key: photo.name for key, photo in known.photos.items()})
        fixed = (INDEX, MANIFEST, library.SERVICE_WORKER)
        check_pages(options.site, [*fixed, *map(path_of, names)], known, options.force)
        if options.force:
            known = Known(paths=known.paths)
        journal = Journal(options.site, afresh=options.force)
        try:
            folders = read_folders(sources)
            jobs = _jobs(options, sources, names, pack, known, folders)
            assets, results = _make(options, sources, jobs, shared, known, journal, progress)
            problems += [r.problem for r in results if r.problem is not None]
            made = [(source, r.photo) for source, r in zip(sources, results, strict=True) if r.photo is not None]
            if not made:
                raise NoPhotosError("\n".join([*problems, *found.left_out, "no photo could be read: the site was left as it was"]))
            decoder = Decoder(pack.id.hex(), pack.exact, pack.denoiser_min_step_index is not None)
            albums, notes = make_albums(options.title, made, folders, options.order, options.theme.words["images"])
            photos = albums.all_photos()
            reused = sum(r.reused for r in results)
            report = summarize(options.site, decoder, photos, assets, shared, reused, problems, found.left_out, notes)
            _publish(options, report, albums, pages, rules, assets, shared, known)
        except BaseException:
            sweep(options.site)
            raise
        journal.close()
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise SiteWriteError(f"cannot write the site {options.site}: {error.strerror}{where}; the pages there are as they were") from error
    except BrokenProcessPool as error:
        raise SiteWriteError("the worker processes died (out of memory?): try fewer with --jobs 1, or a smaller --max-side") from error
    return report


def _jobs(
    options: BuildOptions, sources: list[Source], names: list[str], pack: Pack, known: Known, folders: Mapping[Path, Folder]
) -> Iterator[PhotoJob]:
    """What is to be made of each source; what stands beside a photo of its regions counts for it."""
    judged = set(evenly(range(len(sources)), options.judged))
    for index, (source, name) in enumerate(zip(sources, names, strict=True)):
        texts = folders[source.path.parent].photos.get(source.path.name, Texts())
        own = replace(options.photo, regions=texts.regions or ())
        if texts.protect is not None:
            own = replace(own, protect=texts.protect)
        key = source_key(source.inside)
        standing = known_key(known.photos.get(key), options.site, name, index in judged, own.auto)
        yield PhotoJob(source.path, key, name, index in judged, options.site, options.pack, pack.id, own, standing)


def _make(
    options: BuildOptions,
    sources: list[Source],
    jobs: Iterator[PhotoJob],
    shared: Library,
    known: Known,
    journal: Journal,
    progress: Progress,
) -> tuple[list[Asset], list[PhotoResult]]:
    """The library's files, sorted by path, and the photos in the order of their sources; what is done is in the journal at once."""
    files = [(shared.path(name), data) for name, data in shared.files.items()]
    writing = (
        Call(_write_known, (options.site, path, data, options.brotli_quality, known.twin(options.site, digest(data), path)))
        for path, data in files
    )
    making = (Call(make_photo, (job,), options.time_limit) for job in jobs)
    assets: list[Asset] = []
    results: dict[int, PhotoResult] = {}
    with closing(run(chain(writing, making), options.jobs)) as finished:
        for index, result in finished:
            if index >= len(files):
                source = sources[index - len(files)]
                made = PhotoResult(source.path, None, problem=f"{source.path}: {result.reason}") if isinstance(result, Lost) else result
                if made.reused:
                    made = replace(made, photo=known.photos[source_key(source.inside)])
                elif made.photo is not None:
                    known.add([], [made.photo])
                    journal.photo(made.photo)
                results[index] = made
                progress(len(results), len(sources), made)
            elif isinstance(result, Lost):
                raise SiteWriteError(f"{files[index][0]}: {result.reason}")
            else:
                assets.append(result)
                known.add([result], [])
                journal.file(result)
    return sorted(assets, key=lambda asset: asset.path), [results[index] for index in sorted(results)]


def _write_known(site: Path, path: str, data: bytes, quality: int, twin: Asset | None, write: Write = write_file) -> Asset:
    """Writes a file of which the site may have a twin."""
    if twin is not None:
        return twin if twin.path == path else copy_asset(site, twin, path, write)
    return write_asset(site, path, data, quality, write)


def _publish(
    options: BuildOptions,
    report: Report,
    albums: Album,
    pages: Pages,
    rules: bytes,
    assets: list[Asset],
    shared: Library,
    known: Known,
) -> None:
    """The pages, the manifest, and the end of known files that it does not name."""
    of_feeds = (FEED, SITEMAP) if options.url is not None else ()
    check_pages(options.site, chain(page_paths(albums), of_feeds), known, options.force)
    rules = size_rules(report.photos).encode() + rules

    def put(path: str, data: bytes, write: Write = write_file) -> Asset:
        twin = known.twin(options.site, digest(data), path)
        return _write_known(options.site, path, data, options.brotli_quality, twin, write)

    styles = put(hashed_name("sizes", rules, ".css"), rules)
    texts = chain(
        # at the root, so that its scope is the whole site; no page registers it unless its owner adds that line
        [(library.SERVICE_WORKER, f'import "./{shared.path(library.service_worker(shared))}";\n')],
        pages.render(albums, report, assets, shared, styles, options.url, options.webgpu, options.watched),
        feeds(albums, options.url) if options.url is not None else [],
    )
    # all of them before the first is replaced
    staged = Staged()
    written = [put(path, text.encode(), staged.write) for path, text in texts]
    listed = [*assets, styles, *(a for p in report.photos for a in p.assets())]
    _sync(options.site, listed)
    staged.place(options.site)
    _sync(options.site, written)
    listed += written
    write_manifest(albums.title, report, listed)
    for asset in listed:
        known.paths.difference_update(asset.paths())
    for path in sorted(known.paths - {MANIFEST}, reverse=True):
        remove(options.site, path)


def _sync(site: Path, assets: list[Asset]) -> None:
    """Returns when the files' names are on the disk: what refers to them may follow."""
    for folder in sorted({(site / asset.path).parent for asset in assets}):
        sync_folder(folder)
