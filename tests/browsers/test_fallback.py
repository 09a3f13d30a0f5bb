"""The fallback of <sdz-img>: painted as an <img> would be, whatever part is lost, and gone where the part comes after all."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from browser import TYPES, Site, opened, pack_files, picture, served, watching

from sdz.runtime.encode import encode
from sdz.runtime.pack import Pack
from sdz.runtime.session import Session

playwright = pytest.importorskip("playwright.sync_api", reason="the fallback's tests need playwright")

HEAD = '<!doctype html><meta charset="utf-8"><title>t</title><style>body { margin: 0 }</style>'
SCRIPTS = '<script defer src="fallback.js"></script><script type="module" src="sdz.js"></script>'
WATCH = watching(("load", "error"), "[event.type, event.detail?.code ?? null]")
IMAGE = '<img src="b.png" width="90" height="60" alt="a fallback">'
BODY = f'<sdz-img src="a.sdz" width="90" height="60" alt="a picture"><noscript>{IMAGE}</noscript></sdz-img>'

MODULES = ("sdz.js", "page/load.js", "format/transfer.js")
WORKERS = ("worker.js", "engine.js")
PACKS = ("manifest.json", "linear.bin", "coder.bin")
WEIGHTS = ("decoder.core.bin", "denoiser.core.bin")
BEFORE_PAINT = (*MODULES, *WORKERS, "sdz.wasm", *PACKS, "a.sdz")


@pytest.fixture(scope="module")
def files(session: Session) -> dict[str, bytes]:
    out = io.BytesIO()
    picture(90, 60, 4).save(out, "PNG")
    return {"a.sdz": encode(picture(90, 60, 3), session=session), "b.png": out.getvalue()}


@pytest.fixture
def site(pack: Pack, files: dict[str, bytes]) -> Iterator[Site]:
    pages = {"index.html": (HEAD + SCRIPTS + BODY).encode(), "image.html": (HEAD + IMAGE).encode()}
    yield from served(pack_files(pack) | files | pages)


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    yield from opened(chromium, WATCH, (200, 120), 30_000)


@pytest.fixture
def painted(site: Site, page: Any) -> bytes:
    """What an <img> of the fallback looks like."""
    page.goto(site.url("image.html"))
    return bytes(page.screenshot())


def path_of(site: Site, part: str) -> str:
    return next(path for path in site.files if path == part or (path.startswith("packs/") and path.endswith(f"/{part}")))


def wait_for_paint(page: Any, expected: bytes) -> None:
    """Fails by its time limit where the page never looks like that."""
    for _ in range(300):
        # while one document gives way to another there is nothing to photograph
        with suppress(playwright.Error):
            if page.screenshot() == expected:
                return
        page.wait_for_timeout(100)
    raise AssertionError("the fallback is not what is painted")


TRUSTED = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; img-src 'self' blob:; \
style-src 'self' 'unsafe-inline'; require-trusted-types-for 'script'; trusted-types sdz sdz-fallback"


@pytest.mark.parametrize("part", ["sdz.js", "page/load.js", "worker.js", "a.sdz"])
def test_a_part_that_is_not_there_under_trusted_types(site: Site, page: Any, painted: bytes, part: str) -> None:
    """Also where the pictures inside <noscript> are markup that a policy has to know of: the classic script's, or the element's."""
    site.headers = {"Content-Security-Policy": TRUSTED}
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if "Trusted" in message.text else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    del site.files[part]
    page.goto(site.url("index.html"))
    wait_for_paint(page, painted)
    assert complaints == []


def test_modules_that_come_late_have_their_own_policy(site: Site, page: Any, painted: bytes) -> None:
    site.headers = {"Content-Security-Policy": TRUSTED}
    release = site.hold("page/load.js")
    page.goto(site.url("index.html"), wait_until="commit")
    wait_for_paint(page, painted)
    release.set()
    page.wait_for_function("() => window.seen.length > 0")
    assert page.evaluate("window.seen") == [["load", None]]


@pytest.mark.parametrize("part", [*BEFORE_PAINT, *WEIGHTS])
def test_a_part_that_is_not_there(site: Site, page: Any, painted: bytes, part: str) -> None:
    del site.files[path_of(site, part)]
    page.goto(site.url("index.html"))
    wait_for_paint(page, painted)
    assert_named(page, part)


@pytest.mark.parametrize("part", [*MODULES, *WORKERS, "sdz.wasm", *PACKS, *WEIGHTS, "a.sdz"])
def test_a_part_of_other_bytes(site: Site, page: Any, painted: bytes, part: str) -> None:
    """A web application's page in its place, as hosts send it with status 200."""
    path = path_of(site, part)
    site.files[path] = b"<!doctype html><title>not found</title>"
    page.goto(site.url("index.html"))
    wait_for_paint(page, painted)
    assert_named(page, part)


@pytest.mark.parametrize("part", [*PACKS[1:], *WEIGHTS, "a.sdz"])
def test_a_part_with_one_changed_byte(site: Site, page: Any, painted: bytes, part: str) -> None:
    """Damage that only a digest or the container's checks can see; in the file's own header here."""
    path = path_of(site, part)
    content = site.files[path]
    data = bytearray(content.read_bytes() if isinstance(content, Path) else content)
    data[5 if part == "a.sdz" else len(data) // 2] ^= 0xFF
    site.files[path] = bytes(data)
    page.goto(site.url("index.html"))
    wait_for_paint(page, painted)
    assert_named(page, part)


@pytest.mark.parametrize("suffix", [".js", ".wasm"])
def test_types_that_are_none(site: Site, page: Any, painted: bytes, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts need theirs; the core does without one."""
    monkeypatch.setitem(TYPES, suffix, "application/octet-stream")
    page.goto(site.url("index.html"))
    if suffix == ".js":
        # with fallback.js, a classic script, which needs none
        wait_for_paint(page, painted)
        return
    page.wait_for_function("window.seen.length === 1")
    assert page.evaluate("window.seen") == [["load", None]]


@pytest.mark.parametrize("part", BEFORE_PAINT)
def test_a_part_that_hangs_and_comes_after_all(site: Site, page: Any, painted: bytes, part: str) -> None:
    arrive = site.hold(path_of(site, part))
    page.goto(site.url("index.html"), wait_until="commit")
    wait_for_paint(page, painted)
    assert page.evaluate("window.seen") == []
    arrive.set()
    page.wait_for_function("window.seen.length === 1")
    assert page.evaluate("window.seen") == [["load", None]]
    assert page.screenshot() != painted
    assert page.evaluate("document.querySelector('sdz-img').currentStage") == "denoised"


def test_a_part_that_hangs_in_its_middle(site: Site, page: Any, painted: bytes) -> None:
    """Of the picture itself: what its first bytes paint stays, and no fallback is loaded."""
    site.hold("a.sdz", at=60)
    page.goto(site.url("index.html"))
    page.wait_for_function("document.querySelector('sdz-img').currentStage === 'linear'")
    page.wait_for_timeout(2500)
    assert site.asked("b.png") == ["b.png"]  # for the image of `painted`
    assert page.screenshot() != painted


def assert_named(page: Any, part: str) -> None:
    """The picture's own name stands; where there is an element, it told of the error once."""
    assert page.get_by_role("img", name="a fallback" if part in MODULES else "a picture").count() == 1
    seen = page.evaluate("window.seen")
    assert [kind for kind, _ in seen] == ([] if part in MODULES else ["error"])


def test_its_text_is_the_fallbacks_where_there_is_no_other(site: Site, page: Any, painted: bytes) -> None:
    site.show(page, (HEAD + SCRIPTS + BODY.replace(' alt="a picture"', "").replace("a.sdz", "lost.sdz")))
    wait_for_paint(page, painted)
    assert page.get_by_role("img", name="a fallback").count() == 1


@pytest.mark.parametrize("fallback", ['<a href="b.png">the picture as PNG</a>', '<img src="b.png" alt="x"><p>and words</p>'])
def test_a_fallback_that_is_more_than_a_picture(site: Site, page: Any, fallback: str) -> None:
    """All of it is shown, not the picture alone."""
    site.show(page, (HEAD + SCRIPTS + f'<sdz-img src="lost.sdz" alt="">{fallback}</sdz-img>'))
    page.wait_for_function("window.seen.length === 1")
    page.wait_for_function("[...document.querySelector('sdz-img').children].every((child) => child.getBoundingClientRect().width > 0)")


@pytest.mark.parametrize("how", ["lost", "hangs"])
def test_the_module_that_chooses_among_sizes(site: Site, page: Any, painted: bytes, how: str) -> None:
    if how == "lost":
        del site.files["page/sizes.js"]
    else:
        site.hold("page/sizes.js")
    site.show(page, (HEAD + SCRIPTS + BODY.replace('src="a.sdz"', 'src="a.sdz" srcset="a.sdz 90w"')))
    wait_for_paint(page, painted)
    assert page.evaluate("window.seen") == ([["error", "NetworkError"]] if how == "lost" else [])


@pytest.mark.parametrize(
    ("fallback", "sides"),
    [
        ('<img srcset="b.png 2x" alt="">', [45, 30]),
        ('<img srcset="b.png 90w" sizes="60px" alt="">', [60, 40]),
        ('<picture><source srcset="b.png 3x"><img src="lost.png" alt=""></picture>', [30, 20]),
        ('<picture><img src="b.png" alt=""></picture>', [90, 60]),
    ],
)
def test_a_fallback_of_another_density(site: Site, page: Any, fallback: str, sides: list[int]) -> None:
    """Has the box of that <img>, not that of its file."""
    site.show(page, (HEAD + SCRIPTS + f'<sdz-img src="lost.sdz"><noscript>{fallback}</noscript></sdz-img>'))
    box = "(({ width, height }) => [width, height])(document.querySelector('sdz-img').getBoundingClientRect())"
    page.wait_for_function(f"JSON.stringify({box}) === {json.dumps(json.dumps(sides, separators=(',', ':')))}")
    page.wait_for_timeout(100)
    assert page.evaluate(box) == sides


def test_the_fallback_goes_when_the_source_is_set_again(site: Site, page: Any, painted: bytes) -> None:
    data = site.files.pop("a.sdz")
    page.goto(site.url("index.html"))
    wait_for_paint(page, painted)
    site.files["a.sdz"] = data
    page.evaluate("document.querySelector('sdz-img').src = 'a.sdz'")
    page.wait_for_function("window.seen.at(-1)[0] === 'load'")
    assert page.screenshot() != painted
