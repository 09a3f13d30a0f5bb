"""What people write beside their photos: texts for one photo, texts for an album, a table for many, an order.

Takes the folders of photos, hands on texts by file. `photo.txt` or `photo.md` belongs to `photo.jpg`, `album.md` or `album.txt` to its
folder: lines such as `title: …` first, then the caption; in a table, `photos.csv`, each line is a photo and each column one of the same
names. `order.txt` names files and folders, a line each, in their order.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...runtime.errors import EncodeInputError
from ...runtime.files import readable
from ...runtime.options import Subject
from ...runtime.regions.subjects import subjects_of
from ...runtime.regions.written import Box, regions_of
from .metadata import day_of

MAX_BYTES = 1 << 20
"""Of a file of texts."""

ALBUM, TABLE, ORDER = "album", "photos.csv", "order.txt"

COLUMNS = ("title", "alt", "caption", "date", "protect", "regions")
"""Of the table, beside `file`."""

_FIELD = re.compile(r"(title|alt|caption|date|cover|protect|regions)[ \t]*:[ \t]*(.*)", re.IGNORECASE)


@dataclass(frozen=True)
class Texts:
    """What was written; None where nothing was. `date` as in `Facts.taken`, `cover` a file's name; `protect` and `regions` are what of the
    photo is sent finer, as `encode` takes them."""

    title: str | None = None
    alt: str | None = None
    caption: str | None = None
    date: str | None = None
    cover: str | None = None
    protect: tuple[Subject, ...] | None = None
    regions: tuple[tuple[Box, int], ...] | None = None

    def over(self, other: Texts) -> Texts:
        """These, and of `other` what these do not say."""
        return replace(other, **{name: value for name, value in vars(self).items() if value is not None})


@dataclass
class Folder:
    """The texts of a folder: of its album, of its files by their names, its order; a line for each thing that was wrong."""

    album: Texts = field(default_factory=Texts)
    photos: dict[str, Texts] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_folder(folder: Path, files: Iterable[str]) -> Folder:
    """The texts of a folder for `files`, the names of its photos. The table stands above a photo's own file of texts."""
    out = Folder()
    by_stem: dict[str, Texts] = {}
    for path in sorted(folder.glob("*")):
        if path.suffix.lower() in (".txt", ".md") and path.name != ORDER:
            text = _read(path, out)
            if text is not None:
                by_stem[path.stem] = _parse(text, path, out)
    out.album = by_stem.pop(ALBUM, Texts())
    if out.album.protect or out.album.regions:
        out.problems.append(f"{readable(folder)}: protect and regions are of one photo: write them beside it")
    table = _table(folder / TABLE, out)
    for name in files:
        texts = table.pop(name, Texts()).over(by_stem.get(Path(name).stem, Texts()))
        if texts != Texts():
            out.photos[name] = texts
    out.problems += [f"{readable(folder / TABLE)}: there is no photo {name}" for name in table]
    order = _read(folder / ORDER, out)
    out.order = [line.strip().rstrip("/") for line in (order or "").splitlines() if line.strip() and not line.startswith("#")]
    return out


def _parse(text: str, path: Path, folder: Folder) -> Texts:
    """Fields and a heading, which is the title, at the top; the rest is the caption."""
    lines = text.strip().splitlines()
    found: dict[str, str | None] = {}
    while lines:
        line = lines[0].strip()
        if (match := _FIELD.fullmatch(line)) is not None:
            found[match[1].lower()] = match[2].strip() or None
        elif line.startswith("# ") and "title" not in found:
            found["title"] = line[2:].strip() or None
        elif line or not found:
            break
        lines.pop(0)
    body = "\n".join(lines).strip()
    if body:
        found.setdefault("caption", body)
    return _checked(found, readable(path), folder)


def _table(path: Path, folder: Folder) -> dict[str, Texts]:
    text = _read(path, folder)
    if text is None:
        return {}
    head = text.partition("\n")[0]
    out = {}
    try:
        for number, row in enumerate(csv.DictReader(io.StringIO(text), delimiter=";" if head.count(";") > head.count(",") else ","), 2):
            cells = {str(key).strip().lower(): value.strip() or None for key, value in row.items() if isinstance(value, str)}
            name = cells.pop("file", None)
            if name is None:
                folder.problems.append(f"{readable(path)}, line {number}: the column 'file' has no name")
                continue
            known = {key: value for key, value in cells.items() if key in COLUMNS}
            out[name] = _checked(known, f"{readable(path)}, line {number}", folder)
    except csv.Error as error:
        folder.problems.append(f"{readable(path)}: {error}")
    return out


def _checked(found: dict[str, str | None], where: str, folder: Folder) -> Texts:
    date = found.get("date")
    if date is not None:
        found["date"] = day_of(date)
        if found["date"] is None:
            folder.problems.append(f"{where}: '{date}' is no date: write it as 2024-05-31 or 2024-05-31 18:30")
    read: dict[str, Any] = {**found}
    for name, meaning in (("protect", subjects_of), ("regions", regions_of)):
        text = read.pop(name, None)
        try:
            if text is not None:
                read[name] = meaning(text)
        except EncodeInputError as error:
            folder.problems.append(f"{where}: {name}: {error}")
    return Texts(**read)


def _read(path: Path, folder: Folder) -> str | None:
    """A file of texts, UTF-8 or else Latin-1; None where there is none."""
    with suppress(FileNotFoundError):
        try:
            if path.stat().st_size > MAX_BYTES:
                folder.problems.append(f"{readable(path)}: more than {MAX_BYTES:,} bytes are no caption")
                return None
            data = path.read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            folder.problems.append(f"{readable(path)}: {error.strerror}")
            return None
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            return data.decode("latin-1")
    return None
