"""`sdz encode` and `sdz decode`."""

from __future__ import annotations

import argparse
import functools
import sys
import time
from pathlib import Path

from ..files import PIPE, Job, Wanted, plan
from ..format.container import parse
from ..info import Report, bits_per_pixel
from ..pictures.kinds import image_suffixes, left_out
from .batch import PROGRAM, SUFFIX, Sessions, check_batch, read, run_batch, run_parallel, source, write
from .regions import asked


class Encoder:
    """Encodes files by the options of a command line; the networks are loaded once. Raises SdzError for a pack or provider that does not
    work."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._session = Sessions(args).for_encoding()

    def __call__(self, job: Job) -> Report:
        """Encodes one file and writes it. Raises SdzError, OSError or MemoryError."""
        from ..encode import encode
        from ..photo import read_photo

        args = self._args
        start = time.perf_counter()
        data = encode(
            read_photo(source(job.source)),
            quality=args.quality,
            bpp=args.bpp,
            target_size=args.target_size,
            tune=args.tune,
            effort=args.effort,
            **asked(args),
            session=self._session,
            alt=args.alt,
            keep_metadata=args.keep_metadata,
            lossless=args.lossless,
        )
        elapsed = time.perf_counter() - start
        write(job, data)
        header = parse(data).header
        return {
            "output": job.target,
            "width": header.width,
            "height": header.height,
            "bytes": len(data),
            "bpp": bits_per_pixel(len(data), header.width, header.height),
            "step_index": header.step_index,
            "seconds": round(elapsed, 4),
        }


def encode_files(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    """Images to .sdz files; the exit status."""
    check_batch(parser, args)
    if args.jobs < 1:
        parser.error("--jobs must be at least 1")
    encoder = Encoder(args)
    jobs = plan(args.inputs, args.output, Wanted(image_suffixes(), left_out), SUFFIX, args.force)
    if args.jobs > 1 and len(jobs) > 1:
        return run_parallel(args, jobs, encoder, _encoded_line, functools.partial(Encoder, args), args.jobs)
    return run_batch(args, jobs, encoder, _encoded_line)


def _encoded_line(report: Report) -> str:
    size = f"{report['width']}x{report['height']}, {report['bytes']} bytes, {report['bpp']:.3f} bpp"
    return f"{report['input']} -> {report['output']}: {size}"


def decode_files(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    from ..decode import decode
    from ..pictures.written import written

    check_batch(parser, args)
    if args.bytes is not None and args.bytes < 0:
        parser.error("--bytes must not be negative")
    if args.realism is not None and not 0 <= args.realism <= 1:
        parser.error("--realism must lie in 0..1")
    chosen = f".{args.format.lower()}" if args.format else ".png"
    jobs = plan(args.inputs, args.output, Wanted((SUFFIX,)), chosen, args.force)
    for job in jobs:
        if job.left_out is not None:
            continue
        suffix = chosen if job.target == PIPE or args.format else Path(job.target).suffix.lower()
        if _format_of(suffix) is None:
            parser.error(f"no format that Pillow writes has the suffix '{suffix}'")
    sessions = Sessions(args)
    told: list[bool] = []

    def work(job: Job) -> Report:
        data = read(job.source)
        if args.bytes is not None:
            data = data[: args.bytes]
        image = decode(
            data, stage=args.stage, realism=args.realism, lossless=not args.no_lossless, **sessions.for_decoding(data, args.stage)
        )
        format_name = _format_of(chosen if job.target == PIPE or args.format else Path(job.target).suffix.lower())
        options = {} if image.exif is None else {"exif": b"Exif\0\0" + image.exif}
        picture = image.to_pil()
        start = time.perf_counter()
        data_out, on_white = written(picture, str(format_name), **options)
        timings = {**image.timings, "save": time.perf_counter() - start}
        if on_white and not told:
            told.append(True)
            print(f"{PROGRAM}: {format_name} has no such transparency: pictures with it are laid on white", file=sys.stderr)
        write(job, data_out)
        return {
            "output": job.target,
            "width": picture.width,
            "height": picture.height,
            "mode": picture.mode,
            "stage": image.stage,
            "exact_rows": image.exact_rows,
            "on_white": on_white,
            "complete": image.complete,
            "alt": image.alt,
            "bytes": len(data),
            "seconds": {name: round(seconds, 4) for name, seconds in timings.items()},
        }

    def line(report: Report) -> str:
        return f"{report['input']} -> {report['output']}: {report['width']}x{report['height']} {report['mode']}, {_reached(report)}"

    return run_batch(args, jobs, work, line)


def _reached(report: Report) -> str:
    """How far a file was decoded, in words."""
    rows = report["exact_rows"]
    if rows == report["height"]:
        return "the exact pixels"
    return f"{report['stage']}, {rows} rows of it exact" if rows else str(report["stage"])


def _format_of(suffix: str) -> str | None:
    """Pillow's name of the format it writes for a suffix, or None."""
    from PIL import Image

    for load in (Image.preinit, Image.init):  # the common formats first: loading all plugins takes time
        load()
        name = Image.EXTENSION.get(suffix)
        if name in Image.SAVE:
            return str(name)
    return None
