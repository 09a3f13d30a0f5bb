"""A file with a lossless tail in Chromium: the decode first, then the photo's own pixels; none of the tail where they are not wanted."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from browser import Site, opened, pack_files, picture, served, watching
from PIL import Image

from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.format.container import LOSSLESS, parse
from sdz.runtime.pack import Pack
from sdz.runtime.session import Session

pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")

WIDTH, HEIGHT = 300, 200
HEAD = '<!doctype html><meta charset="utf-8"><title>t</title><script type="module" src="sdz.js"></script>'
WATCH = watching(
    ("progress", "load", "error"), "[event.type, event.detail?.stage ?? event.detail?.code ?? null, event.detail?.bytes ?? null]"
)
PIXELS = """async ({ width, height, url }) => {
  const { decodeBytes } = await import(url);
  const bytes = new Uint8Array(await (await fetch("photo.sdz")).arrayBuffer());
  const start = performance.now();
  const { data, exactRows } = await decodeBytes(bytes);
  return [exactRows, btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join("")), performance.now() - start];
}"""


@pytest.fixture(scope="module")
def photo(session: Session) -> bytes:
    return encode(picture(WIDTH, HEIGHT), session=session, lossless=True)


@pytest.fixture
def site(pack: Pack, photo: bytes) -> Iterator[Site]:
    yield from served(pack_files(pack) | {"photo.sdz": photo})


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    yield from opened(chromium, WATCH)


def told(site: Site, page: Any, attributes: str = "") -> list[list[Any]]:
    site.show(page, f'{HEAD}<sdz-img src="photo.sdz" {attributes}></sdz-img>')
    page.wait_for_function("window.seen.some(([type]) => type !== 'progress')")
    return list(page.evaluate("window.seen"))


def tail_of(data: bytes) -> int:
    tail = parse(data).find(LOSSLESS)
    assert tail is not None
    return tail.offset


def shown(page: Any) -> Any:
    """The element's pixels as they are painted, without the page's margin."""
    box = page.locator("sdz-img").bounding_box()
    return np.asarray(Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB"))


def test_the_decode_and_then_the_photo_itself(site: Site, page: Any, photo: bytes, session: Session) -> None:
    events = told(site, page)
    assert events[-2:] == [["progress", "exact", len(photo)], ["load", None, None]]
    reached = decode(photo, session=session, lossless=False).stage
    assert ["progress", reached, tail_of(photo)] in events[:-2]
    assert page.evaluate("document.querySelector('sdz-img').currentStage") == "exact"
    assert np.array_equal(shown(page), np.asarray(picture(WIDTH, HEIGHT)))
    assert len(site.asked("lossless.wasm")) == 1


@pytest.mark.parametrize("stage", ["denoised", "linear"])
def test_a_page_that_names_a_stage_gets_no_tail(stage: str, site: Site, page: Any, photo: bytes, session: Session) -> None:
    release = site.hold("photo.sdz", tail_of(photo) + 200)
    events = told(site, page, f'data-stage="{stage}"')
    reached = decode(photo, session=session, stage=stage, lossless=False).stage  # type: ignore[arg-type]
    # finished, although most of the file has not been sent
    assert events[-2:] == [["progress", reached, tail_of(photo)], ["load", None, None]]
    assert site.asked("lossless.wasm", "exact.js") == []
    release.set()


def test_a_tail_that_is_late_is_downloaded_from_where_the_first_download_ended(site: Site, page: Any, photo: bytes) -> None:
    site.ranges = True
    release = site.hold("photo.sdz", tail_of(photo) + 200)
    events = told(site, page)
    assert events[-2:] == [["progress", "exact", len(photo)], ["load", None, None]]
    assert np.array_equal(shown(page), np.asarray(picture(WIDTH, HEIGHT)))
    assert (len(site.asked("photo.sdz")), site.spans) == (2, [("photo.sdz", tail_of(photo) + 200)])
    release.set()


def test_where_the_file_has_changed_meanwhile_the_new_one_comes_whole(site: Site, page: Any, photo: bytes, session: Session) -> None:
    site.ranges = True
    release = site.hold("photo.sdz", tail_of(photo) + 200)
    later = encode(picture(WIDTH, HEIGHT, 1), session=session, lossless=True)
    site.files["index.html"] = f'{HEAD}<sdz-img src="photo.sdz"></sdz-img>'.encode()
    site.hold("work/exact.js", 0)
    page.goto(site.url("index.html"))
    page.wait_for_function("window.seen.length > 0")
    site.files["photo.sdz"] = later
    site.gates.pop("photo.sdz")
    site.gates["work/exact.js"].open.set()
    page.wait_for_function("window.seen.some(([type]) => type !== 'progress')")
    assert page.evaluate("window.seen").pop(-2) == ["progress", "exact", len(later)]
    assert np.array_equal(shown(page), np.asarray(picture(WIDTH, HEIGHT, 1)))
    assert site.spans == []
    release.set()


def test_a_host_without_ranges_sends_the_file_again(site: Site, page: Any, photo: bytes) -> None:
    release = site.hold("photo.sdz", tail_of(photo) + 200)
    site.show(page, f'{HEAD}<sdz-img src="photo.sdz"></sdz-img>')
    page.wait_for_function("window.seen.length > 0")
    release.set()
    page.wait_for_function("window.seen.some(([type]) => type !== 'progress')")
    assert page.evaluate("window.seen").pop(-2) == ["progress", "exact", len(photo)]
    assert len(site.asked("photo.sdz")) == 2


def test_a_tail_that_is_cut_leaves_the_other_rows_as_they_are(site: Site, page: Any, photo: bytes) -> None:
    site.files["photo.sdz"] = photo[:-1]
    events = told(site, page)
    assert events[-1][0] == "load" and events[-2][1] != "exact"


def test_a_damaged_tail_is_an_error(site: Site, page: Any, photo: bytes) -> None:
    site.files["photo.sdz"] = photo[:-1] + bytes([photo[-1] ^ 1])
    assert told(site, page)[-1][:2] == ["error", "CorruptFileError"]


def test_pages_decode_the_photo_itself(site: Site, page: Any) -> None:
    told(site, page, 'data-stage="linear"')
    rows, encoded, _ = page.evaluate(PIXELS, {"width": WIDTH, "height": HEIGHT, "url": site.url("decode.js")})
    rgba = np.frombuffer(base64.b64decode(encoded), np.uint8).reshape(HEIGHT, WIDTH, 4)
    assert rows == HEIGHT and np.array_equal(rgba[:, :, :3], np.asarray(picture(WIDTH, HEIGHT)))
