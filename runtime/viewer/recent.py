"""Recently opened files, kept in the settings between runs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PySide6.QtCore import QSettings

KEPT: Final = 10


class RecentFiles:
    """The last files opened, in `settings`."""

    def __init__(self, settings: QSettings) -> None:
        self._settings = settings

    def paths(self) -> list[str]:
        """The files, the latest first."""
        kept = self._settings.value("recent", [])
        # QSettings returns a list of one entry as plain text
        return [kept] if isinstance(kept, str) else [str(path) for path in kept] if isinstance(kept, list) else []

    def remember(self, path: Path) -> None:
        """Puts a file first."""
        self._settings.setValue("recent", [str(path), *(old for old in self.paths() if old != str(path))][:KEPT])
