"""`sdz info` and `sdz verify`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CorruptFileError, EncodeInputError, MissingPackError, SdzError, reason
from ..files import Job
from ..format.container import ALPHA, TAGS, Container, parse
from ..info import Report, describe
from .batch import read, reading, run_batch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..pack import Pack
    from ..photo import PreparedPhoto


def show(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    if args.providers:
        if args.inputs:
            parser.error("--providers takes no files")
        return _providers(args)
    if not args.inputs:
        parser.error("name a file, or ask for --providers")

    def work(job: Job) -> Report:
        return describe(read(job.source), args.engine, webp=args.webp)

    return run_batch(args, reading(args.inputs), work, _describe_lines)


def _describe_lines(report: Report) -> str:
    pack = report["pack"]
    lines = [
        f"{report['input']}: {report['width']}x{report['height']} {report['mode']}, {report['bytes']} bytes, {report['bpp']:.3f} bpp",
        f"  pack        {pack['id']} ({pack['name'] or 'not installed'}{', approximate' if pack['exact'] is False else ''})",
        f"  engine      {_engine_in_words(report)}",
        f"  step index  {report['step_index']} ({report['step']:g} grey levels), tilt {report['tilt']}, realism {report['realism']:g}",
    ]
    if report["alt"] is not None:
        lines.append(f"  alt         {report['alt']}")
    for chunk in report["chunks"]:
        declared = "?" if chunk["declared"] is None else chunk["declared"]
        state = "" if chunk["complete"] else f" (cut: {chunk['bytes']} of {declared})"
        lines.append(f"  chunk {chunk['tag']!r}   {chunk['name']}: {chunk['bytes']} bytes at {chunk['offset']}{state}")
    if report["regions"] is not None:
        first, *others = report["regions"].items()
        counts = ", ".join([f"{first[0]}: {first[1]} positions", *(f"{octaves}: {count}" for octaves, count in others)])
        lines.append(f"  regions     {counts} (octaves finer than the rest)")
    spent = ", ".join(f"{name} {count} ({100 * count / report['bytes']:.1f} %)" for name, count in report["spent"].items())
    lines.append(f"  spent       {spent}")
    exact = report["lossless"]
    if exact is not None:
        beside = "" if exact["webp"] is None else f", WebP lossless has {exact['webp']}"
        lines.append(f"  lossless    {exact['bytes']} bytes{beside}")
    latents = report["latents"]
    if latents is not None and latents["planes"]:
        rows = [["plane", "bytes", *latents["channels"]]]
        rows += [[str(n) for n in (row["plane"], row["bytes"], *row["bands"])] for row in latents["planes"]]
        widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
        lines.append("  latents     bytes by plane, and of these by channels")
        lines += ["    " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(lines)


def _engine_in_words(report: Report) -> str:
    from .. import engines

    if report["networks"] is False:
        return "none needed: so fine a file is the linear stage's alone"
    if report["engine"] == "core" and not engines.has_onnxruntime():
        return "core (onnxruntime, which is faster, is not installed: pip install 'sdz[encode]')"
    if report["engine"] is None and report["pack"]["name"] is not None:
        return "none: this pack needs onnxruntime: pip install 'sdz[encode]'"
    return report["engine"] or "none"


def _providers(args: argparse.Namespace) -> int:
    from ..session import providers

    found = providers()
    if args.json:
        print(json.dumps({"providers": found}, indent=1))
    else:
        for name, usable in found.items():
            print(f"{name:<12} {'usable' if usable else 'not usable here'}")
    return 0


def verify(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    from ..pack import find_pack, load_pack

    given = load_pack(Path(args.pack)) if args.pack else None
    intact: set[bytes] = set()
    against = None
    if args.against is not None:
        from ..photo import read_photo

        try:
            against = read_photo(Path(args.against))
        except (OSError, SdzError) as error:
            raise EncodeInputError(f"the photo {args.against} cannot be read: {reason(error)}") from None

    def work(job: Job) -> Report:
        container = parse(read(job.source))
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
        exact = _verify_tail(container, pack, against)
        if pack.id not in intact:
            pack.verify()
            intact.add(pack.id)
        return {"ok": True, "lossless": exact, "pack": {"id": pack.id.hex(), "name": pack.name, "exact": pack.exact}}

    return run_batch(args, reading(args.inputs), work, _verified_line)


def _verified_line(report: Report) -> str:
    approximate = "" if report["pack"]["exact"] else f" (pixels approximate: pack {report['pack']['name']} is not bit-exact)"
    exact = {"": "", "sound": ", with the exact pixels", "equal": ", exactly the photo"}[report["lossless"] or ""]
    return f"{report['input']}: ok{exact}{approximate}"


def _verify_latents(container: Container, pack: Pack) -> None:
    from ..format.picture import Picture
    from ..format.quantizers import quantizer_of

    quantizer = quantizer_of(pack)
    if container.find(quantizer.tag) is None:
        name = TAGS[quantizer.tag]
        raise CorruptFileError(f"the file ends before its {name}", container.header_bytes, name)
    if not quantizer.embedded:
        Picture(container, pack)


def _verify_tail(container: Container, pack: Pack, against: PreparedPhoto | None) -> str | None:
    """ "sound" for a lossless tail that decodes, "equal" where its pixels are those of the photo given, None for a file without one. Raises
    CorruptFileError for one that does not decode, EncodeInputError where the photo is another one or there is no tail to compare."""
    from ..decode import Opened
    from ..format.picture import Picture

    opened = Opened(container, pack, Picture(container, pack))
    if opened.tail is None:
        if against is not None:
            raise EncodeInputError("the file has no lossless tail: its pixels are not the photo's own")
        return None
    exact = opened.exact()
    if against is None:
        return "sound"
    expected = against.rgb[:, :, :1] if against.grey else against.rgb
    alpha = opened.alpha() if opened.has_alpha else None
    if exact.shape != expected.shape or (alpha is None) != (against.alpha is None):
        raise EncodeInputError(f"the photo has other sides or channels: {_shape(expected)}, the file {_shape(exact)}")
    wrong = (exact != expected).any(axis=2)
    if alpha is not None and against.alpha is not None:
        wrong = (wrong & (alpha > 0)) | (alpha != against.alpha)
    if wrong.any():
        raise EncodeInputError(f"{int(wrong.sum())} pixels differ from the photo's")
    return "equal"


def _shape(pixels: NDArray[np.uint8]) -> str:
    height, width, channels = pixels.shape
    return f"{width}x{height} {'grey' if channels == 1 else 'RGB'}"


def _verify_alpha(container: Container) -> None:
    alpha = container.find(ALPHA)
    if alpha is not None:
        from ..format.alpha import decode_alpha

        decode_alpha(alpha.payload, container.header.height, container.header.width, alpha.start)
