"""The command line of `sdz build` and its kin: build a site, train, distill, make a pack, measure.

Takes arguments, returns an exit code: 0 done, 1 something could not be done (each a line on standard error), 2 wrong usage.
What a command needs is imported when it runs, so that `--help` answers without loading torch.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from ..output import as_json, tolerate_names
from ..runtime.cli import regions
from ..runtime.files import readable
from ..runtime.options import DEFAULT_EFFORT, DEFAULT_QUALITY, DEFAULT_TUNE, HEAD_BYTES, MAX_EFFORT, TUNE_CHOICES
from .commands import COMMANDS, PROGRAM, failed, run
from .packs.options import PRECISIONS, STEPS

if TYPE_CHECKING:
    from .site.build import BuildOptions
    from .site.photos import PhotoResult

STOPPED = "stopped; what is done is kept for the next run, the old pages stand"

JUDGING_MODULES = ("torch", "pytorch_msssim", "stlpips_pytorch")
"""What MS-SSIM and ST-LPIPS need."""

TIME_LIMIT = 1800.0
"""Seconds for one photo, some ten times what the largest takes: what needs more hangs."""


def parser() -> argparse.ArgumentParser:
    """The command line of all subcommands."""
    out = argparse.ArgumentParser(prog=PROGRAM, description="Photos to sites, weights to packs.")
    commands = out.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_build(commands.add_parser("build", help="photos in, a complete static site out"))
    for name, other in COMMANDS.items():
        commands.add_parser(name, help=other.summary, add_help=False)
    return out


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; see the module's paragraph for the exit codes."""
    tolerate_names()
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in COMMANDS:
        return run(given[0], given[1:])
    command = parser()
    options = command.parse_args(given)
    if options.pack is not None and options.pack_from is not None:
        command.error("name one pack: --pack, or --pack-from")
    if options.html_in is not None or options.html_out is not None:
        if options.html_in is None or options.html_out is None or options.photos or options.out is not None or options.pack_from:
            command.error("--html-in and --html-out go together, without photos, --out and --pack-from")
        return _rewrite(options)
    if not options.photos or options.out is None:
        command.error("name photos, and the site's directory with --out; or --html-in and --html-out")
    return _build(options)


def _add_build(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Build or update a static site: a gallery, a page per photo, the decoder and everything it needs. "
        "Only what changed is made again; the old site stays whole until the new pages are in place."
    )
    command.add_argument("photos", nargs="*", metavar="PHOTOS", help="picture files, and folders of them; whatever Pillow opens")
    command.add_argument("--out", type=Path, metavar="SITE", help="directory of the site")
    plain = command.add_argument_group(
        "pages of your own", "instead of PHOTOS and --out; takes --quality, --tune, --effort, --pack and --jobs"
    )
    plain.add_argument("--html-in", type=Path, metavar="SITE", help="directory of a static site that any program made")
    plain.add_argument("--html-out", type=Path, metavar="SITE", help="directory of its copy, in which photos are <sdz-img>")
    command.add_argument("--pack", type=Path, help="directory of another model pack (default: the built-in one)")
    _add_model(command.add_argument_group("a pack from another autoencoder", "made once, kept in SITE/packs; --force makes it again"))
    rate = command.add_mutually_exclusive_group()
    rate.add_argument(
        "-q", "--quality", type=_number(0, 100), metavar="0-100", help=f"quality of the pictures (default {DEFAULT_QUALITY:g})"
    )
    rate.add_argument("--bpp", type=_number(0, 64), help="bits per pixel of every picture")
    rate.add_argument("--target-size", type=_count, metavar="BYTES", help="exact size of every picture's file")
    command.add_argument(
        "--tune",
        choices=TUNE_CHOICES,
        default=DEFAULT_TUNE,
        help=f"what bytes are spent on: natural keeps texture, faithful the error small, auto suits the photo (default {DEFAULT_TUNE})",
    )
    command.add_argument(
        "--effort",
        type=int,
        choices=range(MAX_EFFORT + 1),
        metavar=f"0-{MAX_EFFORT}",
        help=f"time for nearer pictures in as many bytes: 1 0.8 s, 9 40 s for 512x512 (default {DEFAULT_EFFORT}, 0 over a megapixel)",
    )
    regions.add_protection(command)
    command.add_argument(
        "--auto", action="store_true", help="keep an AVIF instead where it is as near by ST-LPIPS in no more bytes (some seconds a photo)"
    )
    command.add_argument(
        "--sizes", type=_sizes, metavar="PIXELS,…",
        help="longer sides of each photo's files, of which a page loads the one that fits (default 320,480,960,1920 as far as worthwhile)",
    )  # fmt: skip
    command.add_argument(
        "--max-side", type=_count, metavar="PIXELS", help="longer side of the largest file (default: the last of the sizes)"
    )
    command.add_argument(
        "--fallback", choices=("avif", "webp", "jpeg", "none"), default="avif", help="for visitors without JavaScript (default avif)"
    )
    command.add_argument("--jobs", type=_count, default=os.cpu_count() or 1, metavar="N", help="worker processes (default: one per core)")
    command.add_argument("--title", help="title of the gallery (default: Photos, in the language of --lang)")
    looks = command.add_argument_group("looks")
    looks.add_argument(
        "--template", type=Path, metavar="DIR", help="templates, style.css and words.json over the built-in ones: docs/site.md"
    )
    looks.add_argument("--accent", metavar="#RRGGBB", help="colour of links and marks; made lighter or darker where it could not be read")
    looks.add_argument(
        "--lang", default="en", metavar="TAG", help="language of the pages: en (default), de, fr, or any other with words.json"
    )
    command.add_argument(
        "--order", choices=("date", "name"), default="date",
        help="of an album's photos: when they were taken (default), or their names; a file order.txt in a folder stands above it",
    )  # fmt: skip
    command.add_argument(
        "--url", type=_address, metavar="ADDRESS",
        help="where the site will stand, such as https://example.org/photos/: for link previews, a feed and a sitemap",
    )  # fmt: skip
    command.add_argument(
        "--originals", action="store_true", help="publish the photos' own files too, without their metadata, for comparison and download"
    )
    command.add_argument(
        "--lossless", action="store_true", help="publish an .sdz of each photo that ends in its exact pixels, for download, in full size"
    )
    command.add_argument(
        "--head", type=_natural, default=HEAD_BYTES, metavar="N",
        help="bytes of each picture that stand in the page itself, a blur before anything else is loaded (default %(default)s, 0: none)",
    )  # fmt: skip
    command.add_argument("--keep-metadata", action="store_true", help="keep places, names and all else in the files that are published")
    command.add_argument(
        "--judge",
        type=_natural,
        default=0,
        metavar="N",
        help="compare N photos, spread over all, with AVIF at equal ST-LPIPS (default 0: it takes some ten seconds each)",
    )
    command.add_argument(
        "--time-limit", type=_number(1, 1e6), default=TIME_LIMIT, metavar="SECONDS",
        help=f"give a photo up that takes longer (default {TIME_LIMIT:g})",
    )  # fmt: skip
    command.add_argument(
        "--webgpu", action="store_true", help="run the networks on WebGPU where a browser has it (onnxruntime-web and graphs: 60 MB more)"
    )
    command.add_argument("--watch", action="store_true", help="go on, and build again whenever the photos or the templates change")
    command.add_argument("--force", action="store_true", help="make everything again, and write into a folder that holds other files")
    command.add_argument("--quiet", action="store_true", help="print nothing but what went wrong")
    command.add_argument("--json", action="store_true", help="print the report as JSON")


def _add_model(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--pack-from", metavar="MODEL", help="hub id or local folder in diffusers' layout, safetensors weights")
    group.add_argument("--subfolder", help="of the model's folder, such as vae")
    group.add_argument("--revision", help="of the model on the hub")
    group.add_argument("--variant", help="of the weights, such as fp16")
    group.add_argument("--local-files-only", action="store_true", help="take nothing from the network")
    group.add_argument(
        "--decoder-from",
        metavar="MODEL",
        help="the decoder of another model with the same latents, such as madebyollin/taesd; or a run of `distill --decoder`",
    )
    group.add_argument("--decoder-subfolder", metavar="SUBFOLDER", help="of that model's folder")
    group.add_argument("--denoiser", metavar="RUN", help="a run of `distill`, whose denoiser the pack shall have")
    group.add_argument(
        "--calibrate", action="append", metavar="PHOTOS", help="photos that fix steps, ranges and coder (default: those being built)"
    )
    group.add_argument(
        "--quantizer", choices=("planes", "palette"), default="planes",
        help="how files carry the latents: every prefix an image (default), or the 2022 method, a palette of at most 256 vectors",
    )  # fmt: skip
    group.add_argument(
        "--steps", choices=STEPS, default="linear",
        help="what fixes each channel's step: the best linear decoder (default), or the autoencoder's own posterior",
    )  # fmt: skip
    group.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the decoder (default: int8 where it costs little)")


def _model_pack(options: argparse.Namespace) -> Path:
    """The directory of the pack that --pack-from asks for; what it measured goes to standard error."""
    from .packs.foreign.from_model import pack_for_site
    from .packs.options import ModelOptions
    from .photo_files import find_photos

    model = ModelOptions(
        options.pack_from, options.subfolder, options.revision, options.variant, options.local_files_only, options.decoder_from,
        options.decoder_subfolder, options.precision, options.quantizer, options.steps, options.denoiser,
    )  # fmt: skip
    from .site.manifest import is_ours
    from .site.place import apart, check_folder, skipped

    apart(options.photos, options.out)
    photos = find_photos(options.calibrate or options.photos, lambda folder: skipped(folder, options.out)).photos
    check_folder(options.out, is_ours(options.out), options.force)
    made = pack_for_site(options.out, model, [photo.path for photo in photos], force=options.force)
    for figure, value in made.figures.items():
        _complain(f"{figure}: {value:.4g}")
    if made.warning is not None:
        _complain(f"warning: {made.warning}")
    return made.directory


def _build(options: argparse.Namespace) -> int:
    from ..runtime.errors import SdzError
    from .photo_files import NoPhotosError
    from .site.build import BuildOptions
    from .site.photos import PhotoOptions
    from .site.place import SiteWriteError
    from .site.theme.theme import Theme
    from .watching import changes, look

    measured = _find_measures(options)
    if options.pack_from is not None:
        from .families import FamilyError
        from .packs.parity import ParityError
        from .packs.quantization import QuantizationError

        try:
            options.pack = _model_pack(options)
        except (FamilyError, ParityError, QuantizationError, NoPhotosError, SiteWriteError, SdzError, OSError) as error:
            return failed("build", error)
    wanted = BuildOptions(
        inputs=options.photos,
        site=options.out,
        photo=PhotoOptions(
            options.quality,
            options.bpp,
            options.target_size,
            options.tune,
            options.max_side,
            options.fallback,
            options.auto,
            measured,
            options.originals,
            options.keep_metadata,
            options.effort,
            options.sizes,
            options.lossless,
            options.head,
            options.protect,
            options.worst,
        ),
        pack=options.pack,
        title=None if options.title is None else readable(options.title),
        order=options.order,
        url=options.url,
        jobs=options.jobs,
        judged=options.judge,
        force=options.force,
        webgpu=options.webgpu,
        time_limit=options.time_limit,
        theme=Theme(options.template, options.accent, options.lang),
        watched=options.watch,
    )
    signal.signal(signal.SIGTERM, _terminated)
    places = [Path(name) for name in options.photos] + ([options.template] if options.template is not None else [])
    before = look(places, options.out) if options.watch else {}
    status = _once(wanted, options)
    if not options.watch or status == 130:
        return status
    try:
        for _ in changes(partial(look, places, options.out), before):
            # only what changed is made again, whatever the first build was asked for
            _once(replace(wanted, force=False, theme=replace(wanted.theme)), options)
    except KeyboardInterrupt:
        pass
    return 0


def _once(wanted: BuildOptions, options: argparse.Namespace) -> int:
    from ..runtime.errors import SdzError
    from .photo_files import NoPhotosError
    from .site.build import build
    from .site.library import MissingPartError
    from .site.place import SiteWriteError
    from .site.report import text_report
    from .site.theme.theme import ThemeError

    try:
        with _progress(options.quiet) as progress:
            report = build(wanted, progress)
    except (NoPhotosError, SiteWriteError, MissingPartError, ThemeError, SdzError) as error:
        return failed("build", error)
    except KeyboardInterrupt:
        _complain(STOPPED)
        return 130
    for line in [*report.left_out, *report.notes, *report.problems]:
        _complain(line)
    if options.json:
        print(as_json(report.to_json()), flush=True)
    elif not options.quiet:
        print(text_report(report), flush=True)
    return 1 if report.problems else 0


def _rewrite(options: argparse.Namespace) -> int:
    from ..runtime.errors import SdzError
    from .plain.pages import PlainOptions, rewrite, text_report
    from .plain.pictures import Wanted
    from .site.library import MissingPartError
    from .site.place import SiteWriteError

    wanted = Wanted(options.quality, options.tune, options.effort)
    try:
        report = rewrite(PlainOptions(options.html_in, options.html_out, wanted, options.pack, options.jobs))
    except (SiteWriteError, MissingPartError, SdzError) as error:
        return failed("build", error)
    if options.json:
        print(as_json(report.to_json()))
    elif not options.quiet:
        print(text_report(report))
    return 0


def _find_measures(options: argparse.Namespace) -> bool:
    """Whether photos are compared with AVIF, and MS-SSIM is measured with that; raises ModuleNotFoundError where packages for it lack."""
    measured = bool(options.auto or options.judge)
    lacking = [name for name in JUDGING_MODULES if find_spec(name) is None] if measured else []
    if lacking:
        raise ModuleNotFoundError(f"No module named '{lacking[0]}'", name=lacking[0])
    return measured


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int, int, PhotoResult], None]]:
    """What tells of each photo that is done, on standard error: a bar on a terminal, elsewhere a line."""
    from tqdm import tqdm

    with tqdm(unit="photo", dynamic_ncols=True, disable=quiet or not sys.stderr.isatty()) as bar:

        def tell(done: int, count: int, result: PhotoResult) -> None:
            if bar.disable and not quiet:
                _complain(f"{done}/{count} {result.line}")
            bar.total = count
            bar.update()

        yield tell


def _terminated(signum: int, frame: object) -> NoReturn:
    _complain(STOPPED)
    raise SystemExit(128 + signum)


def _complain(line: str) -> None:
    print(f"{PROGRAM} build: {line}", file=sys.stderr, flush=True)


class _number:  # noqa: N801 (reads as a type in argparse's messages)
    """Parses a number above or at `low` and at most `high`."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not self.low <= value <= self.high:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {self.low:g} to {self.high:g}")
        return value


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise argparse.ArgumentTypeError(f"{text!r} is no address of a site: https://example.org/photos/")
    return text.rstrip("/") + "/"


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(sorted({_count(part.strip()) for part in text.split(",")}))


def _natural(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 on")
    return int(text)


def _count(text: str) -> int:
    value = _natural(text)
    if value == 0:
        raise argparse.ArgumentTypeError("0 is too small: it must be at least 1")
    return value
