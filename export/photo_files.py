"""Photos on disk: what command lines name, each once.

Takes files and folders as typed, hands on paths. Which files are photos is for Pillow to say: by their suffix in folders, by their
content where a file is named itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..runtime.files import find_inputs, image_suffixes


class NoPhotosError(ValueError):
    """No photo in what was named; one line for each thing that was looked at."""


def find_photos(inputs: Iterable[str | Path]) -> tuple[list[Path], list[str]]:
    """Every photo that files and folders name, once each and in their order, and a line for each folder that holds none.

    A folder stands for the pictures below it, sorted, hidden files left out. Raises NoPhotosError where there is none at all.
    """
    photos: dict[Path, Path] = {}
    problems = []
    for name, _, problem in find_inputs([str(name) for name in inputs], image_suffixes()):
        if problem is not None:
            problems.append(f"{name}: {problem}")
        else:
            photos.setdefault(Path(name).resolve(), Path(name))
    if not photos:
        raise NoPhotosError("\n".join([*problems, "no photos: name picture files, or folders that hold some"]))
    return list(photos.values()), problems
