"""Contact sheets: places read and refused, crops kept inside the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sdz.export.bench.sheets import Place, SheetInputError, cut, read_places


def test_places_are_read(tmp_path: Path) -> None:
    file = tmp_path / "places.json"
    file.write_text('[{"photo": "ab12", "subject": "face", "left": 3, "top": 4}]')
    assert read_places(file) == [Place("ab12", "face", 3, 4)]


@pytest.mark.parametrize("text", ["", "[1]", '[{"photo": "ab12"}]', '[{"photo": "a", "subject": "b", "left": "x", "top": 0}]'])
def test_what_names_no_place_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "places.json"
    file.write_text(text)
    with pytest.raises(SheetInputError, match=r"places\.json: no list of objects with photo, subject, left and top"):
        read_places(file)


def test_a_crop_stays_inside_the_picture() -> None:
    pixels = np.arange(40 * 50 * 3, dtype=np.uint32).astype(np.uint8).reshape(40, 50, 3)
    assert np.array_equal(np.asarray(cut(pixels, Place("", "", 45, 30), 16)), pixels[24:40, 34:50])
    assert np.array_equal(np.asarray(cut(pixels, Place("", "", 2, 3), 16)), pixels[3:19, 2:18])
