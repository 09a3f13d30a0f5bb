"""Recently opened files, kept in the settings between runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from PySide6.QtCore import QSettings

KEPT: Final = 10

SCHEME: Final = "file://"
"""Settings are text and names are bytes: a file is kept as its URI, which says each of them."""


class RecentFiles:
    """The last files opened, in `settings`."""

    def __init__(self, settings: QSettings) -> None:
        self._settings = settings

    def paths(self) -> list[str]:
        """The files, the latest first."""
        kept = self._settings.value("recent", [])
        # QSettings returns a list of one entry as plain text
        entries = [kept] if isinstance(kept, str) else [str(entry) for entry in kept] if isinstance(kept, list) else []
        return [_path_of(entry) for entry in entries]

    def remember(self, path: Path) -> None:
        """Puts a file, by its absolute path, first."""
        paths = [str(path), *(old for old in self.paths() if old != str(path))][:KEPT]
        self._settings.setValue("recent", [Path(kept).as_uri() for kept in paths])


def _path_of(entry: str) -> str:
    """A path as the settings have it; earlier versions wrote it plainly."""
    return os.fsdecode(unquote_to_bytes(entry.removeprefix(SCHEME))) if entry.startswith(SCHEME) else entry
