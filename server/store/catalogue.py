"""Pictures by the digest of their bytes: a folder that holds them and a SQLite file that says what they are.

    FOLDER/pictures/ab/abcd….sdz   the files, named by their SHA-256
    FOLDER/incoming/               uploads on their way; emptied at the start
    FOLDER/catalogue.sqlite        a row for each file (write-ahead log)
    FOLDER/lock                    locked by the one process that uses the folder

A picture is written, flushed to the disk and renamed into place before its row is committed, and the row is committed before the client
gets an answer. After a kill at any moment there may be a file without a row, which no client was told of; the next start adds the row. A
row without its file can only be the work of other programs; it is deleted.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ...runtime.errors import SdzError
from ...runtime.files import write_atomically
from ...runtime.format.container import ALT_TEXT, parse

SUFFIX: Final = ".sdz"
DIGEST: Final = re.compile(r"[0-9a-f]{64}")

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS pictures (
    digest TEXT PRIMARY KEY CHECK (length(digest) = 64),
    bytes INTEGER NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    pack TEXT NOT NULL,
    alt TEXT,
    created TEXT NOT NULL
) STRICT
"""

BUSY_SECONDS: Final = 10.0
"""How long a write waits while another program reads the catalogue."""


class CatalogueError(ValueError):
    """The folder cannot be used as a catalogue, or another process uses it."""


@dataclass(frozen=True)
class Picture:
    """A row: SHA-256 of the file in hexadecimal, its size in bytes, pixels, the pack's id, alternative text, and when (RFC 3339, UTC)."""

    digest: str
    bytes: int
    width: int
    height: int
    pack: str
    alt: str | None
    created: str

    @property
    def name(self) -> str:
        """The file's path below `pictures/`."""
        return f"{self.digest[:2]}/{self.digest}{SUFFIX}"


class Catalogue:
    """The pictures in `folder`, which is made where it is missing. Thread-safe; one process at a time.

    Raises CatalogueError when the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pictures = folder / "pictures"
        self.incoming = folder / "incoming"
        self._mutex = threading.Lock()
        try:
            self.pictures.mkdir(parents=True, exist_ok=True)
            self.incoming.mkdir(exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise CatalogueError(f"{folder}: cannot keep pictures there: {error.strerror}") from error
        try:
            # the system releases the lock when this process ends, however it ends
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise CatalogueError(f"{folder}: another server keeps its pictures there") from error
        try:
            self._rows = sqlite3.connect(folder / "catalogue.sqlite", timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None)
            self._rows.execute("PRAGMA journal_mode = WAL")
            self._rows.execute("PRAGMA synchronous = FULL")
            self._rows.execute(SCHEMA)
            self._sweep()
            self._reconcile()
        except sqlite3.Error as error:
            os.close(self._lock)
            raise CatalogueError(f"{folder / 'catalogue.sqlite'}: {error}; move it away, and it is made again from the pictures") from error

    def add(self, data: bytes) -> tuple[Picture, bool]:
        """Keeps the .sdz `data`; returns its row, and whether it is new. When this returns, file and row are on the disk; a file that was
        there and had been damaged is whole again.

        Raises SdzError for data that is no .sdz, OSError or sqlite3.Error when it cannot be written; nothing is left behind then.
        """
        digest = hashlib.sha256(data).hexdigest()
        picture = _describe(digest, data, datetime.now(UTC))
        with self._mutex:
            known = self._find(digest)
            path = self.pictures / picture.name
            if known is not None and _holds(path, data):
                return known, False
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, data, durable=True)
            try:
                if known is None:
                    self._insert(picture)
            except sqlite3.Error:
                path.unlink(missing_ok=True)
                raise
        return (picture, True) if known is None else (known, False)

    def find(self, digest: str) -> Picture | None:
        """The row of `digest`."""
        with self._mutex:
            return self._find(digest)

    def all(self) -> list[Picture]:
        """Every row, oldest first."""
        with self._mutex:
            return [Picture(*row) for row in self._rows.execute("SELECT * FROM pictures ORDER BY created, digest")]

    def close(self) -> None:
        """Closes the catalogue and releases the folder."""
        with self._mutex:
            self._rows.close()
            os.close(self._lock)

    def _find(self, digest: str) -> Picture | None:
        row = self._rows.execute("SELECT * FROM pictures WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else Picture(*row)

    def _insert(self, picture: Picture) -> None:
        values = (picture.digest, picture.bytes, picture.width, picture.height, picture.pack, picture.alt, picture.created)
        self._rows.execute("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def _sweep(self) -> None:
        """Removes what a killed process had begun."""
        for path in [*self.incoming.iterdir(), *self.pictures.glob("*/.*.part")]:
            path.unlink(missing_ok=True)

    def _reconcile(self) -> None:
        """Adds rows for files that have none, and deletes rows whose file is missing."""
        files = dict(_files(self.pictures))
        rows = {digest for (digest,) in self._rows.execute("SELECT digest FROM pictures")}
        self._rows.execute("BEGIN")
        for digest in rows - files.keys():
            self._rows.execute("DELETE FROM pictures WHERE digest = ?", (digest,))
        for digest in files.keys() - rows:
            path = files[digest]
            data = path.read_bytes()
            try:
                if hashlib.sha256(data).hexdigest() != digest:
                    raise ValueError(digest)
                self._insert(_describe(digest, data, datetime.fromtimestamp(path.stat().st_mtime, UTC)))
            except (SdzError, ValueError):
                # its bytes are not those of its name, so it never was the answer to an upload
                path.unlink()
        self._rows.execute("COMMIT")


def _holds(path: Path, data: bytes) -> bool:
    """Whether the file has these bytes."""
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


def _files(pictures: Path) -> Iterator[tuple[str, Path]]:
    for path in pictures.glob(f"*/*{SUFFIX}"):
        if DIGEST.fullmatch(path.stem) and path.parent.name == path.stem[:2]:
            yield path.stem, path


def _describe(digest: str, data: bytes, created: datetime) -> Picture:
    container = parse(data)
    header, alt = container.header, container.find(ALT_TEXT)
    text = None if alt is None else alt.payload.decode("utf-8")
    return Picture(digest, len(data), header.width, header.height, header.pack_id.hex(), text, created.isoformat(timespec="milliseconds"))
