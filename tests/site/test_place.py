"""Where a site may be written, and what in its folder is left alone."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from browser import picture
from sites import manifest, options

from sdz.export.site import place
from sdz.export.site.build import build
from sdz.export.site.manifest import JOURNAL, OPENING, is_ours
from sdz.export.site.photos import PhotoOptions
from sdz.export.site.place import SiteWriteError
from sdz.export.site.report import Report

FAST: dict[str, Any] = {"judged": 0, "brotli_quality": 0, "photo": PhotoOptions(fallback="none", ms_ssim=False)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of two small photos."""
    (tmp_path / "in").mkdir()
    picture(40, 30).save(tmp_path / "in" / "a.png")
    picture(30, 40, 1).save(tmp_path / "in" / "b.png")
    return tmp_path / "in"


def test_a_site_below_its_photos_is_no_photo(folder: Path, pack: Path) -> None:
    for _ in range(2):
        report = build(options(folder, pack, folder / "public" / "site", **FAST))
        assert [photo.source for photo in report.photos] == ["a.png", "b.png"]
        assert (report.problems, report.left_out) == ([], [])
    # nor is one of another build
    report = build(options(folder, pack, folder / "other", **FAST))
    assert [photo.source for photo in report.photos] == ["a.png", "b.png"]
    assert report.left_out == [f"{folder / 'public/site'}: left out: a site that sdz built"]


def test_photos_in_the_sites_folder_are_refused(folder: Path, pack: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    before = sorted(folder.iterdir())
    for inputs, site, text in (
        (folder, folder, f"{folder} is the folder of the site"),
        (tmp_path / "link", folder, f"{tmp_path / 'link'} is the folder of the site"),
        (folder / "a.png", folder, f"{folder / 'a.png'} lies in the site's folder, {folder}"),
        (folder, tmp_path, f"{folder} lies in the site's folder, {tmp_path}"),
    ):
        with pytest.raises(SiteWriteError) as stopped:
            build(options(inputs, pack, site, **FAST))
        assert str(stopped.value) == f"{text}: give photos and site folders of their own, with --out"
    assert sorted(folder.iterdir()) == before


def test_a_folder_of_somebody_else_is_refused(folder: Path, pack: Path, tmp_path: Path) -> None:
    site = tmp_path / "public"
    own = {"index.html": "mine", "manifest.json": '{"name": "App"}', ".x.part": "mine", "photos/.y.part": "mine", ".build.jsonl": "{}"}
    for name, text in own.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    with pytest.raises(SiteWriteError) as stopped:
        build(options(folder, pack, site, **FAST))
    assert str(stopped.value) == (
        f"{site} holds other files, and no site of ours: .build.jsonl, .x.part, index.html, manifest.json, photos. Name an empty folder; "
        "or with --force the site is written among them, over those of the same names"
    )
    assert {name: (site / name).read_text() for name in own} == own
    assert sum(path.is_file() for path in site.rglob("*")) == len(own)
    build(options(folder, pack, site, force=True, **FAST))
    kept = {name: text for name, text in own.items() if name not in ("index.html", "manifest.json")}
    assert {name: (site / name).read_text() for name in kept} == kept
    assert is_ours(site)


def test_many_files_in_the_way_are_counted(folder: Path, pack: Path, tmp_path: Path) -> None:
    for number in range(11):
        (tmp_path / "site").mkdir(exist_ok=True)
        (tmp_path / "site" / f"{number:02}.txt").touch()
    with pytest.raises(SiteWriteError, match=r"00\.txt, .*, 07\.txt and 3 more\. Name an empty folder"):
        build(options(folder, pack, tmp_path / "site", **FAST))


def test_own_files_in_a_site_of_ours(built: Report, folder: Path, pack: Path, copied: Path) -> None:
    (copied / "photos" / "a.html").write_text("mine")
    (copied / "photos" / "b.html.br").write_text("mine")
    (copied / "assets" / ".mine.part").write_text("mine")
    with pytest.raises(SiteWriteError) as stopped:
        build(options(folder, pack, copied, **FAST))
    assert str(stopped.value) == (
        f"{copied} holds files that sdz did not make where pages are to be: photos/a.html, photos/b.html.br. --force overwrites them"
    )
    assert (copied / "photos" / "a.html").read_text() == "mine"
    assert (copied / "index.html").read_bytes() == (built.site / "index.html").read_bytes()
    build(options(folder, pack, copied, force=True, **FAST))
    assert (copied / "photos" / "a.html").read_text() != "mine"
    assert (copied / "assets" / ".mine.part").read_text() == "mine"


def test_what_a_cut_off_build_left_is_ours(folder: Path, pack: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / JOURNAL).parent.mkdir(parents=True)
    (site / JOURNAL).write_bytes(OPENING + b'\n{"photo": {"key": "half a li')
    (site / JOURNAL).with_name(".0123456789abcdef.part").write_bytes(b"half")
    (site / "assets").mkdir()
    (site / "assets" / "half.txt").touch()
    assert build(options(folder, pack, site, **FAST)).reused == 0
    assert not (site / JOURNAL).parent.exists()
    # but no journal of another program
    (site / JOURNAL).parent.mkdir()
    (site / JOURNAL).write_bytes(b"mine")
    (site / "manifest.json").unlink()
    with pytest.raises(SiteWriteError, match=r"holds other files, and no site of ours: \.sdz-build, assets, index\.html, "):
        build(options(folder, pack, site, **FAST))


def test_files_of_an_older_version_go(folder: Path, pack: Path, copied: Path) -> None:
    listed = manifest(copied)
    old = [entry["path"] for entry in listed["files"] if entry["path"].startswith("assets/")]
    (copied / "manifest.json").unlink()
    (copied / "manifest.json").write_text(json.dumps({**listed, "format": 1}))
    report = build(options(folder, pack, copied, **FAST))
    kept = {asset for asset in old if (copied / asset).exists()}
    assert report.reused == 0
    assert kept == {path for path in kept if path.startswith("assets/sdz-")}


def test_names_that_are_not_utf8(pack: Path, tmp_path: Path) -> None:
    source = tmp_path / os.fsdecode(b"in/caf\xe9.png")
    source.parent.mkdir()
    picture(40, 30).save(source)
    shutil.copy(source, tmp_path / "in" / os.fsdecode(b"\xff\xfe.png"))
    site = tmp_path / "site"
    report = build(options(source.parent, pack, site, **FAST))
    assert [(p.name, p.title, p.source) for p in report.photos] == [("cafe", "Café", "café.png"), ("yþ", "Ÿþ", "ÿþ.png")]
    assert (site / "photos" / "yþ.html").is_file()
    assert build(options(source.parent, pack, site, **FAST)).reused == 2


@pytest.mark.parametrize("length", [241, 251])
def test_long_names(length: int, pack: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    picture(40, 30).save(tmp_path / "in" / ("x" * length + ".png"))
    report = build(options(tmp_path / "in", pack, tmp_path / "site", **FAST))
    assert [photo.name for photo in report.photos] == ["x" * 64]


def test_files_are_on_the_disk_before_pages_refer_to_them(
    folder: Path, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every byte is flushed before it has its name, every folder before the pages are written, the manifest last."""
    site = tmp_path / "site"
    order: list[str] = []
    flushed: set[Path] = set()
    fsync, replace_ = os.fsync, Path.replace

    def synced(number: int) -> None:
        path = Path(f"/proc/self/fd/{number}").resolve()
        if path.is_dir():
            order.append(f"sync {path.relative_to(site)}")
        else:
            flushed.add(path)
        fsync(number)

    def renamed(path: Path, target: Path) -> Path:
        assert path in flushed
        flushed.add(target)
        order.append(f"name {target.relative_to(site)}")
        return replace_(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    build(options(folder, pack, site, **FAST))
    pages = [order.index(f"name {page}") for page in ("index.html", "photos/a.html", "sw.js")]
    last_asset = max(index for index, entry in enumerate(order) if entry.startswith("name assets/"))
    assert last_asset < order.index("sync assets") < min(pages)
    assert max(pages) < order.index("sync photos") < order.index("name manifest.json")
    assert order[-1] == "sync ."


def test_a_tampered_manifest_removes_nothing_outside(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "mine.txt").write_text("mine")
    place.remove(tmp_path / "site", "../mine.txt")
    assert (tmp_path / "mine.txt").read_text() == "mine"
