"""What a site remembers between builds: the manifest of the last whole one, and the journal of one that was cut off.

Takes a site's directory, hands on the photos and files that need not be made again. The journal gains a line for each thing that is
done and goes when the manifest stands; its last line may be half written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ...runtime.files import write_atomically
from ..documents import members, pieces
from .assets import WORK, Asset
from .report import Photo, Report

FORMAT = 5
"""Of the site's manifest; another one is built anew."""

MANIFEST = "manifest.json"

JOURNAL = f"{WORK}/journal.jsonl"
"""Only there while a build runs, or after one was cut off."""

OPENING = b'{"journal": "sdz build"}'
"""The journal's first line."""

KEYS = frozenset(("format", "title", "pack", "photos", "downloads", "files"))
"""By which a manifest is known as ours, whatever its version: other programs have files of that name as well."""

Record = TypeVar("Record")


@dataclass
class Known:
    """Photos by the source's path below the folder that was named, and other files by the digest of their bytes, that earlier builds made;
    `paths` are all that may be removed. `ours`: the folder holds a site that sdz built, or began to build."""

    photos: dict[str, Photo] = field(default_factory=dict)
    files: dict[str, list[Asset]] = field(default_factory=dict)
    paths: set[str] = field(default_factory=set)
    ours: bool = False

    def add(self, files: Iterable[Asset], photos: Iterable[Photo]) -> None:
        """Takes in what a build made; of two photos of one source the later one is known."""
        for photo in photos:
            self.photos[photo.source] = photo
            self.paths.update(path for asset in photo.assets() for path in asset.paths())
        for asset in files:
            self.files.setdefault(asset.sha256, []).append(asset)
            self.paths.update(asset.paths())

    def twin(self, site: Path, sha256: str, path: str) -> Asset | None:
        """A file with these bytes that stands in the site whole, compressed already; the one at `path` where there is such."""
        same = sorted(self.files.get(sha256, []), key=lambda asset: asset.path != path)
        return next((asset for asset in same if asset.intact(site)), None)


def is_ours(site: Path) -> bool:
    """Whether a folder holds a site that sdz built, or began to build."""
    if _begun(site):
        return True
    with suppress(OSError, ValueError), (site / MANIFEST).open(encoding="utf-8") as file:
        return {name for name, _ in members(file)} >= KEYS
    return False


def read_known(site: Path) -> Known:
    """What the last build and the journal say; of a manifest of another version, only which files are ours."""
    known = _last_whole(site)
    known.ours |= _begun(site)
    for entry in _lines(site / JOURNAL):
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            known.add([Asset(**entry["file"])] if "file" in entry else [], [Photo.from_json(entry["photo"])] if "photo" in entry else [])
    return known


def _last_whole(site: Path) -> Known:
    """What the manifest says; nothing where it is none of ours."""
    known = Known()
    names: set[str] = set()
    version = None
    with suppress(OSError, ValueError), (site / MANIFEST).open(encoding="utf-8") as file:
        for name, value in members(file):
            if name == "format":
                version = value
            elif name == "photos" and version == FORMAT:
                known.add([], _records(value, Photo.from_json))
            elif name == "files":
                for asset in _records(value, lambda entry: Asset(**entry)):
                    if version == FORMAT and asset.path not in known.paths:
                        known.add([asset], [])
                    # a photo's, which no other file is a twin of
                    known.paths.update(asset.paths())
            names.add(name)
        known.ours = names >= KEYS
    if not known.ours:
        return Known()
    known.paths.add(MANIFEST)
    return known


def _records(entries: Any, record: Callable[[Any], Record]) -> Iterator[Record]:
    """The records of those entries that are some."""
    for entry in entries if isinstance(entries, Iterator) else ():
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            yield record(entry)


def _begun(site: Path) -> bool:
    """Whether the site's journal is ours."""
    with suppress(OSError), (site / JOURNAL).open("rb") as file:
        return file.readline().rstrip(b"\n") == OPENING
    return False


def begin(site: Path) -> None:
    """Makes the journal, and with it the folder a site of ours, where there is none. Raises OSError."""
    journal = site / JOURNAL
    journal.parent.mkdir(parents=True, exist_ok=True)
    if not journal.exists():
        journal.write_bytes(OPENING)


def _lines(path: Path) -> Iterator[Any]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        with suppress(ValueError):
            yield json.loads(line)


class Journal:
    """Writes down what is done. Raises OSError."""

    def __init__(self, site: Path, afresh: bool) -> None:
        self.path = site / JOURNAL
        if afresh:
            self.path.unlink(missing_ok=True)
        begin(site)

    def file(self, asset: Asset) -> None:
        """A file of the library is written."""
        self._add({"file": asdict(asset)})

    def photo(self, photo: Photo) -> None:
        """A photo is made, and all its files are written."""
        self._add({"photo": asdict(photo)})

    def _add(self, entry: dict[str, Any]) -> None:
        with self.path.open("ab") as file:
            # a line begins where the last one was cut off
            file.write(b"\n" + json.dumps(entry).encode())

    def close(self) -> None:
        """The manifest says it all."""
        self.path.unlink(missing_ok=True)
        with suppress(OSError):  # somebody else's file has got there
            self.path.parent.rmdir()


def write_manifest(title: str, report: Report, files: Iterable[Asset]) -> None:
    """The manifest of a site that is whole; raises OSError."""
    manifest = (
        ("format", FORMAT),
        ("title", title),
        ("pack", report.decoder.pack),
        ("photos", iter(report.photos)),
        ("downloads", report.downloads),
        ("files", iter(sorted(files, key=lambda asset: asset.path))),
    )
    write_atomically(report.site / MANIFEST, (text.encode() for text in pieces(manifest)), durable=True, beside=report.site / WORK)
