"""Rate control: which step and price a file of some size gets, from what files need."""

from __future__ import annotations

import math

import pytest

from sdz.runtime.limits import MAX_STEP_INDEX
from sdz.runtime.refining.sizes import HIGHEST_PRICE, LOWEST_PRICE, coarsest_step, price_for, step_and_price

FINEST = 16


def needs(step_index: int, price: float) -> int:
    """Bytes that halve every 8 steps and fall by a tenth where a bit costs twice as much: 1,000 at step 48."""
    return round(1000 * 2 ** ((48 - step_index) / 8) * price ** math.log2(0.9))


@pytest.mark.parametrize("size", [64, 100, 917, 918, 1000, 1001, 5000, 15000])
def test_the_coarsest_step_that_needs_a_size(size: int) -> None:
    found = coarsest_step(lambda step_index: needs(step_index, 1.0), size, FINEST)
    assert found == max(i for i in range(FINEST, MAX_STEP_INDEX + 1) if needs(i, 1.0) >= size)


def test_no_step_needs_more_than_the_finest() -> None:
    assert coarsest_step(lambda step_index: needs(step_index, 1.0), 16001, FINEST) is None
    assert step_and_price(needs, 16001, FINEST) is None


@pytest.mark.parametrize("size", range(950, 1200, 7))
def test_the_price_leaves_hardly_anything_to_cut(size: int) -> None:
    price = price_for(lambda price: needs(46, price), size)
    if size <= needs(46, HIGHEST_PRICE):
        assert price == HIGHEST_PRICE
    else:
        assert size <= needs(46, price) <= 1.005 * size


def test_a_price_outside_is_the_next_one_inside() -> None:
    assert price_for(lambda price: needs(48, price), 2000) == LOWEST_PRICE
    assert price_for(lambda price: needs(48, price), 10) == HIGHEST_PRICE


@pytest.mark.parametrize(("size", "step_index"), [(1000, 48), (1001, 48), (1040, 48), (1050, 47), (1090, 47), (990, 48), (950, 49)])
def test_the_nearest_step_is_taken_and_its_price_moved(size: int, step_index: int) -> None:
    found = step_and_price(needs, size, FINEST)
    assert found is not None
    assert found[0] == step_index
    assert (found[1] < 1.0) == (needs(step_index, 1.0) < size)
    assert size <= needs(*found) <= 1.005 * size


def test_where_cheap_bits_bring_too_little_the_finer_step_is_taken() -> None:
    found = step_and_price(lambda step_index, price: needs(step_index, max(price, 1.0)), 1030, FINEST)
    assert found is not None
    assert found[0] == 47
    assert found[1] > 1.0


def test_less_than_the_coarsest_step_needs_is_left_to_a_cut() -> None:
    assert step_and_price(needs, 20, FINEST) == (MAX_STEP_INDEX, HIGHEST_PRICE)
