"""The pages of `make docs`: every Markdown file of the checkout with links that lead somewhere, and what is refused."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from installed import ROOT

from docs.build import DocsError, build, main, page_sources


class Links(HTMLParser):
    """Addresses a page links to or shows, and the names of its elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.names: set[str] = set()
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.add(tag)
        self.names.add(given.get("id") or "")
        self.targets += [value for name in ("href", "src") if (value := given.get(name)) is not None]


def test_every_link_of_every_page_leads_somewhere(tmp_path: Path) -> None:
    pages = {path.name: Links(path.read_text(encoding="utf-8")) for path in build(ROOT, tmp_path)}
    assert {"index.html", "format.html", "changelog.html", "contributing.html"} <= set(pages)
    assert len(pages) == sum(map(len, page_sources(ROOT).values()))
    for name, page in pages.items():
        assert not page.tags & {"script", "iframe", "form"}
        for target in page.targets:
            address, _, fragment = target.partition("#")
            if not re.match(r"[a-z]+:", target):
                assert (tmp_path / (address or name)).is_file(), (name, target)
                assert not fragment or address not in ("", *pages) or fragment in pages[address or name].names, (name, target)


def checkout(folder: Path, readme: str) -> Path:
    (folder / "docs").mkdir(parents=True)
    (folder / "README.md").write_text(readme, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("readme", "problem"),
    [
        ("# A\n\n[b](docs/b.md)\n", "README.md: docs/b.md leads to no file"),
        ("# A\n\n![b](b.png)\n", "README.md: b.png leads to no file"),
        ("# A\n\n[b](#nowhere)\n", "README.md: #nowhere leads to no heading"),
        ("# A\n\n[b](../outside.txt)\n", "README.md: ../outside.txt leads to no file"),
    ],
)
def test_links_that_lead_nowhere_are_errors(readme: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").touch()
    with pytest.raises(DocsError, match=f"^{re.escape(problem)}$"):
        build(checkout(tmp_path / "checkout", readme), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_becomes_of_a_file(tmp_path: Path) -> None:
    root = checkout(
        tmp_path / "checkout",
        "# A & B\n\n<!-- begin -->\n[b](docs/b.md#two-words)\n<!-- end -->\n\n<script>alert(1)</script>\n\n"
        "```python\nx = 1\n```\n\n[data](x.bin)\n",
    )
    (root / "docs/b.md").write_text("# B\n\n## Two words\n\n[up](../README.md)\n\n| a |\n| - |\n| b |\n", encoding="utf-8")
    (root / "x.bin").write_bytes(b"x")
    assert [path.name for path in build(root, tmp_path / "out")] == ["index.html", "b.html"]
    index = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert '<h1 id="a--b">A &amp; B</h1>\n<p><a href="b.html#two-words">b</a></p>\n<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>' in index
    assert '<pre><code class="language-python"><span class="n">x</span>' in index and "begin" not in index
    other = (tmp_path / "out/b.html").read_text(encoding="utf-8")
    assert '<a href="index.html">up</a>' in other and '<div class="wide"><table>' in other
    assert '<li><a href="b.html" aria-current="page">B</a></li>' in other
    assert (tmp_path / "out/x.bin").read_bytes() == b"x"


def test_wrong_usage(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err == "usage: python -m docs.build OUT\n"
    (tmp_path / "file").touch()
    assert main([str(tmp_path / "file" / "out")]) == 1
    assert capsys.readouterr().err.startswith("docs: ")
