"""`sdz exact`: lossless files beside the peers'."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from standins import StandInSession

from sdz.export.bench.run import BenchInputError
from sdz.export.compare import exact
from sdz.export.compare.exact import Cost, coders, exact_table, main, measure
from sdz.runtime.decode import decode
from sdz.runtime.photo import read_photo

SESSION: Any = StandInSession()


def photo() -> Any:
    coarse = np.random.default_rng(4).integers(0, 256, (5, 7, 3), np.uint8)
    return read_photo(np.asarray(Image.fromarray(coarse).resize((60, 44), Image.Resampling.BICUBIC)))


def test_every_coder_gives_the_photo_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "decode", exact_decode)
    costs = [measure(photo(), coder) for coder in coders(SESSION)]
    assert all(0 < cost.bpp < 24 and cost.written >= 0 and cost.read >= 0 for cost in costs)
    broken = replace(coders(SESSION)[-1], read=lambda data: np.zeros((44, 60, 3), np.uint8))
    with pytest.raises(BenchInputError, match="PNG, optimized gives other pixels than it was given"):
        measure(photo(), broken)


def exact_decode(data: bytes) -> Any:
    return decode(data, session=SESSION)


def test_the_table() -> None:
    text = exact_table(["sdz", "PNG"], [[Cost(8, 1, 0.5), Cost(6, 2, 1.5)], [Cost(14, 0.25, 0), Cost(7, 0.25, 0.5)]])
    assert [re.sub(" +", " ", line) for line in text.splitlines()][2:] == [
        "| sdz | 7.000 | +0.0 % | 1.50 | 1.00 |",
        "| PNG | 10.500 | +50.0 % | 0.25 | 0.25 |",
    ]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(photo().rgb).save(tmp_path / "a.png")
    assert main([str(tmp_path)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "1 photos"
    assert [line.split("|")[1].strip() for line in printed[4:]] == ["sdz", "JPEG XL, effort 7", "WebP, method 6", "PNG, optimized"]
    (tmp_path / "none").mkdir()
    assert main([str(tmp_path / "none")]) == 1
    assert "sdz exact: " in capsys.readouterr().err
