"""The speed report: its tables from fixed figures, its parts on the default pack; never the clock."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

import sdz.export.speed.run
from sdz.export.cli import main
from sdz.export.site.library import Library
from sdz.export.speed.chromium import Chromium, NoBrowserError, page_files, serve
from sdz.export.speed.gallery import crops, gallery, ratios
from sdz.export.speed.installed import installed, weight
from sdz.export.speed.python import LARGE, python_reference, python_stages
from sdz.export.speed.reference import taesd_decoder
from sdz.export.speed.report import MEMORY_ROWS, PLACES, ROWS, markdown
from sdz.export.speed.sizes import GROUPS, sizes
from sdz.export.speed.timing import figure, timed
from sdz.runtime.encode import encode
from sdz.runtime.pack import Pack

REPORT: dict[str, Any] = {
    "machine": {
        "processor": "Abacus",
        "cores": 2,
        "load": 0.3,
        "system": "Linux",
        "python": "3.11.7",
        "onnxruntime": "1.32.0",
        "chromium": "156.0",
    },
    "pack": "010203",
    "file": {"photo": "astronaut.png", "width": 512, "height": 512, "bytes": 5000, "stage": "denoised"},
    "macs_per_pixel": {"decoder": 13536, "denoiser": 2944, "reference": 269942},
    "python": {"whole": figure([40.04, 41.0, 45.0]), "reference": figure([1000.0]), "entropy": figure([20.0, 22.26])},
    "chromium": {"whole": figure([300.0, 200.0, 400.0]), "reference": figure([6000.0]), "first_linear": figure([99.96])},
    "memory": {"chromium_counted": 123_400_000, "python_encode": 999_600_000},
    "gallery": {
        "cold": {"scripted": [2.0, 1.5, 1.8], "plain": [1.0, 1.0, 0.6], "first": [1000.4, 900, 1300], "all": [1500, 1600, 1700]},
        "warm": {"scripted": [1.0, 1.1, 1.2], "plain": [1.0, 1.0, 1.0], "first": [400, 390, 410], "all": [440, 450, 460]},
    },
    "installed": {"wheel": 16_770_000, "unpacked": 33_320_000, "required": 141_330_000},
    "sizes": {"scripts": {"raw": 99_500, "gzip": 30_040, "brotli": 25_000}, "graphs": {"raw": 2_000_000, "gzip": 1_400_000, "brotli": 1}},
    "skipped": {},
}


def test_tables() -> None:
    assert markdown(REPORT).splitlines() == [
        "Abacus, 2 cores (load 0.3 before the run), Python 3.11.7, onnxruntime 1.32.0, Chromium 156.0 headless; one thread. "
        "Pack `010203`: decoder 13.5 and denoiser 2.9 kMAC per pixel; the TAESD shape has 270. "
        "astronaut.png, 512×512, 5000 bytes; stage reached: denoised.",
        "",
        "| milliseconds                                    | fastest   | median   | asked   |",
        "|-------------------------------------------------|-----------|----------|---------|",
        "| **Python, onnxruntime**                         |           |          |         |",
        "| entropy decoding                                | 20.0      | 21.1     | ≤ 30    |",
        "| whole decode, warm session                      | 40.0      | 41.0     | ≤ 50    |",
        "| TAESD-shaped decoder, fp32                      | 1000      | 1000     |         |",
        "| times faster than the TAESD shape, whole decode |           | 24.4     |         |",
        "| **Chromium, WASM**                              |           |          |         |",
        "| fresh page: bytes to canvas, linear stage       | 100.0     | 100.0    | ≤ 150   |",
        "| bytes to canvas, whole decode, warm session     | 200       | 300      | ≤ 400   |",
        "| TAESD-shaped decoder, fp32                      | 6000      | 6000     |         |",
        "| times faster than the TAESD shape, whole decode |           | 20.0     | ≥ 15    |",
        "",
        "| resident memory, MB                                                                         |      | asked   |",
        "|---------------------------------------------------------------------------------------------|------|---------|",
        "| Chromium, 2048×2048 above the empty page: JavaScript, WASM, DOM, by the browser's own count | 123  | ≤ 150   |",
        "| Python, 4000×3000: encode, peak of the whole process                                        | 1000 | ≤ 1500  |",
        "",
        "| a gallery of 25 photos, 512×512, first view of 1280×800, median of 3 visits   | cold   | warm   | asked                |",
        "|-------------------------------------------------------------------------------|--------|--------|----------------------|",
        "| processor seconds of all of Chromium                                          | 1.80   | 1.10   |                      |",
        "| the same without JavaScript, which shows AVIF                                 | 1.00   | 1.00   |                      |",
        "| how many times as much                                                        | 2.0    | 1.1    | ≤ 2 cold, ≤ 1.3 warm |",
        "| milliseconds until the first picture is finished                              | 1000   | 400    | ≤ 1000               |",
        "| until all in sight are                                                        | 1600   | 450    | ≤ 3000               |",
        "",
        "| an installation without extras, MB                  |       |",
        "|-----------------------------------------------------|-------|",
        "| the wheel                                           | 16.8  |",
        "| the same, unpacked                                  | 33.3  |",
        "| with numpy, Pillow, wasmtime and what these require | 141.3 |",
        "",
        "| a page loads, kB     | raw    | gzip   | brotli   | asked             |",
        "|----------------------|--------|--------|----------|-------------------|",
        "| scripts and the core | 99.5   | 30.0   | 25.0     |                   |",
        "| decoder and denoiser | 2000.0 | 1400.0 | 0.0      | ≤ 1500 after gzip |",
    ]


def test_tables_without_a_browser() -> None:
    report = {name: part for name, part in REPORT.items() if name not in ("chromium", "gallery")}
    report |= {"memory": {}, "installed": {}, "sizes": {}, "skipped": {"chromium": "no chromium in PATH"}}
    tables = markdown(report)
    assert "WASM" not in tables
    assert "resident memory" not in tables
    assert "gallery" not in tables
    assert "installation" not in tables
    assert tables.endswith("\n\nchromium was not measured: no chromium in PATH.\n")


def test_figure_is_the_fastest_and_the_median() -> None:
    assert figure([3.0, 1.0, 2.226, 9.0]) == {"fastest": 1.0, "median": 2.61, "repetitions": 4}


def test_warm_ups_do_not_count() -> None:
    calls: list[int] = []
    assert len(timed(lambda: calls.append(1), 3, warm_ups=2)) == 3
    assert len(calls) == 5


def expected(place: str) -> set[str]:
    return {key for where, key, _, _ in ROWS if where == place}


def test_python_measures_what_the_table_lists(pack: Pack) -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (32, 48, 3), np.uint8))
    stages = python_stages(pack, image, encode(image, pack=pack), 1)
    assert stages.keys() | {"cold", "cold_cpu", "reference"} == expected("python")
    assert all(entry.keys() == {"fastest", "median", "repetitions"} for entry in stages.values())


def test_the_page_measures_what_the_table_lists() -> None:
    script = Path(sdz.export.speed.run.__file__).with_name("speed.js").read_text()
    parts = dict(re.findall(r"export async function (\w+)\((.*?)\n}\n", script, re.DOTALL))
    keys = {name: set(re.findall(r"^    (\w+): ", body, re.MULTILINE)) for name, body in parts.items()}
    spent = {"first_linear_cpu", "first_whole_cpu", "entropy_cpu", "whole_cpu"}
    assert {f"first_{key}" for key in keys["prepareFirst"]} | keys["prepareWarm"] | {"reference"} | spent == expected("chromium")


def test_rows_have_places_and_keys_of_their_own() -> None:
    assert {place for place, _, _, _ in ROWS} == set(PLACES)
    assert len({(place, key) for place, key, _, _ in ROWS}) == len(ROWS)
    assert len({key for key, _, _ in MEMORY_ROWS}) == len(MEMORY_ROWS)
    assert LARGE == (4000, 3000)


def test_reference_has_the_shape_of_taesd() -> None:
    reference = taesd_decoder()
    assert round(reference.macs / 1000) == 270
    graph = onnx.load_from_string(reference.graph).graph
    assert sum(node.op_type == "Conv" for node in graph.node) == 35
    assert sum(np.prod(weight.dims) for weight in graph.initializer) == 1_222_531
    figures = python_reference(reference, (1, reference.channels, 2, 3), 1)
    assert figures["repetitions"] == 1


def test_sizes_are_by_what_files_are_for() -> None:
    files = {"sdz.js": b"a" * 900, "fallback.js": b"e", "demo/page.js": b"b", "packs/00/coder.bin": b"c" * 50}
    shared = Library(files | {"session.js": b"f" * 5, "ort/a.wasm": b"d" * 70}, "assets/sdz-0")
    found = sizes(shared, quick=False)
    assert {name: entry["raw"] for name, entry in found.items()} == {
        "scripts": 900,
        "tables": 50,
        "runtime": 75,
        "paint": 950,
        "visit": 1025,
    }
    assert found.keys() <= GROUPS.keys()
    assert found["scripts"]["brotli"] < found["scripts"]["gzip"] < 900
    assert sizes(shared, quick=True)["runtime"]["raw"] == 5
    core = {"sdz.js": b"a", "fallback.js": b"e", "session.js": b"f", "sdz.wasm": b"b" * 30, "packs/00/decoder.core.bin": b"g" * 40}
    found = sizes(Library(core, "assets/sdz-0"), quick=False)
    expected = {"scripts": 31, "core": 30, "graphs": 40, "paint": 31, "visit": 71}
    assert {name: entry["raw"] for name, entry in found.items()} == expected


@pytest.fixture
def served() -> Iterator[str]:
    shared = Library({"sdz.js": b"export {};", "ort/a.wasm": b"\0asm"}, "assets/sdz-0")
    with serve(page_files(shared, {"photo.sdz": b"SDZ"})) as base:
        yield base


def test_a_gallerys_folder_shows_its_page_and_is_kept() -> None:
    from urllib.request import urlopen

    with serve({"index.html": b"<p>", "a.avif": b"a"}, cached=True) as base:
        for path, kind in (("", "text/html"), ("a.avif", "image/avif")):
            with urlopen(base + path) as response:
                assert (response.headers["Content-Type"], response.headers["Cache-Control"]) == (kind, "max-age=3600")


def test_the_gallerys_photos_are_squares_that_differ() -> None:
    photos = [Image.fromarray(np.random.default_rng(seed).integers(0, 256, (60 + seed, 90, 3), np.uint8)) for seed in range(8)]
    found = crops(photos)
    assert [picture.size for picture in found] == [(512, 512)] * 25
    assert len({picture.tobytes() for picture in found}) == 25


def test_the_ratio_is_that_of_the_pairs() -> None:
    assert ratios(REPORT["gallery"]) == {"cold": 2.0, "warm": 1.1}


def test_a_gallery_is_looked_at(monkeypatch: pytest.MonkeyPatch, pack: Pack) -> None:
    """In Chromium, with three photos; what is measured, never how much."""
    monkeypatch.setattr("sdz.export.speed.gallery.PHOTOS", 3)
    monkeypatch.setattr("sdz.export.speed.gallery.SIDE", 64)
    monkeypatch.setattr("sdz.export.speed.gallery.SETTLED", 0.0)
    found = gallery(pack.directory, 1)
    assert list(found) == ["cold", "warm"]
    for entry in found.values():
        assert {name: len(values) for name, values in entry.items()} == {"scripted": 1, "plain": 1, "first": 1, "all": 1}
        assert 0 < entry["first"][0] <= entry["all"][0]


def test_an_installation_is_weighed() -> None:
    found = installed()
    assert 1_000_000 < found["wheel"] < found["unpacked"]
    assert found["required"] == found["unpacked"] + sum(weight(name) for name in ("numpy", "pillow", "wasmtime"))


def test_server_holds_the_page_the_script_and_the_modules(served: str) -> None:
    from urllib.error import HTTPError
    from urllib.request import urlopen

    kinds, policies = {}, {}
    for path in ("empty.html", "isolated.html", "export/speed/speed.js", "web/sdz.js?1", "web/ort/a.wasm", "photo.sdz"):
        with urlopen(served + path) as response:
            kinds[path] = response.headers["Content-Type"]
            policies[path] = response.headers["Cross-Origin-Embedder-Policy"]
    script = "text/javascript"
    assert list(kinds.values()) == ["text/html", "text/html", script, script, "application/wasm", "application/octet-stream"]
    assert list(policies.values()) == [None, *["require-corp"] * 5]
    with pytest.raises(HTTPError, match="404") as refused:
        urlopen(served + "etc/passwd")
    refused.value.close()


def test_no_chromium_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(NoBrowserError, match="no chromium in PATH"):
        Chromium({}).__enter__()


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, pack: Pack) -> list[tuple[Pack, bool, bool]]:
    calls: list[tuple[Pack, bool, bool]] = []

    def measure(pack: Pack, quick: bool, browser: bool) -> dict[str, Any]:
        calls.append((pack, quick, browser))
        return REPORT

    monkeypatch.setattr(sdz.export.speed.run, "measure", measure)
    return calls


def test_command_prints_and_writes(
    stand_in: list[tuple[Pack, bool, bool]], pack: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "folder"
    assert main(["speed", "--pack", str(pack.directory), "--out", str(out), "--quick"]) == 0
    assert capsys.readouterr().out == markdown(REPORT)
    assert sorted(path.name for path in out.iterdir()) == ["speed.json", "speed.md"]
    assert json.loads((out / "speed.json").read_text()) == REPORT
    assert (out / "speed.md").read_text() == markdown(REPORT)
    assert main(["speed", "--pack", str(pack.directory), "--json", "--no-browser"]) == 0
    assert json.loads(capsys.readouterr().out) == REPORT
    assert [(given.id, quick, browser) for given, quick, browser in stand_in] == [(pack.id, True, True), (pack.id, False, False)]


def test_command_without_a_pack_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", "--pack", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"sdz speed: {tmp_path / 'manifest.json'}: ")
