"""A theme: templates over the built-in ones, a style sheet, an accent colour, a language and its direction.

Takes what a build is asked for, hands on a Jinja2 environment, words, dates as a person writes them, and style rules.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path

from jinja2 import (
    ChoiceLoader,
    DictLoader,
    Environment,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateError,
    TemplateSyntaxError,
)

from .words import ENGLISH, MONTHS, WORDS, Words

BUILT_IN = "sdz"
"""Prefix under which a theme's templates find the built-in ones: `{% extends "sdz/index.html" %}`."""

SHEET, WORDS_FILE = "style.css", "words.json"

RIGHT_TO_LEFT = frozenset(("ar", "arc", "ckb", "dv", "fa", "he", "ks", "ku-arab", "nqo", "pa-arab", "ps", "sd", "syr", "ug", "ur", "yi"))
"""Languages, or languages in a script, that are written from right to left."""

PAPERS = {"light": (0xFB, 0xFA, 0xF7), "dark": (0x14, 0x13, 0x12)}
"""The pages' backgrounds (`--paper` of base.css)."""

CONTRAST = 4.5
"""Of text against its background, which WCAG 2 asks for (AA)."""

Colour = tuple[int, int, int]


class ThemeError(ValueError):
    """A theme that cannot be used, with the file and the line where that is known."""


@dataclass(frozen=True)
class Theme:
    """What is asked for: a folder of templates, an accent colour as `#rgb` or `#rrggbb`, and the language's tag (BCP 47)."""

    folder: Path | None = None
    accent: str | None = None
    lang: str = ENGLISH

    def environment(self, defaults: Mapping[str, str]) -> Environment:
        """Templates of the folder where it has such, or the built-in ones, all autoescaped; raises ThemeError for no folder."""
        if self.folder is not None and not self.folder.is_dir():
            raise ThemeError(f"{self.folder} is no folder of templates")
        built_in = DictLoader(dict(defaults))
        own = [FileSystemLoader(self.folder)] if self.folder is not None else []
        return Environment(
            loader=ChoiceLoader([*own, built_in, PrefixLoader({BUILT_IN: built_in})]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )

    @property
    def direction(self) -> str:
        """`rtl` or `ltr`."""
        tag = self.lang.lower()
        return "rtl" if {tag.partition("-")[0], "-".join(tag.split("-")[:2])} & RIGHT_TO_LEFT else "ltr"

    @property
    def english(self) -> bool:
        """Whether longer texts are English although the pages' language is another."""
        return self.lang.lower().partition("-")[0] not in WORDS

    @cached_property
    def words(self) -> Words:
        """The pages' words: English, those of the language where they are known, and the folder's own `words.json`; raises ThemeError."""
        own: Words = {}
        if self.folder is not None and (self.folder / WORDS_FILE).is_file():
            path = self.folder / WORDS_FILE
            try:
                own = json.loads(path.read_text(encoding="utf-8"))
                unknown = sorted(set(own) - set(WORDS[ENGLISH]))
            except (ValueError, TypeError, OSError) as error:
                raise ThemeError(f"{path}: {error}") from error
            if unknown or not all(isinstance(text, str) for text in own.values()):
                raise ThemeError(
                    f"{path}: it holds texts by these names: {', '.join(WORDS[ENGLISH])}" + f"; not {unknown[0]}" * bool(unknown)
                )
        words = WORDS[ENGLISH] | WORDS.get(self.lang.lower().partition("-")[0], {}) | own
        if len(words[MONTHS].split()) != 12:
            raise ThemeError(f"{self.folder}/{WORDS_FILE}: {MONTHS} are twelve names, separated by blanks")
        return words

    def sheet(self) -> bytes:
        """The folder's own style sheet, which comes after the built-in one."""
        path = None if self.folder is None else self.folder / SHEET
        try:
            return path.read_bytes() if path is not None and path.is_file() else b""
        except OSError as error:
            raise ThemeError(f"{path}: {error.strerror}") from error

    def rules(self) -> str:
        """Style rules of the accent colour, made lighter or darker where it could not be read; raises ThemeError for what is none."""
        if self.accent is None:
            return ""
        light, dark = (readable_on(paper, _colour(self.accent)) for paper in PAPERS.values())
        return f":root{{--accent:{light}}}@media (prefers-color-scheme:dark){{:root{{--accent:{dark}}}}}\n"

    def days(self, days: tuple[str, str] | None) -> str:
        """A span of days, ISO 8601, as a person writes it: 3 May 2024, 3–9 May 2024, 30 April – 2 May 2024, 2023–2024."""
        if days is None:
            return ""
        first, last = map(date.fromisoformat, days)
        if first == last:
            return self._day("day", last)
        if (first.year, first.month) == (last.year, last.month):
            return f"{self._day('day_alone', first)}–{self._day('day', last)}"
        if first.year == last.year:
            return f"{self._day('day_and_month', first)} – {self._day('day', last)}"
        return f"{first.year}–{last.year}"

    def moment(self, taken: str) -> str:
        """A day, or a time of a day, ISO 8601: 3 May 2024, 18:30."""
        moment = datetime.fromisoformat(taken)
        return self._day("day", moment.date()) + (f", {moment:%H:%M}" if "T" in taken else "")

    def _day(self, form: str, day: date) -> str:
        return self.words[form].format(day=day.day, month=self.words[MONTHS].split()[day.month - 1], year=day.year)


@contextmanager
def explained() -> Iterator[None]:
    """Raises ThemeError for what is wrong with a template."""
    try:
        yield
    except TemplateSyntaxError as error:
        raise ThemeError(f"{error.filename or error.name}, line {error.lineno}: {error.message}") from error
    except TemplateError as error:
        raise ThemeError(f"a template of the theme: {error.message or type(error).__name__}") from error


def readable_on(paper: Colour, colour: Colour) -> str:
    """The colour as CSS has it, mixed with as much black or white, in steps of a fiftieth, as it takes to be read on `paper`."""
    ends = (0, 0, 0) if _luminance(paper) > 0.5 else (255, 255, 255)
    for step in range(51):
        red, green, blue = (round(a + (b - a) * step / 50) for a, b in zip(colour, ends, strict=True))
        if contrast(paper, (red, green, blue)) >= CONTRAST:
            break
    return f"#{red:02x}{green:02x}{blue:02x}"


def contrast(one: Colour, other: Colour) -> float:
    """The contrast of two colours, 1 to 21 (WCAG 2)."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: Colour) -> float:
    shares = [value / 255 for value in colour]
    red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _colour(text: str) -> Colour:
    found = re.fullmatch(r"#(?:([0-9a-f]{3})|([0-9a-f]{6}))", text.lower())
    if found is None:
        raise ThemeError(f"{text!r} is no colour: #rgb or #rrggbb")
    digits = "".join(2 * digit for digit in found[1]) if found[1] else found[2]
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue
