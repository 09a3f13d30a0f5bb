"""Pictures in the markup of pages that other programs wrote, and their places in it, so that everything else stays byte for byte the same.

Takes the text of a page or a style sheet, hands on the pictures it shows, or the text with them replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from html.parser import HTMLParser

ELSEWHERE = frozenset(("noscript", "picture", "sdz-img", "template", "svg", "object", "video", "audio"))
"""Elements inside which an `<img>` is left alone: there it is a fallback, one of several, or not shown."""

MEANING = frozenset(("srcset", "usemap", "ismap", "data-sdz", "crossorigin", "referrerpolicy", "is", "integrity"))
"""Attributes that say something of the file, or of how it is fetched, which would not hold of another."""

ATTRIBUTE = re.compile(r"""[\s/]*([^\s/>=]+)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s>]*))?""")

SELECTOR = re.compile(r"(?<![\w.#:\[\\-])img(?![\w-]|,sdz-img)", re.IGNORECASE)
"""The type selector `img`, which is not yet one of `PICTURES`."""

PICTURES = ":is(img,sdz-img)"
"""As specific as `img` alone."""

PRELUDE = re.compile(r"""/\*.*?\*/|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[{};]|[^/"'{};]+|/""", re.DOTALL)
"""Pieces of a style sheet: comments, strings, what ends a selector or a declaration, and all between them."""


@dataclass(frozen=True)
class Image:
    """An `<img>` that may be replaced: its tag's text, where that begins, and its source as the browser reads it."""

    tag: str
    start: int
    source: str


@dataclass
class Markup:
    """What matters of a page: its pictures, where its head ends (or its first element begins), the texts of its `<style>` elements and
    where they begin, the style sheets that it holds to a digest, and its base address where it has one."""

    images: list[Image] = field(default_factory=list)
    head: int | None = None
    styles: list[tuple[int, str]] = field(default_factory=list)
    sealed: list[str] = field(default_factory=list)
    based: bool = False


class _Reader(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found = Markup()
        self.inside: list[str] = []
        self.first: int | None = None
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self.text = text
        self.feed(text)
        self.close()
        if self.found.head is None:
            self.found.head = self.first

    def place(self) -> int:
        line, column = self.getpos()
        return self.lines[line - 1] + column

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(reversed(attrs))
        text = self.get_starttag_text() or ""
        if tag in ("body", "img") and self.first is None:
            self.first = self.place()
        if tag in ELSEWHERE:
            self.inside.append(tag)
        elif tag == "base":
            self.found.based = self.found.based or "href" in given
        elif tag == "link" and given.get("integrity"):
            self.found.sealed.append(given.get("href") or "")
        elif tag == "style":
            self.style = self.place() + len(text)
        elif tag == "img" and not self.inside and given.get("src") and not MEANING & given.keys():
            self.found.images.append(Image(text, self.place(), (given["src"] or "").strip()))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # the slash means nothing in HTML
        if tag not in ELSEWHERE or tag == "sdz-img":
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag == "head" and self.found.head is None:
            self.found.head = self.place()
        elif tag == "style":
            self.found.styles.append((self.style, self.text[self.style : self.place()]))
        elif tag in self.inside:
            while self.inside.pop() != tag:
                pass


def read_markup(text: str) -> Markup:
    """What matters of a page; of markup that is no HTML, whatever can be made out."""
    return _Reader(text).found


def rewritten(text: str, markup: Markup, sources: Mapping[int, str], head: str, style: Callable[[str], str]) -> str:
    """The page with `<sdz-img>` for images of `sources`, by where they begin, `head` in its head, and styles as `style` has them."""
    changes = [(at, at + len(css), style(css)) for at, css in markup.styles]
    changes += [(i.start, i.start + len(i.tag), replacement(i.tag, sources[i.start])) for i in markup.images if i.start in sources]
    if markup.head is not None:
        changes.append((markup.head, markup.head, head))
    parts, at = [], 0
    for start, end, new in sorted(changes):
        parts += [text[at:start], new]
        at = end
    return "".join([*parts, text[at:]])


def replacement(tag: str, source: str) -> str:
    """`<sdz-img>` in place of an `<img>`, with all of its attributes but another source, and the `<img>` itself inside."""
    attributes = []
    for name, value in ATTRIBUTE.findall(tag[len("<img") : -1]):
        if name.lower() == "src":
            value = f'"{escape(source)}"'
        attributes.append(f"{name}={value}" if value else name)
    return f"<sdz-img {' '.join(attributes)}><noscript>{tag}</noscript></sdz-img>"


def for_both(css: str) -> str:
    """A style sheet whose rules for `img` hold for `sdz-img` as well; the same text where it has none."""
    pieces = PRELUDE.findall(css)
    out: list[str] = []
    waiting: list[str] = []
    for piece in pieces:
        if piece == "{":
            selector = "".join(waiting)
            keep = selector.lstrip().startswith("@") and not selector.lstrip().lower().startswith("@scope")
            out += [p if keep or p.startswith(("/*", '"', "'")) else SELECTOR.sub(PICTURES, p) for p in waiting]
        elif piece in ("}", ";"):
            out += waiting
        else:
            waiting.append(piece)
            continue
        out.append(piece)
        waiting = []
    return "".join([*out, *waiting])
