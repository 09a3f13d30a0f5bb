"""The bench on figures made up here, whose averages follow from their definition; what is kept and what a new pack measures again; the
report's words and files."""

from __future__ import annotations

import argparse
import io
import json
import re
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from standins import StandInPack, StandInSession

from sdz.export.bench import costs, peers, report, run, sdz_codec, summary
from sdz.export.bench.ladder import RUNGS, ladder, rungs
from sdz.export.bench.peers import FULL, PEERS, Plan
from sdz.export.bench.photos import BenchInputError, find_photos, read, read_familiar
from sdz.export.bench.run import main
from sdz.export.bench.sdz_codec import CODER_STEPS, CUTS, POINTS, layouts, narrow
from sdz.export.bench.summary import Measured
from sdz.export.bench.tables import first
from sdz.export.bench.tables.first import FIRST_BYTES
from sdz.export.metrics import frechet, perceptual, similarity
from sdz.export.metrics.kept import Kept
from sdz.export.photo_files import SAMPLES
from sdz.export.site.assets import digest
from sdz.export.site.library import Library, MissingRuntimeError
from sdz.runtime.options import DEFAULT_QUALITY

AREA = 512 * 512
RATES = (0.03, 0.06, 0.12, 0.25, 0.5, 1.0)
SMALL = Plan("small", (replace(FULL.of("JPEG")[0], qualities=(10, 60)),), (40,), (), 0.1, tables=False)


def curve(codec: str, factor: float, rates: tuple[float, ...] = RATES, gain: float = 0.0) -> list[dict[str, Any]]:
    """Points of a codec that needs `factor` times the bytes of one whose figures rise evenly with the logarithm of the rate."""
    out = []
    for i, rate in enumerate(rates):
        level = RATES.index(rate)
        figures = {
            "psnr": 24.0 + 2 * level + gain,
            "ms_ssim": 0.8 + 0.03 * level,
            "st_lpips": 0.6 - 0.1 * level,
            "ssimulacra2": 20.0 * level,
        }
        bpp = factor * rate
        out.append(
            {"codec": codec, "setting": "a", "quality": DEFAULT_QUALITY if rate == 0.25 else i, "bytes": bpp * AREA / 8, "bpp": bpp}
            | figures
            | ({"specks": 0.015} if codec == POINTS[0] else {})
        )
    return out


def photo(name: str, ours: float = 0.8, avif: float = 1.0, jpeg: tuple[float, ...] = RATES[2:]) -> Measured:
    points = [*curve(POINTS[0], ours), *curve(POINTS[1], ours, gain=0.5), *curve("AVIF", avif), *curve("JPEG XL", 1.25)]
    points += [*curve("WebP", 2.0), *curve("JPEG", 4.0, jpeg)]
    rows = np.random.default_rng(len(name)).normal(size=(30, 4)).astype(np.float32)
    features = {"original": rows, "sdz-0.1": rows, "sdz, faithful-0.1": rows + 1, "AVIF-0.1": rows + 2, "JPEG XL-0.1": rows + 3}
    equal = {"0.1": {codec: {"bytes": 3000, "file": "x"} for codec in (*POINTS, "AVIF", "JPEG XL")}}
    cut = {"bpp": 0.1, "psnr": 27.0, "ms_ssim": 0.9, "st_lpips": 0.2}
    coder = {str(step): {"sdz": 80, "jxl": 100, "deflate": 160} for step in CODER_STEPS}
    denoiser = {str(c): {POINTS[0]: cut | {"psnr": 27.5}, POINTS[1]: cut} for c in CUTS}
    return Measured(name, 512, 512, points, equal, features, coder, denoiser)


def picture(seed: int, width: int = 176, height: int = 168) -> bytes:
    """A PNG of smooth noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    target = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(target, "PNG")
    return target.getvalue()


def found(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    (row,) = [r for r in rows if all(r[k] == v for k, v in wanted.items())]
    return row


def test_bd_rate_of_average_curves_and_its_median_over_photos() -> None:
    rows = summary.bd_rates([photo("a", ours=0.8), photo("b", ours=0.8), photo("c", ours=0.8, avif=2.0)])
    one = found(rows, window=[0.03, 1.0], peer="AVIF", metric="st_lpips", point="sdz")
    assert (one["median"], one["photos"]) == (pytest.approx(-20.0), 3)
    jxl = found(rows, window=[0.05, 0.3], peer="JPEG XL", metric="psnr", point="sdz")
    assert jxl["average"]["percent"] == pytest.approx(100 * (0.8 / 1.25 - 1), abs=0.1)
    assert jxl["average"]["low"] == pytest.approx(0.05, rel=0.02)
    assert jxl["average"]["high"] == pytest.approx(0.3, rel=0.02)
    faithful = found(rows, window=[0.05, 0.3], peer="JPEG XL", metric="psnr", point="sdz, faithful")
    assert faithful["median"] < jxl["median"]
    none = found(rows, window=[0.05, 0.3], peer="JPEG", metric="psnr", point="sdz")
    assert (none["average"], none["median"], none["photos"]) == (None, None, 0)


def test_equal_bytes_count_only_photos_that_all_reach() -> None:
    rows = summary.at_equal_bytes([photo("a"), photo("b", jpeg=RATES[3:])])
    assert [r["photos"] for r in rows if r["peer"] == "JPEG"] == [1]
    assert found(rows, rate=0.5, peer="JPEG")["psnr"][2] == pytest.approx(28.11, abs=0.01)
    at = found(rows, rate=0.1, peer="AVIF")
    assert at["photos"] == 2
    assert at["psnr"][1] - at["psnr"][0] == pytest.approx(0.5)
    assert at["st_lpips"][0] < at["st_lpips"][2]
    assert not [r for r in rows if r["rate"] == 1.0 and r["peer"] == "AVIF"]


def test_frechet_compares_sets_at_a_rate_all_have() -> None:
    (row,) = summary.frechet([photo("a"), photo("bb")])
    assert (row["rate"], row["photos"], row["patches"]) == (0.1, 2, 60)
    assert row["distance"] == {
        "sdz": pytest.approx(0.0, abs=1e-6),
        "sdz, faithful": pytest.approx(4.0),
        "AVIF": pytest.approx(16.0),
        "JPEG XL": pytest.approx(36.0),
    }
    assert row["bpp"]["AVIF"] == pytest.approx(24000 / AREA)
    missing = photo("c")
    del missing.features["AVIF-0.1"]
    assert summary.frechet([missing]) == []


def test_transparency_is_a_median_over_all_photos() -> None:
    found_ = summary.transparent([photo("a"), photo("b", avif=2.0), photo("c", jpeg=RATES[:4])])
    assert found_["AVIF"]["photos"] == 3
    # half way between 80 at 0.5 and 100 at 1.0 bits per pixel
    assert found_["AVIF"]["median_bpp"] == pytest.approx(2**-0.5, rel=1e-6)
    assert (found_["JPEG"]["photos"], found_["JPEG"]["best"]) == (2, 100.0)
    assert summary.transparent([photo("d", jpeg=RATES[:4])])["JPEG"] == {"photos": 0, "median_bpp": None, "best": 60.0}


def test_break_even_is_the_download_over_the_bytes_saved() -> None:
    out = summary.break_even([photo("a"), photo("b")], 1_000_000)
    # at equal ST-LPIPS AVIF's file has 0.25 bits per pixel, ours 0.2
    saved = 0.05 * AREA / 8
    counts = {"smaller": 2, "known": 2}
    assert out["AVIF"] == {
        "photos": 2,
        "saved": pytest.approx(saved),
        "images": -(-1_000_000 // saved),
        "smaller": {"st_lpips": counts, "ssimulacra2": counts},
    }
    larger = summary.break_even([photo("a"), photo("b", ours=1.5)], None)["AVIF"]["smaller"]
    assert larger["ssimulacra2"] == {"smaller": 1, "known": 2}
    assert summary.break_even([photo("a", ours=1.5)], 1_000_000)["AVIF"]["images"] is None
    assert summary.break_even([photo("a")], None)["AVIF"]["images"] is None


def test_extremes_are_those_farthest_from_avif() -> None:
    photos = [photo(name, ours=ours) for name, ours in (("a", 0.7), ("b", 1.3), ("c", 0.9), ("d", 1.1))]
    out = summary.extremes(photos)
    assert [e["id"] for e in out["best"]] == ["a", "c"]
    assert [e["id"] for e in out["worst"]] == ["b", "d"]
    assert summary.extremes([])["best"] == []


def test_auto_takes_the_faithful_file_where_the_natural_one_has_too_many_specks() -> None:
    clean, ahead, lettered = photo("a", ours=1.5), photo("b"), photo("c", ours=1.5)
    lettered.points[:] = [*curve(POINTS[0], 1.5), *curve(POINTS[1], 0.8), *curve("AVIF", 1.0)]
    for point in lettered.points[: len(RATES)]:
        point["specks"] = 0.0151
    out = summary.tunings([clean, ahead, lettered])
    assert out["faithful"] == 1
    at = {row["point"]: (row["known"], row["photos"]) for row in out["behind"] if row["rate"] == 0.15}
    assert at == {POINTS[0]: (3, ["a", "c"]), POINTS[1]: (3, ["a"]), "auto": (3, ["a"])}
    # as good is not worse, and what does not reach a rate is not counted
    assert {tuple(row["photos"]) for row in summary.tunings([photo("d", ours=1.0)])["behind"]} == {()}
    unknown = photo("e", ours=4.0)
    assert {row["known"] for row in summary.tunings([unknown])["behind"] if row["rate"] == 0.1} == {0}


def test_familiarity_stands_beside_a_codec_that_saw_neither() -> None:
    rows = summary.familiarity([photo("a", ours=0.5)], [photo("b", ours=1.0)], "AVIF", (0.25,))
    row = found(rows, metric="psnr")
    assert row["familiar"]["values"] == pytest.approx([32.0, 32.5, 30.0], abs=0.1)
    assert row["held_out"]["values"] == pytest.approx([30.0, 30.5, 30.0])
    assert row["familiar"]["photos"] == 1


def test_training_photos_are_compared_with_those_of_the_same_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seeds in (("seen", (1, 2)), ("unseen", (3,))):
        (tmp_path / name).mkdir()
        for seed in seeds:
            (tmp_path / name / f"{seed}.png").write_bytes(picture(seed))
    ours = {digest(picture(seed)): factor for seed, factor in ((1, 0.5), (2, 0.5), (3, 1.0))}

    def made(name: str, factor: float) -> Measured:
        measured = photo(name, ours=factor)
        for point in measured.points:
            point["setting"] = run.FAMILIAR.settings[0].name
        return measured

    monkeypatch.setattr(run, "measure", lambda rgb, kept, identity, session, plan: made(identity, ours[identity]))
    bench = made("bench", 2.0)
    held_out = {}
    for kind, unseen in (("unseen", tmp_path / "unseen"), ("bench", None)):
        figures = run._familiar(tmp_path / "seen", [bench], argparse.Namespace(out=tmp_path, pack=None, unseen=unseen))
        assert (figures["photos"], figures["held_out"]) == (2, kind)
        row = found(figures["rows"], metric="psnr", rate=0.1)
        assert [row[side]["photos"] for side in ("familiar", "held_out")] == [2, 1]
        held_out[kind] = row["held_out"]["values"][0]
    # twice the bytes for a picture are one level of PSNR, two decibels
    assert held_out["unseen"] - held_out["bench"] == pytest.approx(2.0, abs=0.1)


def test_photos_that_training_never_saw_need_some_that_it_saw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.png").write_bytes(picture(3))
    assert main([str(tmp_path), "--out", str(tmp_path / "out"), "--unseen", str(tmp_path)]) == 1
    assert "name photos of that with --familiar" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stretches", "words"),
    [
        ([], "is nowhere ahead from 0.05 to 1.00 bpp: AVIF is the better choice"),
        ([[0.05, 1.0]], "is ahead everywhere measured, 0.05 to 1.00 bpp"),
        ([[0.05, 0.2]], "is ahead from 0.05 to 0.20 bpp; from 0.20 on AVIF is the better choice"),
        ([[0.3, 1.0]], "is ahead from 0.30 to 1.00 bpp; elsewhere from 0.05 to 1.00 bpp AVIF is the better choice"),
    ],
)
def test_where_it_is_ahead_is_said_in_words(stretches: list[list[float]], words: str) -> None:
    assert report.where({"peer": "AVIF", "low": 0.05, "high": 1.0, "ahead": stretches}) == words


def made_up() -> dict[str, Any]:
    photos = [photo("a"), photo("b")]
    return dict(
        report.rounded(
            {
                "pack": "010203",
                "summary": summary.summarize(photos),
                "break_even": summary.break_even(photos, 1_000_000),
                "downloads": {"visit": {"raw": 3_000_000, "gzip": 1_500_000, "brotli": 1_000_000}},
                "familiar": {"photos": 1, "held_out": "bench", "rows": summary.familiarity(photos[:1], photos[1:], "AVIF", (0.25,))},
                "times": {
                    "machine": {"processor": "P", "cores": 2, "load": 0.5, "python": "3", "onnxruntime": "1"},
                    "photos": 1,
                    "rows": [{"codec": "sdz", "step": "encode", "one": 1.25, "all": 0.75}],
                },
            }
        )
    )


def test_markdown_holds_every_table() -> None:
    text = re.sub(" +", " ", report.markdown(report.sections(made_up())))
    for line in (
        "- **ST-LPIPS against AVIF**: `sdz` is ahead everywhere measured, 0.03 to 0.80 bpp; `sdz, faithful` is ahead everywhere measured, "
        "0.03 to 0.80 bpp.",
        "| 0.1 | AVIF | 2 | 28.11 / 28.61 / 27.48 | 0.8617 / 0.8617 / 0.8522 | 0.3943 / 0.3943 / 0.4259 | 41.1 / 41.1 / 34.8 |",
        "| 40 | 160 | 200 | 320 | -20.0 % | -50.0 % |",
        "| 0.100 | 27.00 / 27.50 | 0.9000 / 0.9000 | 0.2000 / 0.2000 |",
        "| AVIF | 1,638 bytes | 611 images | 2 | 2 of 2 | 2 of 2 |",
        "- A visitor downloads the decoder and the pack once: 3.00 MB raw, 1.50 MB gzip, 1.00 MB brotli.",
        "| on a first visit: all of these | 3000.0 | 1500.0 | 1000.0 |",
        "| sdz | encode | 1.2 | 0.8 |",
        "| 0.15 | 0 of 2 | 0 of 2 | 0 of 2 |",
    ):
        assert line in text.splitlines()
    assert "| AVIF | sdz | -20.0 % (" in text


def test_html_escapes_and_shows_pictures() -> None:
    page = report.html("010203", report.sections(made_up()), ["plots/a.png"], [("worst: <b>", [("crops/a.png", "sdz: 1 & 2")])])
    assert '<img src="plots/a.png" alt="">' in page
    assert "<h3>worst: &lt;b&gt;</h3>" in page
    assert "<figcaption>sdz: 1 &amp; 2</figcaption>" in page
    assert "<strong>PSNR against AVIF</strong>" in page
    assert "<code>sdz</code>" in page and "`" not in page
    hostile = made_up() | {"pack": "<script>alert(1)</script>"}
    assert "<script" not in report.html("010203", report.sections(hostile), ['"onerror="x'], [])
    assert 'src="&#34;onerror=&#34;x"' in report.html("010203", report.sections(hostile), ['"onerror="x'], [])


def test_floats_are_rounded_and_nothing_else() -> None:
    assert report.rounded({"a": [1.2345678, 123456.78], "b": 1234567, "c": None, "d": "x"}) == {
        "a": [1.2346, 123460.0],
        "b": 1234567,
        "c": None,
        "d": "x",
    }


def test_layouts_hold_every_latent_once() -> None:
    integers = np.arange(192 * 2 * 3, dtype=np.int32).reshape(192, 2, 3)
    both = layouts(integers)
    assert [a.shape for a in both] == [(384, 3), (24, 48)]
    for layout in both:
        assert np.array_equal(np.sort(layout.ravel()), np.arange(integers.size))
    assert narrow(integers).dtype == np.int16
    assert narrow(integers % 100).dtype == np.int8


def test_a_new_pack_measures_only_its_own_part_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def theirs(reference: Any, plan: Plan) -> list[dict[str, Any]]:
        calls.append("peers")
        return curve("AVIF", 1.0)

    def ours(image: Any, reference: Any, codec: sdz_codec.SdzCodec, plan: Plan) -> list[dict[str, Any]]:
        calls.append(codec.session.pack.id.hex())
        return curve(codec.codec, 0.8)

    def measured(seed: int, session: Any) -> Measured:
        return run.measure(read(picture(seed), "a").rgb, Kept(tmp_path, str(seed)), str(seed), session, SMALL)

    first_pack, other_pack = [["010203"] * len(POINTS), ["050607"] * len(POINTS)]
    monkeypatch.setattr(peers, "measure_points", theirs)
    monkeypatch.setattr(sdz_codec, "measure_points", ours)
    monkeypatch.setattr(frechet, "patch_features", lambda pixels: np.zeros((2, 4), np.float32))
    session: Any = StandInSession(StandInPack())
    first = measured(1, session)
    again = measured(1, session)
    assert calls == ["peers", *first_pack]
    assert (again.id, again.points) == (first.id, first.points)
    other: Any = StandInSession(StandInPack(id=b"\x05\x06\x07"))
    measured(1, other)
    assert calls == ["peers", *first_pack, *other_pack]
    measured(1, session)
    assert len(calls) == 5
    measured(2, session)
    assert calls[5:] == ["peers", *first_pack]


def test_the_whole_command_writes_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(perceptual, "available", lambda: False)
    monkeypatch.setattr(similarity, "whole_distance", lambda a, b: float(np.abs(a.astype(float) - b).mean()))
    monkeypatch.setattr(frechet, "patch_features", lambda pixels: pixels[::8, ::8].reshape(-1, 3).astype(np.float32) / 256)
    monkeypatch.setattr(costs, "times", lambda photos, pack, repetitions: made_up()["times"])
    monkeypatch.setattr(first, "hashers", lambda: False)
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(2):
        (photos / f"{seed}.png").write_bytes(picture(seed))
    out = tmp_path / "report"
    assert main([str(photos), "--out", str(out), "--quick", "--tables", "quality,first", "--jobs", "1"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("### Where it is ahead")
    assert (out / "report.md").read_text() in printed.out
    written = json.loads((out / "report.json").read_text())
    assert (written["summary"]["photos"], written["plan"], len(written["photos"])) == (2, "quick", 2)
    assert {p["codec"] for p in written["photos"][0]["points"]} == {*POINTS, *PEERS}
    assert not any("ssimulacra2" in p for p in written["photos"][0]["points"])
    assert 'src="plots/psnr.png"' in (out / "report.html").read_text()
    with Image.open(out / "ladder.jpg") as opened:
        assert opened.format == "JPEG"
    assert "### The first bytes" in printed.out
    assert "### Lossless" not in printed.out
    assert [sorted(found) for found in written["tables"]["first"]] == [sorted(f"{size} bytes" for size in FIRST_BYTES)] * 2
    for measured in (sdz_codec, peers):
        monkeypatch.setattr(measured, "measure_points", lambda *_: pytest.fail("measured again"))
    monkeypatch.setattr(first, "encode", lambda *_: pytest.fail("measured again"))
    assert main([str(photos), "--out", str(out), "--quick", "--tables", "quality,first", "--jobs", "1"]) == 0


def test_downloads_are_weighed_once_and_left_out_without_the_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pack: Any = StandInPack()
    shared = Library({}, "assets/sdz-0123")
    monkeypatch.setattr(run, "collect", lambda pack: shared)
    monkeypatch.setattr(run, "sizes", lambda shared, quick: {"visit": {"raw": 3, "gzip": 2, "brotli": 1}})
    assert run._downloads(pack, tmp_path) == {"visit": {"raw": 3, "gzip": 2, "brotli": 1}}
    monkeypatch.setattr(run, "sizes", lambda shared, quick: pytest.fail("weighed again"))
    assert run._downloads(pack, tmp_path) == {"visit": {"raw": 3, "gzip": 2, "brotli": 1}}

    def missing(pack: Any) -> Any:
        raise MissingRuntimeError("no runtime here")

    monkeypatch.setattr(run, "collect", missing)
    assert run._downloads(pack, tmp_path) is None
    assert "no runtime here; sizes and break-even are left out" in capsys.readouterr().err


def test_peers_only_measures_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(picture(3))
    monkeypatch.setattr(peers, "measure_points", lambda reference, plan: curve("AVIF", 1.0))
    monkeypatch.setattr(sdz_codec, "measure_photo", lambda *_: pytest.fail("a pack was measured"))
    monkeypatch.setattr(frechet, "patch_features", lambda pixels: np.zeros((2, 4), np.float32))
    monkeypatch.setattr(peers, "equal_file", lambda *_: None)
    assert main([str(tmp_path / "a.png"), "--out", str(tmp_path / "out"), "--peers-only", "--jobs", "1"]) == 0
    (folder,) = (tmp_path / "out" / "photos").iterdir()
    assert json.loads((folder / "peers.json").read_text())["figures"]["points"] == curve("AVIF", 1.0)


def test_a_table_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--out", str(tmp_path), "--tables", "quality,hights"])
    assert stopped.value.code == 2
    assert "'hights' is no table: quality, high, first, cuts, lossless, lettering, effort" in capsys.readouterr().err


def test_no_photos_and_unreadable_ones_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "no photos there" in capsys.readouterr().err
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    assert main([str(tmp_path), "--out", str(tmp_path / "out"), "--peers-only", "--jobs", "1"]) == 1
    assert "broken.png: not an image that Pillow can read" in capsys.readouterr().err


def test_pictures_of_the_report_are_no_photos(tmp_path: Path) -> None:
    for name in ("a.png", "report/crops/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert find_photos([tmp_path], tmp_path / "report") == [tmp_path / "a.png"]
    with pytest.raises(BenchInputError, match="no photos there"):
        find_photos([tmp_path / "report"], tmp_path / "report")


def test_without_names_the_photos_are_those_of_scikit_image() -> None:
    paths = find_photos([])
    assert [p.name for p in paths] == list(SAMPLES)
    assert all(p.is_file() for p in paths)


def test_training_photos_come_from_shards_and_folders(tmp_path: Path) -> None:
    shard = tmp_path / "photos.tar"
    with tarfile.open(shard, "w") as archive:
        for index in range(4):
            entry = tarfile.TarInfo(f"{index}.webp" if index else "notes.txt")
            entry.size = 1
            archive.addfile(entry, io.BytesIO(bytes([index])))
    assert read_familiar(shard, 2) == [b"\x01", b"\x03"]
    (tmp_path / "a.png").write_bytes(b"a")
    assert read_familiar(tmp_path, 24) == [b"a"]
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with pytest.raises(BenchInputError, match="no photos in"):
        read_familiar(tmp_path / "empty.tar", 2)


def test_the_ladder_goes_down_to_one_bit() -> None:
    session: Any = StandInSession(StandInPack())
    image = Image.open(io.BytesIO(picture(5)))
    captions = [caption for caption, _ in rungs(image, session)]
    assert captions[-3:] == ["2 bytes", "1 byte", "1 bit"]
    assert len(captions) <= len(RUNGS) + 1
    assert all(shown.size == image.size for _, shown in rungs(image, session))
    assert len(ladder(image, session)) < 200_000
