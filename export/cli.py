"""The command line of `python -m export`: build a site, train, distill, and make a pack.

Takes arguments, hands on an exit code: 0 done, 1 something could not be done (each a line on standard error), 2 wrong usage.
What a command needs is imported when it runs, so that `--help` answers without loading torch.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .site.build import Report

PROGRAM = "python -m export"


def parser() -> argparse.ArgumentParser:
    """The command line of all subcommands."""
    out = argparse.ArgumentParser(prog=PROGRAM, description="Photos to sites, weights to packs.")
    commands = out.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_build(commands.add_parser("build", help="photos in, a complete static site out"))
    for name, (_, summary) in FORWARDED.items():
        commands.add_parser(name, help=summary, add_help=False)
    return out


FORWARDED = {
    "train": ("sdz.export.training.train", "train the autoencoder and its denoiser"),
    "distill": ("sdz.export.training.distill", "distill a one-step denoiser or a light decoder for a pack"),
    "prime": ("sdz.export.packs.prime", "learn the entropy coder's tables from photos"),
    "coders": ("sdz.export.bench.lossless", "compare this coder with deflate, PNG and JPEG XL on the same integers of a pack"),
    "bench": ("sdz.export.bench", "measure the codec beside its peers"),
    "speed": ("sdz.export.speed", "measure time, memory and download sizes beside a TAESD-shaped decoder"),
    "pack": ("sdz.export.packs.own", "weights to a model pack: ONNX, int8, parity gate, manifest"),
}
"""Subcommands whose module has its own `main(arguments)`: what follows the name is theirs."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; see the module's paragraph for the exit codes."""
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in FORWARDED:
        from importlib import import_module

        return int(import_module(FORWARDED[given[0]][0]).main(given[1:]))
    command = parser()
    options = command.parse_args(given)
    if options.pack is not None and options.pack_from is not None:
        command.error("name one pack: --pack, or --pack-from")
    return _build(options)


def _add_build(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Build or update a static site: a gallery, a page per photo, the decoder and everything it needs. "
        "Only what changed is made again; the old site stays whole until the new pages are in place."
    )
    command.add_argument("photos", nargs="+", metavar="PHOTOS", help="picture files, and folders of them; whatever Pillow opens")
    command.add_argument("--out", type=Path, required=True, metavar="SITE", help="directory of the site")
    command.add_argument("--pack", type=Path, help="directory of another model pack (default: the built-in one)")
    _add_model(command.add_argument_group("a pack from another autoencoder", "made once, kept in SITE/packs; --force makes it again"))
    rate = command.add_mutually_exclusive_group()
    rate.add_argument("-q", "--quality", type=_number(0, 100), metavar="0-100", help="quality of the pictures (default 40)")
    rate.add_argument("--bpp", type=_number(0, 64), help="bits per pixel of every picture")
    rate.add_argument("--target-size", type=_count, metavar="BYTES", help="exact size of every picture's file")
    command.add_argument(
        "--tune",
        choices=("natural", "faithful"),
        default="natural",
        help="texture, or a small error (default natural)",
    )
    command.add_argument(
        "--auto", action="store_true", help="keep an AVIF instead where it is as near by ST-LPIPS in no more bytes (some seconds a photo)"
    )
    command.add_argument("--max-side", type=_count, metavar="PIXELS", help="shrink pictures whose longer side is longer")
    command.add_argument(
        "--fallback", choices=("avif", "webp", "jpeg", "none"), default="avif", help="for visitors without JavaScript (default avif)"
    )
    command.add_argument("--jobs", type=_count, default=os.cpu_count() or 1, metavar="N", help="worker processes (default: one per core)")
    command.add_argument("--title", default="Photos", help="title of the gallery (default Photos)")
    command.add_argument(
        "--judge",
        type=_natural,
        default=12,
        metavar="N",
        help="compare N photos, spread over all, with AVIF at equal ST-LPIPS (default 12; some seconds each, 0 leaves it out)",
    )
    command.add_argument("--force", action="store_true", help="make everything again")
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
        "--steps", choices=("linear", "posterior"), default="linear",
        help="what fixes each channel's step: the best linear decoder (default), or the autoencoder's own posterior",
    )  # fmt: skip
    group.add_argument(
        "--precision", choices=("auto", "int8", "fp16", "fp32"), default="auto", help="of the decoder (default: int8 where it costs little)"
    )


def _model_pack(options: argparse.Namespace) -> Path:
    """The directory of the pack that --pack-from asks for; what it measured goes to standard error."""
    from .packs.from_model import ModelOptions, pack_for_site
    from .site.build import gather

    model = ModelOptions(
        options.pack_from, options.subfolder, options.revision, options.variant, options.local_files_only, options.decoder_from,
        options.decoder_subfolder, options.precision, options.quantizer, options.steps, options.denoiser,
    )  # fmt: skip
    photos, _ = gather(options.calibrate or options.photos)
    made = pack_for_site(options.out, model, photos, force=options.force)
    for figure, value in made.figures.items():
        print(f"{PROGRAM} build: {figure}: {value:.4g}", file=sys.stderr)
    if made.warning is not None:
        print(f"{PROGRAM} build: warning: {made.warning}", file=sys.stderr)
    return made.directory


def _build(options: argparse.Namespace) -> int:
    from ..runtime.errors import SdzError
    from .site.build import BuildOptions, NoPhotosError, SiteWriteError, build
    from .site.library import MissingRuntimeError
    from .site.photos import PhotoOptions

    if options.pack_from is not None:
        from .families import FamilyError
        from .packs.parity import ParityError
        from .packs.weights import QuantizationError

        try:
            options.pack = _model_pack(options)
        except (FamilyError, ParityError, QuantizationError, NoPhotosError, SdzError, OSError) as error:
            print(f"{PROGRAM} build: {error}", file=sys.stderr)
            return 1
    wanted = BuildOptions(
        inputs=options.photos,
        site=options.out,
        photo=PhotoOptions(
            options.quality, options.bpp, options.target_size, options.tune, options.max_side, options.fallback, options.auto
        ),
        pack=options.pack,
        title=options.title,
        jobs=options.jobs,
        judged=options.judge,
        force=options.force,
    )
    try:
        report = build(wanted)
    except (NoPhotosError, SiteWriteError, MissingRuntimeError, SdzError) as error:
        for line in str(error).splitlines():
            print(f"{PROGRAM} build: {line}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{PROGRAM} build: interrupted; what is done is kept for the next run, the old pages stand", file=sys.stderr)
        return 130
    for problem in report.problems:
        print(f"{PROGRAM} build: {problem}", file=sys.stderr)
    print(json.dumps(report.to_json(), indent=1, ensure_ascii=False) if options.json else text_report(report))
    return 1 if report.problems else 0


def text_report(report: Report) -> str:
    """The table of photos and what a visitor downloads, for people."""
    from .site.pages import kilobytes, payback

    rows: list[tuple[str, ...]] = [("photo", "pixels", "bytes", "bpp", "PSNR", "MS-SSIM", "AVIF at equal ST-LPIPS", "encode ms")]
    for photo in report.photos:
        best = photo.best
        rows.append(
            (
                photo.name,
                f"{photo.width}x{photo.height}",
                f"{photo.shown.bytes}",
                f"{photo.bpp:.3f}",
                "inf" if best.psnr is None else f"{best.psnr:.2f}",
                "-" if best.ms_ssim is None else f"{best.ms_ssim:.4f}",
                "-" if photo.avif_equal is None else f"{photo.avif_bound}{photo.avif_equal}".removeprefix("="),
                f"{photo.encode_ms:.0f}",
            )
        )
    count = len(report.photos)
    made = (
        f"{count} photo{'s' * (count != 1)} in {report.site}, {count - report.reused} made, {report.reused} unchanged; pack {report.pack}"
    )
    costs: list[tuple[str, ...]] = [("a visitor downloads", "files", "raw", "brotli")]
    for name in ("runtime", "models", "images", "fallbacks", "first_paint"):
        cost = report.downloads[name]
        costs.append((DOWNLOADS[name], str(cost.files), kilobytes(cost.raw), kilobytes(cost.brotli)))
    choices: list[tuple[str, ...]] = [(photo.name, photo.choice) for photo in report.photos if photo.choice is not None]
    tables = [rows, [("kept", ""), *choices] if choices else [], costs]
    return "\n\n".join(["\n".join(_columns(table)) for table in tables if table] + [payback(report), made])


DOWNLOADS = {
    "runtime": "runtime, once",
    "models": "models, once",
    "images": "all images",
    "fallbacks": "or, without JavaScript",
    "first_paint": "before the first paint",
}


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


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


def _natural(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 on")
    return int(text)


def _count(text: str) -> int:
    value = _natural(text)
    if value == 0:
        raise argparse.ArgumentTypeError("0 is too small: it must be at least 1")
    return value
