"""The options of `sdz encode` that name regions of a photo, and what they mean."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import EncodeInputError, reason
from ..options import DEFAULT_OCTAVES, MAX_OCTAVES, SUBJECTS
from ..regions.subjects import subjects_of
from ..regions.written import FORM, Box, region_of


def add_options(parser: argparse.ArgumentParser) -> None:
    """`--region`, `--mask`, `--protect` and `--worst`."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--region",
        type=region,
        action="append",
        metavar=FORM,
        help=f"pixels to send N octaves finer, or coarser with -N, up to {MAX_OCTAVES} (default: +{DEFAULT_OCTAVES}); may be repeated",
    )
    where.add_argument("--mask", type=Path, metavar="IMAGE", help=f"an image of the photo's size: what is white is sent {_finer()}")
    add_protection(parser)


def add_protection(parser: argparse.ArgumentParser) -> None:
    """`--protect` and `--worst`, which suit any photo."""
    parser.add_argument(
        "--protect",
        type=subjects,
        default=(),
        metavar="WHAT",
        help=f"{', '.join(SUBJECTS)}, or several with commas: looked for, and sent {_finer()} (needs the extra 'protect')",
    )
    parser.add_argument(
        "--worst",
        type=share,
        metavar="PERCENT",
        help="of the blocks, those farthest from the photo, are sent finer, by as many octaves as each needs",
    )


def asked(args: argparse.Namespace) -> dict[str, Any]:
    """What `encode` takes of the options. Raises EncodeInputError for a mask that cannot be read."""
    regions = args.region
    if args.mask is not None:
        regions = _mask(args.mask)
    return {"regions": regions, "protect": args.protect, "worst": args.worst}


def region(text: str) -> tuple[Box, int]:
    """The box and octaves of `X,Y,W,H[:+N]`."""
    try:
        return region_of(text)
    except EncodeInputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def subjects(text: str) -> tuple[str, ...]:
    """What a list with commas names."""
    try:
        return subjects_of(text)
    except EncodeInputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def share(text: str) -> float:
    """Per cent, over 0 and at most 100."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError(f"'{text}' is not over 0 and at most 100")
    return value


def _finer() -> str:
    return "an octave finer" if DEFAULT_OCTAVES == 1 else f"{DEFAULT_OCTAVES} octaves finer"


def _mask(path: Path) -> Any:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return image.convert("L")
    except (OSError, UnidentifiedImageError) as error:
        raise EncodeInputError(f"the mask {path} cannot be read: {reason(error)}") from None
