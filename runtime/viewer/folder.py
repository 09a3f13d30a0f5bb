"""The files beside a picture: which of them can be shown, in which order, and which one is its original. Without Qt."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..pictures.kinds import image_suffixes

SUFFIX: Final = ".sdz"

PHOTOS: Final = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".avif", ".jxl", ".bmp", ".gif")
"""Suffixes of an original, in the order of the search: lossless formats first."""


@functools.cache
def suffixes() -> frozenset[str]:
    """Lower case, with the dot: .sdz and whatever Pillow reads. The first call loads Pillow's plugins."""
    return image_suffixes() | {SUFFIX}


def shown_in(folder: Path) -> list[Path]:
    """The pictures of a folder, hidden ones and subfolders left out, sorted by name, case ignored, numbers by value.

    Raises OSError for a folder that cannot be read.
    """
    known = suffixes()
    return sorted((p for p in folder.iterdir() if p.suffix.lower() in known and not p.name.startswith(".") and p.is_file()), key=_natural)


def original_of(path: Path) -> Path | None:
    """The ordinary image beside an .sdz that has its name, if there is one."""
    if path.suffix.lower() != SUFFIX:
        return None
    candidates = {p.suffix.lower(): p for p in path.parent.glob(f"{_escaped(path.stem)}.*") if p.is_file()}
    return next((candidates[suffix] for suffix in PHOTOS if suffix in candidates), None)


def copy_of(path: Path, suffix: str) -> Path:
    """Where a copy of a picture in another format may go: beside it, under its name where that is free, and never over another file."""
    free = path.with_name(path.stem + suffix)
    number = 1
    while free.exists():
        free = path.with_name(f"{path.stem} (copy{f' {number}' if number > 1 else ''}){suffix}")
        number += 1
    return free


@dataclass(frozen=True)
class Walk:
    """A place among the pictures of a folder. `at` counts from 0."""

    paths: tuple[Path, ...]
    at: int

    @classmethod
    def around(cls, path: Path) -> Walk:
        """The pictures beside `path`, at `path`; only that where the folder cannot be read."""
        try:
            paths = shown_in(path.parent)
        except OSError:
            paths = []
        if path not in paths:
            paths = sorted([*paths, path], key=_natural)
        return cls(tuple(paths), paths.index(path))

    @property
    def path(self) -> Path:
        """The current picture."""
        return self.paths[self.at]

    def held(self, at: int) -> int:
        """The place `at`, or the nearest end."""
        return min(max(at, 0), len(self.paths) - 1)

    def to(self, at: int) -> Walk:
        """The same pictures at another place, or at the nearest end."""
        return Walk(self.paths, self.held(at))


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", path.name.casefold()) if part]


def _escaped(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)
