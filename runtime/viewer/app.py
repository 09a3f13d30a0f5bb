"""Starts the viewer: the application, its window, and the first file."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Final

from PySide6.QtCore import QSettings, QTimer
from PySide6.QtGui import QGuiApplication, QIcon
from PySide6.QtWidgets import QApplication

from ..desktop.install import APPLICATION_ID, ICON
from ..errors import DesktopError
from .appearance import Appearance, apply
from .window import Window

LAST_STEP_SECONDS: Final = 3.0
"""How long the program waits at its end for the decoder's current step."""


def run(path: Path | None) -> int:
    """Shows the window with a file, a folder's first picture, or nothing, until it is closed; the exit status.

    Raises DesktopError where there is no display: Qt itself would end the process.
    """
    if not has_display():
        raise DesktopError("there is no display to open a window on: neither $DISPLAY nor $WAYLAND_DISPLAY is set")
    app = QApplication.instance() or QApplication([sys.argv[0]])
    assert isinstance(app, QApplication)
    app.setStyle("Fusion")
    app.setApplicationName("sdz")
    app.setApplicationDisplayName("")
    QGuiApplication.setDesktopFileName(APPLICATION_ID)
    app.setWindowIcon(QIcon(str(ICON)))
    window = Window(QSettings("sdz", "viewer"))
    hints = QGuiApplication.styleHints()
    hints.colorSchemeChanged.connect(lambda: _follow(window))
    window.show()
    if path is not None:
        window.open(path)
    # Python handles Ctrl+C only while it runs code of its own, which Qt's loop does not
    signal.signal(signal.SIGINT, lambda *_: window.close())
    heartbeat = QTimer(interval=250)
    heartbeat.timeout.connect(lambda: None)
    heartbeat.start()
    status = app.exec()
    window.worker.join(LAST_STEP_SECONDS)
    return status


def has_display() -> bool:
    """Whether Qt will find a display; always True on systems where a missing one does not end the process."""
    if not sys.platform.startswith("linux"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))


def _follow(window: Window) -> None:
    if window.menus.appearance[Appearance.SYSTEM].isChecked():
        apply(Appearance.SYSTEM)
