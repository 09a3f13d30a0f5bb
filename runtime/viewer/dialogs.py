"""The dialogs: files to open, compare with and save to, and the list of keys. Each asks, and returns what was chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PySide6.QtWidgets import QFileDialog, QMessageBox, QWidget

from .folder import SUFFIX, suffixes

SAVE_AS: Final = {".png": "PNG (*.png)", ".webp": "WebP (*.webp)", ".avif": "AVIF (*.avif)"}

SHORTCUTS: Final = """\
←  →  Home  End	walk through the folder
Ctrl+wheel, +, −	zoom; drag to move
1  2  3	fit the window, fit its width, actual size
[  ]  \\	fewer bytes, more bytes, all bytes
O	compare with the original
Space  S	show the other, side by side
L  R	turn to the left, to the right
T  Shift+F5	thumbnails, slideshow
Del  Ctrl+Z	to the trash, and back
I  F11	information, full screen"""


def ask_file(parent: QWidget, folder: str) -> Path | None:
    """A picture to open; None where the person cancels."""
    known = " ".join(f"*{suffix}" for suffix in sorted(suffixes()))
    name, _ = QFileDialog.getOpenFileName(parent, "Open a picture", folder, f"Pictures ({known});;sdz (*{SUFFIX})")
    return Path(name) if name else None


def ask_folder(parent: QWidget, folder: str) -> Path | None:
    """A folder to open; None where the person cancels."""
    name = QFileDialog.getExistingDirectory(parent, "Open a folder", folder)
    return Path(name) if name else None


def ask_other(parent: QWidget, folder: str) -> Path | None:
    """A file to compare with; None where the person cancels."""
    name, _ = QFileDialog.getOpenFileName(parent, "Compare with", folder)
    return Path(name) if name else None


def ask_target(parent: QWidget, suggested: Path) -> Path | None:
    """Where to save the picture, with a suffix of SAVE_AS; None where the person cancels."""
    name, chosen = QFileDialog.getSaveFileName(parent, "Save the picture", str(suggested), ";;".join(SAVE_AS.values()))
    if not name:
        return None
    target = Path(name)
    if target.suffix.lower() in SAVE_AS:
        return target
    return target.with_name(target.name + next((suffix for suffix, text in SAVE_AS.items() if text == chosen), ".png"))


def show_keys(parent: QWidget) -> None:
    """The list of keys, until it is closed."""
    rows = "".join(
        f"<tr><td style='padding: 3px 18px 3px 0'>{keys}</td><td style='padding: 3px 0'>{text}</td></tr>"
        for keys, _, text in (line.partition("\t") for line in SHORTCUTS.splitlines())
    )
    QMessageBox(QMessageBox.Icon.NoIcon, "Keys", f"<table>{rows}</table>", QMessageBox.StandardButton.Close, parent).exec()
