"""`python -m docs.build OUT`: README, docs and the specification as one small static site, without scripts.

Takes the Markdown files of the checkout, writes a page each into OUT, with the pictures and files they link to. A link that leads nowhere
is an error, so that building the pages tests them.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup
from mdit_py_plugins.anchors import anchors_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = Path(__file__).parent / "templates"
STYLE = "style.css"

GROUPS = {
    "": ["README.md"],
    "Use it": ["docs/site.md", "docs/element.md", "docs/python.md", "docs/server.md", "docs/viewer.md", "docs/models.md"],
    "Figures": ["docs/figures.md", "runtime/packs/tiny/README.md", "report/bench.md"],
    "Project": ["FORMAT.md", "docs/development.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"],
}
"""Every page, in the order of the navigation; those that do not exist are left out, and files of `docs/` not named here come last."""

TITLES = {
    "README.md": "Overview",
    "docs/models.md": "Other autoencoders",
    "runtime/packs/tiny/README.md": "Model card",
    "report/bench.md": "The whole report",
    "FORMAT.md": "The format",
}
"""What the navigation calls pages whose first heading would be too long there, or is none of the whole page."""

MORE = "More"


class DocsError(ValueError):
    """A page that cannot be made; the message names the file and what is wrong in it."""


@dataclass(frozen=True)
class Page:
    """A Markdown file of the checkout and the page it becomes."""

    source: str
    address: str
    title: str
    tokens: list[Token]


def main(arguments: list[str]) -> int:
    """0 done, 1 a link leads nowhere, 2 wrong usage."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m docs.build OUT", file=sys.stderr)
        return 2
    try:
        written = build(ROOT, Path(arguments[0]))
    except (DocsError, OSError) as error:
        print(f"docs: {error}", file=sys.stderr)
        return 1
    print(f"{len(written)} pages in {arguments[0]}")
    return 0


def build(root: Path, out: Path) -> list[Path]:
    """Writes all pages of the checkout at `root` into `out`; their paths. Raises DocsError, OSError."""
    parser = _parser()
    groups = {
        heading: [read_page(root, source, parser) for source in sources] for heading, sources in page_sources(root).items() if sources
    }
    pages = {page.source: page for listed in groups.values() for page in listed}
    template = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template("page.html")
    files: set[str] = set()
    rendered: dict[str, str] = {}
    for page in pages.values():
        files |= resolve_links(root, page, pages)
        body = Markup(parser.renderer.render(page.tokens, parser.options, {}))
        sections = [
            (t.attrs["id"], page.tokens[i + 1].content) for i, t in enumerate(page.tokens) if t.type == "heading_open" and t.tag == "h2"
        ]
        headed = any(token.tag == "h1" for token in page.tokens)
        rendered[page.address] = template.render(page=page, headed=headed, groups=groups, body=body, sections=sections, style=STYLE)
    out.mkdir(parents=True, exist_ok=True)
    for name in sorted(files):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, out / name)
    shutil.copyfile(TEMPLATES / STYLE, out / STYLE)
    for address, text in rendered.items():
        (out / address).write_text(text, encoding="utf-8")
    return [out / address for address in rendered]


def page_sources(root: Path) -> dict[str, list[str]]:
    """The Markdown files that become pages, by the heading of their group."""
    groups = {heading: [name for name in names if (root / name).is_file()] for heading, names in GROUPS.items()}
    named = {name for names in groups.values() for name in names}
    groups[MORE] = [name for path in sorted((root / "docs").glob("*.md")) if (name := f"docs/{path.name}") not in named]
    return groups


def read_page(root: Path, source: str, parser: MarkdownIt) -> Page:
    """A Markdown file, parsed; its title is of `TITLES`, or its first heading. Raises DocsError without one."""
    tokens = parser.parse((root / source).read_text(encoding="utf-8"))
    heading = next((tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"), None)
    title = TITLES.get(source, heading)
    if title is None:
        raise DocsError(f"{source}: has no heading")
    address = "index.html" if source == "README.md" else f"{_address(source)}.html"
    return Page(source, address, title, tokens)


def resolve_links(root: Path, page: Page, pages: dict[str, Page]) -> set[str]:
    """Turns links between files into links between pages; returns the other files that are linked to. Raises DocsError."""
    files = set()
    for token in page.tokens:
        for child in token.children or ():
            for attribute in ("href", "src"):
                target = str(child.attrs.get(attribute, ""))
                parts = urlsplit(target)
                if not target or parts.scheme or parts.netloc:
                    continue
                inside = (
                    posixpath.normpath(posixpath.join(posixpath.dirname(page.source), unquote(parts.path))) if parts.path else page.source
                )
                if inside in pages:
                    if parts.fragment and parts.fragment not in _anchors(pages[inside]):
                        raise DocsError(f"{page.source}: {target} leads to no heading")
                    address = pages[inside].address if parts.path else ""
                elif (root / inside).is_file() and not inside.startswith(".."):
                    files.add(inside)
                    address = inside
                else:
                    raise DocsError(f"{page.source}: {target} leads to no file")
                child.attrs[attribute] = address + (f"#{parts.fragment}" if parts.fragment else "")
    return files


def _anchors(page: Page) -> set[str]:
    return {str(token.attrs["id"]) for token in page.tokens if token.type == "heading_open" and "id" in token.attrs}


def _address(source: str) -> str:
    """`docs/site.md` is `site`, `runtime/packs/tiny/README.md` is `runtime-packs-tiny`."""
    stem = source.removeprefix("docs/").removesuffix(".md").removesuffix("/README")
    return re.sub(r"[^a-z0-9]+", "-", stem.lower())


def _parser() -> MarkdownIt:
    """GitHub's dialect, with tables that scroll by themselves; HTML other than comments is shown, not taken over."""
    parser = MarkdownIt("commonmark", {"html": False, "highlight": _highlighted}).enable(["table", "strikethrough"])
    anchors_plugin(parser, max_level=4)
    parser.core.ruler.before("block", "comments", _without_comments)
    parser.add_render_rule("table_open", lambda self, tokens, i, options, env: '<div class="wide"><table>')
    parser.add_render_rule("table_close", lambda self, tokens, i, options, env: "</table></div>")
    return parser


def _without_comments(state: Any) -> None:
    """Marks for commands that write parts of a file are no text."""
    state.src = re.sub(r"^<!--.*?-->\n", "", state.src, flags=re.MULTILINE | re.DOTALL)


def _highlighted(code: str, language: str, attributes: str) -> str:
    try:
        lexer = get_lexer_by_name(language) if language else None
    except ClassNotFound:
        lexer = None
    return "" if lexer is None else str(highlight(code, lexer, HtmlFormatter(nowrap=True)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
