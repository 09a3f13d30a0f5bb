"""Maps of regions: which blocks boxes, masks and errors make finer, and the floors that a file then has."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sdz.runtime.errors import EncodeInputError
from sdz.runtime.regions.maps import boxes_map, layout, octave_map, worst_map

HEIGHT, WIDTH, PATCH, OVERLAP = 70, 100, 16, 4
"""5 x 7 blocks."""


def test_a_box_covers_every_block_whose_pixels_reach_into_it() -> None:
    # pixels 20 to 27 down and 33 to 43 across; with 4 more on every side blocks 1 and 1, and 1 and 2
    found = octave_map([((33, 20, 11, 8), 3)], HEIGHT, WIDTH, PATCH, OVERLAP)
    expected = np.zeros((5, 7), np.int8)
    expected[1, 1:3] = 3
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, expected)


def test_a_later_box_lies_over_an_earlier_one() -> None:
    found = octave_map([((0, 0, 100, 70), -2), ((0, 0, 8, 8), 1)], HEIGHT, WIDTH, PATCH, 0)
    assert found[0, 0] == 1
    assert (found.ravel()[1:] == -2).all()


def test_the_white_of_a_mask_is_an_octave_finer() -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[17, 17] = 128
    mask[60, 90] = 127
    expected = np.zeros((5, 7), np.int8)
    expected[0:2, 0:2] = 1
    np.testing.assert_array_equal(octave_map(mask, HEIGHT, WIDTH, PATCH, OVERLAP), expected)
    np.testing.assert_array_equal(octave_map(mask > 127, HEIGHT, WIDTH, PATCH, OVERLAP), expected)
    np.testing.assert_array_equal(octave_map(Image.fromarray(mask), HEIGHT, WIDTH, PATCH, OVERLAP), expected)


@pytest.mark.parametrize(
    ("regions", "problem"),
    [
        ([((0, 0, 101, 10), 1)], "region 0,0,101,10 does not lie in the photo of 100 x 70 pixels"),
        ([((-1, 0, 5, 5), 1)], "region -1,0,5,5 does not lie"),
        ([((0, 0, 0, 5), 1)], "region 0,0,0,5 does not lie"),
        ([((0, 0, 5, 5), 5)], "octaves are 5, they must be a whole number from -4 to 4"),
        ([((0, 0, 5, 5), 1.5)], "octaves are 1.5, they must"),
        (np.zeros((70, 99), np.uint8), r"the mask is uint8 \(70, 99\), it must be uint8 or bool \(70, 100\)"),
        (np.zeros((70, 100), np.float32), "the mask is float32"),
    ],
)
def test_what_does_not_fit_is_refused(regions: object, problem: str) -> None:
    with pytest.raises(EncodeInputError, match=problem):
        octave_map(regions, HEIGHT, WIDTH, PATCH, OVERLAP)  # type: ignore[arg-type]


def test_what_a_detector_finds_may_reach_beyond_the_photo() -> None:
    found = boxes_map([(-20, 60, 30, 40), (200, 0, 5, 5)], HEIGHT, WIDTH, PATCH, OVERLAP)
    expected = np.zeros((5, 7), np.int8)
    expected[3:5, 0] = 1
    np.testing.assert_array_equal(found, expected)


def test_the_worst_blocks_get_an_octave_for_each_halving() -> None:
    photo = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    decoded = np.full_like(photo, 2)
    decoded[:16, :16] = 9  # 4.5 times the typical error: two octaves
    decoded[64:, 96:] = 200  # a block of 6 x 4 pixels, 100 times: four
    decoded[16:32, 32:48] = 3
    expected = np.zeros((5, 7), np.int8)
    expected[0, 0], expected[4, 6], expected[1, 2] = 2, 4, 1
    # 3 of 35 blocks
    np.testing.assert_array_equal(worst_map(photo, decoded, 8.5, PATCH), expected)
    for share in (0, 101):
        with pytest.raises(EncodeInputError, match="must be over 0 and at most 100 per cent"):
            worst_map(photo, decoded, share, PATCH)


def test_the_finest_region_sets_the_step_and_all_else_has_floors() -> None:
    octaves = np.array([[0, 2, -4], [1, 0, 0]], np.int8)
    step_index, found = layout(octaves, 56)
    assert (step_index, found.means) == (40, 2)
    np.testing.assert_array_equal(found.floors, np.array([[2, 0, 6], [1, 2, 2]], np.uint8))


def test_a_file_that_is_all_coarser_keeps_its_step() -> None:
    step_index, found = layout(np.array([[0, -1]], np.int8), 56)
    assert (step_index, found.means) == (56, 0)
    np.testing.assert_array_equal(found.floors, np.array([[0, 1]], np.uint8))


def test_steps_end_at_the_finest() -> None:
    step_index, found = layout(np.array([[4, 1, 0]], np.int8), 17)
    assert (step_index, found.means) == (1, 2)
    np.testing.assert_array_equal(found.floors, np.array([[0, 1, 2]], np.uint8))
