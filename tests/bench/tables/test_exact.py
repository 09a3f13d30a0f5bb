"""Lossless files beside the peers'."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from standins import StandInSession

from sdz.export.bench.photos import BenchInputError
from sdz.export.bench.tables.exact import coders, cost, measure, section
from sdz.runtime.photo import read_photo

SESSION: Any = StandInSession()


def photo() -> Any:
    coarse = np.random.default_rng(4).integers(0, 256, (5, 7, 3), np.uint8)
    return read_photo(np.asarray(Image.fromarray(coarse).resize((60, 44), Image.Resampling.BICUBIC)))


def test_every_coder_gives_the_photo_back() -> None:
    found = measure(photo(), SESSION)
    assert [name for name, *_ in found] == ["sdz", "JPEG XL, effort 7", "WebP, method 6", "PNG, optimized"]
    assert all(0 < bpp < 24 and written >= 0 and read >= 0 for _, bpp, written, read in found)
    broken = replace(coders(SESSION)[-1], read=lambda data: np.zeros((44, 60, 3), np.uint8))
    with pytest.raises(BenchInputError, match="PNG, optimized gives other pixels than it was given"):
        cost(photo(), broken)


def test_the_table() -> None:
    found = section(["a", "b"], [[["sdz", 8, 1, 0.5], ["PNG", 14, 0.25, 0]], [["sdz", 6, 2, 1.5], ["PNG", 7, 0.25, 0.5]]])
    (table,) = found.tables
    assert found.title == "Lossless"
    assert table.header == ["", "bits per pixel", "against sdz", "seconds to write", "seconds to read"]
    assert table.rows == [["sdz", "7.000", "+0.0 %", "1.50", "1.00"], ["PNG", "10.500", "+50.0 %", "0.25", "0.25"]]
