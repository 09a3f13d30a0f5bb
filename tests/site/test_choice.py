"""`sdz build --auto`: which of two files is kept, and what the pages say of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from sites import options

from sdz.export.metrics import similarity
from sdz.export.metrics.pictures import avif_bytes
from sdz.export.site.build import build
from sdz.export.site.photos import PhotoOptions
from sdz.export.site.report import Report

# which of two files is kept


@pytest.fixture
def chosen(photos: Path, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    """A site of three photos: no AVIF is as near to the first, a larger one to the second, a smaller one to the third."""

    def found(picture: Image.Image, distance: float) -> similarity.EqualAvif:
        if picture.mode == "RGBA":
            return similarity.EqualAvif(100_000, ">=", b"", 100)
        if picture.size == (190, 170):
            data = avif_bytes(Image.new("RGB", picture.size, "red"), 0)
            return similarity.EqualAvif(len(data), "=", data, 50)
        return similarity.EqualAvif(99_999, "=", bytes(100_000), 50)

    monkeypatch.setattr(similarity, "avif_at_distance", found)
    return build(options(photos, pack, tmp_path / "site", photo=PhotoOptions(quality=100, auto=True), judged=0))


def test_the_smaller_file_is_kept_and_said_so(chosen: Report) -> None:
    glass, turned, city = chosen.photos
    assert (glass.avif, turned.avif) == (None, None)
    assert glass.choice == f"sdz: {glass.sdz.bytes:,} bytes, no AVIF is as near by ST-LPIPS"
    assert turned.choice == f"sdz: {turned.sdz.bytes:,} bytes against 100,000 at the same ST-LPIPS"
    assert city.avif is not None and city.avif.bytes < city.sdz.bytes
    assert city.choice == f"AVIF: {city.avif.bytes:,} bytes against {city.sdz.bytes:,} at the same ST-LPIPS"
    assert (city.fallback, city.ladder, [s.stage for s in city.stages]) == (None, [], ["avif"])
    assert city.bpp == 8 * city.avif.bytes / (190 * 170)
    assert chosen.downloads["images"].raw == glass.sdz.bytes + turned.sdz.bytes + city.avif.bytes
    assert chosen.downloads["fallbacks"].files == 3
    assert chosen.judged == 3
    on_disk = {p.relative_to(chosen.site).as_posix() for p in chosen.site.rglob("*.sdz")}
    assert on_disk == {glass.sdz.path, turned.sdz.path}
    with Image.open(chosen.site / city.avif.path) as image:
        assert (image.format, image.size) == ("AVIF", (190, 170))


def test_an_avif_that_is_kept_is_a_plain_picture(chosen: Report) -> None:
    city = chosen.photos[2]
    assert city.avif is not None and city.choice is not None
    gallery = (chosen.site / "index.html").read_text(encoding="utf-8")
    assert gallery.count("<sdz-img") == 2
    assert f'<img src="{city.avif.path}" alt="Über der Stadt" width="190" height="170"' in gallery
    for photo in chosen.photos:
        assert f"<small>{photo.choice}</small>" in (chosen.site / f"photos/{photo.name}.html").read_text(encoding="utf-8")
    assert "One of them is AVIF, which was no larger" in gallery
    page = (chosen.site / "photos/uber-der-stadt.html").read_text(encoding="utf-8")
    assert f'<img src="../{city.avif.path}" alt="Über der Stadt"' in page
    assert city.choice in page
    # nothing of the decoder is loaded
    assert re.findall(r'(?:src|href)="[^"]*/([^"/]+\.js)"', page) == ["view.js"]
    assert "canvas" not in page
    for path in (chosen.site / "photos").glob("*.html"):
        for address in re.findall(r'\s(?:src|href|data-src|data-original|data-fallback)="([^"]*)"', path.read_text(encoding="utf-8")):
            assert address == "data:," or (path.parent / address).is_file()


def test_what_was_chosen_is_taken_over(chosen: Report, photos: Path, pack: Path) -> None:
    again = build(options(photos, pack, chosen.site, photo=PhotoOptions(quality=100, auto=True), judged=0))
    assert again.reused == 3
    assert again.photos == chosen.photos
    plain = build(options(photos, pack, chosen.site, photo=PhotoOptions(quality=100), judged=0))
    assert (plain.reused, [p.avif for p in plain.photos], [p.choice for p in plain.photos]) == (0, [None] * 3, [None] * 3)
    assert chosen.photos[2].avif is not None
    assert not (chosen.site / chosen.photos[2].avif.path).exists()
