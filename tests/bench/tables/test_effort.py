"""What effort is worth, measured of a real photo and said of made-up ones."""

from __future__ import annotations

import json

import numpy as np
import pytest
from skimage.data import chelsea

from sdz.export.bench.tables import effort
from sdz.export.bench.tables.effort import EFFORTS, Points, measure, section
from sdz.runtime.encode import encode
from sdz.runtime.pack import default_pack
from sdz.runtime.photo import read_photo
from sdz.runtime.session import Session


def test_the_middle_square_is_written_with_every_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "EFFORTS", (0, 1))
    monkeypatch.setattr(effort, "QUALITIES", (20, 40))
    monkeypatch.setattr(effort, "SIDE", 176)
    session = Session(default_pack())
    found = json.loads(json.dumps(measure(read_photo(chelsea()[:200, :240]), session)))
    square = np.ascontiguousarray(chelsea()[12:188, 32:208])
    for point, tune in (("sdz", "natural"), ("sdz, faithful", "faithful")):
        for used in (0, 1):
            sizes = [len(encode(square, quality=quality, tune=tune, effort=used, session=session)) for quality in (20, 40)]
            assert [p["bytes"] for p in found[point][str(used)]] == sizes
            assert all(
                p["seconds"] > 0 and {"bpp", "psnr", "ms_ssim", "ssimulacra2", "st_lpips"} <= p.keys() for p in found[point][str(used)]
            )
    # the better integers are the nearer ones
    before, after = (found["sdz, faithful"][str(used)][1] for used in (0, 1))
    assert after["ssimulacra2"] > before["ssimulacra2"]


def test_the_table_has_bytes_at_equal_figures() -> None:
    def points(share: float) -> list[dict[str, float]]:
        rates = (0.05, 0.1, 0.2, 0.4)
        return [{"bpp": share * rate, "psnr": 30 + 6 * i, "lpips": 0.4 / 2**i, "seconds": 2.0} for i, rate in enumerate(rates)]

    shares = {0: 1.0, 1: 0.9, 2: 0.8, 5: 0.5, 9: 1.25}
    photo: Points = {point: {str(e): points(shares[e]) for e in EFFORTS} for point in ("sdz", "sdz, faithful")}
    found = section(["a.png"], [photo])
    (table,) = found.tables
    assert table.header == ["", "effort", "PSNR", "MS-SSIM", "ST-LPIPS", "SSIMULACRA2", "LPIPS", "DISTS", "seconds"]
    assert table.rows[0] == ["sdz", "**1**", "-10.0 %", "–", "–", "–", "-10.0 %", "–", "2.0"]
    assert [row[:3] for row in table.rows[4:]] == [
        ["sdz, faithful", "**1**", "-10.0 %"],
        ["sdz, faithful", "2", "-20.0 %"],
        ["sdz, faithful", "5", "-50.0 %"],
        ["sdz, faithful", "9", "+25.0 %"],
    ]
