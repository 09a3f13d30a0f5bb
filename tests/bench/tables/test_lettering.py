"""What is read wrong in each codec's picture of a sign, and its table."""

from __future__ import annotations

from dataclasses import astuple
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from sdz.export.bench.tables import lettering as module
from sdz.export.bench.tables.lettering import Lettering, distance, lacks, largest_avif, lettering, measure, section
from sdz.runtime.pack import default_pack
from sdz.runtime.photo import read_photo
from sdz.runtime.session import Session

LINES = ("The grandeur of its", "scenery and its deep", "blue skies have never", "been forgotten")


def sign() -> Image.Image:
    """Small lettering on a textured ground."""
    ground = np.random.default_rng(0).normal(128, 40, (192, 320)).clip(0, 255).astype(np.uint8)
    picture = Image.fromarray(ground).convert("RGB")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((30, 24, 290, 168), fill=(225, 220, 190))
    for number, line in enumerate(LINES):
        draw.text((48, 36 + 32 * number), line, (50, 40, 30), ImageFont.load_default(19))
    return picture


@pytest.mark.parametrize(
    ("one", "other", "edits"), [("", "", 0), ("abc", "abc", 0), ("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3)]
)
def test_distance_is_levenshteins(one: str, other: str, edits: int) -> None:
    assert distance(one, other) == edits


def test_lettering_that_is_protected_is_read_better() -> None:
    found = lettering(read_photo(sign()), Session(default_pack()), 0.15)
    assert found is not None
    # spaces are not always read
    assert 60 <= found.characters <= sum(map(len, LINES))
    # a third of the characters, and one in thirteen
    assert found.protected < 0.15 < 0.3 < found.plain
    assert found.sizes[1] == found.sizes[2] == 1152
    assert found.sizes[0] <= found.sizes[1]


def test_a_photo_without_lettering_is_left_out() -> None:
    assert measure(read_photo(Image.new("RGB", (64, 64), (90, 90, 90))), Session(default_pack())) is None


def test_the_largest_avif_fits_and_one_that_cannot_is_the_smallest() -> None:
    picture = sign()
    assert 1500 < len(largest_avif(picture, 2000)) <= 2000
    assert len(largest_avif(picture, 1)) > 1


def test_the_table_weighs_by_characters() -> None:
    photos = [astuple(Lettering(30, 0.5, 0.4, 0.1, (1, 2, 2))), None, astuple(Lettering(10, 1.0, 0.8, 0.9, (1, 2, 2)))]
    found = section(["a.png", "none.png", "b.png"], photos)
    assert found.lines[0].endswith("; 2 of 3 photos have lettering to speak of.")
    (table,) = found.tables
    assert table.header == ["photo", "characters", "AVIF", "sdz", "sdz, text protected"]
    assert table.rows == [
        ["a.png", "30", "50 %", "40 %", "10 %"],
        ["b.png", "10", "100 %", "80 %", "90 %"],
        ["all", "40", "62 %", "50 %", "30 %"],
    ]
    assert section(["none.png"], [None]).tables == []


def test_without_the_reader_of_text_the_table_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lacks() is None
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "rapidocr_onnxruntime" else find_spec(name))
    assert lacks() == "the lettering table is left out; it needs pip install 'sdz[protect]'"
