"""`sdz build`: what it writes, what it leaves alone and takes over, what it refuses."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import brotli
import numpy as np
import pytest
from browser import picture
from PIL import Image, ImageOps
from sites import manifest, options, tree

from sdz.export import cli
from sdz.export.photo_files import NoPhotosError
from sdz.export.site import build as builder
from sdz.export.site import library, minify, pages
from sdz.export.site import manifest as memory
from sdz.export.site.assets import Asset, Write, write_asset
from sdz.export.site.build import BuildOptions, SiteWriteError, build
from sdz.export.site.library import MissingPartError, MissingRuntimeError
from sdz.export.site.photos import PhotoOptions
from sdz.export.site.report import Report
from sdz.runtime.decode import decode
from sdz.runtime.format.container import parse
from sdz.runtime.pack import load_pack
from sdz.runtime.photo import read_photo

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
    assert {"sdz.js", "sdz.wasm", "decode.js", "page/sizes.js", "worker.js", "sw.js", "demo/style.css"} <= inside
    # part of sdz.js
    assert "page/element.js" not in inside
    assert not [name for name in inside if name.startswith("ort/") or name == "sw-onnx.js"]
    packed = sorted(name for name in inside if name.startswith(f"packs/{built.decoder.pack}/"))
    core = load_pack(pack).core
    expected = ["manifest.json", "linear.bin", "coder.bin", core["decoder"].file, core["denoiser"].file]
    assert packed == sorted(f"packs/{built.decoder.pack}/{name}" for name in expected)


def test_library_of_a_pack_that_the_core_does_not_compute(pack: Path) -> None:
    with_core = load_pack(pack)
    foreign = replace(with_core, core={})
    shared = library.collect(foreign)
    assert {name for name in shared.files if name.startswith("ort/")} == {f"ort/{name}" for name in library.ORT_FILES}
    graphs = {Path(name).name for name in shared.files if name.startswith("packs/") and not name.endswith((".bin", ".json"))}
    assert graphs == {foreign.graphs["decoder"].file, foreign.graphs["denoiser"].file}
    assert library.service_worker(shared) == "sw-onnx.js"
    assets = [Asset(shared.path(name), len(data), "") for name, data in shared.files.items()]
    parts = library.loads(assets, shared)
    names = ["session.js", *(f"ort/{name}" for name in library.ORT_FILES)]
    assert [asset.path for asset in parts.runtime] == [shared.path(name) for name in names]
    assert len(parts.graphs) == 2
    assert sorted(Path(asset.path).name for asset in parts.tables) == ["coder.bin", "linear.bin", "manifest.json"]
    shared = library.collect(with_core)
    parts = library.loads([Asset(shared.path(name), len(data), "") for name, data in shared.files.items()], shared)
    assert (parts.runtime, library.service_worker(shared)) == ([], "sw.js")
    assert sorted(Path(asset.path).name for asset in parts.graphs) == sorted(file.file for file in with_core.core.values())
    assert sorted(Path(asset.path).name for asset in parts.tables) == ["coder.bin", "linear.bin", "manifest.json"]
    assert "sdz.wasm" in {Path(asset.path).name for asset in parts.scripts}


def test_library_with_webgpu(pack: Path) -> None:
    shared = library.collect(load_pack(pack), webgpu=True)
    names = {*library.ORT_FILES, *library.WEBGPU_FILES}
    assert {name for name in shared.files if name.startswith("ort/")} == {f"ort/{name}" for name in names}
    assert sum(name.endswith(".onnx") for name in shared.files) == len(library.WEBGPU_GRAPHS)
    parts = library.loads([Asset(shared.path(name), len(data), "") for name, data in shared.files.items()], shared)
    # visitors without WebGPU, whom the report counts, load none of it
    assert (parts.runtime, len(parts.graphs), library.service_worker(shared)) == ([], 2, "sw.js")


def test_pages_ask_for_webgpu_where_the_build_does(photos: Path, pack: Path, tmp_path: Path) -> None:
    report = build(options(photos, pack, tmp_path / "site", webgpu=True, judged=0, brotli_quality=0))
    assert 'data-provider="webgpu"' in (report.site / "index.html").read_text()
    assert (report.site / "sw.js").read_text().endswith('/sw.js";\n')


def words(shared: library.Library, scripts: list[str]) -> set[str]:
    """What stands in any of them."""
    return {word for name in scripts for word in re.findall(r"\w+", shared.files[name].decode())}


def test_few_files_are_loaded(pack: Path) -> None:
    """Each is a request: what a gallery's page loads of code, and its worker."""
    shared = library.collect(load_pack(pack))
    assert len(library.module_graph(shared, [library.ENTRY, library.CHOOSER, "demo/gallery.js"])) <= 10
    assert len(library.module_graph(shared, [library.WORKER])) <= 3


def test_a_page_has_one_copy_of_each_module(pack: Path) -> None:
    """What is loaded later shares the settings, the worker and the errors of what was there."""
    shared = library.collect(load_pack(pack))
    page = library.module_graph(shared, minify._found(library.WEB, minify.PROGRAMS[0]))
    page += [name for name in shared.files if name.startswith(("printing-", "paintnow-", "upgrade-", "enlarged-"))]
    for text in ("configure() comes too late", "the sdz worker could not start", "sdz-pixels", "digests need a secure context"):
        assert [text in shared.files[name].decode() for name in page].count(True) == 1, text


def test_lossless_publishes_a_file_that_ends_in_the_photo(photos: Path, pack: Path, tmp_path: Path) -> None:
    wanted = options(photos, pack, tmp_path / "site")
    report = build(replace(wanted, photo=replace(wanted.photo, lossless=True, originals=False, fallback="none"), judged=0))
    for photo in report.photos:
        assert photo.exact is not None
        data = (report.site / photo.exact.file.path).read_bytes()
        source = read_photo(photos / photo.source)
        decoded = decode(data, pack=load_pack(pack))
        assert np.array_equal(decoded.pixels[..., : 1 if source.grey else 3], source.rgb[..., : 1 if source.grey else 3])
        # the page offers it, and shows another one
        page = next(path for path in report.site.rglob("*.html") if f"{photo.exact.file.path}" in path.read_text())
        assert f'download="{photo.title}.sdz"' in page.read_text()
        assert f'src="{photo.exact.file.path}"' not in page.read_text()


def test_scripts_of_the_first_paint_keep_their_budget(pack: Path) -> None:
    """25 kB after brotli: all modules that stand before the first paint, of 75 with the core and the tables."""
    shared = library.collect(load_pack(pack))
    scripts = library.module_graph(shared, [library.ENTRY, library.WORKER])
    assert {"sdz.js", "worker.js"} <= set(scripts)
    assert {"customElements", "IntersectionObserver", "WebAssembly", "sdz_decode"} - words(shared, scripts) == set()
    assert {"sw.js", "sw-onnx.js", "session.js"} & set(scripts) == set()
    sizes = {name: len(brotli.compress(shared.files[name], quality=11)) for name in scripts}
    assert sum(sizes.values()) <= 25_000, sizes


def test_minified_modules_decode_every_vector(built: Report, tmp_path: Path) -> None:
    folder = next((built.site / "assets").glob("sdz-*"))
    shutil.copytree(folder, tmp_path / "web")
    (tmp_path / "core").mkdir()
    for module in ("sdz.wasm", "lossless.wasm"):
        shutil.copy(folder / module, tmp_path / "core")
    shutil.copytree(library.ROOT / "tests" / "web", tmp_path / "tests" / "web")
    (tmp_path / "tests" / "vectors").symlink_to(library.ROOT / "tests" / "vectors")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    done = subprocess.run(["node", "--test", "tests/web/vectors.test.js"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "# fail 0" in done.stdout and "# pass 0" not in done.stdout


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of a few modules with the esbuild of this one; the library is taken from there."""
    root = tmp_path / "checkout"
    shutil.copytree(library.WEB, root / "web")
    (root / "node_modules/.bin").mkdir(parents=True)
    (root / minify.ESBUILD).symlink_to((library.ROOT / minify.ESBUILD).resolve())
    monkeypatch.setattr(library, "ROOT", root)
    monkeypatch.setattr(library, "WEB", root / "web")
    monkeypatch.setattr(library, "DEMO", root / "web/demo")
    return root


def test_modules_are_minified_where_esbuild_is(checkout: Path, pack: Path) -> None:
    (checkout / "web/sdz.js").write_text(
        '/** Why. */\nimport { a as long } from "./work/a.js";\n// how\nexport const sum = long + /* é */ "é";\n'
    )
    (checkout / "web/work/a.js").write_text('export const a = location.href;\nexport const unused = "b";\n')
    files = library.collect(load_pack(pack)).files
    assert files["sdz.js"].decode() == f'{minify.NOTICE}\nvar o=location.href;var r=o+"é";export{{r as sum}};\n'
    assert {name for name, data in files.items() if data.startswith(minify.NOTICE.encode())} == set(minify.NOTICED) & set(files)


def test_modules_are_taken_as_they_are_without_esbuild(checkout: Path, pack: Path) -> None:
    """As in an installed package, where they are minified already."""
    (checkout / minify.ESBUILD).unlink()
    shared = library.collect(load_pack(pack))
    assert shared.files["worker.js"] == (library.WEB / "worker.js").read_bytes()
    scripts = library.module_graph(shared, [library.ENTRY, library.WORKER])
    assert "page/element.js" in scripts and "sw.js" not in scripts


def test_a_module_that_esbuild_refuses(checkout: Path, photos: Path, pack: Path, tmp_path: Path) -> None:
    (checkout / "web/sdz.js").write_text("const = 1;\n")
    with pytest.raises(MissingPartError, match=r'^esbuild: .*Expected identifier but found "="'):
        build(options(photos, pack, tmp_path / "site"))
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("name", ["web/demo/photo.html", "web/demo/gallery.css"])
def test_a_part_that_cannot_be_read_is_noticed_before_any_work(
    name: str, checkout: Path, photos: Path, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "DEMO", checkout / "web/demo")
    (checkout / name).unlink()
    with pytest.raises(MissingPartError) as stopped:
        build(options(photos, pack, tmp_path / "site"))
    assert str(stopped.value) == f"{checkout / name}: No such file or directory: install sdz again, or repair the checkout"
    assert not (tmp_path / "site").exists()


def test_style_sheets_are_one_in_order(built: Report) -> None:
    sheet = next((built.site / "assets").glob("sdz-*/demo/style.css")).read_bytes()
    assert sheet == b"\n".join((library.DEMO / name).read_bytes() for name in ("base.css", "gallery.css", "photo.css"))
    parts = [name for names in library.STYLES.values() for name in names]
    assert {path.relative_to(library.DEMO).as_posix() for path in library.DEMO.rglob("*.css")} == set(parts) and len(parts) == 5


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
        assert "integrity=" not in text, "a page opened from disk, or served with other line ends, is refused its own style sheets"


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
        assert photo.fallback is not None and photo.original is not None
        for asset in (photo.fallback, photo.original, photo.rendered):
            with Image.open(built.site / asset.path) as image:
                assert ImageOps.exif_transpose(image).size == (photo.width, photo.height)
                assert image.has_transparency_data == (photo.name == "glass" and asset is not photo.rendered)
                # an original keeps its pixels as they lie, and so its orientation
                assert dict(image.getexif()) == ({0x0112: 6} if photo.name == "turned" and asset is photo.original else {})


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
    (copied / memory.JOURNAL).with_name(".0123abcd.part").write_bytes(b"half")
    with (copied / memory.JOURNAL).open("ab") as journal:
        journal.write(b'\n{"photo": {"key": "half a li')
    assert build(wanted).reused == sum(result.problem is None for result in made)
    listed = {path for entry in manifest(copied)["files"] for path in Asset(**entry).paths()} | {"manifest.json"}
    assert listed == {str(p.relative_to(copied)) for p in copied.rglob("*") if p.is_file()}


def test_a_build_cut_off_compresses_nothing_twice(photos: Path, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(job: Any) -> Any:
        raise KeyboardInterrupt

    written: list[str] = []

    def counted(site: Path, path: str, data: bytes, quality: int, write: Write) -> Asset:
        written.append(path)
        return write_asset(site, path, data, 1, write)

    wanted = options(photos, pack, tmp_path / "site", judged=0)
    monkeypatch.setattr(builder, "write_asset", counted)
    with monkeypatch.context() as patch:
        patch.setattr(builder, "make_photo", interrupted)
        with pytest.raises(KeyboardInterrupt):
            build(wanted)
    files = list(library.collect(load_pack(pack)).files)
    assert sorted(path.partition("/")[2].partition("/")[2] for path in written) == sorted(files)
    assert not (tmp_path / "site" / "index.html").exists()
    written.clear()
    build(wanted)
    assert [path for path in written if path.startswith("assets/sdz-")] == []
    assert not (tmp_path / "site" / memory.JOURNAL).exists()


def test_force_leaves_nothing_behind(photos: Path, pack: Path, copied: Path) -> None:
    assert build(options(photos / "turned.jpg", pack, copied, judged=0, force=True, photo=PhotoOptions(quality=20))).reused == 0
    listed = {path for entry in manifest(copied)["files"] for path in Asset(**entry).paths()} | {"manifest.json"}
    assert listed == {str(p.relative_to(copied)) for p in copied.rglob("*") if p.is_file()}


def test_full_disk(photos: Path, pack: Path, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {p: p.read_bytes() for p in copied.rglob("*.html")}

    def full(path: Path, data: bytes, **options: Any) -> None:
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
    for name in (memory.MANIFEST, memory.JOURNAL):
        (copied / name).unlink(missing_ok=True)
        (copied / name).parent.mkdir(exist_ok=True)
        (copied / name).write_text(text)
    with pytest.raises(SiteWriteError, match="holds other files, and no site of ours"):
        build(options(photos / "turned.jpg", pack, copied, judged=0))
    assert build(options(photos / "turned.jpg", pack, copied, judged=0, force=True)).reused == 0


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


def test_command_line(
    photos: Path, pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "ORT_FILES", library.ORT_FILES[:1])  # the wasm takes half a minute to compress as the command does
    out = tmp_path / "site"
    command = ["build", str(photos), "missing.png", "--out", str(out), "--pack", str(pack), "--judge", "0", "--jobs", "1"]
    assert cli.main(command) == 1
    printed = capsys.readouterr()
    errors = printed.err.splitlines()
    sizes = [photo["sdz"]["bytes"] for photo in manifest(out)["photos"]]
    names = ["glass.webp", "turned.jpg", "Über der Stadt.png"]
    progress = [f"{photos / name}: {size} bytes" for name, size in zip(names, sizes, strict=True)]
    # one worker takes them in their order
    lines = [f"{photos / 'broken.jpg'}: left out", *progress, "missing.png: left out"]
    assert errors[:5] == [f"sdz build: {number}/5 {line}" for number, line in enumerate(lines, 1)]
    assert [line.split(": ")[:2] for line in errors[5:]] == [["sdz build", str(photos / "broken.jpg")], ["sdz build", "missing.png"]]
    lines = printed.out.splitlines()
    assert lines[:2] == ["How sdz compares with AVIF was not measured. --judge 5 compares five photos, --auto all.", ""]
    assert lines[2].split()[:4] == ["photo", "pixels", "bytes", "bpp"]
    assert [line.split()[:2] for line in lines[3:6]] == [["glass", "70x90"], ["turned", "64x96"], ["uber-der-stadt", "190x170"]]
    assert cli.main([*command, "--json", "--quiet"]) == 1
    printed = capsys.readouterr()
    assert len(printed.err.splitlines()) == 2
    report = json.loads(printed.out)
    assert (report["reused"], len(report["photos"]), len(report["problems"])) == (3, 3, 2)
    assert report["pack"] == load_pack(pack).id.hex()
    assert cli.main([*command[:1], str(photos / "turned.jpg"), *command[3:], "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert cli.main(["build", str(tmp_path / "none.png"), "--out", str(out), "--pack", str(pack)]) == 1
    assert cli.main(["build", str(photos), "--out", str(out), "--pack", str(tmp_path)]) == 1
    assert "manifest.json" in capsys.readouterr().err


def test_command_line_passes_the_choice_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[PhotoOptions] = []

    def refused(wanted: BuildOptions, progress: Any) -> Report:
        asked.append(wanted.photo)
        raise NoPhotosError("enough")

    monkeypatch.setattr(builder, "build", refused)
    command = ["build", "a.png", "--out", str(tmp_path)]
    assert [cli.main(command), cli.main([*command, "--auto", "-q", "30"])] == [1, 1]
    assert asked == [PhotoOptions(ms_ssim=False), PhotoOptions(quality=30.0, auto=True)]


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
    """It is needed where the core does not compute the pack, and for WebGPU."""
    monkeypatch.setattr(library, "ORT_DISTS", (Path("nowhere"),))
    foreign = tmp_path / "foreign"
    shutil.copytree(pack, foreign)
    described = json.loads((pack / "manifest.json").read_bytes())
    del described["core"]
    (foreign / "manifest.json").write_text(json.dumps(described))
    for wanted in (options(photos, foreign, tmp_path / "site"), options(photos, pack, tmp_path / "site", webgpu=True)):
        with pytest.raises(MissingRuntimeError, match=r"^onnxruntime-web is missing, which runs this pack's networks: run `npm ci` in "):
            build(wanted)
        assert not (tmp_path / "site").exists()


def without(monkeypatch: pytest.MonkeyPatch, *lacking: str) -> None:
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name in lacking else object())


@pytest.mark.parametrize(("arguments", "measured", "judged"), [([], False, 0), (["--judge", "3"], True, 3), (["--auto"], True, 0)])
def test_what_needs_torch_is_measured_where_it_is_asked_for(
    arguments: list[str], measured: bool, judged: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[bool, int]] = []

    def refused(wanted: BuildOptions, progress: Any) -> Report:
        asked.append((wanted.photo.ms_ssim, wanted.judged))
        raise NoPhotosError("enough")

    if not measured:
        without(monkeypatch, *cli.JUDGING_MODULES)
    monkeypatch.setattr(builder, "build", refused)
    assert cli.main(["build", "a.png", "--out", str(tmp_path), *arguments]) == 1
    assert asked == [(measured, judged)]


@pytest.mark.parametrize("asked", [["--judge", "3"], ["--auto"]])
def test_what_was_asked_for_and_cannot_be_measured_is_noticed_before_any_work(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "pytorch_msssim")
    with pytest.raises(ModuleNotFoundError) as stopped:
        cli.main(["build", "a.png", "--out", str(tmp_path / "site"), *asked])
    assert stopped.value.name == "pytorch_msssim"
    assert not (tmp_path / "site").exists()


def test_a_site_without_torch(photos: Path, pack: Path, tmp_path: Path) -> None:
    """Nothing of it is loaded, and the figures that need it are absent."""
    script = f"""import sys
from pathlib import Path
from sdz.export.site.build import BuildOptions, build
from sdz.export.site.photos import PhotoOptions
report = build(BuildOptions([{str(photos / "turned.jpg")!r}], Path({str(tmp_path)!r}), PhotoOptions(tune="natural", ms_ssim=False),
    Path({str(pack)!r}), judged=0, brotli_quality=1))
print("torch" in sys.modules, [s.ms_ssim for p in report.photos for s in p.stages])"""
    done = subprocess.run([sys.executable, "-c", script], cwd=library.ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False [None, None, None]\n"
