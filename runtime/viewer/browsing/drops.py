"""Files dropped on the window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, QObject
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QWidget


class Drops(QObject):
    """Opens the first file dropped on `window`; a second one is compared with it."""

    def __init__(self, window: QWidget, show: Callable[[Path], Any], compare: Callable[[Path], Any]) -> None:
        super().__init__(window)
        self._show, self._compare = show, compare
        window.setAcceptDrops(True)
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Takes the events of files."""
        if isinstance(event, QDropEvent):
            paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
            if not paths or event.type() not in (QEvent.Type.DragEnter, QEvent.Type.Drop):
                return False
            event.acceptProposedAction()
            if not isinstance(event, QDragEnterEvent):
                self._show(paths[0])
                if len(paths) == 2 and not paths[0].is_dir() and not paths[1].is_dir():
                    self._compare(paths[1])
            return True
        return False
