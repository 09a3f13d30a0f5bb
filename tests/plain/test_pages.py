"""`sdz build --html-in`: a site of another program before and after, and after again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import brotli
import pytest
from browser import Site, picture
from networks import small_pack
from sites import tree

from sdz.export import cli
from sdz.export.plain import pages, pictures
from sdz.export.plain.pages import PlainOptions, PlainReport, downloaded, rewrite, text_report
from sdz.export.plain.pictures import Wanted
from sdz.export.site import library
from sdz.export.site.place import SiteWriteError
from sdz.runtime import pack as packs
from sdz.runtime.format.container import parse
from sdz.runtime.pack import load_pack

INDEX = """<!doctype html>
<html><head><meta charset="utf-8"><title>Mine</title>
<link rel="stylesheet" href="style.css"><link rel="stylesheet" href="sealed.css" integrity="sha256-x">
</head><body><h1>Mine</h1>
<figure><img src="pictures/a%20b.png" alt="A &quot;b&quot;" width="200" height="150"></figure>
<img src="icon.png" alt=""><img src="gone.png" alt=""><img src="https://example.org/a.png" alt=""><img src="moves.webp" alt="">
</body></html>
"""
OTHER = '<title>Other</title><p><img class=x src="/pictures/a%20b.png?1"><img class=x src=/pictures/a%20b.png><img src="../c.jpg#x">'
PAIR = '<noscript><img src="pictures/a%20b.png" alt="A &quot;b&quot;" width="200" height="150"></noscript></sdz-img>'


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_pack(tmp_path_factory.mktemp("pack")).pack.directory


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / "pictures").mkdir(parents=True)
    (folder / "sub").mkdir()
    picture(200, 150).save(folder / "pictures/a b.png")
    picture(90, 80, 1).save(folder / "c.jpg", quality=95)
    picture(32, 32, 2).save(folder / "icon.png")
    frames = [picture(80, 80, seed) for seed in (3, 4)]
    frames[0].save(folder / "moves.webp", save_all=True, append_images=frames[1:])
    (folder / "index.html").write_text(INDEX)
    (folder / "index.html.gz").write_bytes(b"the page as it was")
    (folder / "sub/other.html").write_text(OTHER)
    (folder / "sub/none.html").write_text("<p>no picture")
    (folder / "wide.html").write_bytes('<img src="c.jpg">'.encode("utf-16"))
    (folder / "style.css").write_text("figure img { max-width: 100%; height: auto; border: 3px solid red }\n")
    (folder / "sealed.css").write_text("img { color: red }\n")
    (folder / "data.bin").write_bytes(bytes(range(256)))
    return folder


@pytest.fixture
def options(site: Path, pack: Path, tmp_path: Path) -> PlainOptions:
    return PlainOptions(site, tmp_path / "out", Wanted(10, "natural", 0), pack)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_changes_and_what_does_not(options: PlainOptions) -> None:
    report = rewrite(options)
    before, after = contents(options.site), contents(options.out)
    changed = {"index.html", "sub/other.html", "style.css"}
    assert {path for path in before if after.get(path) == before[path]} == set(before) - changed - {"index.html.gz"}
    new = set(after) - set(before)
    library = next(path for path in new if path.endswith("/sdz.js")).removesuffix("sdz.js")
    sheet = next(path for path in new if path.startswith("assets/plain."))
    assert {path for path in new if not path.startswith(library)} == {"pictures/a b.png.sdz", "c.jpg.sdz", sheet, "sdz-pages.json"}
    pack = next(path for path in new if path.endswith("/linear.bin")).split("/")[-2]
    head = (
        f'<link rel="stylesheet" href="{sheet}"><script defer src="{library}fallback.js"></script>'
        f'<script type="module" src="{library}sdz.js" data-pack="{pack}"></script>\n'
    )
    # no page refers to what is not there
    assert f"{library}fallback.js" in new
    expected = INDEX.replace("</head>", f"{head}</head>").replace(
        '<img src="pictures/a%20b.png" alt="A &quot;b&quot;" width="200" height="150">',
        f'<sdz-img src="pictures/a%20b.png.sdz" alt="A &quot;b&quot;" width="200" height="150">{PAIR}',
    )
    assert after["index.html"].decode() == expected
    other = after["sub/other.html"].decode()
    assert '<img class=x src="/pictures/a%20b.png?1"><sdz-img class=x src="/pictures/a%20b.png.sdz"><noscript>' in other
    assert '<sdz-img src="../c.jpg.sdz"><noscript><img src="../c.jpg#x"></noscript></sdz-img>' in other
    assert f'src="../{library}sdz.js"' in other
    assert after["style.css"].decode() == "figure :is(img,sdz-img) { max-width: 100%; height: auto; border: 3px solid red }\n"
    header = parse(after["pictures/a b.png.sdz"]).header
    assert (header.width, header.height) == (200, 150)
    assert (report.pages, report.images, report.pictures) == (2, 3, 2)
    assert report.before == len(before["pictures/a b.png"]) + len(before["c.jpg"])
    assert report.after == len(after["pictures/a b.png.sdz"]) + len(after["c.jpg.sdz"])
    assert report.kept == {"not a file of the site": 3, "smaller than 64 pixels": 1, "it moves": 1}
    assert report.written == len(after)


def test_a_second_run_changes_nothing(options: PlainOptions) -> None:
    first = rewrite(options)
    before = tree(options.out)
    second = rewrite(options)
    assert tree(options.out) == before
    assert second == replace(first, written=0)


def test_a_copy_of_a_copy_is_the_same(options: PlainOptions, tmp_path: Path) -> None:
    rewrite(options)
    again = rewrite(replace(options, site=options.out, out=tmp_path / "again"))
    first, second = contents(options.out), contents(tmp_path / "again")
    assert {path: data for path, data in first.items() if path != "sdz-pages.json"} == {
        path: data for path, data in second.items() if path != "sdz-pages.json"
    }
    assert (again.pages, again.images) == (0, 0)


def test_what_changed_is_made_again(options: PlainOptions) -> None:
    rewrite(options)
    before = tree(options.out)
    picture(96, 80, 7).save(options.site / "c.jpg", quality=95)
    (options.site / "data.bin").unlink()
    report = rewrite(options)
    after = tree(options.out)
    assert {path for path in before if after.get(path) != before[path]} == {"c.jpg", "c.jpg.sdz", "data.bin", "sdz-pages.json"}
    assert (report.written, (options.out / "data.bin").exists()) == (3, False)
    # other options make other files; a damaged file is made again
    (options.out / "c.jpg.sdz").write_bytes(b"")
    assert rewrite(options).written == 1
    assert rewrite(replace(options, wanted=replace(options.wanted, quality=30))).written == 3


def test_another_encoder_makes_all_pictures_again(options: PlainOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    run = pages.run

    def counted(calls: list[Any], jobs: int) -> Any:
        made.append(len(calls))
        return run(calls, jobs)

    monkeypatch.setattr(pages, "run", counted)
    rewrite(options)
    rewrite(options)
    monkeypatch.setattr(packs, "ENCODER", packs.ENCODER + 1)
    rewrite(options)
    assert made == [4, 0, 4]


def test_what_does_not_pay_stays(options: PlainOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "PAYS", 0.01)
    (options.site / "pictures/a b.png").write_bytes(b"GIF89a no picture")
    report = rewrite(options)
    assert report.images == 0
    assert {path: data for path, data in contents(options.out).items() if path != "sdz-pages.json"} == contents(options.site)
    assert text_report(report).splitlines()[0] == "no image became <sdz-img>: the copy is as the site was"
    assert sorted(report.kept) == [
        "it moves", "it would spare less than a quarter of its bytes", "no photo's format", "not a file of the site",
        "smaller than 64 pixels",
    ]  # fmt: skip


def test_a_file_of_that_name_is_left_alone(options: PlainOptions) -> None:
    (options.site / "c.jpg.sdz").write_bytes(b"mine")
    report = rewrite(options)
    assert (options.out / "c.jpg.sdz").read_bytes() == b"mine"
    assert report.kept["another file has its name"] == 1


def test_the_report_says_when_it_pays() -> None:
    report = PlainReport(Path("out"), 2, 5, 4, 1_000_000, 200_000, 1_350_000, written=9)
    report.kept["it moves"] = 1
    assert text_report(report) == (
        "5 images on 2 pages are <sdz-img> now, of 4 pictures: 200,000 bytes instead of 1,000,000, 800,000 saved\n"
        "a visitor downloads 1,350,000 bytes of decoder once: it pays from 7 pictures on\n"
        "1 stayed: it moves\n"
        "9 files written in out"
    )
    one = PlainReport(Path("out"), 1, 1, 1, 1_000_000, 200_000, 750_000, written=1)
    assert text_report(one) == (
        "1 image on 1 page is <sdz-img> now, of 1 picture: 200,000 bytes instead of 1,000,000, 800,000 saved\n"
        "a visitor downloads 750,000 bytes of decoder once: it pays from 1 picture on\n"
        "1 file written in out"
    )


def test_folders_that_will_not_do(options: PlainOptions, tmp_path: Path) -> None:
    def refused(**changes: Path) -> str:
        with pytest.raises(SiteWriteError) as stopped:
            rewrite(replace(options, **changes))
        return str(stopped.value)

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("mine")
    assert refused(out=tmp_path / "mine") == f"{tmp_path}/mine holds other files: name a new folder, or one that --html-out made"
    assert refused(out=options.site / "out").endswith("lie in each other: name a folder of its own with --html-out")
    assert refused(out=tmp_path).endswith("lie in each other: name a folder of its own with --html-out")
    assert refused(site=tmp_path / "gone") == f"{tmp_path}/gone is no folder of a site"
    assert (tmp_path / "mine/letter.txt").read_text() == "mine"


def test_on_the_command_line(options: PlainOptions, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["build", "--html-in", str(options.site), "--html-out", str(options.out), "--pack", str(options.pack), "-q", "10", "--jobs", "1"]
    assert cli.main([*line, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["images"], report["saved"]) == (3, report["before"] - report["after"])
    for wrong in (["--out", "x"], ["photos"], ["--html-out", ""][:0]):
        given = [*line, *wrong] if wrong else ["build", "--html-in", "x"]
        with pytest.raises(SystemExit) as stopped:
            cli.main(given)
        assert stopped.value.code == 2
        assert "--html-in and --html-out go together" in capsys.readouterr().err


@pytest.fixture
def served(options: PlainOptions) -> Iterator[Site]:
    rewrite(options)
    host = Site("/")
    host.files = {quote(path.relative_to(options.out).as_posix()): path for path in options.out.rglob("*") if path.is_file()}
    host.files |= {quote(f"before/{p.relative_to(options.site).as_posix()}"): p for p in options.site.rglob("*") if p.is_file()}
    yield host
    host.close()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "none"])
def test_pages_look_as_before(chromium: Any, served: Site, scripts: bool) -> None:
    """The same boxes, with the decoded picture or with the site's own."""
    box = "(s) => (({ x, y, width, height }) => [x, y, width, height])(document.querySelector(s).getBoundingClientRect())"
    context = chromium.new_context(viewport={"width": 180, "height": 600}, java_script_enabled=scripts)
    page = context.new_page()
    page.goto(served.url("before/index.html"))
    expected = page.evaluate(box, "figure img")
    served.requests.clear()
    page.goto(served.url("index.html"))
    if scripts:
        page.wait_for_function("document.querySelector('sdz-img').complete")
        assert page.evaluate("document.querySelector('sdz-img').currentStage") == "denoised"
    assert page.evaluate(box, "figure sdz-img" if scripts else "figure img") == expected
    assert bool(served.asked("a%20b.png")) is not scripts
    context.close()


def test_the_decoder_that_the_report_counts_is_what_a_page_loads(chromium: Any, served: Site, options: PlainOptions) -> None:
    page = chromium.new_page()
    page.goto(served.url("index.html"))
    page.wait_for_function("document.querySelector('sdz-img').complete")
    loaded = {path for path in served.requests if path.startswith("assets/sdz-")}
    assert {"sdz.js", "worker.js", "sdz.wasm", "linear.bin", "manifest.json"} <= {Path(path).name for path in loaded}
    total = sum(len(brotli.compress((options.out / path).read_bytes(), quality=9)) for path in loaded)
    shared = library.collect(load_pack(options.pack))
    assert total == downloaded(shared)
    page.close()
    # one that the core does not compute: onnxruntime-web and the graphs
    foreign = downloaded(library.collect(replace(load_pack(options.pack), core={})))
    assert foreign > total + 2_000_000
