"""Dark and light colours: the system's choice, or the person's."""

from __future__ import annotations

import enum
from typing import Final

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QGuiApplication, QPalette


class Appearance(enum.Enum):
    """Values are kept in the settings."""

    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"

    @classmethod
    def named(cls, value: str) -> Appearance:
        """The appearance of that value; SYSTEM for any other text."""
        return next((look for look in cls if look.value == value), cls.SYSTEM)


_SCHEMES: Final = {
    Appearance.SYSTEM: Qt.ColorScheme.Unknown,
    Appearance.LIGHT: Qt.ColorScheme.Light,
    Appearance.DARK: Qt.ColorScheme.Dark,
}

_ROLES: Final = {
    "Window": ("#f3f3f4", "#2a2a2d"),
    "WindowText": ("#1d1d1f", "#e6e6e8"),
    "Base": ("#ffffff", "#222225"),
    "AlternateBase": ("#e2e2e5", "#3a3a3e"),
    "Text": ("#1d1d1f", "#e6e6e8"),
    "PlaceholderText": ("#6c6c72", "#a0a0a8"),
    "Button": ("#f3f3f4", "#37373b"),
    "ButtonText": ("#1d1d1f", "#e6e6e8"),
    "BrightText": ("#ffffff", "#ffffff"),
    "Highlight": ("#2f7bbf", "#4a9be0"),
    "HighlightedText": ("#ffffff", "#ffffff"),
    "Link": ("#2f7bbf", "#6fb3ee"),
    "ToolTipBase": ("#ffffff", "#37373b"),
    "ToolTipText": ("#1d1d1f", "#e6e6e8"),
    "Light": ("#ffffff", "#4a4a4f"),
    "Midlight": ("#e9e9eb", "#404045"),
    "Mid": ("#c4c4c8", "#2f2f33"),
    "Dark": ("#a8a8ad", "#19191b"),
    "Shadow": ("#77777c", "#0e0e10"),
}

_DISABLED: Final = ("#9d9da3", "#77777e")


def apply(look: Appearance) -> None:
    """Gives the application the colours of `look`; light ones where the system has no preference."""
    hints = QGuiApplication.styleHints()
    hints.setColorScheme(_SCHEMES[look])
    dark = look == Appearance.DARK or (look == Appearance.SYSTEM and hints.colorScheme() == Qt.ColorScheme.Dark)
    QGuiApplication.setPalette(_palette(int(dark)))


def _palette(which: int) -> QPalette:
    palette = QPalette()
    for name, colours in _ROLES.items():
        palette.setColor(QPalette.ColorRole[name], QColor(colours[which]))
    for role in (QPalette.ColorRole.WindowText, QPalette.ColorRole.Text, QPalette.ColorRole.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, QColor(_DISABLED[which]))
    return palette
