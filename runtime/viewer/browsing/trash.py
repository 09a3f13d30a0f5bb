"""The desktop's trash: files go there, and the last ones can be taken back."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PySide6.QtCore import QFile, QStandardPaths

KEPT: Final = 50
"""How many can be taken back."""


class TrashError(OSError):
    """A file could not be moved to the trash, or back."""


@dataclass(frozen=True)
class Trashed:
    """A file that was moved: where it was, and where it is now."""

    path: Path
    kept_at: Path


class Trash:
    """Moves files to the trash (Qt's: freedesktop.org's on Linux), and takes them back, the last one first."""

    def __init__(self) -> None:
        self.moved: list[Trashed] = []

    def take(self, path: Path) -> None:
        """Moves a file there. Raises TrashError; the file is where it was then."""
        # Qt makes the trash, but not the folder that it is to lie in
        with suppress(OSError):
            Path(QStandardPaths.writableLocation(QStandardPaths.StandardLocation.GenericDataLocation)).mkdir(parents=True, exist_ok=True)
        file = QFile(str(path))
        if not file.moveToTrash():
            raise TrashError(file.errorString() or "there is no trash for this folder")
        self.moved = [*self.moved, Trashed(path, Path(file.fileName()))][-KEPT:]

    def give_back(self) -> Path:
        """Moves the last file back, and returns it. Raises TrashError where it is gone, or another has its name; IndexError without one."""
        last = self.moved.pop()
        if last.path.exists():
            raise TrashError(f"there is another {last.path.name} by now")
        try:
            last.kept_at.rename(last.path)
        except OSError as error:
            raise TrashError(error.strerror or str(error)) from error
        # what the trash says of a file that is no longer there
        (last.kept_at.parent.parent / "info" / f"{last.kept_at.name}.trashinfo").unlink(missing_ok=True)
        return last.path
