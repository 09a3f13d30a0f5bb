"""Photos on disk: what command lines name, each once.

Takes files and folders as typed, hands on paths. Which files are photos is for Pillow to say: by their suffix in folders, by their
content where a file is named itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePath

from ..runtime.files import Wanted, find_inputs
from ..runtime.pictures.kinds import image_suffixes, left_out

SAMPLES = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "hubble_deep_field.jpg",
    "retina.jpg",
    "motorcycle_left.png",
    "motorcycle_right.png",
)
"""Photos in scikit-image's data folder, as in the demo."""


class NoPhotosError(ValueError):
    """No photo in what was named; one line for each thing that was looked at."""


@dataclass(frozen=True)
class Source:
    """A photo: its file, the path below the `folder` that was named, which begins with that folder's name where several were, and that
    folder; None where the photo was named itself."""

    path: Path
    inside: PurePath
    folder: Path | None = None


@dataclass(frozen=True)
class Found:
    """The photos once each and in their order, a line for each folder that holds none, and one for each file that was left out, with the
    reason."""

    photos: list[Source]
    problems: list[str]
    left_out: list[str]


def samples(*names: str) -> list[Path]:
    """The paths of `SAMPLES`, or of those named; raises NoPhotosError where scikit-image is not installed."""
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise NoPhotosError("name photos, or install scikit-image for those that come with it")
    return [Path(spec.origin).parent / "data" / name for name in names or SAMPLES]


def find_photos(inputs: Iterable[str | Path], skip: Callable[[Path], str | None] = lambda folder: None) -> Found:
    """Every photo that files and folders name.

    A folder stands for the pictures below it, sorted, hidden files left out, and folders of which `skip` says why (`files.Wanted`).
    Raises NoPhotosError where there is none at all.
    """
    names = [str(name) for name in inputs]
    several = sum(Path(name).is_dir() for name in names) > 1
    photos: dict[str, Source] = {}
    found = Found([], [], [])
    for given in find_inputs(names, Wanted(image_suffixes(), left_out, skip)):
        path = Path(given.name)
        if given.left_out is not None:
            found.left_out.append(f"{given.name}: left out: {given.left_out}")
        elif given.problem is not None:
            found.problems.append(f"{given.name}: {given.problem}")
        else:
            inside = PurePath(path.name) if given.folder is None else path.relative_to(given.folder)
            if several and given.folder is not None:
                inside = PurePath(given.folder.resolve().name) / inside
            photos.setdefault(os.path.realpath(path), Source(path, inside, given.folder))
    if not photos:
        hint = "no photos: name picture files, or folders that hold some"
        raise NoPhotosError("\n".join([*found.problems, *found.left_out, hint]))
    found.photos.extend(photos.values())
    return found
