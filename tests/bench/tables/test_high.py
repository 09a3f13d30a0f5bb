"""Rates from half a bit to three: tables from points that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from standins import StandInSession

from sdz.export.bench.tables import high
from sdz.export.bench.tables.high import CODECS, POINTS, RATES, measure, section
from sdz.runtime.photo import read_photo


def points(factor: float, low: float = 0.4, high: float = 3.2) -> list[list[dict[str, float]]]:
    """A codec that needs `factor` times the bytes of one whose figures rise by 6 and by 12 with each doubling of the rate, 30 and 78 at
    a bit per pixel."""
    rates = np.geomspace(low, high, 9)
    return [[{"bpp": r, "psnr": 30 + 6 * np.log2(r / factor), "ssimulacra2": 78 + 12 * np.log2(r / factor)} for r in rates]]


def test_the_tables_say_what_the_points_do() -> None:
    photo = {codec: points(1.0 if codec in POINTS else 2.0, high=1.2 if codec == "JPEG" else 3.2) for codec in CODECS}
    psnr, quality, transparent, rates = section(["a", "b"], [photo, photo]).tables
    assert psnr.header == ["PSNR at bpp", *(f"{rate:g}" for rate in RATES)]
    rows = {row[0]: row[1:] for row in psnr.rows}
    assert rows["sdz"] == ["24.00", "27.51", "30.00", "33.51", "36.00", "37.93", "39.51"]
    assert rows["AVIF"] == ["18.00", "21.51", "24.00", "27.51", "30.00", "31.93", "33.51"]
    assert rows["JPEG"] == ["18.00", "21.51", "24.00", *["–"] * 4]
    assert {row[0]: row[1:] for row in quality.rows}["sdz"][2] == "78.0"
    assert {row[0]: row[1:] for row in transparent.rows} == {codec: ["2.00", "2.00 (2)"] for codec in POINTS} | {
        codec: ["–", "–"] for codec in CODECS if codec not in POINTS
    }
    halved = [row for row in rates.rows if row[0] == "AVIF"]
    assert [row[1] for row in halved] == list(POINTS)
    assert all(cell.startswith("-50.0 % (") for row in halved for cell in row[2:])


def test_every_setting_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    session: Any = StandInSession()
    monkeypatch.setattr(high, "QUALITIES", (40, 60))
    monkeypatch.setattr(high, "ssimulacra2", lambda picture, photo: 50.0)
    coarse = np.random.default_rng(7).integers(0, 256, (5, 6, 3), np.uint8)
    photo = read_photo(np.asarray(Image.fromarray(coarse).resize((96, 80), Image.Resampling.BICUBIC)))
    found = measure(photo, session)
    expected = {codec: [len(s.qualities) for s in high.PEERS if s.codec == codec] or [2] for codec in CODECS}
    assert {codec: [len(setting) for setting in settings] for codec, settings in found.items()} == expected
    assert all(p["ssimulacra2"] == 50.0 and p["bpp"] > 0 for settings in found.values() for setting in settings for p in setting)
