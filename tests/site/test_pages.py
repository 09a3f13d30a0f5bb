"""Albums of many photos: pages of so many each, in order, that lead to each other and go on by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Site, picture
from sites import options, tree

from sdz.export.site import pages
from sdz.export.site.build import build
from sdz.export.site.photos import PhotoOptions
from sdz.export.site.report import Report

COUNT = 7


@pytest.fixture(scope="module")
def many(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Report]]:
    """Seven photos, and three in an album, three on a page."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "sub").mkdir()
    for index in range(COUNT):
        picture(40, 30, index).save(folder / f"p{index}.png")
    for index in range(3):
        picture(30, 40, index).save(folder / f"sub/q{index}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "PHOTOS", 3)
        wanted = PhotoOptions(ms_ssim=False, fallback="jpeg")
        site = tmp_path_factory.mktemp("sites") / "site"
        yield folder, build(options(folder, pack, site, photo=wanted, judged=0, url="https://example.org/"))


def test_pages_hold_so_many_photos_each(many: tuple[Path, Report]) -> None:
    site = many[1].site
    found = {path.relative_to(site).as_posix() for path in site.rglob("*.html") if path.parent.name != "photos"} - {
        path.relative_to(site).as_posix() for path in (site / "photos").rglob("*.html")
    }
    assert found == {"index.html", "page-2.html", "page-3.html", "albums/sub/index.html"}
    texts = {name: (site / name).read_text() for name in found}
    assert [texts[name].count("<figure ") for name in ("index.html", "page-2.html", "page-3.html")] == [3, 3, 1]
    assert [name in texts["page-2.html"] for name in ("photos/p2.html", "photos/p3.html", "photos/p5.html")] == [False, True, True]
    assert '<p class="more"><a rel="next" href="page-2.html">More photos</a></p>' in texts["index.html"]
    assert '<a rel="prev" href="index.html">Earlier photos</a>' in texts["page-2.html"]
    assert '<a rel="next" href="page-3.html">More photos</a>' in texts["page-2.html"]
    assert 'rel="next"' not in texts["page-3.html"] and 'rel="next"' not in texts["albums/sub/index.html"]
    # albums and what it costs stand on the first one
    assert [texts[name].count('class="albums"') for name in ("index.html", "page-2.html")] == [1, 0]
    assert [texts[name].count('class="ledger"') for name in ("index.html", "page-2.html")] == [1, 0]
    assert "<title>Three &amp; more · 2</title>" in texts["page-2.html"]


def test_a_photos_page_leads_back_to_where_it_stands(many: tuple[Path, Report]) -> None:
    site = many[1].site
    up = {name: (site / f"photos/{name}.html").read_text().split('data-up="')[1].split('"')[0] for name in ("p2", "p3", "p6")}
    assert up == {"p2": "../index.html", "p3": "../page-2.html", "p6": "../page-3.html"}
    assert 'data-up="../../albums/sub/index.html"' in (site / "photos/sub/q0.html").read_text()
    assert '<span class="place">4 of 7</span>' in (site / "photos/p3.html").read_text()


def test_the_sitemap_lists_them(many: tuple[Path, Report]) -> None:
    text = (many[1].site / "sitemap.xml").read_text()
    places = ["", "page-2.html", "page-3.html", "albums/sub/"]
    assert text.split("<loc>")[1:5] == [f"https://example.org/{place}</loc></url>\n<url>" for place in places]


def test_a_second_build_writes_no_page(many: tuple[Path, Report], pack: Path) -> None:
    folder, first = many
    before = tree(first.site)
    wanted = PhotoOptions(ms_ssim=False, fallback="jpeg")
    again = build(options(folder, pack, first.site, photo=wanted, judged=0, url="https://example.org/"))
    after = tree(first.site)
    assert (again.reused, set(before) ^ set(after)) == (COUNT + 3, set())
    assert {path for path in before if before[path] != after[path]} == {"manifest.json"}


def test_relative_addresses() -> None:
    def address(start: str, to: str) -> str:
        return pages.Page(start, {}, None, None).to(to)  # type: ignore[arg-type]

    assert address("index.html", "index.html") == "index.html"
    assert address("index.html", "photos/a.html") == "photos/a.html"
    assert address("photos/a/b.html", "photos/a/c.html") == "c.html"
    assert address("photos/a/b.html", "photos/ab/c.html") == "../ab/c.html"
    assert address("photos/a/b.html", "index.html") == "../../index.html"
    assert address("albums/x/index.html", "albums/x/y/index.html") == "y/index.html"


@pytest.fixture
def served(many: tuple[Path, Report]) -> Iterator[Site]:
    host = Site("/some/where/")
    root = many[1].site
    host.files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    yield host
    host.close()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "none"])
def test_an_album_goes_on_by_itself(chromium: Any, served: Site, scripts: bool) -> None:
    pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")
    context = chromium.new_context(viewport={"width": 390, "height": 300}, java_script_enabled=scripts)
    page = context.new_page()
    page.goto(served.url("index.html"))
    if not scripts:
        assert page.locator("figure").count() == 3
        page.click("a[rel=next]")
        assert page.url.endswith("page-2.html")
        # the click returns before the next page's first picture has a box
        image = page.locator("figure img").first
        image.wait_for(state="visible")
        assert image.is_visible()
        context.close()
        return
    # a reader who goes on to the end of what there is
    page.wait_for_function(f"(scrollTo(0, document.documentElement.scrollHeight), document.querySelectorAll('figure').length === {COUNT})")
    assert page.locator("a[rel=next]").count() == 0
    assert served.asked("page-2.html", "page-3.html") == ["page-2.html", "page-3.html"]
    names = page.eval_on_selector_all("figure .name", "all => all.map((e) => e.textContent)")
    assert names == [f"P{index}" for index in range(COUNT)]
    page.locator("figure").last.scroll_into_view_if_needed()
    page.wait_for_selector('figure:last-child .mark[data-stage="done"]')
    assert page.url.endswith("index.html")
    context.close()
