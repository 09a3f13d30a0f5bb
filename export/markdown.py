"""Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tabulate import tabulate


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells as they are shown, columns aligned, without a line's end at its end."""
    return str(tabulate([list(row) for row in rows], list(header), tablefmt="github", disable_numparse=True))
