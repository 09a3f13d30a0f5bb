"""Sizes of a site's photos: which there are, what they are made like, and how pages name them."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path

import pytest
from browser import picture
from PIL import Image
from sites import manifest, options

from sdz.export import cli
from sdz.export.site.build import build
from sdz.export.site.photos import PhotoOptions
from sdz.export.site.report import Photo, Report
from sdz.runtime.format.container import parse


@pytest.mark.parametrize(
    ("longest", "sizes"),
    [(511, []), (512, [320]), (767, [320]), (768, [480]), (1411, [480]), (1535, [480]), (1536, [480, 960]), (1920, [480, 960])],
)
def test_sizes_by_default_are_those_that_spare_enough(longest: int, sizes: list[int]) -> None:
    assert PhotoOptions().below(longest) == sizes


def test_sizes_that_are_asked_for() -> None:
    wanted = PhotoOptions(sizes=(900, 300, 600))
    assert (wanted.below(900), wanted.below(700), wanted.below(300)) == ([300, 600], [300, 600], [])
    assert (wanted.longest, PhotoOptions().longest) == (900, 1920)
    assert (replace(wanted, max_side=5000).longest, PhotoOptions(max_side=700).longest) == (5000, 700)


def test_sizes_on_the_command_line() -> None:
    parse_line = cli.parser().parse_args
    assert parse_line(["build", "p", "--out", "o", "--sizes", "960, 480,480"]).sizes == (480, 960)
    assert parse_line(["build", "p", "--out", "o"]).sizes is None
    for wrong in ("", "480,", "0", "-3", "a"):
        with pytest.raises(argparse.ArgumentTypeError):
            cli._sizes(wrong)


@pytest.fixture(scope="module")
def sized(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A photo in three sizes, an upright one in two, a small one in one."""
    folder = tmp_path_factory.mktemp("sized")
    picture(300, 200).save(folder / "a.png")
    picture(80, 120, 1).save(folder / "b.png")
    picture(60, 50, 2).save(folder / "c.png")
    wanted = PhotoOptions(sizes=(60, 120, 240), fallback="webp", ms_ssim=False)
    return build(options(folder, pack, tmp_path_factory.mktemp("sites") / "site", photo=wanted, judged=0))


def sides(photo: Photo) -> list[tuple[int, int]]:
    return [*((size.width, size.height) for size in photo.sizes), (photo.width, photo.height)]


def test_files_of_each_size(sized: Report) -> None:
    assert [sides(photo) for photo in sized.photos] == [[(60, 40), (120, 80), (240, 160)], [(40, 60), (80, 120)], [(60, 50)]]
    for photo in sized.photos:
        for size in photo.sizes:
            header = parse((sized.site / size.shown.path).read_bytes()).header
            assert (header.width, header.height) == (size.width, size.height)
            assert size.fallback is not None
            with Image.open(sized.site / size.fallback.path) as fallback:
                assert (fallback.size, fallback.format) == ((size.width, size.height), "WEBP")


def test_manifest_and_a_second_build_know_them(sized: Report, pack: Path, tmp_path: Path) -> None:
    entry = manifest(sized.site)["photos"][0]
    assert [(size["width"], size["shown"]["path"]) for size in entry["sizes"]] == [(s.width, s.shown.path) for s in sized.photos[0].sizes]
    assert Photo.from_json(entry).sizes == sized.photos[0].sizes
    listed = {asset["path"] for asset in manifest(sized.site)["files"]}
    assert {asset.path for photo in sized.photos for asset in photo.assets()} <= listed


def test_pages_name_the_sizes(sized: Report) -> None:
    text = (sized.site / "index.html").read_text()
    first = sized.photos[0]
    candidates = ", ".join(f"{size.shown.path} {size.width}w" for size in first.sizes) + f", {first.sdz.path} 240w"
    sizes = "(max-width: 40rem) 100vw, calc(1.65 * clamp(12rem, 21vw, 19rem))"
    assert f'<sdz-img src="{first.sdz.path}" srcset="{candidates}" sizes="auto, {sizes}" alt="A" width="240" height="160"' in text
    plain = ", ".join(f"{size.fallback.path} {size.width}w" for size in first.sizes if size.fallback)
    assert first.fallback is not None
    own = first.fallback.path
    assert f'<noscript><img src="{own}" srcset="{plain}, {own} 240w" sizes="{sizes}" alt="A" width="240" height="160"' in text
    # one file, one address
    assert re.search(rf'<sdz-img src="{re.escape(sized.photos[2].sdz.path)}" alt="C"', text)
    assert text.count('rel="modulepreload"') == len(re.findall(r'modulepreload" href="assets/sdz-[0-9a-f]+/', text))
    assert "page/sizes.js" in text
    page = (sized.site / "photos/a.html").read_text()
    assert f'{first.sdz.path} 240w" sizes="auto, 100vw"' in page
    assert "page/sizes.js" not in (sized.site / "photos/c.html").read_text()


def test_smaller_files_are_as_large_in_proportion(pack: Path, tmp_path: Path) -> None:
    """Where the largest has a size in bytes."""
    (tmp_path / "photos").mkdir()
    picture(400, 300).save(tmp_path / "photos/a.png")
    wanted = PhotoOptions(sizes=(200, 400), target_size=2000, ms_ssim=False, fallback="none")
    photo = build(options(tmp_path / "photos", pack, tmp_path / "site", photo=wanted, judged=0)).photos[0]
    assert photo.sdz.bytes == 2000
    assert 350 <= photo.sizes[0].shown.bytes <= 500
    assert photo.sizes[0].fallback is None
