"""Regions of a site's photos: asked for beside a photo, scaled to its files, outlined on its page, beside a file without them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import picture
from PIL import Image
from sites import manifest, options

from sdz.export.site.build import build
from sdz.export.site.parts.protected import closer, floors_of, inside, outline, scaled
from sdz.export.site.photos import PhotoOptions
from sdz.export.site.report import Photo, Report
from sdz.export.site.texts import Texts, read_folder
from sdz.runtime.errors import EncodeInputError
from sdz.runtime.format.container import REGIONS, parse
from sdz.runtime.regions.written import region_of, regions_of

FLOORS = np.array([[2, 2, 2, 2], [2, 0, 0, 2], [2, 0, 2, 1]], np.uint8)
"""Of a picture of 60 x 44 pixels in blocks of 16."""


# asked for


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("1,2,3,4", ((1, 2, 3, 4), 1)),
        ("0,0,640,427:+2", ((0, 0, 640, 427), 2)),
        ("5,6,7,8:-4", ((5, 6, 7, 8), -4)),
        ("5,6,7,8:0", ((5, 6, 7, 8), 0)),
    ],
)
def test_a_region_as_people_write_it(text: str, region: Any) -> None:
    assert region_of(text) == region
    assert regions_of(f" {text}\t{text} ") == (region, region)


@pytest.mark.parametrize(
    "text", ["", "1,2,3", "1,2,3,4,5", "a,2,3,4", "-1,2,3,4", "1,2,3,4:", "1,2,3,4:+5", "1, 2,3,4", "1,2,3,9999999999"]
)
def test_what_is_no_region(text: str) -> None:
    with pytest.raises(EncodeInputError):
        region_of(text)


def test_regions_and_subjects_beside_a_photo(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("title: A\nregions: 1,2,3,4:+2 5,6,7,8\nprotect: text, faces\n\nWords")
    (tmp_path / "b.md").write_text("regions: 9,9\nprotect: cats")
    (tmp_path / "photos.csv").write_text('file,alt,regions,protect\na.jpg,An A,"8,8,8,8",\nc.jpg,,,faces\n')
    (tmp_path / "album.txt").write_text("title: All\nprotect: text")
    found = read_folder(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    assert found.photos == {
        "a.jpg": Texts("A", "An A", "Words", protect=("text", "faces"), regions=(((8, 8, 8, 8), 1),)),
        "c.jpg": Texts(protect=("faces",)),
    }
    assert found.problems == [
        f"{tmp_path / 'b.md'}: protect: 'cats' cannot be protected, text and faces can",
        f"{tmp_path / 'b.md'}: regions: '9,9' is not X,Y,W,H or X,Y,W,H:+N",
        f"{tmp_path}: protect and regions are of one photo: write them beside it",
    ]


# what is shown of them


def test_boxes_of_the_whole_photo_in_a_smaller_file() -> None:
    assert scaled([((10, 20, 30, 40), 2)], (400, 200), (400, 200)) == (((10, 20, 30, 40), 2),)
    # whole pixels that cover as much
    assert scaled([((10, 21, 30, 40), -1)], (400, 200), (100, 50)) == (((2, 5, 8, 11), -1),)
    assert scaled([((399, 0, 1, 200), 1)], (400, 200), (3, 2)) == (((2, 0, 1, 2), 1),)
    for box in ((390, 0, 11, 5), (0, 0, 0, 5), (0, 200, 5, 5)):
        with pytest.raises(EncodeInputError, match="does not lie in the photo of 400 x 200 pixels"):
            scaled([(box, 1)], (400, 200), (100, 50))


def test_the_outline_is_where_blocks_of_different_precision_meet() -> None:
    assert outline(FLOORS, 16, 60, 44) == "M16 16H48M32 32H60M16 16V44M32 32V44M48 16V44"
    assert outline(np.zeros((3, 4), np.uint8), 16, 60, 44) == ""


def test_what_is_enlarged_is_around_the_largest_of_the_finest_regions() -> None:
    # three blocks of 16..48 x 16..44, a quarter wider and higher, within the picture
    assert closer(FLOORS, 16, 60, 44) == (12, 9, 40, 35)
    assert closer(np.array([[0, 1, 0], [1, 1, 0]], np.uint8), 16, 48, 32) == (28, 0, 20, 32)
    assert closer(np.zeros((2, 2), np.uint8), 16, 30, 20) == (0, 0, 30, 20)


def test_psnr_inside_is_that_of_the_finest_blocks() -> None:
    original = np.zeros((44, 60, 3), np.uint8)
    shown = original.copy()
    shown[:16] = 200
    assert inside(FLOORS, 16, shown, original) == float("inf")
    shown[16:32, 16:32] = 10
    # 256 of 256 + 256 + 192 pixels
    assert inside(FLOORS, 16, shown, original) == pytest.approx(10 * np.log10(255**2 / (100 * 256 / 704)))


# a site


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("regions")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(200, 400).save(found / "sign.png", exif=exif)
    picture(64, 48, 1).save(found / "plain.png")
    (found / "photos.csv").write_text('file,regions\nsign.png,"0,0,64,40:+2"\n')
    return found


@pytest.fixture(scope="module")
def protected(folder: Path, pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    wanted = PhotoOptions(sizes=(100, 200), fallback="none", ms_ssim=False, originals=True)
    return build(options(folder, pack, tmp_path_factory.mktemp("sites") / "site", photo=wanted, judged=0))


def photo_of(report: Report, name: str) -> Photo:
    return next(photo for photo in report.photos if photo.name == name)


def test_boxes_are_of_the_photo_as_it_is_seen_in_full_size(protected: Report) -> None:
    """400 x 200 upright, published 200 and 100 pixels long: 64 x 40 pixels at the top left are 32 x 20 and 16 x 10, and the overlap."""
    photo = photo_of(protected, "sign")
    assert (photo.width, photo.height, [(size.width, size.height) for size in photo.sizes]) == (200, 100, [(100, 50)])
    floors = [floors_of(parse((protected.site / asset.path).read_bytes()), 16) for asset in (photo.sdz, photo.sizes[0].shown)]
    assert [map_ is not None and map_.shape for map_ in floors] == [(7, 13), (4, 7)]
    finest = [np.argwhere(map_ == map_.min()).max(axis=0).tolist() for map_ in floors if map_ is not None]
    assert finest == [[1, 2], [0, 1]]
    assert photo_of(protected, "plain").protection is None


def test_beside_it_stands_a_file_of_as_many_bytes_without(protected: Report) -> None:
    photo = photo_of(protected, "sign")
    assert photo.protection is not None and photo.protection.plain is not None
    data = (protected.site / photo.protection.plain.path).read_bytes()
    assert (len(data), parse(data).find(REGIONS)) == (photo.sdz.bytes, None)
    assert photo.protection.inside is not None and photo.protection.inside[0] > photo.protection.inside[1]
    assert Photo.from_json(next(entry for entry in manifest(protected.site)["photos"] if entry["name"] == "sign")) == photo
    page = (protected.site / "photos/sign.html").read_text()
    assert f'data-plain="../{photo.protection.plain.path}" data-box="{" ".join(map(str, photo.protection.closer))}"' in page
    assert re.findall(r'aria-hidden="true"><path d="([^"]+)"/><path d="([^"]+)"/></svg>', page) == [(photo.protection.outline,) * 2]
    assert 'class="protected"' not in (protected.site / "photos/plain.html").read_text()


def test_without_originals_there_is_none(folder: Path, pack: Path, protected: Report, tmp_path: Path) -> None:
    wanted = PhotoOptions(sizes=(200,), fallback="none", ms_ssim=False)
    report = build(options(folder, pack, tmp_path / "site", photo=wanted, judged=0))
    before, photo = photo_of(protected, "sign"), photo_of(report, "sign")
    assert before.protection is not None
    assert photo.protection == replace(before.protection, plain=None, inside=None)
    page = (report.site / "photos/sign.html").read_text()
    assert 'class="outline"' in page and "data-plain" not in page and 'class="pair"' not in page


def test_a_box_outside_the_photo_is_told(pack: Path, tmp_path: Path) -> None:
    picture(64, 48).save(tmp_path / "a.png")
    picture(64, 48, 1).save(tmp_path / "b.png")
    (tmp_path / "a.txt").write_text("regions: 60,0,5,5")
    report = build(options(tmp_path, pack, tmp_path / "site", photo=PhotoOptions(fallback="none", ms_ssim=False), judged=0))
    assert [photo.name for photo in report.photos] == ["b"]
    assert report.problems == [f"{tmp_path / 'a.png'}: region 60,0,5,5 does not lie in the photo of 64 x 48 pixels"]


def test_another_region_makes_the_photo_again(folder: Path, pack: Path, tmp_path: Path) -> None:
    picture(64, 48).save(tmp_path / "a.png")
    wanted = options(tmp_path, pack, tmp_path / "site", photo=PhotoOptions(fallback="none", ms_ssim=False), judged=0)
    build(wanted)
    assert build(wanted).reused == 1
    (tmp_path / "a.txt").write_text("title: A")
    assert build(wanted).reused == 1
    (tmp_path / "a.txt").write_text("title: A\nregions: 0,0,5,5")
    assert build(wanted).reused == 0
