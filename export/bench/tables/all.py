"""The chapters of the bench's report, in their order."""

from __future__ import annotations

from . import cuts, effort, exact, first, high, lettering

CHAPTERS = {
    chapter.name: chapter for chapter in (high.CHAPTER, first.CHAPTER, cuts.CHAPTER, exact.CHAPTER, lettering.CHAPTER, effort.CHAPTER)
}
"""By their names."""
