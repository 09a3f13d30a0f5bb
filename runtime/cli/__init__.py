"""The command line: `sdz encode | decode | info | verify | view | thumbnail | install-desktop`, in a checkout `python -m runtime ...`.

Takes files, folders or pipes; gives files and one line per file (or one JSON document). Exit status: 0 all done, 1 some input failed (the
rest is still done), 2 the command line makes no sense, 130 interrupted. Modules that take time to import are imported by the command that
needs them, so that each answers as soon as it can.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from ...output import tolerate_names
from ..errors import SdzError, in_words
from ..options import DEFAULT_EFFORT, DEFAULT_QUALITY, DEFAULT_STAGE, DEFAULT_TUNE, ENGINES, MAX_EFFORT, STAGES, TUNE_CHOICES
from . import coding, desktop, inspection, regions
from .batch import PROGRAM, SUFFIX


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status. A command line that makes no sense ends in SystemExit(2), as argparse does it."""
    tolerate_names()
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
    except OSError as error:
        print(f"{PROGRAM}: {in_words(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(PROGRAM, description="Encode, decode and inspect .sdz images.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    encode = commands.add_parser("encode", help="images -> .sdz", description="Encode images that Pillow can read to .sdz.")
    _add_files(encode, f"OUT{SUFFIX}, a folder, or - for standard output")
    size = encode.add_mutually_exclusive_group()
    size.add_argument("-q", "--quality", type=float, metavar="0..100", help=f"100 is the finest step (default: {DEFAULT_QUALITY:g})")
    size.add_argument("--bpp", type=float, metavar="BITS", help="bits per pixel of the file, but for a lossless tail")
    size.add_argument("--target-size", type=int, metavar="BYTES", help="size of the file, but for a lossless tail; met exactly")
    encode.add_argument(
        "--tune",
        choices=TUNE_CHOICES,
        default=DEFAULT_TUNE,
        help=f"keep texture, keep the error small, or what suits the photo (default: {DEFAULT_TUNE})",
    )
    encode.add_argument(
        "--effort",
        type=int,
        choices=range(MAX_EFFORT + 1),
        metavar=f"0..{MAX_EFFORT}",
        help=f"time for nearer pictures in as many bytes: 1 0.8 s, 9 40 s for 512x512 (default: {DEFAULT_EFFORT}, 0 over a megapixel)",
    )
    regions.add_options(encode)
    encode.add_argument("--lossless", action="store_true", help="add the photo's exact pixels behind the picture")
    encode.add_argument("--alt", metavar="TEXT", help="alternative text to store in the file")
    encode.add_argument("--jobs", type=int, default=1, metavar="N", help="photos encoded at a time, in processes of their own (default: 1)")
    encode.add_argument("--keep-metadata", action="store_true", help="store the EXIF block (left out by default)")
    _add_networks(encode)
    encode.set_defaults(command=coding.encode_files)

    decode = commands.add_parser("decode", help=".sdz -> images", description="Decode .sdz files to any format Pillow writes.")
    _add_files(decode, "a file (its suffix chooses the format), a folder, or - for standard output")
    decode.add_argument("--bytes", type=int, metavar="N", help="decode only the first N bytes of each file")
    decode.add_argument("--stage", choices=STAGES, default=DEFAULT_STAGE, help=f"how far to decode (default: {DEFAULT_STAGE})")
    decode.add_argument(
        "--realism", type=float, metavar="0..1", help="how far the denoiser goes: 0 most faithful, 1 most natural (default: the file's own)"
    )
    decode.add_argument("--no-lossless", action="store_true", help="decode the latents also where a file has the exact pixels")
    decode.add_argument("--format", metavar="NAME", help="png, webp, jpeg, avif …, for a folder or standard output (default: png)")
    _add_networks(decode)
    decode.add_argument("--engine", choices=ENGINES, help="what runs the networks, to the same pixels (default: onnxruntime if installed)")
    decode.set_defaults(command=coding.decode_files)

    info = commands.add_parser(
        "info", help="what a file holds", description="Print the header, the chunks, and what the bytes were spent on."
    )
    info.add_argument("inputs", nargs="*", metavar="IN", help=f"{SUFFIX} files, folders, or - for standard input")
    info.add_argument("--providers", action="store_true", help="list onnxruntime's execution providers and which of them work")
    info.add_argument("--engine", choices=ENGINES, help="ask whether this one can run the files' networks here (default: what would)")
    info.add_argument("--webp", action="store_true", help="say how many bytes WebP lossless needs for the exact pixels")
    info.add_argument("--json", action="store_true", help="print one JSON document")
    info.set_defaults(command=inspection.show)

    verify = commands.add_parser(
        "verify",
        help="check files",
        description="Check that files are whole, their CRCs right, their pack installed and intact, and their lossless tails sound.",
    )
    verify.add_argument("inputs", nargs="+", metavar="IN", help=f"{SUFFIX} files, folders, or - for standard input")
    verify.add_argument("--against", metavar="PHOTO", help="check that the file holds exactly the pixels of this photo")
    verify.add_argument("--pack", metavar="FOLDER", help="check against this pack instead of the installed ones")
    verify.add_argument("--json", action="store_true", help="print one JSON document")
    verify.set_defaults(command=inspection.verify)

    view = commands.add_parser("view", help="look at pictures", description="Open the desktop viewer (needs the extra 'viewer').")
    view.add_argument("path", nargs="?", metavar="FILE|FOLDER", help="what to show first (default: nothing)")
    view.set_defaults(command=desktop.view)

    thumbnail = commands.add_parser(
        "thumbnail", help="a small PNG for file managers", description="Write a small PNG, made of a file's first latents."
    )
    thumbnail.add_argument("--size", type=int, default=256, metavar="PIXELS", help="longest side at most (default: 256)")
    thumbnail.add_argument("input", metavar="IN", help=f"an {SUFFIX} file")
    thumbnail.add_argument("output", metavar="OUT", help="the PNG, overwritten if it exists")
    thumbnail.set_defaults(command=desktop.thumbnail)

    install = commands.add_parser(
        "install-desktop",
        help="register .sdz with the desktop",
        description="Register the file type, the viewer, the thumbnails and the icon with the desktop.",
    )
    install.add_argument("--user", action="store_true", help="for the current user only (default: for all users, which needs root)")
    install.add_argument("--remove", action="store_true", help="undo the registration")
    install.set_defaults(command=desktop.install_desktop)
    return parser


def _add_files(parser: argparse.ArgumentParser, output: str) -> None:
    parser.add_argument("inputs", nargs="+", metavar="IN", help="files, folders, or - for standard input")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help=output)
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--quiet", action="store_true", help="print no line for a file that was done, only problems")


def _add_networks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pack", metavar="FOLDER", help="the model pack to use (default: the built-in one, or the one a file names)")
    parser.add_argument("--provider", default="cpu", metavar="NAME", help="execution provider, see info --providers (default: cpu)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of the networks (default: 1)")
