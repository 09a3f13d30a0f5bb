"""Where a photo shows lettering or faces: boxes from other people's detectors, of the extra `protect`.

Takes pixels and gives boxes. Both detectors bring what they learned in their wheels; nothing is fetched.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import EncodeInputError, MissingExtraError, SdzError
from ..options import Subject
from .written import Box

SMALLEST_FACE: Final = 32
"""Pixels on a side: below, the detector finds more leaves than faces."""

NEIGHBOURS: Final = 4
"""Findings of one face, at places and sizes beside each other, that make it one."""

FACE_GROWN: Final = 0.15
"""A face is larger than the features by which it is found: its box grows by this share on every side."""


def find(subjects: Sequence[Subject], rgb: NDArray[np.uint8]) -> list[Box]:
    """Boxes around what is seen of the subjects in `rgb` uint8 (H, W, 3). Raises ModuleNotFoundError without the extra."""
    return [box for subject in subjects for box in FINDERS[subject](rgb)]


def find_text(rgb: NDArray[np.uint8]) -> list[Box]:
    """Boxes around lines of lettering, from top to bottom (PP-OCR's detector, by RapidOCR)."""
    corners, _ = _text_detector()(np.ascontiguousarray(rgb[:, :, ::-1]))
    boxes = []
    for quadrangle in [] if corners is None else corners:
        left, top = (int(v) for v in np.floor(quadrangle.min(axis=0)))
        right, bottom = (int(v) for v in np.ceil(quadrangle.max(axis=0)))
        boxes.append((left, top, right - left, bottom - top))
    return boxes


def find_faces(rgb: NDArray[np.uint8]) -> list[Box]:
    """Boxes around faces that look out of the picture (a cascade of local binary patterns, by scikit-image)."""
    side = min(rgb.shape[:2])
    if side < SMALLEST_FACE:
        return []
    least = (SMALLEST_FACE, SMALLEST_FACE)
    found = _face_detector().detect_multi_scale(
        img=rgb, scale_factor=1.2, step_ratio=1, min_size=least, max_size=(side, side), min_neighbor_number=NEIGHBOURS
    )
    boxes = []
    for face in found:
        grown = round(FACE_GROWN * face["width"])
        boxes.append((int(face["c"]) - grown, int(face["r"]) - grown, int(face["width"]) + 2 * grown, int(face["height"]) + 2 * grown))
    return sorted(boxes)


FINDERS: Final[dict[Subject, Callable[[NDArray[np.uint8]], list[Box]]]] = {"text": find_text, "faces": find_faces}


@functools.cache
def _text_detector() -> Any:
    try:
        from rapidocr_onnxruntime import RapidOCR
    except ImportError as error:
        raise _lacking("looking for lettering", "rapidocr-onnxruntime", error) from error
    return RapidOCR().text_det


@functools.cache
def _face_detector() -> Any:
    try:
        from skimage import data, feature
    except ImportError as error:
        raise _lacking("looking for faces", "scikit-image", error) from error
    return feature.Cascade(data.lbp_frontal_face_cascade_filename())  # type: ignore[no-untyped-call]


def _lacking(what: str, package: str, error: ImportError) -> SdzError:
    if isinstance(error, ModuleNotFoundError):
        return MissingExtraError(what, package, "protect")
    # OpenCV's ordinary package wants a desktop's libraries
    return EncodeInputError(f"{what} fails: {error}; without a desktop, install opencv-python-headless in opencv-python's place")
