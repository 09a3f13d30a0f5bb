"""A folder of results by key, bounded in bytes; the least recently used entries are removed first.

Entries are written under a temporary name and renamed, and begin with their own digest: one that a crash or a full disk damaged is a
miss, never an answer. The folder belongs to one process; entries found there at the start are kept. (The library diskcache guarantees less:
it returns damaged entries, does not count the files that a killed process leaves, and unpickles what it finds, CVE-2025-69872.)
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from ...runtime.files import write_atomically

DIGEST_BYTES: Final = 32

TEMPORARY: Final = "sdz-cache-"
LOCK: Final = "lock"

_KEY = re.compile(r"[0-9a-f]{64}")


class TemporaryFolder:
    """A folder for one process, `path`, removed when it is closed or the process ends; after a kill, when the next one is made."""

    def __init__(self) -> None:
        for left in Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*/{LOCK}"):
            with suppress(OSError), left.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left.parent, ignore_errors=True)
        self.path = Path(tempfile.mkdtemp(prefix=TEMPORARY))
        lock = (self.path / LOCK).open("wb")
        # the system releases the lock when this process ends, however it ends
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._finalizer = weakref.finalize(self, _remove, self.path, lock)

    def close(self) -> None:
        """Removes the folder."""
        self._finalizer()


def _remove(folder: Path, lock: IO[bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.close()


class DiskCache:
    """Bytes by key (64 hexadecimal digits) in `folder`, which is made where it is missing; at most `limit` bytes in all. Thread-safe.

    Raises OSError when the folder cannot be made or read; when the disk is full later, nothing more is kept.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self.bytes = 0
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(".*.part"):
            leftover.unlink(missing_ok=True)
        found = [(path.stat(), path) for path in folder.iterdir() if _KEY.fullmatch(path.name)]
        for status, path in sorted(found, key=lambda entry: entry[0].st_mtime_ns):
            self._sizes[path.name] = status.st_size
            self.bytes += status.st_size
        self._shrink()

    def get(self, key: str) -> bytes | None:
        """The bytes kept under `key`, or None."""
        with self._lock:
            if key not in self._sizes:
                return None
            self._sizes.move_to_end(key)
        path = self._path(key)
        try:
            stored = path.read_bytes()
            path.touch()
        except OSError:
            stored = b""
        data = stored[DIGEST_BYTES:]
        if hashlib.sha256(data).digest() == stored[:DIGEST_BYTES]:
            return data
        with self._lock:
            self._forget(key)
        return None

    def put(self, key: str, data: bytes) -> None:
        """Keeps `data` under `key` if it fits at all, and removes old entries to make room."""
        size = len(data) + DIGEST_BYTES
        if size > self.limit:
            return
        with suppress(OSError):
            write_atomically(self._path(key), hashlib.sha256(data).digest() + data)
            with self._lock:
                self.bytes += size - self._sizes.pop(key, 0)
                self._sizes[key] = size
                self._shrink()

    def _path(self, key: str) -> Path:
        assert _KEY.fullmatch(key)
        return self.folder / key

    def _shrink(self) -> None:
        while self.bytes > self.limit:
            self._forget(next(iter(self._sizes)))

    def _forget(self, key: str) -> None:
        self.bytes -= self._sizes.pop(key, 0)
        with suppress(OSError):
            self._path(key).unlink(missing_ok=True)
