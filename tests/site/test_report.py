"""The records and sentences of a report, names, files, and the measures of pictures."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import picture
from PIL import Image

from sdz.export.metrics import similarity
from sdz.export.metrics.pictures import avif_bytes, psnr
from sdz.export.site import library
from sdz.export.site.assets import Asset, hashed_name, write_asset
from sdz.export.site.parts.standins import placeholder_colors
from sdz.export.site.photos import title_of
from sdz.export.site.report import Decoder, Download, Measured, Photo, kilobytes, payback, summarize, text_report, verdict

# small parts


def test_titles() -> None:
    assert title_of(Path("x/motorcycle_left.png")) == "Motorcycle left"
    assert title_of(Path("--.png")) == "--"
    assert title_of(Path("E\u0301te\u0301 a\u0300 Nice.jpg")) == "Été à Nice"
    assert title_of(Path(os.fsdecode(b"caf\xe9.jpg"))) == "Café"


def test_placeholder_colors_are_the_means_of_thirds() -> None:
    image = Image.new("RGB", (4, 9), (200, 0, 16))
    image.paste((0, 100, 50), (0, 3, 4, 9))
    image.paste((0, 0, 255), (2, 6, 4, 9))
    assert placeholder_colors(image) == "#c80010 #006432 #003299"
    assert placeholder_colors(Image.new("RGBA", (4, 9))) == ""


def test_kilobytes() -> None:
    assert [kilobytes(n) for n in (0, 9_999, 10_000, 999_949, 1_000_000, 14_239_897)] == [
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
        "k",
        "x",
        "X",
        "x.png",
        100,
        80,
        40,
        16,
        asset,
        None,
        asset,
        None,
        stages,
        [],
        1.0,
        1.0,
        0.1 if avif else None,
        avif,
        "=" if avif else None,
    )


LIBRARY = {"sdz.js": (4000, 800), "session.js": (1000, 200), "fallback.js": (100, 50), "packs/1/decoder.onnx": (3000, 2000)}
"""Bytes of a site's files, as they are and after brotli."""


@pytest.mark.parametrize(
    ("avif", "saving", "after", "sentence"),
    [
        ([1500, 1700], 600.0, 5, "has paid for itself after 5 photos"),
        ([1000, 1000], 0.0, None, "never pays for itself in bytes"),
        ([900, 700], -200.0, None, "is 200 B smaller than the .sdz on average over 2 photos"),
        ([None, None], None, None, "was not measured"),
    ],
)
def test_payback(avif: list[int | None], saving: float | None, after: int | None, sentence: str) -> None:
    shared = library.Library(dict.fromkeys(LIBRARY, b""), "assets/sdz-0")
    assets = [Asset(f"assets/sdz-0/{name}", raw, "", brotli) for name, (raw, brotli) in LIBRARY.items()]
    photos = [photo_of(1000, size) for size in avif]
    report = summarize(Path("s"), Decoder("010203"), photos, assets, shared, 0, [], [])
    assert (report.saving, report.pays_after) == (saving, after)
    assert sentence in payback(report)
    assert report.downloads["runtime"] == Download(2, 5000, 1000)
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
    shared = library.Library(dict.fromkeys(LIBRARY, b""), "assets/sdz-0")
    assets = [Asset(f"assets/sdz-0/{name}", raw, "", brotli) for name, (raw, brotli) in LIBRARY.items()]
    photos = [replace(photo_of(1000, n), choice="why", avif=Asset("assets/x.avif", n, "0" * 64) if n <= 1000 else None) for n in avif]
    report = summarize(Path("s"), Decoder("010203"), photos, assets, shared, 0, [], [])
    assert (report.saving, report.pays_after) == (saving, after)
    assert sentence in payback(report)
    assert report.downloads["images"].raw == sum(min(n, 1000) for n in avif)


KEEPS = Asset("assets/x.avif", 900, "0" * 64)


@pytest.mark.parametrize(
    ("photos", "line"),
    [
        ([photo_of(1000, None)], "How sdz compares with AVIF was not measured. --judge 5 compares five photos, --auto all."),
        ([photo_of(1000, 5000)], "A visitor who sees 1 photo downloads 4,000 B with sdz and 5,000 B with AVIF at equal looks."),
        (
            [photo_of(1000, 1500)] * 2,
            "A visitor who sees 2 photos downloads 5,000 B with sdz and 3,000 B with AVIF at equal looks: use AVIF here; "
            "sdz pays from 6 photos on.",
        ),
        (
            [photo_of(1000, 900)],
            "A visitor who sees 1 photo downloads 4,000 B with sdz and 900 B with AVIF at equal looks: use AVIF here.",
        ),
        (
            [photo_of(1000, 3000), *[photo_of(1000, None)] * 3],
            "A visitor who sees 4 photos downloads 7,000 B with sdz and 12.0 kB with AVIF at equal looks (by 1 of them).",
        ),
        (
            [replace(photo_of(1000, 900), choice="why", avif=KEEPS)],
            "A visitor who sees 1 photo downloads 900 B with sdz and 900 B with AVIF at equal looks: every photo is kept as AVIF.",
        ),
    ],
)
def test_the_first_line(photos: list[Photo], line: str) -> None:
    shared = library.Library(dict.fromkeys(LIBRARY, b""), "assets/sdz-0")
    assets = [Asset(f"assets/sdz-0/{name}", raw, "", brotli) for name, (raw, brotli) in LIBRARY.items()]
    report = summarize(Path("s"), Decoder("01020304"), photos, assets, shared, 0, [], [])
    assert verdict(report) == line
    assert text_report(report).splitlines()[0] == line
    assert report.to_json()["verdict"] == line


def test_measures() -> None:
    a = np.asarray(picture(200, 180))
    b = np.clip(a.astype(np.int16) + 10, 0, 255).astype(np.uint8)
    flat = np.full((8, 8, 3), 100, np.uint8)
    assert psnr(a, a) == float("inf")
    assert psnr(flat, flat + 16) == pytest.approx(24.0484, abs=1e-4)
    assert similarity.structural_similarity(a, a) == pytest.approx(1.0, abs=1e-6)
    assert similarity.structural_similarity(a[:160], b[:160]) is None


def test_avif_at_distance() -> None:
    small = picture(80, 64)
    pixels = np.asarray(small)
    assert similarity.perceptual_distance(pixels, pixels) == pytest.approx(0.0, abs=1e-6)
    lowest = similarity.avif_at_distance(small, 10.0)
    highest = similarity.avif_at_distance(small, -1.0)
    coarse, fine = avif_bytes(small, 0), avif_bytes(small, 100)
    assert (lowest, highest) == (similarity.EqualAvif(len(coarse), "<=", coarse, 0), similarity.EqualAvif(len(fine), ">=", b"", 100))
    with Image.open(io.BytesIO(avif_bytes(small, 40))) as decoded:
        distance = similarity.perceptual_distance(np.asarray(decoded.convert("RGB")), pixels)
    equal = avif_bytes(small, 40)
    assert similarity.avif_at_distance(small, distance) == similarity.EqualAvif(len(equal), "=", equal, 40)
