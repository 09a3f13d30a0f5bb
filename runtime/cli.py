"""The command line: `python -m runtime encode | decode | info | verify | view | thumbnail | install-desktop`.

Takes files, folders or pipes, hands on files and one line per file (or one JSON document). Exit status: 0 all done, 1 some input
failed (the rest is still done), 2 the command line makes no sense. Modules that take time to import are imported by the command
that needs them, so that each answers as soon as it can.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .errors import CorruptFileError, MissingExtraError, MissingPackError, SdzError, in_words
from .files import PIPE, Job, find_inputs, image_suffixes, plan, write_atomically
from .format.container import ALPHA, LATENTS, PALETTE_LATENTS, TAGS, Container, parse
from .info import Report, bits_per_pixel, describe

if TYPE_CHECKING:
    from .pack import Pack
    from .session import Session

SUFFIX: Final = ".sdz"
PROGRAM: Final = "python -m runtime"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status. A command line that makes no sense ends in SystemExit(2), as argparse does it."""
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        command: Callable[[argparse.ArgumentParser, argparse.Namespace], int] = args.command
        return command(parser, args)
    except SdzError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # the reader of our output has gone; Python would complain again when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(PROGRAM, description="Encode, decode and inspect .sdz images.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    encode = commands.add_parser("encode", help="images -> .sdz", description="Encode images that Pillow can read to .sdz.")
    _add_files(encode, f"OUT{SUFFIX}, a folder, or - for standard output")
    size = encode.add_mutually_exclusive_group()
    size.add_argument("-q", "--quality", type=float, metavar="0..100", help="100 is the finest step (default: 40)")
    size.add_argument("--bpp", type=float, metavar="BITS", help="bits per pixel of the whole file")
    size.add_argument("--target-size", type=int, metavar="BYTES", help="size of the whole file, met exactly")
    encode.add_argument(
        "--tune",
        choices=("natural", "faithful"),
        default="natural",
        help="texture, or a small error (default: natural)",
    )
    encode.add_argument("--alt", metavar="TEXT", help="alternative text to store in the file")
    encode.add_argument("--keep-metadata", action="store_true", help="store the EXIF block (left out by default)")
    _add_networks(encode)
    encode.set_defaults(command=_encode)

    decode = commands.add_parser("decode", help=".sdz -> images", description="Decode .sdz files to any format Pillow writes.")
    _add_files(decode, "a file (its suffix chooses the format), a folder, or - for standard output")
    decode.add_argument("--bytes", type=int, metavar="N", help="decode only the first N bytes of each file")
    decode.add_argument("--stage", choices=("linear", "decoded", "denoised"), default="denoised", help="how far to go (default: denoised)")
    decode.add_argument("--realism", type=float, default=1.0, metavar="0..1", help="0 the most faithful, 1 the most natural (default: 1)")
    decode.add_argument("--format", metavar="NAME", help="png, webp, jpeg, avif …, for a folder or standard output (default: png)")
    _add_networks(decode)
    decode.set_defaults(command=_decode)

    info = commands.add_parser("info", help="what is in a file", description="Print the header and what each byte went into.")
    info.add_argument("inputs", nargs="*", metavar="IN", help=f"{SUFFIX} files, folders, or - for standard input")
    info.add_argument("--providers", action="store_true", help="list onnxruntime's execution providers and which of them work")
    info.add_argument("--json", action="store_true", help="print one JSON document")
    info.set_defaults(command=_info)

    verify = commands.add_parser("verify", help="check files", description="Check CRCs, and that the pack is installed and intact.")
    verify.add_argument("inputs", nargs="+", metavar="IN", help=f"{SUFFIX} files, folders, or - for standard input")
    verify.add_argument("--pack", metavar="FOLDER", help="check against this pack instead of the installed ones")
    verify.add_argument("--json", action="store_true", help="print one JSON document")
    verify.set_defaults(command=_verify)

    view = commands.add_parser("view", help="look at pictures", description="Open the desktop viewer (needs the extra 'viewer').")
    view.add_argument("path", nargs="?", metavar="FILE|FOLDER", help="what to show first (default: nothing)")
    view.set_defaults(command=_view)

    thumbnail = commands.add_parser("thumbnail", help="a small PNG for file managers", description="A PNG of a file's first latents.")
    thumbnail.add_argument("--size", type=int, default=256, metavar="PIXELS", help="longest side at most (default: 256)")
    thumbnail.add_argument("input", metavar="IN", help=f"an {SUFFIX} file")
    thumbnail.add_argument("output", metavar="OUT", help="the PNG, overwritten if it exists")
    thumbnail.set_defaults(command=_thumbnail)

    desktop = commands.add_parser(
        "install-desktop",
        help="make file managers know .sdz",
        description="Register the file type, the viewer, the thumbnails and the icon with the desktop.",
    )
    desktop.add_argument("--user", action="store_true", help="for you alone (default: for everybody, which needs the rights)")
    desktop.add_argument("--remove", action="store_true", help="take it all away again")
    desktop.set_defaults(command=_install_desktop)
    return parser


def _add_files(parser: argparse.ArgumentParser, output: str) -> None:
    parser.add_argument("inputs", nargs="+", metavar="IN", help="files, folders, or - for standard input")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help=output)
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def _add_networks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pack", metavar="FOLDER", help="the model pack to use (default: the built-in one, or the one a file names)")
    parser.add_argument("--provider", default="cpu", metavar="NAME", help="execution provider, see info --providers (default: cpu)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of the networks (default: 1)")


def _encode(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    from .encode import encode, open_image

    _check_batch(parser, args)
    session = _Sessions(args).for_encoding()

    def work(job: Job) -> Report:
        start = time.perf_counter()
        with open_image(_source(job.source)) as image:
            data = encode(
                image,
                quality=args.quality,
                bpp=args.bpp,
                target_size=args.target_size,
                tune=args.tune,
                session=session,
                alt=args.alt,
                keep_metadata=args.keep_metadata,
            )
        elapsed = time.perf_counter() - start
        _write(job, data)
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

    def line(report: Report) -> str:
        size = f"{report['width']}x{report['height']}, {report['bytes']} bytes, {report['bpp']:.3f} bpp"
        return f"{report['input']} -> {report['output']}: {size}"

    return _batch(args, plan(args.inputs, args.output, image_suffixes(), SUFFIX, args.force), work, line)


def _decode(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    from .decode import decode

    _check_batch(parser, args)
    if args.bytes is not None and args.bytes < 0:
        parser.error("--bytes must not be negative")
    if not 0 <= args.realism <= 1:
        parser.error("--realism must lie in 0..1")
    chosen = f".{args.format.lower()}" if args.format else ".png"
    jobs = plan(args.inputs, args.output, (SUFFIX,), chosen, args.force)
    for job in jobs:
        suffix = chosen if job.target == PIPE or args.format else Path(job.target).suffix.lower()
        if _format_of(suffix) is None:
            parser.error(f"no format that Pillow writes has the suffix '{suffix}'")
    sessions = _Sessions(args)

    def work(job: Job) -> Report:
        data = _read(job.source)
        if args.bytes is not None:
            data = data[: args.bytes]
        image = decode(data, stage=args.stage, realism=args.realism, **sessions.for_decoding(data, args.stage))
        format_name = _format_of(chosen if job.target == PIPE or args.format else Path(job.target).suffix.lower())
        out = io.BytesIO()
        options = {} if image.exif is None else {"exif": b"Exif\0\0" + image.exif}
        picture = image.to_pil()
        start = time.perf_counter()
        picture.save(out, format_name, **options)
        timings = {**image.timings, "save": time.perf_counter() - start}
        _write(job, out.getvalue())
        return {
            "output": job.target,
            "width": picture.width,
            "height": picture.height,
            "mode": picture.mode,
            "stage": image.stage,
            "complete": image.complete,
            "alt": image.alt,
            "bytes": len(data),
            "seconds": {name: round(seconds, 4) for name, seconds in timings.items()},
        }

    def line(report: Report) -> str:
        return f"{report['input']} -> {report['output']}: {report['width']}x{report['height']} {report['mode']}, {report['stage']}"

    return _batch(args, jobs, work, line)


def _info(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    if args.providers:
        if args.inputs:
            parser.error("--providers takes no files")
        return _providers(args)
    if not args.inputs:
        parser.error("name a file, or ask for --providers")

    def work(job: Job) -> Report:
        return describe(_read(job.source))

    return _batch(args, _reading(args.inputs), work, _describe_lines)


def _describe_lines(report: Report) -> str:
    pack = report["pack"]
    lines = [
        f"{report['input']}: {report['width']}x{report['height']} {report['mode']}, {report['bytes']} bytes, {report['bpp']:.3f} bpp",
        f"  pack        {pack['id']} ({pack['name'] or 'not installed'}{', approximate' if pack['exact'] is False else ''})",
        f"  step index  {report['step_index']} ({report['step']:g} grey levels), tilt {report['tilt']}",
        f"  planes      {report['planes']}",
    ]
    if report["alt"] is not None:
        lines.append(f"  alt         {report['alt']}")
    for chunk in report["chunks"]:
        declared = "?" if chunk["declared"] is None else chunk["declared"]
        state = "" if chunk["complete"] else f" (cut: {chunk['bytes']} of {declared})"
        lines.append(f"  chunk {chunk['tag']!r}   {chunk['name']}: {chunk['bytes']} bytes at {chunk['offset']}{state}")
    spent = ", ".join(f"{name} {count} ({100 * count / report['bytes']:.1f} %)" for name, count in report["spent"].items())
    lines.append(f"  spent       {spent}")
    latents = report["latents"]
    if latents is not None and latents["planes"]:
        rows = [["plane", "bytes", *latents["channels"]]]
        rows += [[str(n) for n in (row["plane"], row["bytes"], *row["bands"])] for row in latents["planes"]]
        widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
        lines.append("  latents     bytes by plane, and of these by channels")
        lines += ["    " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(lines)


def _providers(args: argparse.Namespace) -> int:
    from .session import providers

    found = providers()
    if args.json:
        print(json.dumps({"providers": found}, indent=1))
    else:
        for name, usable in found.items():
            print(f"{name:<12} {'usable' if usable else 'not usable here'}")
    return 0


def _verify(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    from .pack import find_pack, load_pack

    given = load_pack(Path(args.pack)) if args.pack else None
    intact: set[bytes] = set()

    def work(job: Job) -> Report:
        container = parse(_read(job.source))
        header = container.header
        for chunk in container.chunks:
            if not chunk.complete:
                declared = "an unknown number of" if chunk.length is None else chunk.length
                problem = f"the file ends after {len(chunk.payload)} of {declared} bytes"
                raise CorruptFileError(problem, chunk.offset, TAGS.get(chunk.tag, "unknown chunk"))
        _verify_alpha(container)
        pack = given or find_pack(header.pack_id)
        if pack.id != header.pack_id:
            raise MissingPackError(header.pack_id)
        _verify_latents(container, pack)
        if pack.id not in intact:
            pack.verify()
            intact.add(pack.id)
        return {"ok": True, "pack": {"id": pack.id.hex(), "name": pack.name, "exact": pack.exact}}

    return _batch(args, _reading(args.inputs), work, _verified_line)


def _verified_line(report: Report) -> str:
    approximate = "" if report["pack"]["exact"] else f" (pixels approximate: pack {report['pack']['name']} promises no bits)"
    return f"{report['input']}: ok{approximate}"


def _verify_latents(container: Container, pack: Pack) -> None:
    from .pack import PALETTE

    tag = PALETTE_LATENTS if pack.quantizer == PALETTE else LATENTS
    chunk = container.find(tag)
    if chunk is None:
        raise CorruptFileError(f"the file ends before its {TAGS[tag]}", container.header_bytes, TAGS[tag])
    if tag == PALETTE_LATENTS:
        from .format.palette import decode_palette

        rows, columns = -(-container.header.height // pack.patch), -(-container.header.width // pack.patch)
        decode_palette(chunk.payload, pack.channels, rows, columns, chunk.start)


def _verify_alpha(container: Container) -> None:
    alpha = container.find(ALPHA)
    if alpha is not None:
        from .format.alpha import decode_alpha

        decode_alpha(alpha.payload, container.header.height, container.header.width, alpha.start)


def _view(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    try:
        from .viewer.app import run
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("PySide6"):
            raise
        raise MissingExtraError("the viewer", "PySide6-Essentials", "viewer") from error
    return run(None if args.path is None else Path(args.path))


def _thumbnail(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    from .desktop.thumbnail import thumbnail

    try:
        write_atomically(Path(args.output), thumbnail(Path(args.input).read_bytes(), args.size))
    except (SdzError, OSError, MemoryError) as error:
        print(f"{PROGRAM}: {args.input}: {in_words(error)}", file=sys.stderr)
        return 1
    return 0


def _install_desktop(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    from .desktop.install import SYSTEM, install, remove, user_share

    share = user_share() if args.user else SYSTEM
    try:
        changed = remove(share) if args.remove else install(share)
    except OSError as error:
        hint = "" if args.user else "; for you alone: --user"
        print(f"{PROGRAM}: {in_words(error)}{hint}", file=sys.stderr)
        return 1
    for path in changed:
        print(f"{'removed' if args.remove else 'installed'} {path}")
    if not changed:
        print(f"nothing is installed below {share}")
    return 0


class _Sessions:
    """The sessions of one command: made when first needed, one per pack."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._given: Pack | None = None
        if args.pack:
            from .pack import load_pack

            self._given = load_pack(Path(args.pack))
        self._by_pack: dict[bytes, Session] = {}

    def for_encoding(self) -> Session:
        from .pack import default_pack

        return self._session(self._given or default_pack())

    def for_decoding(self, data: bytes, stage: str) -> dict[str, Any]:
        """The arguments of `decode` that choose pack and session."""
        if stage == "linear":
            return {"pack": self._given}
        if self._given is not None:
            return {"session": self._session(self._given)}
        from .pack import find_pack

        return {"session": self._session(find_pack(parse(data).header.pack_id))}

    def _session(self, pack: Pack) -> Session:
        from .session import Session

        if pack.id not in self._by_pack:
            self._by_pack[pack.id] = Session(pack, provider=self._args.provider, threads=self._args.threads)
        return self._by_pack[pack.id]


def _check_batch(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if args.output == PIPE:
        if len(args.inputs) > 1 or Path(args.inputs[0]).is_dir():
            parser.error("standard output holds one file: name one input")
        if args.json:
            parser.error("--json and the file both need standard output: use -o FILE")
    if args.threads < 1:
        parser.error("--threads must be at least 1")


def _reading(names: Iterable[str]) -> list[Job]:
    """Jobs without an output."""
    return [Job(name, "", problem) for name, _, problem in find_inputs(list(names), (SUFFIX,))]


def _batch(args: argparse.Namespace, jobs: Sequence[Job], work: Callable[[Job], Report], line: Callable[[Report], str]) -> int:
    """Does every job, reports each, and goes on after one that fails."""
    reports: list[Report] = []
    failed = 0
    for job in jobs:
        try:
            if job.problem is not None:
                raise OSError(job.problem)
            report = {"input": job.source, **work(job)}
            if not args.json and job.target != PIPE:
                print(line(report))
        except (SdzError, OSError, MemoryError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            failed += 1
            message = in_words(error)
            report = {"input": job.source, "error": type(error).__name__, "message": message}
            print(f"{PROGRAM}: {job.source}: {message}", file=sys.stderr)
        reports.append(report)
    if args.json:
        print(json.dumps({"files": reports, "failed": failed}, indent=1, ensure_ascii=False))
    return 1 if failed else 0


def _source(name: str) -> Path | io.BytesIO:
    return io.BytesIO(sys.stdin.buffer.read()) if name == PIPE else Path(name)


def _read(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == PIPE else Path(name).read_bytes()


def _write(job: Job, data: bytes) -> None:
    if job.target == PIPE:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    path = Path(job.target)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data)


def _format_of(suffix: str) -> str | None:
    """Pillow's name of the format it writes for a suffix, or None."""
    from PIL import Image

    for load in (Image.preinit, Image.init):  # the common formats first: loading all plugins takes time
        load()
        name = Image.EXTENSION.get(suffix)
        if name in Image.SAVE:
            return str(name)
    return None
