"""What a site remembers between builds: the manifest of the last whole one, and the journal of one that was cut off.

Takes a site's directory, hands on the photos and files that need not be made again. The journal gains a line for each thing that is
done and goes when the manifest stands; its last line may be half written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...runtime.files import write_atomically
from .assets import WORK, Asset
from .report import Photo, Report

FORMAT = 4
"""Of the site's manifest; another one is built anew."""

MANIFEST = "manifest.json"

JOURNAL = f"{WORK}/journal.jsonl"
"""Only there while a build runs, or after one was cut off."""

OPENING = b'{"journal": "sdz build"}'
"""The journal's first line."""

KEYS = frozenset(("format", "title", "pack", "photos", "downloads", "files"))
"""By which a manifest is known as ours, whatever its version: other programs have files of that name as well."""


@dataclass
class Known:
    """Photos by the source's path below the folder that was named, and files by the digest of their bytes, that earlier builds made;
    `paths` are all that may be removed."""

    photos: dict[str, Photo] = field(default_factory=dict)
    files: dict[str, list[Asset]] = field(default_factory=dict)
    paths: set[str] = field(default_factory=set)

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
    with suppress(OSError), (site / JOURNAL).open("rb") as file:
        if file.readline().rstrip(b"\n") == OPENING:
            return True
    return _manifest(site) is not None


def read_known(site: Path) -> Known:
    """What the last build and the journal say; of a manifest of another version, only which files are ours."""
    known = Known()
    manifest = _manifest(site)
    if manifest is not None:
        with suppress(KeyError, TypeError):
            known.paths.update(path for entry in manifest["files"] for path in Asset(**entry).paths())
        with suppress(ValueError, KeyError, TypeError):
            if manifest["format"] == FORMAT:
                known.add([Asset(**entry) for entry in manifest["files"]], [Photo.from_json(entry) for entry in manifest["photos"]])
        known.paths.add(MANIFEST)
    for entry in _lines(site / JOURNAL):
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            known.add([Asset(**entry["file"])] if "file" in entry else [], [Photo.from_json(entry["photo"])] if "photo" in entry else [])
    return known


def _manifest(site: Path) -> dict[str, Any] | None:
    """A site's manifest, if the file of that name is one."""
    with suppress(OSError, ValueError):
        manifest = json.loads((site / MANIFEST).read_bytes())
        if isinstance(manifest, dict) and manifest.keys() >= KEYS:
            return manifest
    return None


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
    manifest = {
        "format": FORMAT,
        "title": title,
        "pack": report.decoder.pack,
        "photos": [asdict(photo) for photo in report.photos],
        "downloads": {name: asdict(download) for name, download in report.downloads.items()},
        "files": [asdict(asset) for asset in sorted(files, key=lambda asset: asset.path)],
    }
    data = (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode()
    write_atomically(report.site / MANIFEST, data, durable=True, beside=report.site / WORK)
