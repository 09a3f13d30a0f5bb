"""A small site, built once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import picture
from networks import small_pack
from PIL import Image
from sites import options

from sdz.export.site.build import build
from sdz.export.site.report import Report


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pack with random weights: the site does not care what its pictures look like."""
    return small_pack(tmp_path_factory.mktemp("pack")).pack.directory


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three photos, one turned by its EXIF orientation, and a file that is none."""
    folder = tmp_path_factory.mktemp("photos")
    picture(190, 170).save(folder / "Über der Stadt.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(96, 64, 1).save(folder / "turned.jpg", exif=exif)
    see_through = picture(70, 90, 2).convert("RGBA")
    see_through.putalpha(Image.linear_gradient("L").resize(see_through.size))
    see_through.save(folder / "glass.webp", lossless=True)
    (folder / "notes.txt").write_text("no photo, and not looked at")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and then nothing")
    return folder


@pytest.fixture(scope="session")
def built(photos: Path, pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return build(options(photos, pack, tmp_path_factory.mktemp("sites") / "site"))


@pytest.fixture
def copied(built: Report, tmp_path: Path) -> Path:
    """A copy of the built site to change."""
    for source in built.site.rglob("*"):
        if source.is_file():
            target = tmp_path / "site" / source.relative_to(built.site)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(source)
    return tmp_path / "site"
