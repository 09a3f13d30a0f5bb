"""`sdz view`, `sdz thumbnail` and `sdz install-desktop`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import DesktopError, MissingExtraError, SdzError, in_words
from ..files import write_atomically
from .batch import PROGRAM


def view(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    try:
        from ..viewer.app import run
    except ImportError as error:
        if not (error.name or "").startswith(("PySide6", "shiboken6")):
            raise
        if isinstance(error, ModuleNotFoundError):
            raise MissingExtraError("the viewer", "PySide6-Essentials", "viewer") from error
        raise DesktopError(f"the viewer cannot start, a system library of Qt is missing: {error}") from error
    return run(None if args.path is None else Path(args.path))


def thumbnail(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    from ..desktop.thumbnail import thumbnail as small_png

    try:
        write_atomically(Path(args.output), small_png(Path(args.input).read_bytes(), args.size))
    except (SdzError, OSError, MemoryError) as error:
        print(f"{PROGRAM}: {args.input}: {in_words(error)}", file=sys.stderr)
        return 1
    return 0


def install_desktop(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    from ..desktop.install import SYSTEM, install, remove, user_share

    share = user_share() if args.user else SYSTEM
    try:
        changed = remove(share) if args.remove else install(share)
    except OSError as error:
        hint = "" if args.user else "; --user registers it for the current user only"
        print(f"{PROGRAM}: {in_words(error)}{hint}", file=sys.stderr)
        return 1
    for path in changed:
        print(f"{'removed' if args.remove else 'installed'} {path}")
    if not changed:
        print(f"nothing is installed below {share}")
    return 0
