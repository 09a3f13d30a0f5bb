"""JSON documents of many entries, read and written one entry at a time.

A document is one object. What it holds by a name that is a list is never in memory as a whole, in either direction; the text is the
one that `json.dumps` writes with an indent of 1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any, Final, TextIO

PIECE: Final = 1 << 16
"""Characters that are read at a time; more where an entry is longer."""

_DECODER: Final = json.JSONDecoder()
_LEAF: Final = json.JSONEncoder(ensure_ascii=False).encode
_LEAVES: Final = frozenset((str, int, float, bool))
_BLANKS: Final = re.compile(r"[ \t\n\r]*")


def members(file: TextIO) -> Iterator[tuple[str, Any]]:
    """The names and values of the object that a file holds; in the place of a list an iterator over its entries, to be used before the next
    name is asked for. Raises ValueError where the text is no such document, as soon as that is known."""
    text = _Text(file)
    text.take("{")
    for _ in text.items("}"):
        name = text.value()
        if not isinstance(name, str):
            raise ValueError(f"{name!r} is no name")
        text.take(":")
        if text.next() != "[":
            yield name, text.value()
            continue
        text.take("[")
        entries = (text.value() for _ in text.items("]"))
        yield name, entries
        for _ in entries:
            pass
    if text.next():
        raise ValueError("the document goes on behind its end")


def pieces(document: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """The text of an object of these names and values; a value may be an iterator over the entries of a list, and dataclasses are objects
    of their fields."""
    before = "{\n "
    for name, value in document:
        yield f"{before}{_LEAF(name)}: "
        before = ",\n "
        if not isinstance(value, Iterator):
            yield _text(value, "\n ")
            continue
        opening = "[\n  "
        for entry in value:
            yield opening + _text(entry, "\n  ")
            opening = ",\n  "
        yield "[]" if opening[0] == "[" else "\n ]"
    yield "{}\n" if before[0] == "{" else "\n}\n"


def _text(value: Any, line: str) -> str:
    """A value's text, of which a new line begins with `line`. The library's own encoder is slow where it indents, and leaves a circle of
    objects behind each time."""
    kind = type(value)
    if value is None or kind in _LEAVES:
        return _LEAF(value)
    further = line + " "
    if kind is list or kind is tuple:
        texts = [_text(entry, further) for entry in value]
        return f"[{further}{f',{further}'.join(texts)}{line}]" if texts else "[]"
    named = value.items() if kind is dict else [(field.name, getattr(value, field.name)) for field in fields(value)]
    texts = [f"{_LEAF(name)}: {_text(entry, further)}" for name, entry in named]
    return f"{{{further}{f',{further}'.join(texts)}{line}}}" if texts else "{}"


class _Text:
    """A file's text from where reading stands on, as far as it has been read."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._ended = False

    def next(self) -> str:
        """The next character that is no blank, "" at the end."""
        while True:
            found = _BLANKS.match(self._text, self._at)
            assert found is not None
            self._at = found.end()
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._more()

    def take(self, wanted: str) -> str:
        """The same, read, which must be one of those wanted."""
        found = self.next()
        if not found or found not in wanted:
            raise ValueError(f"{found!r} stands where one of {wanted!r} must")
        self._at += 1
        return found

    def items(self, end: str) -> Iterator[None]:
        """As often as there is an item before the character that ends them; the items are for the caller to read."""
        if self.next() == end:
            self.take(end)
            return
        while True:
            yield
            if self.take("," + end) == end:
                return

    def value(self) -> Any:
        """The next value."""
        self.next()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except ValueError:
                if self._ended:
                    raise
            else:
                # a number may go on
                if end < len(self._text) or self._ended:
                    self._at = end
                    return value
            self._more()

    def _more(self) -> None:
        rest = self._text[self._at :]
        piece = self._file.read(max(PIECE, len(rest)))
        self._text, self._at, self._ended = rest + piece, 0, not piece
