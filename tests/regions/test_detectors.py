"""Detectors of lettering and faces: what they find in photos that scikit-image has, and what is said where they are not installed."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from sdz.runtime.errors import EncodeInputError, MissingExtraError
from sdz.runtime.regions import detectors
from sdz.runtime.regions.detectors import find, find_faces, find_text
from sdz.runtime.regions.subjects import subjects_of

FONT = ImageFont.load_default(24)
LINES = [((20, 20), "The grandeur"), ((20, 70), "of its scenery"), ((120, 115), "manner")]


def test_lettering_is_found_line_by_line() -> None:
    page = Image.new("RGB", (320, 160), (240, 236, 220))
    draw = ImageDraw.Draw(page)
    lines = [draw.textbbox(at, text, FONT) for at, text in LINES]
    for at, text in LINES:
        draw.text(at, text, (40, 40, 60), FONT)
    boxes = sorted(find_text(np.asarray(page)), key=lambda box: box[1])
    assert len(boxes) == len(lines)
    for (left, top, width, height), (x0, y0, x1, y1) in zip(boxes, lines, strict=True):
        # a box is a few pixels larger than what stands in it
        assert x0 - 12 < left < x0 + 6 and x1 - 6 < left + width < x1 + 12
        assert y0 - 12 < top < y0 + 6 and y1 - 6 < top + height < y1 + 12


def test_a_face_is_found_where_it_is_and_nowhere_else() -> None:
    boxes = find_faces(data.astronaut())
    assert len(boxes) == 1
    left, top, width, height = boxes[0]
    # the eyes stand at about (205, 112) and (246, 113), the mouth at (224, 152)
    assert left < 190 < 260 < left + width and top < 100 < 160 < top + height
    assert width == height < 200


def test_what_shows_neither_has_no_boxes() -> None:
    assert find(("text", "faces"), np.full((64, 64, 3), 128, np.uint8)) == []
    assert find_faces(np.zeros((20, 500, 3), np.uint8)) == []


def test_subjects_are_named_once_and_in_order() -> None:
    assert subjects_of("faces, text") == ("text", "faces")
    assert subjects_of(("text", "text")) == ("text",)
    assert subjects_of(()) == ()
    with pytest.raises(EncodeInputError, match="'cats' cannot be protected, text and faces can"):
        subjects_of("text,cats")


@pytest.mark.parametrize(("module", "finder"), [("rapidocr_onnxruntime", find_text), ("skimage", find_faces)])
def test_without_its_extra_a_detector_says_what_to_install(module: str, finder: object, monkeypatch: pytest.MonkeyPatch) -> None:
    detectors._text_detector.cache_clear()
    detectors._face_detector.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sdz\[protect\]'"):
        finder(np.zeros((64, 64, 3), np.uint8))  # type: ignore[operator]
    detectors._text_detector.cache_clear()
    detectors._face_detector.cache_clear()
