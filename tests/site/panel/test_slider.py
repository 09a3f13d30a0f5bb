"""The byte slider of a photo's page, from 30 bytes to the photo itself: the builder's figures and files, and the panel in Chromium."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Site, hosted, picture
from sites import manifest, options

from sdz.export.site import pages
from sdz.export.site.build import build
from sdz.export.site.pages import Stop, rate_curve, stops
from sdz.export.site.parts.exact import tail_ladder
from sdz.export.site.parts.measures import cuts
from sdz.export.site.photos import PhotoOptions
from sdz.export.site.report import Photo, Report, text_report
from sdz.runtime import limits
from sdz.runtime.decode import decode, open_latents
from sdz.runtime.encode import encode
from sdz.runtime.format.container import LATENTS, LOSSLESS, parse
from sdz.runtime.lossless.tail import band_ends
from sdz.runtime.pack import load_pack
from sdz.runtime.session import Session

pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")


# figures


def test_cuts_begin_where_the_slider_does_and_meet_the_head() -> None:
    assert cuts(9132, 60) == [30, 60, 164, 448, 1223, 3343, 9132]
    assert cuts(9132, 0) == [30, 94, 295, 927, 2910, 9132]
    assert cuts(25, 0) == [25]
    assert cuts(40, 60) == [30, 40]


@pytest.mark.parametrize(("height", "width", "grey"), [(200, 300, False), (130, 700, False), (193, 512, True), (1, 5, False)])
def test_bands_end_where_decoding_them_says(height: int, width: int, grey: bool, pack: Path) -> None:
    image = picture(width, height).convert("L" if grey else "RGB")
    opened = open_latents(encode(image, pack=load_pack(pack), lossless=True), pack=load_pack(pack))
    assert opened.tail is not None
    ends = list(band_ends(opened.tail.payload, height, 1 if grey else 3))
    assert [row for row, _ in ends] == [rows.stop for rows, _ in opened.exact_bands()]
    assert ends[-1][1] == len(opened.tail.payload)


def test_psnr_of_a_cut_tail_is_that_of_its_decode(pack: Path) -> None:
    image, loaded = picture(300, 200), load_pack(pack)
    session = Session(loaded)
    original = np.asarray(image)
    plain = decode(encode(image, session=session), session=session).pixels
    data = encode(image, session=session, lossless=True)
    ladder = tail_ladder(data, plain, original)
    # bands of 62, 126, 190 and all 200 rows: of the shares of the rows, these pass a quarter, a half and fifteen sixteenths
    assert [level is None for _, level in ladder] == [False, False, False, True]
    assert ladder[-1] == (len(data), None)
    for count, level in ladder[:-1]:
        shown = decode(data, session=session, max_bytes=count)
        assert shown.exact_rows in (126, 190) or shown.exact_rows == 62
        error = np.mean(np.square(shown.pixels.astype(np.float64) - original))
        assert level == pytest.approx(10 * np.log10(255**2 / error), abs=6e-4)


# a site


@pytest.fixture(scope="module")
def lossless(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A photo that is published as large as it is, a larger one, both with exact pixels."""
    folder = tmp_path_factory.mktemp("exact")
    picture(190, 170).save(folder / "city.png")
    picture(300, 64, 1).save(folder / "wide.png")
    (folder / "photos.csv").write_text('file,regions\ncity.png,"64,64,32,32:+1"\n')
    wanted = PhotoOptions(max_side=200, lossless=True, originals=True, ms_ssim=False)
    return build(options(folder, pack, tmp_path_factory.mktemp("sites") / "site", photo=wanted, judged=0))


def photo_of(report: Report, name: str) -> Photo:
    return next(photo for photo in report.photos if photo.name == name)


def test_the_exact_file_is_the_pages_file_and_a_tail(lossless: Report, pack: Path) -> None:
    photo = photo_of(lossless, "city")
    assert photo.exact is not None and photo.itself is photo.exact
    shown, whole = ((lossless.site / asset.path).read_bytes() for asset in (photo.sdz, photo.exact.file))
    assert [chunk.tag for chunk in parse(shown).chunks] == [b"R", LATENTS]
    assert [chunk.tag for chunk in parse(whole).chunks] == [b"R", LATENTS, LOSSLESS]
    assert parse(shown).find(LATENTS).payload == parse(whole).find(LATENTS).payload  # type: ignore[union-attr]
    assert whole.startswith(shown)
    rgba = picture(190, 170).convert("RGBA").tobytes()
    assert (photo.exact.width, photo.exact.height, photo.exact.sha256) == (190, 170, hashlib.sha256(rgba).hexdigest())
    assert photo.ladder[-1] == (len(whole), None)
    assert Photo.from_json(next(entry for entry in manifest(lossless.site)["photos"] if entry["name"] == "city")) == photo


def test_a_photo_that_is_published_smaller_has_its_exact_pixels_for_download(lossless: Report, pack: Path) -> None:
    photo = photo_of(lossless, "wide")
    assert photo.exact is not None and photo.itself is None
    assert (photo.width, photo.exact.width, photo.exact.height) == (200, 300, 64)
    decoded = decode((lossless.site / photo.exact.file.path).read_bytes(), pack=load_pack(pack))
    assert np.array_equal(decoded.pixels, np.asarray(picture(300, 64, 1)))
    assert photo.ladder[-1][0] == photo.sdz.bytes
    page = (lossless.site / "photos/wide.html").read_text()
    assert 'value="exact"' not in page and "data-exact" not in page
    assert f'href="../{photo.exact.file.path}" download="Wide.sdz"' in page and "300 × 64" in page


def test_a_photo_too_large_for_exact_pixels_is_published_and_says_so(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(300, 64).save(tmp_path / "a.jpg")
    picture(90, 64).save(tmp_path / "b.png")
    monkeypatch.setattr(limits, "MAX_SIDE", 200)
    wanted = PhotoOptions(max_side=100, lossless=True, fallback="none", ms_ssim=False)
    report = build(options(tmp_path, pack, tmp_path / "site", photo=wanted, judged=0))
    assert [(photo.name, photo.exact is None) for photo in report.photos] == [("a", True), ("b", False)]
    reason = "over a limit: 300x64 pixels, a side holds at most 200"
    assert report.photos[0].not_exact is not None and report.photos[0].not_exact.startswith(reason)
    assert f"a.jpg: no lossless file: {reason}" in text_report(report)


def test_stops_and_curve(lossless: Report) -> None:
    photo = photo_of(lossless, "city")
    assert photo.itself is not None
    head = len(base64.b64decode(photo.head))
    assert head > 60
    levels = dict(photo.ladder)
    assert stops(photo) == [
        Stop("head", head, levels[head], True),
        Stop("picture", photo.sdz.bytes, photo.best.psnr, True),
        Stop("exact", photo.itself.file.bytes, None, True),
    ]
    curve = rate_curve(photo)
    assert curve is not None and curve.high is None
    assert curve.line.startswith("0,") and curve.line.endswith(f" {pages.CURVE_WIDTH},0")
    assert curve.marks[-1] == pages.CURVE_WIDTH and curve.marks == sorted(curve.marks)
    assert [stop.name for stop in stops(photo_of(lossless, "wide"))] == ["head", "picture"]


# in the browser


@pytest.fixture
def served(lossless: Report) -> Iterator[Site]:
    yield from hosted(lossless.site)


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 390, "height": 844})
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    yield page
    assert page.complaints == []
    context.close()


def test_the_slider_goes_on_to_the_photo_itself(page: Any, served: Site, lossless: Report) -> None:
    photo = photo_of(lossless, "city")
    assert photo.itself is not None
    exact = photo.itself.file.path
    page.goto(served.url("photos/city.html"))
    page.wait_for_function("() => document.querySelector('.picture sdz-img').complete")
    assert served.asked("panel.css", "photo.js", "lossless.wasm", Path(exact).name) == []
    page.click(".how summary")
    page.wait_for_selector('.verdict[data-same="true"]')
    assert page.text_content(".used") == f"{photo.sdz.bytes:,}"
    assert served.asked("lossless.wasm", Path(exact).name) == []
    assert page.get_attribute(".stops button:nth-child(2)", "aria-pressed") == "true"
    # by its button, by the slider's end, by the stage's name
    page.click(".stops button:last-child")
    page.wait_for_selector('.study[data-shown="exact"]')
    page.wait_for_selector('.verdict[data-same="true"]')
    assert page.get_attribute(".study", "data-pixels") == photo.itself.sha256
    assert page.text_content(".verdict") == "All 129,200 bytes of these pixels are those of the photo itself."
    assert served.asked(Path(exact).name) == [exact]
    assert page.is_checked("input[value=exact]") and page.is_disabled(".dial input")
    page.check("input[value=linear]", force=True)
    page.wait_for_selector('.study[data-shown="linear"]')
    assert page.text_content(".used") == f"{photo.sdz.bytes:,}"
    page.check("input[value=exact]", force=True)
    page.wait_for_selector('.study[data-shown="exact"]')
    assert page.text_content(".used") == f"{photo.itself.file.bytes:,}"
    page.focus(".bytes input")
    page.keyboard.press("ArrowLeft")
    # a cut tail: rows of the photo itself from the top, the others at the last stage
    page.wait_for_selector(f'.study[data-shown="{photo.best.stage}"]')
    assert page.is_checked("input[value=exact]") and page.is_hidden(".verdict")
    page.keyboard.press("Home")
    assert page.text_content(".used") == "30"
    assert page.is_checked("input[value=linear]")
    assert served.asked(Path(exact).name) == [exact]


def test_an_exact_file_that_is_lost_is_told_and_the_picture_stays(page: Any, served: Site, lossless: Report) -> None:
    photo = photo_of(lossless, "city")
    assert photo.itself is not None
    data = served.files.pop(photo.itself.file.path)
    page.goto(served.url("photos/city.html"))
    page.click(".how summary")
    page.wait_for_selector('.verdict[data-same="true"]')
    page.click(".stops button:last-child")
    page.wait_for_selector('.verdict[data-same="false"]')
    assert page.text_content(".verdict") == "NetworkError: Error: HTTP status 404"
    assert page.is_visible(".decoded")
    served.files[photo.itself.file.path] = data
    page.click(".stops button:first-child")
    page.click(".stops button:last-child")
    page.wait_for_selector('.study[data-shown="exact"]')
    assert [text for text in page.complaints if "404" not in text] == []
    page.complaints.clear()


def test_regions_are_outlined_and_stand_beside_the_file_without_them(page: Any, served: Site, lossless: Report, pack: Path) -> None:
    photo = photo_of(lossless, "city")
    assert photo.protection is not None and photo.protection.plain is not None
    page.goto(served.url("photos/city.html"))
    page.wait_for_function("() => document.querySelector('.picture sdz-img').complete")
    assert served.asked(Path(photo.protection.plain.path).name) == []
    page.click(".how summary")
    page.wait_for_selector('.verdict[data-same="true"]')
    opacity = "getComputedStyle(document.querySelector('.outline')).opacity"
    assert page.evaluate(opacity) == "0"
    page.check(".protected input")
    page.wait_for_function(f"() => {opacity} === '1'")
    crops = """() => [...document.querySelectorAll('.pair canvas')].map((canvas) => {
      const { width, height } = canvas;
      const copy = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
      copy.drawImage(canvas, 0, 0);
      return [width, height, [...copy.getImageData(0, 0, width, height).data]];
    })"""
    left, top, width, height = photo.protection.closer
    expected = [
        np.asarray(decode((lossless.site / asset.path).read_bytes(), pack=load_pack(pack)).to_pil().convert("RGBA"))
        for asset in (photo.sdz, photo.protection.plain)
    ]
    places = [image[top : top + height, left : left + width] for image in expected]
    page.wait_for_function(f"() => ({crops})().every(([, , values]) => values[3] === 255)")
    for (across, down, values), place in zip(page.evaluate(crops), places, strict=True):
        assert (across, down) == (width, height)
        assert np.array_equal(np.array(values, np.uint8).reshape(down, across, 4), place)
    page.check("input[value=plain]", force=True)
    page.wait_for_selector(".plain:not([hidden])")
    assert page.text_content(".tag.right") == "Unprotected"
    assert page.is_visible(".pair small >> nth=0")
    page.click(".stops button:first-child")
    page.wait_for_function("() => document.querySelector('.pair small').hidden")


def test_without_the_panels_sheet_the_figures_are_there_and_nothing_else(page: Any, served: Site, lossless: Report) -> None:
    """Lost, or asked for by a module that is: a page from disk has none."""
    for name in [path for path in served.files if path.endswith(("panel.css", "photo.js"))]:
        del served.files[name]
    page.goto(served.url("photos/city.html"))
    page.click(".how summary")
    page.wait_for_selector(".how:not([data-styling]) .figures")
    assert not page.locator(".stand").is_visible() and page.locator(".figures").is_visible()
    page.wait_for_timeout(100)
    page.complaints.clear()


def test_what_the_page_says_without_scripts(chromium: Any, served: Site, lossless: Report) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=False)
    page = context.new_page()
    page.goto(served.url("photos/city.html"))
    page.click(".how summary")
    # the panel's own sheet is there
    assert page.evaluate("getComputedStyle(document.querySelector('.figures dl div')).display") == "flex"
    assert not page.locator(".stand").is_visible()
    assert re.search(r"The photo itself\s+[\d,]+ B", page.inner_text(".figures"))
    context.close()


def test_the_dial_stands_where_the_file_has_its_realism(page: Any, pack: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    picture(190, 170).save(tmp_path / "photos" / "city.png")
    wanted = PhotoOptions(tune="faithful", ms_ssim=False)
    report = build(options(tmp_path / "photos", pack, tmp_path / "site", photo=wanted, judged=0))
    photo = photo_of(report, "city")
    assert (photo.realism, photo.best.stage) == (0, "decoded")
    data = (report.site / photo.sdz.path).read_bytes()
    for site in hosted(report.site):
        page.goto(site.url("photos/city.html"))
        page.wait_for_function("() => document.querySelector('.picture sdz-img').complete")
        page.click(".how summary")
        page.wait_for_selector('.verdict[data-same="true"]')
        assert page.input_value(".dial input") == "0" and page.text_content(".dial output") == "faithful"
        assert page.get_attribute(".study", "data-shown") == "decoded"
        page.focus(".dial input")
        page.keyboard.press("End")
        page.wait_for_selector('.study[data-shown="denoised"]')
        assert page.text_content(".dial output") == "natural" and page.is_hidden(".verdict")
        # all of the moves are what a reader of the file may ask for
        assert decode(data, pack=load_pack(pack), realism=1.0).stage == "denoised"
