"""`sdz build`: what it writes, what it leaves alone, what it refuses, and the site in Chromium with and without scripts."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import brotli
import numpy as np
import pytest
from browser import Site, picture
from networks import small_pack
from PIL import Image

from sdz.export import cli
from sdz.export.metrics import similarity
from sdz.export.site import build as builder
from sdz.export.site import library, pages
from sdz.export.site.assets import Asset, hashed_name, write_asset
from sdz.export.site.build import BuildOptions, Download, NoPhotosError, Report, SiteWriteError, build, gather, names_for, summarize
from sdz.export.site.photos import Measured, Photo, PhotoOptions, title_of
from sdz.runtime.decode import decode
from sdz.runtime.format.container import parse
from sdz.runtime.pack import load_pack

playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pack with random weights: the site does not care what its pictures look like."""
    return small_pack(tmp_path_factory.mktemp("pack")).pack.directory


@pytest.fixture(scope="module")
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


def options(photos: Path, pack: Path, out: Path, **changes: Any) -> BuildOptions:
    return replace(BuildOptions([str(photos)], out, pack=pack, title="Three & more", judged=1, brotli_quality=1), **changes)


@pytest.fixture(scope="module")
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


def manifest(root: Path) -> dict[str, Any]:
    return dict(json.loads((root / "manifest.json").read_bytes()))


def tree(root: Path) -> dict[str, tuple[int, int]]:
    """Every file with its inode and modification time: equal where nothing was written."""
    return {str(p.relative_to(root)): (p.stat().st_ino, p.stat().st_mtime_ns) for p in sorted(root.rglob("*")) if p.is_file()}


# what a build writes


def test_photos_and_problems(built: Report, photos: Path) -> None:
    assert [(p.name, p.width, p.height) for p in built.photos] == [("glass", 70, 90), ("turned", 64, 96), ("uber-der-stadt", 190, 170)]
    assert [p.title for p in built.photos] == ["Glass", "Turned", "Über der Stadt"]
    assert len(built.problems) == 1
    assert built.problems[0].startswith(f"{photos / 'broken.jpg'}: the image cannot be read: ")
    assert (built.reused, built.judged) == (0, 1)


def test_manifest_lists_every_file_with_its_digest(built: Report) -> None:
    listed = manifest(built.site)["files"]
    on_disk = {str(p.relative_to(built.site)) for p in built.site.rglob("*") if p.is_file()}
    assert on_disk == {path for entry in listed for path in Asset(**entry).paths()} | {"manifest.json"}
    for entry in listed:
        data = (built.site / entry["path"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["bytes"], entry["sha256"])
        if entry["brotli"] is not None:
            packed = (built.site / f"{entry['path']}.br").read_bytes()
            assert (len(packed), brotli.decompress(packed)) == (entry["brotli"], data)
        if entry["gzip"] is not None:
            packed = (built.site / f"{entry['path']}.gz").read_bytes()
            assert (len(packed), gzip.decompress(packed)) == (entry["gzip"], data)


def test_names_below_assets_carry_their_digest(built: Report) -> None:
    for entry in manifest(built.site)["files"]:
        path = entry["path"]
        if path.startswith("assets/") and not path.startswith("assets/sdz-"):
            assert re.fullmatch(r"assets/[a-z0-9-]+\.([0-9a-f]{16})\.[a-z]+", path), path
            assert entry["sha256"].startswith(path.split(".")[1])


def test_library_holds_what_the_browser_loads(built: Report, pack: Path) -> None:
    folder = next((built.site / "assets").glob("sdz-*"))
    inside = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.suffix not in (".br", ".gz")}
    assert {"sdz.js", "page/element.js", "worker.js", "demo/style.css", "ort/ort-wasm-simd-threaded.wasm"} <= inside
    packed = sorted(name for name in inside if name.startswith(f"packs/{built.pack}/"))
    graphs = load_pack(pack).graphs
    expected = ["manifest.json", "linear.bin", "coder.bin", graphs["decoder"].file, graphs["denoiser"].file]
    assert packed == sorted(f"packs/{built.pack}/{name}" for name in expected)


def test_scripts_of_the_first_paint_keep_their_budget(built: Report) -> None:
    """25 kB after brotli: all modules that stand before the neural runtime."""
    folder = next((built.site / "assets").glob("sdz-*"))
    sizes = {path.name: len(brotli.compress(path.read_bytes(), quality=11)) for path in folder.glob("*.js")}
    assert {path.name for path in library.WEB.glob("*.js")} == sizes.keys()
    # loaded by the service worker's pages, after everything else; by packs with a codebook or with palettes; by pictures with alpha
    for name in ("sw.js", "indices.js", "palette.js", "alpha.js", "inflate.js"):
        del sizes[name]
    assert sum(sizes.values()) <= 25_000, sizes


def test_modules_without_comments_decode_every_vector(built: Report, tmp_path: Path) -> None:
    folder = next((built.site / "assets").glob("sdz-*"))
    shutil.copytree(folder, tmp_path / "web")
    shutil.copytree(library.ROOT / "tests" / "web", tmp_path / "tests" / "web")
    (tmp_path / "tests" / "vectors").symlink_to(library.ROOT / "tests" / "vectors")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    done = subprocess.run(["node", "--test", "tests/web/vectors.test.js"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "# fail 0" in done.stdout and "# pass 0" not in done.stdout


def test_comments_are_left_out_and_nothing_else() -> None:
    module = """/**
 * What it is.
 */
import { a } from "./a.js";
  // why
const url = "https://localhost/"; // stays
const odd = /\\/\\*/; /** @type {number} */ (odd);
  /** @type {number} */ (odd);
/** @param {string} x */ function f(x) { return `/** ${x} */ // `; }
"""
    kept = """import { a } from "./a.js";
const url = "https://localhost/"; // stays
const odd = /\\/\\*/; /** @type {number} */ (odd);
  (odd);
function f(x) { return `/** ${x} */ // `; }
"""
    assert library.stripped(module) == library.NOTICE + kept


def test_addresses_are_relative_and_lead_somewhere(built: Report) -> None:
    for page in built.site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", text), "a strict policy forbids anything inline"
        addresses = re.findall(r'\s(?:src|href|data-src|data-original|data-fallback)="([^"]*)"', text)
        assert len(addresses) > 5
        for address in addresses:
            if address != "data:,":
                assert not address.startswith(("/", "http:", "https:", "//"))
                assert (page.parent / address).is_file(), f"{page.name}: {address}"
        for path, integrity in re.findall(r'(?:src|href)="([^"]+)" integrity="sha256-([^"]+)"', text):
            digest = hashlib.sha256((page.parent / path).read_bytes()).digest()
            assert integrity == base64.b64encode(digest).decode()


def test_pages_escape_titles(built: Report) -> None:
    text = (built.site / "index.html").read_text(encoding="utf-8")
    assert "<h1>Three &amp; more</h1>" in text


def test_photo_figures(built: Report, pack: Path) -> None:
    """The digest of each stage is that of the runtime's pixels, which the browser must reproduce."""
    loaded = load_pack(pack)
    for photo in built.photos:
        data = (built.site / photo.sdz.path).read_bytes()
        assert parse(data).header.step_index == photo.step_index
        for measured in photo.stages:
            decoded = decode(data, stage=measured.stage, pack=loaded)  # type: ignore[arg-type]
            rgba = decoded.to_pil().convert("RGBA")
            assert hashlib.sha256(rgba.tobytes()).hexdigest() == measured.sha256
        assert photo.ladder[-1][0] == len(data)
        assert photo.best.ms_ssim is None or photo.width == 190
    judged = [p for p in built.photos if p.st_lpips is not None]
    assert [p.name for p in judged] == ["turned"]
    assert judged[0].avif_equal is not None


def test_fallbacks_show_the_same_picture(built: Report) -> None:
    for photo in built.photos:
        assert photo.fallback is not None
        for asset in (photo.fallback, photo.original):
            with Image.open(built.site / asset.path) as image:
                assert image.size == (photo.width, photo.height)
                assert image.has_transparency_data == (photo.name == "glass")
                assert not image.getexif()


@pytest.mark.parametrize(("kind", "suffix"), [("webp", ".webp"), ("jpeg", ".jpeg"), ("none", "")])
def test_other_fallbacks(kind: str, suffix: str, photos: Path, pack: Path, tmp_path: Path) -> None:
    wanted = options(photos / "turned.jpg", pack, tmp_path, photo=PhotoOptions(fallback=kind), judged=0)
    report = build(wanted)
    fallback = report.photos[0].fallback
    assert (fallback is None) if kind == "none" else (fallback is not None and fallback.path.endswith(suffix))
    assert ("<noscript><img" in (tmp_path / "index.html").read_text(encoding="utf-8")) == (kind != "none")
    assert report.downloads["fallbacks"].files == (kind != "none")


def test_exact_size_and_longest_side(photos: Path, pack: Path, tmp_path: Path) -> None:
    wanted = PhotoOptions(target_size=150, max_side=100, fallback="none")
    report = build(options(photos, pack, tmp_path, photo=wanted, judged=0))
    assert {p.name: (p.width, p.height) for p in report.photos} == {"glass": (70, 90), "turned": (64, 96), "uber-der-stadt": (100, 89)}
    assert [p.sdz.bytes for p in report.photos if p.name != "glass"] == [150, 150]


# which of two files is kept


@pytest.fixture
def chosen(photos: Path, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    """A site of three photos: no AVIF is as near to the first, a larger one to the second, a smaller one to the third."""

    def found(picture: Image.Image, distance: float) -> similarity.EqualAvif:
        if picture.mode == "RGBA":
            return similarity.EqualAvif(100_000, ">=", b"")
        if picture.size == (190, 170):
            data = similarity.avif_bytes(Image.new("RGB", picture.size, "red"), 0)
            return similarity.EqualAvif(len(data), "=", data)
        return similarity.EqualAvif(99_999, "=", bytes(100_000))

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
    assert f"AVIF · {city.avif.bytes:,} B" in gallery
    assert all(f"<td>{photo.choice}</td>" in gallery for photo in chosen.photos)
    assert "1 of them is AVIF, which was no larger" in gallery
    page = (chosen.site / "photos/uber-der-stadt.html").read_text(encoding="utf-8")
    assert f'<img src="../{city.avif.path}" alt="Über der Stadt"' in page
    assert city.choice in page
    assert "<script" not in page and "canvas" not in page
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


# what a second build does


def test_second_build_writes_only_the_manifest(photos: Path, pack: Path, copied: Path) -> None:
    before, content = tree(copied), (copied / "manifest.json").read_bytes()
    report = build(options(photos, pack, copied))
    after = tree(copied)
    pages_written = {path for path in after if after[path] != before[path]}
    assert report.reused == 3
    assert all(
        path.endswith((".html", ".html.br", ".html.gz")) or "sizes." in path or path in ("manifest.json", "sw.js") for path in pages_written
    )
    assert (copied / "manifest.json").read_bytes() == content


def test_changed_and_removed_photos(photos: Path, pack: Path, copied: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "turned.jpg").hardlink_to(photos / "turned.jpg")
    picture(40, 40, 9).save(folder / "glass.webp")
    (copied / "own.html").write_text("not ours")
    old = {p["name"]: p for p in manifest(copied)["photos"]}
    report = build(options(folder, pack, copied, judged=0))
    assert (report.reused, [p.name for p in report.photos]) == (1, ["glass", "turned"])
    assert report.photos[1].sdz.path == old["turned"]["sdz"]["path"]
    assert not (copied / old["glass"]["sdz"]["path"]).exists()
    assert not (copied / "photos" / "uber-der-stadt.html").exists()
    assert (copied / "own.html").read_text() == "not ours"


@pytest.mark.parametrize("change", [{"force": True}, {"photo": PhotoOptions(quality=20)}, {"photo": PhotoOptions(fallback="webp")}])
def test_options_that_make_everything_again(change: dict[str, Any], photos: Path, pack: Path, copied: Path) -> None:
    assert build(options(photos / "turned.jpg", pack, copied, judged=0, **change)).reused == 0


def test_damaged_asset_is_made_again(photos: Path, pack: Path, copied: Path) -> None:
    target = copied / manifest(copied)["photos"][1]["sdz"]["path"]
    target.unlink()
    target.write_bytes(b"cut")
    report = build(options(photos, pack, copied))
    assert report.reused == 2
    assert target.read_bytes()[:3] == b"SDZ"


def test_interruption_keeps_the_old_pages_and_the_work_done(
    photos: Path, pack: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {p: p.read_bytes() for p in copied.rglob("*.html")}
    wanted = options(photos, pack, copied, photo=PhotoOptions(quality=30))
    made = []

    def interrupted(job: Any) -> Any:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(make(job))
        return made[-1]

    make = builder.make_photo
    monkeypatch.setattr(builder, "make_photo", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(wanted)
    assert {p: p.read_bytes() for p in copied.rglob("*.html")} == before
    for entry in manifest(copied)["files"]:
        assert (copied / entry["path"]).stat().st_size == entry["bytes"]
    monkeypatch.undo()
    (copied / "assets" / ".x.sdz.0123abcd.part").write_bytes(b"half")
    assert build(wanted).reused == sum(result.photo is not None for result in made)
    listed = {path for entry in manifest(copied)["files"] for path in Asset(**entry).paths()} | {"manifest.json"}
    assert listed == {str(p.relative_to(copied)) for p in copied.rglob("*") if p.is_file()}


def test_full_disk(photos: Path, pack: Path, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {p: p.read_bytes() for p in copied.rglob("*.html")}

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("sdz.export.site.assets.write_atomically", full)
    with pytest.raises(SiteWriteError, match=r"cannot write the site .*: No space left on device \(.*\); the pages there are as they were"):
        build(options(photos, pack, copied, force=True))
    assert {p: p.read_bytes() for p in copied.rglob("*.html")} == before


def test_tampered_manifest_reaches_nothing_outside(photos: Path, pack: Path, copied: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    changed = manifest(copied)
    changed["files"].append({"path": "../outside.txt", "bytes": 4, "sha256": "0" * 64, "brotli": None, "gzip": None})
    (copied / "manifest.json").unlink()
    (copied / "manifest.json").write_text(json.dumps(changed))
    build(options(photos, pack, copied))
    assert outside.read_text() == "mine"


@pytest.mark.parametrize("text", ["", "[]", '{"format": 0}', '{"format": 1, "photos": [{}], "files": []}', '{"a": 1}'])
def test_manifest_and_journal_of_nobody(text: str, photos: Path, pack: Path, copied: Path) -> None:
    for name in (builder.MANIFEST, builder.JOURNAL):
        (copied / name).unlink(missing_ok=True)
        (copied / name).write_text(text)
    assert build(options(photos / "turned.jpg", pack, copied, judged=0)).reused == 0


def test_workers_make_the_same_site(photos: Path, pack: Path, built: Report, tmp_path: Path) -> None:
    report = build(options(photos, pack, tmp_path / "site", jobs=2))
    assert [(p.name, p.sdz, p.stages, p.ladder) for p in report.photos] == [(p.name, p.sdz, p.stages, p.ladder) for p in built.photos]
    assert report.problems == built.problems


# bad input


def test_no_photos(tmp_path: Path, pack: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.png").write_bytes(b"none")
    with pytest.raises(NoPhotosError, match="the folder holds no file to read"):
        build(options(tmp_path / "empty", pack, tmp_path / "site"))
    with pytest.raises(NoPhotosError, match="no photo could be read"):
        build(options(tmp_path / "bad.png", pack, tmp_path / "site"))
    assert not (tmp_path / "site" / "index.html").exists()


def test_inputs_named_twice_count_once(photos: Path) -> None:
    sources, problems = gather([str(photos), str(photos / "turned.jpg"), str(photos / "." / "turned.jpg")])
    assert [s.name for s in sources] == ["broken.jpg", "glass.webp", "turned.jpg", "Über der Stadt.png"]
    assert problems == []


def test_command_line(
    photos: Path, pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "ORT_FILES", library.ORT_FILES[:1])  # the wasm takes half a minute to compress as the command does
    out = tmp_path / "site"
    command = ["build", str(photos), "missing.png", "--out", str(out), "--pack", str(pack), "--judge", "0", "--jobs", "1"]
    assert cli.main(command) == 1
    printed = capsys.readouterr()
    errors = printed.err.splitlines()
    assert [line.split(": ")[1] for line in errors] == [str(photos / "broken.jpg"), "missing.png"]
    lines = printed.out.splitlines()
    assert lines[0].split()[:4] == ["photo", "pixels", "bytes", "bpp"]
    assert [line.split()[:2] for line in lines[1:4]] == [["glass", "70x90"], ["turned", "64x96"], ["uber-der-stadt", "190x170"]]
    assert "How sdz compares with AVIF was not measured." in lines
    assert cli.main([*command, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["reused"], len(report["photos"]), len(report["problems"])) == (3, 3, 2)
    assert cli.main(["build", str(tmp_path / "none.png"), "--out", str(out), "--pack", str(pack)]) == 1
    assert cli.main(["build", str(photos), "--out", str(out), "--pack", str(tmp_path)]) == 1
    assert "manifest.json" in capsys.readouterr().err


def test_command_line_passes_the_choice_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[PhotoOptions] = []

    def refused(wanted: BuildOptions) -> Report:
        asked.append(wanted.photo)
        raise NoPhotosError("enough")

    monkeypatch.setattr(builder, "build", refused)
    command = ["build", "a.png", "--out", str(tmp_path)]
    assert [cli.main(command), cli.main([*command, "--auto", "-q", "30"])] == [1, 1]
    assert asked == [PhotoOptions(), PhotoOptions(quality=30.0, auto=True)]


@pytest.mark.parametrize(
    "arguments",
    [
        ["build"],
        ["build", "a.png"],
        ["build", "a.png", "--out", "s", "-q", "101"],
        ["build", "a.png", "--out", "s", "-q", "50", "--bpp", "1"],
        ["build", "a.png", "--out", "s", "--jobs", "0"],
        ["build", "a.png", "--out", "s", "--fallback", "gif"],
        ["paint"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2


def test_missing_onnxruntime_web(photos: Path, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "ORT_DIST", Path("nowhere"))
    with pytest.raises(library.MissingRuntimeError, match="run `npm ci` there"):
        build(options(photos, pack, tmp_path / "site"))


# small parts


def test_names() -> None:
    sources = [Path("a/Été 1.jpg"), Path("b/ete-1.png"), Path("写真.jpg"), Path("c/ete 1.webp"), Path("photo.png")]
    assert names_for(sources) == ["ete-1", "ete-1-2", "photo", "ete-1-3", "photo-2"]
    assert title_of(Path("x/motorcycle_left.png")) == "Motorcycle left"
    assert title_of(Path("--.png")) == "--"


def test_kilobytes() -> None:
    assert [pages.kilobytes(n) for n in (0, 9_999, 10_000, 999_949, 1_000_000, 14_239_897)] == [
        "0 B",
        "9,999 B",
        "10.0 kB",
        "999.9 kB",
        "1.00 MB",
        "14.24 MB",
    ]


def test_write_asset(tmp_path: Path) -> None:
    text = b"body { color: red }\n" * 50
    asset = write_asset(tmp_path, hashed_name("a", text, ".css"), text)
    assert asset.path == f"assets/a.{hashlib.sha256(text).hexdigest()[:16]}.css"
    assert asset.paths() == [asset.path, f"{asset.path}.br", f"{asset.path}.gz"]
    assert asset.wire == asset.brotli == (tmp_path / f"{asset.path}.br").stat().st_size
    picture_file = write_asset(tmp_path, "assets/p.sdz", text)
    assert (picture_file.brotli, picture_file.gzip, picture_file.wire) == (None, None, len(text))
    assert write_asset(tmp_path, "assets/e.css", b"").paths() == ["assets/e.css"]


def photo_of(size: int, avif: int | None) -> Photo:
    asset = Asset("assets/x.sdz", size, "0" * 64)
    stages = [Measured("linear", 30.0, 0.9, "0" * 64)]
    return Photo(
        "k", "x", "X", "x.png", 100, 80, 40, asset, None, asset, stages, [], 1.0, 1.0, 0.1 if avif else None, avif, "=" if avif else None
    )


@pytest.mark.parametrize(
    ("avif", "saving", "after", "sentence"),
    [
        ([1500, 1700], 600.0, 5, "has paid for itself after 5 images"),
        ([1000, 1000], 0.0, None, "never pays for itself in bytes"),
        ([900, 700], -200.0, None, "is 200 B smaller than the .sdz on average over 2 photos"),
        ([None, None], None, None, "was not measured"),
    ],
)
def test_payback(avif: list[int | None], saving: float | None, after: int | None, sentence: str) -> None:
    shared = library.Library({}, "assets/sdz-0")
    assets = [Asset("assets/sdz-0/sdz.js", 5000, "", 1000), Asset("assets/sdz-0/packs/1/decoder.onnx", 3000, "", 2000)]
    photos = [photo_of(1000, size) for size in avif]
    report = summarize(BuildOptions([], Path("s")), "01020304", photos, assets, shared, 0, [])
    assert (report.saving, report.pays_after) == (saving, after)
    assert sentence in pages.payback(report)
    assert report.downloads["runtime"] == Download(1, 5000, 1000)
    assert report.downloads["models"] == Download(1, 3000, 2000)
    assert report.downloads["images"] == Download(2, 2000, 2000)


@pytest.mark.parametrize(
    ("avif", "saving", "after", "sentence"),
    [
        (
            [1700, 900],
            350.0,
            9,
            "1 of 2 photos are kept as AVIF, which needs no more bytes there at the same ST-LPIPS. The files kept save 350 B",
        ),
        (
            [800, 900],
            0.0,
            None,
            "2 of 2 photos are kept as AVIF, which needs no more bytes there at the same ST-LPIPS: sdz saves nothing here.",
        ),
    ],
)
def test_payback_where_the_smaller_file_is_kept(avif: list[int], saving: float, after: int | None, sentence: str) -> None:
    shared = library.Library({}, "assets/sdz-0")
    assets = [Asset("assets/sdz-0/sdz.js", 5000, "", 1000), Asset("assets/sdz-0/packs/1/decoder.onnx", 3000, "", 2000)]
    photos = [replace(photo_of(1000, n), choice="why", avif=Asset("assets/x.avif", n, "0" * 64) if n <= 1000 else None) for n in avif]
    report = summarize(BuildOptions([], Path("s")), "01020304", photos, assets, shared, 0, [])
    assert (report.saving, report.pays_after) == (saving, after)
    assert sentence in pages.payback(report)
    assert report.downloads["images"].raw == sum(min(n, 1000) for n in avif)


def test_measures() -> None:
    a = np.asarray(picture(200, 180))
    b = np.clip(a.astype(np.int16) + 10, 0, 255).astype(np.uint8)
    flat = np.full((8, 8, 3), 100, np.uint8)
    assert similarity.psnr(a, a) == float("inf")
    assert similarity.psnr(flat, flat + 16) == pytest.approx(24.0484, abs=1e-4)
    assert similarity.structural_similarity(a, a) == pytest.approx(1.0, abs=1e-6)
    assert similarity.structural_similarity(a[:160], b[:160]) is None


def test_avif_at_distance() -> None:
    small = picture(80, 64)
    pixels = np.asarray(small)
    assert similarity.perceptual_distance(pixels, pixels) == pytest.approx(0.0, abs=1e-6)
    lowest = similarity.avif_at_distance(small, 10.0)
    highest = similarity.avif_at_distance(small, -1.0)
    coarse, fine = similarity.avif_bytes(small, 0), similarity.avif_bytes(small, 100)
    assert (lowest, highest) == (similarity.EqualAvif(len(coarse), "<=", coarse), similarity.EqualAvif(len(fine), ">=", b""))
    with Image.open(io.BytesIO(similarity.avif_bytes(small, 40))) as decoded:
        distance = similarity.perceptual_distance(np.asarray(decoded.convert("RGB")), pixels)
    equal = similarity.avif_bytes(small, 40)
    assert similarity.avif_at_distance(small, distance) == similarity.EqualAvif(len(equal), "=", equal)


# in the browser


@pytest.fixture
def served(built: Report) -> Iterator[Site]:
    """The site on a host that knows nothing of it, under a prefix, with the policy that `server` sends."""
    from sdz.server.headers import security_headers

    host = Site("/some/where/")
    host.files = {p.relative_to(built.site).as_posix(): p for p in built.site.rglob("*") if p.is_file()}
    host.headers = security_headers()
    yield host
    host.close()


def open_page(chromium: Any, scripts: bool = True) -> tuple[Any, list[str]]:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=scripts)
    context.set_default_timeout(60_000)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page, complaints


def test_gallery_decodes_every_photo_and_downloads_no_fallback(chromium: Any, served: Site, built: Report) -> None:
    page, complaints = open_page(chromium)
    page.goto(served.url("index.html"))
    for index in range(len(built.photos)):
        page.locator("figure").nth(index).scroll_into_view_if_needed()
        page.wait_for_selector(f'figure:nth-of-type({index + 1}) .mark[data-stage="done"]')
    sizes = page.eval_on_selector_all("sdz-img", "all => all.map((e) => [e.naturalWidth, e.naturalHeight, e.currentStage])")
    assert sizes == [[p.width, p.height, p.best.stage] for p in built.photos]
    assert served.asked(".avif", ".webp", ".jpeg", ".jpg", ".png") == []
    assert served.asked("sw.js") == []
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert complaints == []
    page.context.close()


def test_service_worker_of_a_site(chromium: Any, served: Site, built: Report) -> None:
    """One line registers it for the whole site: then a plain image may be an .sdz."""
    folder = next((built.site / "assets").glob("sdz-*")).name
    assert (built.site / "sw.js").read_text() == f'import "./assets/{folder}/sw.js";\n'
    page, complaints = open_page(chromium)
    page.goto(served.url("photos/glass.html"))
    with page.expect_navigation():
        page.evaluate("void navigator.serviceWorker.register('../sw.js', { type: 'module' })")
    photo = built.photos[0]
    size = page.evaluate(
        """(src) => new Promise((done) => {
          const image = new Image();
          image.onload = () => done([image.naturalWidth, image.naturalHeight]);
          image.onerror = () => done(null);
          image.src = src;
        })""",
        served.url(photo.sdz.path),
    )
    assert size == [photo.width, photo.height]
    assert complaints == []
    page.context.close()


def test_photo_page_shows_pythons_pixels(chromium: Any, served: Site, built: Report) -> None:
    page, complaints = open_page(chromium)
    for photo in built.photos:
        page.goto(served.url(f"photos/{photo.name}.html"))
        page.wait_for_selector('.verdict[data-same="true"]')
        assert page.get_attribute(".study", "data-pixels") == photo.best.sha256
    assert complaints == []
    page.context.close()


def test_byte_slider_and_divider_by_keyboard(chromium: Any, served: Site, built: Report) -> None:
    photo = built.photos[-1]
    page, complaints = open_page(chromium)
    page.goto(served.url(f"photos/{photo.name}.html"))
    page.wait_for_selector(".verdict:not([hidden])")
    page.focus(".bytes input")
    page.keyboard.press("Home")
    assert page.text_content(".used") == "24"
    # with so few bytes next to nothing is known, and no denoiser runs
    page.wait_for_selector('.study[data-shown="decoded"]')
    page.keyboard.press("End")
    assert page.text_content(".used") == f"{photo.sdz.bytes:,}"
    page.focus(".divider")
    page.keyboard.press("Home")
    assert page.evaluate("getComputedStyle(document.querySelector('.compare')).getPropertyValue('--split')") == "0%"
    page.keyboard.press("ArrowRight")
    assert page.get_attribute(".divider", "aria-valuetext") == "1 % decoded"
    page.focus("input[value=denoised]")
    for _ in range(2):
        page.keyboard.press("ArrowLeft")
    page.wait_for_selector('.study[data-shown="linear"]')
    with page.expect_response(lambda response: response.url.endswith(".avif")):
        page.check("input[value=fallback]")
    assert page.text_content(".tag.right").startswith("AVIF")
    assert served.asked(".avif") == [photo.fallback.path if photo.fallback else ""]
    assert complaints == []
    page.context.close()


def test_without_scripts(chromium: Any, served: Site, built: Report) -> None:
    page, _ = open_page(chromium, scripts=False)
    page.goto(served.url("index.html"))
    expected = [p.fallback.path for p in built.photos if p.fallback]
    assert page.locator("sdz-img img").count() == 3
    assert page.locator("sdz-img img").first.is_visible()
    assert "Without JavaScript" in page.inner_text("header")
    page.goto(served.url(f"photos/{built.photos[0].name}.html"))
    assert page.locator(".compare img[src]").is_visible()
    assert not page.locator(".controls").is_visible()
    assert set(served.asked(".avif")) <= set(expected) and expected[0] in served.asked(".avif")
    assert served.asked(".wasm", ".sdz", ".onnx") == []
    page.context.close()


@pytest.mark.parametrize("lost", ["element.js", "decoder.onnx"])
def test_fallback_when_a_part_is_lost(lost: str, chromium: Any, served: Site, built: Report, pack: Path) -> None:
    """A module that does not arrive, then a model that does not: either way the ordinary pictures stand in."""
    name = load_pack(pack).graphs["decoder"].file if lost == "decoder.onnx" else lost
    served.files = {path: content for path, content in served.files.items() if not path.endswith(f"/{name}")}
    page, _ = open_page(chromium)
    page.goto(served.url("index.html"))
    page.locator("figure img").first.wait_for()
    assert page.locator("figure").first.locator("img").get_attribute("src") == (built.photos[0].fallback or built.photos[0].sdz).path
    page.context.close()
