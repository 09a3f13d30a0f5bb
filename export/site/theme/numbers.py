"""Numbers as a language writes them. Takes numbers and a language's words, hands on text."""

from __future__ import annotations

from .words import Words


def grouped(count: int, words: Words) -> str:
    """Whole, its thousands apart: 12,345."""
    return f"{count:,}".replace(",", words["thousands"])


def fixed(value: float, places: int, words: Words) -> str:
    """With so many places after the point: 0.125."""
    return f"{value:.{places}f}".replace(".", words["decimal"])


def photo_count(count: int, words: Words) -> str:
    """1 photo, 3 photos."""
    return f"{grouped(count, words)} {words['photo' if count == 1 else 'photos']}"
