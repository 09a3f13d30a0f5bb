"""axe-core finds nothing on a site's pages: album, photo, opened panels, light and dark, narrow and wide."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import ROOT, Site, picture
from sites import options

from sdz.export.site.build import build
from sdz.export.site.photos import PhotoOptions
from sdz.export.site.report import Report
from sdz.export.site.theme.theme import Theme

pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")

AXE = ROOT / "node_modules/axe-core/axe.min.js"
FOUND = """async () => {
  const { violations, passes } = await axe.run(document, { resultTypes: ["violations"] });
  const seen = new Set(passes.map(({ id }) => id));
  return [violations.map(({ id, nodes }) => [id, nodes.map(({ target, failureSummary }) => `${target}: ${failureSummary}`)]),
    ["color-contrast", "role-img-alt", "document-title", "html-has-lang"].filter((id) => !seen.has(id))];
}"""
PAGES = ("index.html", "page-2.html", "albums/sub/index.html", "photos/a.html", "photos/sub/c.html")


def made(folder: Path, pack: Path, **changes: Any) -> Report:
    """An album of two pages and one below it, with and without texts and capture data."""
    photos = folder / "photos"
    (photos / "sub").mkdir(parents=True)
    exif = {0x010F: "Make", 0x0110: "Model"}
    for index, name in enumerate(("a", "b", "sub/c", "sub/d")):
        image = picture(150, 100, index)
        written = image.getexif()
        written.update(exif)
        image.save(photos / f"{name}.jpg", exif=written)
    (photos / "a.txt").write_text("title: A harbour\nalt: Boats in the evening\ndate: 2024-05-03\n\nA caption.\n\nAnd another line.")
    (photos / "album.md").write_text("# Summer\n\nWhat it was like.")
    wanted = PhotoOptions(originals=True, sizes=(100, 150), fallback="jpeg", ms_ssim=False)
    return build(options(photos, pack, folder / "site", photo=wanted, judged=0, **changes))


@pytest.fixture(scope="module")
def reports(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sdz.export.site.pages.PHOTOS", 1)
        plain = made(tmp_path_factory.mktemp("plain"), pack)
        themed = made(tmp_path_factory.mktemp("themed"), pack, theme=Theme(accent="#ffdd00", lang="he"))
    return {"plain": plain, "themed": themed}


@pytest.fixture(scope="module", params=["plain", "themed"])
def served(request: pytest.FixtureRequest, reports: dict[str, Report]) -> Iterator[Site]:
    host = Site("/")
    root = reports[request.param].site
    host.files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    yield host
    host.close()


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(chromium: Any, served: Site, scheme: str, width: int) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    found = {}
    for path in PAGES:
        page.goto(served.url(path))
        page.wait_for_function("[...document.querySelectorAll('sdz-img')].every((e) => e.complete || e.loading === 'lazy')")
        for summary in page.locator("summary").all():
            summary.click()
        if path.startswith("photos/"):
            page.wait_for_selector(".verdict:not([hidden])")
            page.check("input[value=original]")
            page.wait_for_selector(".divider:not([hidden])")
        page.add_script_tag(path=AXE)
        violations, unchecked = page.evaluate(FOUND)
        found[path] = violations
        assert unchecked == [], path
        assert page.evaluate("document.documentElement.scrollWidth") == width
    assert found == {path: [] for path in PAGES}
    context.close()


def test_axe_finds_what_is_wrong(chromium: Any, served: Site) -> None:
    """So that nothing found means something."""
    page = chromium.new_page()
    page.goto(served.url("index.html"))
    page.wait_for_function("customElements.get('sdz-img') !== undefined")
    page.evaluate("document.querySelector('.name').style.color = '#bbb'")
    page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<sdz-img></sdz-img><img src=\"data:,\">')")
    page.add_script_tag(path=AXE)
    assert {name for name, _ in page.evaluate(FOUND)[0]} == {"color-contrast", "image-alt", "role-img-alt"}
    page.close()


def test_without_scripts_and_in_print_nothing_is_lost(chromium: Any, served: Site) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 900}, java_script_enabled=False)
    page = context.new_page()
    page.goto(served.url("photos/a.html"))
    assert page.locator(".picture img").is_visible()
    assert page.locator(".full").is_hidden()
    assert page.locator("a[download]").is_visible()
    page.emulate_media(media="print")
    assert page.locator(".actions").is_hidden()
    context.close()
