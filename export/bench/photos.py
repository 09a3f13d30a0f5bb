"""The photos of the bench: which files are meant, and their pixels."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path

from ...runtime.errors import SdzError
from ...runtime.files import evenly
from ...runtime.photo import PreparedPhoto, read_photo
from ..crops import SUFFIXES
from ..photo_files import NoPhotosError, samples


class BenchInputError(ValueError):
    """Nothing to measure in what was named."""


def find_photos(sources: Sequence[Path], report: Path | None = None) -> list[Path]:
    """The photos that files and folders name, or scikit-image's when there are none; what lies in the folder of the `report`, pictures of
    its own, is none of them. Raises BenchInputError without any."""
    if not sources:
        try:
            return samples()
        except NoPhotosError as error:
            raise BenchInputError(str(error)) from error
    files = [f for s in sources for f in (sorted(s.rglob("*")) if s.is_dir() else [s])]
    own = None if report is None else report.resolve()
    found = [f for f in files if f.suffix.lower() in SUFFIXES and (own is None or not f.resolve().is_relative_to(own))]
    if not found:
        raise BenchInputError(f"no photos there: {', '.join(map(str, sources))}")
    return found


def read_familiar(source: Path, count: int) -> list[bytes]:
    """`count` photos' files out of a folder, or a tar shard, drawn evenly; raises BenchInputError without any, OSError."""
    if source.suffix == ".tar":
        with tarfile.open(source) as archive:
            members = [m for m in archive.getmembers() if m.isfile() and Path(m.name).suffix.lower() in SUFFIXES]
            files = [archive.extractfile(m) for m in evenly(members, count)]
            found = [file.read() for file in files if file is not None]
    else:
        found = [p.read_bytes() for p in evenly(find_photos([source]), count)]
    if not found:
        raise BenchInputError(f"no photos in {source}")
    return found


def read(data: bytes, name: str) -> PreparedPhoto:
    """A photo's file, prepared as every encoder gets it. Raises BenchInputError with its name where it is none."""
    try:
        return read_photo(data)
    except SdzError as error:
        raise BenchInputError(f"{name}: {error}") from error
