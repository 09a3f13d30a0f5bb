"""JSON documents, an entry at a time: the text that the library writes, and what is read of it and of other texts."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest

from sdz.export import documents
from sdz.export.documents import members, pieces


@dataclass(frozen=True, slots=True)
class Inner:
    name: str
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Outer:
    inner: Inner
    more: list[Inner] = field(default_factory=list)
    ratio: float | None = None


RECORDS = [
    Outer(Inner("plain")),
    Outer(Inner('さくら "q" \\ \n \u2028', (1, -2, 3)), [Inner("a"), Inner("b", (4,))], 0.1),
    Outer(Inner(""), [], 1e-7),
]

DOCUMENT = {"format": 3, "title": "é", "flags": [True, False, None], "none": {}, "sizes": {"a": {"b": [[], [1.5]]}}}


def read(text: str) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, Iterator) else value for name, value in members(io.StringIO(text))}


@pytest.mark.parametrize("records", [[], RECORDS[:1], RECORDS])
def test_written_as_the_library_writes(records: list[Outer]) -> None:
    whole = {**DOCUMENT, "records": [asdict(record) for record in records], "end": 1}
    text = "".join(pieces([*DOCUMENT.items(), ("records", iter(records)), ("end", 1)]))
    assert text == json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def test_an_empty_document() -> None:
    assert "".join(pieces([])) == "{}\n"
    assert read(" {\n} ") == {}


@pytest.mark.parametrize("indent", [None, 1, 4])
@pytest.mark.parametrize("piece", [1, 3, documents.PIECE])
def test_read_whatever_its_blanks_and_pieces(indent: int | None, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "PIECE", piece)
    whole = {**DOCUMENT, "number": 1234567, "records": [asdict(record) for record in RECORDS], "numbers": [12345, 67890], "empty": []}
    assert read(json.dumps(whole, indent=indent)) == json.loads(json.dumps(whole))


def test_entries_that_nobody_asked_for_are_passed_over() -> None:
    names = []
    for name, value in members(io.StringIO('{"a": [1, 2, 3], "b": [4, [5]], "c": 6}')):
        names.append(name)
        if name == "b":
            assert isinstance(value, Iterator)
            assert next(value) == 4
    assert names == ["a", "b", "c"]


NONE = """
[]
1
{
{"a"
{"a": 1
{"a": 1,}
{"a": [1
{"a": [1,]}
{"a": [1 2]}
{1: 2}
{"a": 1} 2
{"a": x}
"""


@pytest.mark.parametrize("text", NONE.splitlines())
def test_what_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read(text)


def test_only_an_entry_at_a_time_is_read() -> None:
    """Of a file that is cut off, the entries before the cut come first."""
    found = []
    with pytest.raises(ValueError):
        for _, entries in members(io.StringIO('{"a": [{"n": 1}, {"n": 2}, {"n"')):
            for entry in entries:
                found.append(entry)
    assert found == [{"n": 1}, {"n": 2}]
