"""`sdz cuts`: prefixes of a file beside files of their sizes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from standins import StandInSession

from sdz.export.compare import cuts
from sdz.export.compare.cuts import CUTS, Cut, cut_table, main, measure
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
    found = measure(prepared, session, "natural", 60.0)
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
    rows = [re.sub(" +", " ", line) for line in cut_table(["a.png", "b.png"], photos).splitlines()]
    assert rows[0] == "| photo | 50 % | 75 % |"
    assert rows[2:] == [
        "| a.png | -0.10 / +0.10 | +0.00 / +0.00 |",
        "| b.png | -0.20 / +0.30 | +0.50 / -0.50 |",
        "| average | -0.15 / +0.20 | +0.25 / -0.25 |",
        "| worst | -0.20 / +0.30 | +0.00 / +0.00 |",
        "| within 0.15 dB / 0.2 Lab, of 2 | 1 / 1 | 2 / 2 |",
    ]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(photo()).save(tmp_path / "a.png")
    session: Any = StandInSession()
    monkeypatch.setattr(cuts, "_session", lambda pack: session)
    assert main([str(tmp_path), "--quality", "60", "50", "--tune", "faithful"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if line.startswith("faithful")] == ["faithful, quality 60", "faithful, quality 50"]
    assert sum(line.startswith("| a.png") for line in printed) == 2
    (tmp_path / "none").mkdir()
    assert main([str(tmp_path / "none")]) == 1
    assert main([str(tmp_path), "--quality", "101"]) == 1
    assert "sdz cuts: " in capsys.readouterr().err
