"""Files of a site: named by their digest, compressed beside themselves, listed with sizes and digests.

Takes bytes and names relative to the site, hands on `Asset` records for the manifest. Every write is to a temporary name
first, in a folder of its own; a name below `assets/` never changes its bytes, so nothing an older page refers to is ever overwritten.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import brotli

from ...runtime.files import write_atomically

DIGEST_DIGITS = 16
"""Hexadecimal digits of SHA-256 in a name: 64 bits, far beyond chance collisions on one site."""

COMPRESSIBLE = {".bin", ".css", ".html", ".js", ".json", ".mjs", ".onnx", ".svg", ".txt", ".wasm", ".xml"}
"""Suffixes worth compressing; pictures are compressed already."""

BROTLI_QUALITY = 11
"""Compressed once, downloaded by every visitor."""

LARGE, LARGE_QUALITY = 20_000_000, 5
"""Bytes from which the best compression takes minutes; only weights of large models are so large, and they hardly compress."""

BROTLI_WINDOW = 24
"""The largest window browsers accept: the wasm file is 14 MB."""


WORK = ".sdz-build"
"""Folder of a site in which temporary files lie while it is built."""


Write = Callable[[Path, str, bytes], None]
"""Writes bytes to a path of the site, or sees to it that they will stand there."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of the site. `brotli` and `gzip` are the bytes of its siblings, None where there is none."""

    path: str
    bytes: int
    sha256: str
    brotli: int | None = None
    gzip: int | None = None

    @property
    def wire(self) -> int:
        """Bytes a visitor with brotli downloads."""
        return self.bytes if self.brotli is None else self.brotli

    def paths(self) -> list[str]:
        """The file and its siblings."""
        return [self.path] + [self.path + s for s, n in ((".br", self.brotli), (".gz", self.gzip)) if n is not None]

    def intact(self, site: Path) -> bool:
        """Whether the file and its siblings stand in `site` with these sizes."""
        sizes = {"": self.bytes, ".br": self.brotli, ".gz": self.gzip}
        return all(n is None or _size(site / (self.path + suffix)) == n for suffix, n in sizes.items())


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def hashed_name(stem: str, data: bytes, suffix: str) -> str:
    """`assets/STEM.DIGEST.SUFFIX` (suffix with its dot)."""
    return f"assets/{stem}.{digest(data)[:DIGEST_DIGITS]}{suffix}"


def write_file(site: Path, path: str, data: bytes) -> None:
    """Writes a file of the site, whose bytes are on the disk before they have its name. Raises OSError."""
    (site / path).parent.mkdir(parents=True, exist_ok=True)
    (site / WORK).mkdir(exist_ok=True)
    write_atomically(site / path, data, flush=True, beside=site / WORK)


def write_asset(site: Path, path: str, data: bytes, quality: int = BROTLI_QUALITY, write: Write = write_file) -> Asset:
    """Writes `data` and its compressed siblings, where they are smaller. Raises OSError."""
    target = site / path
    sizes: dict[str, int | None] = {".br": None, ".gz": None}
    if target.suffix in COMPRESSIBLE:
        quality = quality if len(data) <= LARGE else min(quality, LARGE_QUALITY)
        packed = {
            ".br": brotli.compress(data, quality=quality, lgwin=BROTLI_WINDOW),
            ".gz": gzip.compress(data, compresslevel=9, mtime=0),
        }
        for suffix, small in packed.items():
            if len(small) < len(data):
                write(site, path + suffix, small)
                sizes[suffix] = len(small)
    write(site, path, data)
    return Asset(path, len(data), digest(data), sizes[".br"], sizes[".gz"])


def copy_asset(site: Path, known: Asset, path: str, write: Write = write_file) -> Asset:
    """`known`, an intact asset of this site, under another path as well; saves compressing the same bytes again."""
    for source in known.paths():
        write(site, path + source.removeprefix(known.path), (site / source).read_bytes())
    return Asset(path, known.bytes, known.sha256, known.brotli, known.gzip)


class Staged:
    """Files that are written beside a site's others and get their places together: none has replaced an older one before all are there."""

    def __init__(self) -> None:
        self._paths: list[str] = []

    def write(self, site: Path, path: str, data: bytes) -> None:
        """Writes the file of a site that is to stand at `path`. Raises OSError."""
        write_file(site, self._waiting(len(self._paths)), data)
        self._paths.append(path)

    def place(self, site: Path) -> None:
        """Puts all of them where they are to stand. Raises OSError."""
        for number, path in enumerate(self._paths):
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / self._waiting(number)).replace(site / path)

    def _waiting(self, number: int) -> str:
        # as the temporary files that `place.sweep` removes
        return f"{WORK}/.{number}.part"


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
