"""Specks, and the tuning that `auto` chooses by them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from skimage.data import astronaut
from standins import StandInPack, StandInSession

from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.format.container import parse
from sdz.runtime.options import TuneChoice
from sdz.runtime.refining.specks import CALM, ROWS, SPECK, TOO_MANY, cell_variance, has_specks
from sdz.runtime.regions import asked


def page(width: int = 192, height: int = 128) -> Image.Image:
    """Lines of black lettering on white."""
    image = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(image)
    for line in range(height // 14):
        pen.text((4, 2 + 14 * line), "The quick brown fox jumps over the lazy dog", fill="black")
    return image


def never() -> NDArray[np.uint8]:
    raise AssertionError("asked for")


def test_the_variance_of_cells_is_that_of_their_luma_and_what_is_no_whole_cell_is_left_out() -> None:
    pixels = np.zeros((ROWS + 7, 9, 3), np.uint8)
    pixels[ROWS : ROWS + 4, 4:6] = 100
    found = cell_variance(pixels)
    expected = np.zeros((ROWS // 4 + 1, 2))
    expected[ROWS // 4, 1] = 2500
    assert found.dtype == np.float32 and np.array_equal(found, expected)
    pixels[ROWS : ROWS + 4, 4:6] = [100, 0, 0]
    assert cell_variance(pixels)[-1].tolist() == pytest.approx([0, (0.299 * 50) ** 2])
    assert cell_variance(np.dstack([pixels, pixels[..., :1]]))[-1].tolist() == pytest.approx([0, (0.299 * 50) ** 2])
    assert cell_variance(pixels[..., :1])[-1].tolist() == [0, 2500]
    assert cell_variance(pixels[:3]).shape == (0, 2)
    assert cell_variance(pixels[:, :3]).shape == (ROWS // 4 + 1, 0)


def test_specks_are_what_is_shown_rough_where_the_photo_is_calm() -> None:
    photo = np.full((40, 80, 3), 128, np.uint8)
    # of 200 cells three are 1.5 %
    photo[:4, :40:2] = 140
    assert cell_variance(photo)[0].tolist() == [36.0] * 10 + [0.0] * 10
    shown = photo.copy()
    for cell in range(3):
        shown[8:12, 4 * cell : 4 * cell + 2] = 140
    assert cell_variance(shown)[2, :4].tolist() == [36.0, 36.0, 36.0, 0.0] and SPECK == 36.0 and CALM == 4.0
    assert TOO_MANY == 0.015
    assert not has_specks(photo, lambda: shown)
    shown[36:, :2] = 140
    assert has_specks(photo, lambda: shown)
    # rough in the photo as well: no speck
    assert not has_specks(shown, lambda: shown)
    # a grey picture is shown with one channel
    assert has_specks(photo, lambda: np.ascontiguousarray(shown[..., :1]))


def test_a_photo_without_calm_ground_needs_no_look_at_its_picture() -> None:
    rough = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert not has_specks(rough, never)
    assert not has_specks(rough[:3], never)


def test_auto_is_faithful_to_lettering_and_natural_to_a_face() -> None:
    lettered, face = page(), np.ascontiguousarray(astronaut()[:192, 128:320])
    by = {tune: encode(lettered, tune=tune, effort=0) for tune in ("auto", "natural", "faithful")}
    assert by["auto"] == by["faithful"] != by["natural"]
    assert parse(by["auto"]).header.realism == 0
    assert encode(lettered, effort=0) == by["auto"]
    assert encode(face, effort=0) == encode(face, tune="natural", effort=0) != encode(face, tune="faithful", effort=0)


def test_auto_keeps_to_a_size_and_to_regions() -> None:
    data = encode(page(), target_size=1500, effort=0, regions=[((0, 0, 64, 64), 1)])
    assert len(data) == 1500
    assert data == encode(page(), target_size=1500, effort=0, regions=[((0, 0, 64, 64), 1)], tune="faithful")


def test_detectors_look_once_at_a_photo_that_auto_writes_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def found(subjects: object, rgb: object) -> list[tuple[int, int, int, int]]:
        looks.append(subjects)
        return [(0, 0, 64, 64)]

    monkeypatch.setattr(asked, "find", found)
    data = encode(page(), effort=0, protect="text")
    assert looks == [("text",)]
    assert data == encode(page(), effort=0, protect="text", tune="faithful")


def test_auto_is_natural_where_nothing_is_invented() -> None:
    assert encode(page(), quality=90) == encode(page(), quality=90, tune="natural")
    session = StandInSession(StandInPack(denoiser_min_step_index=None))
    assert encode(page(), session=session) == encode(page(), session=session, tune="natural")


def test_a_lettered_page_is_nearer_by_auto_in_as_many_bytes() -> None:
    lettered = np.asarray(page()).astype(float)

    def error(tune: TuneChoice) -> float:
        return float(np.square(decode(encode(page(), tune=tune, target_size=1800, effort=0)).pixels - lettered).mean())

    assert error("auto") < error("natural")
