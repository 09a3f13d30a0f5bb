"""Prefixes of a file beside files of their sizes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image
from standins import StandInSession

from sdz.export.bench.tables import cuts
from sdz.export.bench.tables.cuts import CUTS, Cut, cut_table, cuts_of, measure, section
from sdz.export.metrics.artefacts import block_colour
from sdz.export.metrics.pictures import psnr
from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.photo import read_photo


def photo() -> np.ndarray:
    coarse = np.random.default_rng(5).integers(0, 256, (9, 12, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((192, 160), Image.Resampling.BICUBIC))


def test_a_cut_is_judged_beside_a_file_of_its_size() -> None:
    session: Any = StandInSession()
    prepared = read_photo(photo())
    found = cuts_of(prepared, session, "natural", 60.0)
    assert [cut.percent for cut in found] == list(CUTS)
    whole = encode(prepared, quality=60.0, session=session)
    size = round(len(whole) * 50 / 100)
    equal = encode(prepared, target_size=size, session=session)
    assert len(equal) == size and equal != whole[:size]
    pictures = [np.asarray(decode(data, session=session).to_pil()) for data in (whole[:size], equal)]
    judged = [number for picture in pictures for number in (psnr(picture, prepared.rgb), block_colour(picture, prepared.rgb))]
    assert found[2] == Cut(50, *judged)


def test_the_table_has_averages_and_the_worst() -> None:
    photos = [
        [Cut(50, 30.0, 1.0, 30.1, 0.9), Cut(75, 31.0, 1.0, 31.0, 1.0)],
        [Cut(50, 28.0, 2.0, 28.2, 1.7), Cut(75, 29.5, 1.0, 29.0, 1.5)],
    ]
    found = cut_table("natural, quality 40", ["a.png", "b.png"], photos)
    assert found.header == ["natural, quality 40", "50 %", "75 %"]
    assert found.rows == [
        ["a.png", "-0.10 / +0.10", "+0.00 / +0.00"],
        ["b.png", "-0.20 / +0.30", "+0.50 / -0.50"],
        ["average", "-0.15 / +0.20", "+0.25 / -0.25"],
        ["worst", "-0.20 / +0.30", "+0.00 / +0.00"],
        ["within 0.15 dB / 0.2 Lab, of 2", "1 / 1", "2 / 2"],
    ]


def test_what_is_kept_makes_a_table_of_each_file(monkeypatch: pytest.MonkeyPatch) -> None:
    session: Any = StandInSession()
    monkeypatch.setattr(cuts, "FILES", (("faithful", 60.0), ("natural", 50.0)))
    kept = json.loads(json.dumps(measure(read_photo(photo()), session)))
    found = section(["a.png"], [kept])
    assert found.title == "Cuts"
    assert [table.header[0] for table in found.tables] == ["faithful, quality 60", "natural, quality 50"]
    for table, (tune, quality) in zip(found.tables, cuts.FILES, strict=True):
        assert table == cut_table(table.header[0], ["a.png"], [cuts_of(read_photo(photo()), session, tune, quality)])
