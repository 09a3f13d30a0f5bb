"""The first bytes of files: how far their pictures are from the photo, what is kept of it, and the means over photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from standins import StandInPack, StandInSession

from sdz.export.bench.tables import first
from sdz.export.bench.tables.first import CHAPTER, FIRST_BYTES, QUALITY, measure, section
from sdz.export.metrics.kept import Kept
from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.photo import PreparedPhoto, read_photo

SESSION: Any = StandInSession()


def photo() -> PreparedPhoto:
    coarse = np.random.default_rng(6).integers(0, 256, (5, 6, 3), np.uint8)
    return read_photo(np.asarray(Image.fromarray(coarse).resize((96, 80), Image.Resampling.BICUBIC)))


def test_the_distance_is_that_of_the_linear_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first, "hashers", lambda: False)
    found = measure(photo(), SESSION)
    assert list(found) == [f"{size} bytes" for size in FIRST_BYTES]
    data = encode(photo(), quality=QUALITY, session=SESSION)
    picture = np.asarray(decode(data[:60], session=SESSION, stage="linear").to_pil(), np.float64)
    assert found["60 bytes"] == pytest.approx(float(np.sqrt(np.mean((picture - photo().rgb) ** 2))))


def test_placeholders_stand_only_where_all_photos_have_them() -> None:
    found = section(["a", "b"], [{"30 bytes": 40.0, "ThumbHash": 30.0}, {"30 bytes": 41.0}])
    (table,) = found.tables
    assert (table.header, table.rows) == (["30 bytes"], [["40.5"]])
    assert found.lines[0].endswith("means over 2 photos.")
    (table,) = section(["a"], [{"30 bytes": 40.0, "ThumbHash": 30.04}]).tables
    assert (table.header, table.rows) == (["30 bytes", "ThumbHash"], [["40.0", "30.0"]])


def test_a_chapter_is_measured_once_per_pack_encoder_and_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first, "hashers", lambda: False)
    kept = Kept(tmp_path, "0123")
    found = CHAPTER.of(photo(), SESSION, kept)
    assert found == measure(photo(), SESSION)
    with monkeypatch.context() as patch:
        patch.setattr(first, "encode", lambda *_, **__: pytest.fail("measured again"))
        assert CHAPTER.of(photo(), SESSION, kept) == found
    monkeypatch.setattr(first, "encode", lambda *_, **__: pytest.fail("as it must be"))
    another: Any = StandInSession(StandInPack(encoder="2-"))
    with pytest.raises(pytest.fail.Exception, match="as it must be"):
        CHAPTER.of(photo(), another, kept)
    monkeypatch.setattr(first, "hashers", lambda: True)
    with pytest.raises(pytest.fail.Exception, match="as it must be"):
        CHAPTER.of(photo(), SESSION, kept)
