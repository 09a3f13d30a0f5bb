"""Linear tables whose functions are products: exact values, what is refused, and that the core has the same table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sdz.runtime.core import Core
from sdz.runtime.errors import CorruptPackError
from sdz.runtime.format.separable import SeparableTable, separable_bytes
from sdz.runtime.pack import default_pack

SMALL = SeparableTable(
    np.array([[1, 1, 1], [2, 0, -2], [0, 4, 0]], np.int16),
    np.array([[1, 1, 1, 1], [3, 1, -1, -3], [0, 5, 0, 0], [7, 0, 0, 0]], np.int16),
    np.array([6, -5], np.int16),
    np.array([0, 1], np.uint8),
    np.array([0, 1], np.uint8),
    np.array([1, 2], np.uint8),
    2,
)


def test_values_are_products_rounded_half_up() -> None:
    table = SMALL.table().reshape(2, 3, 4, 4)
    # 6 * 1 * 1 * (3, 1, -1, -3) / 4 = 4.5, 1.5, -1.5, -4.5
    assert table[0].tolist() == [[[5, 2, -1, -4]] * 4] * 3
    # -5 * 2 * (3, 1, -1, -3) * 5 / 4 = -37.5, -12.5, 12.5, 37.5
    assert table[1, 0, :, 1].tolist() == [-37, -12, 13, 38]
    assert table[1, 2, :, 1].tolist() == [38, 13, -12, -37]
    assert not table[1, 1].any()
    assert not table[1, :, :, [0, 2, 3]].any()


def test_bytes_and_back() -> None:
    data = SMALL.to_bytes()
    assert data[:8] == b"sdzS\x02\x04\x02\x00"
    assert len(data) == separable_bytes(2, 4) == 8 + 18 + 32 + 10
    assert data[-6:] == bytes([0, 1, 0, 1, 1, 2])
    assert SeparableTable.from_bytes(data).to_bytes() == data


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        (0, b"t", "neither dense nor separable"),
        (4, b"\x03", "neither dense nor separable"),
        (7, b"\x01", "neither dense nor separable"),
        (6, b"\x3f", "a function that does not exist"),
        (62, b"\x03", "a function that does not exist"),
        (64, b"\x04", "a function that does not exist"),
        (67, b"\x04", "a function that does not exist"),
    ],
)
def test_what_is_no_table_is_refused(place: int, value: bytes, problem: str) -> None:
    data = bytearray(SMALL.to_bytes())
    data[place : place + 1] = value
    with pytest.raises(CorruptPackError, match=problem):
        SeparableTable.from_bytes(bytes(data))
    core = Core()
    same = "the separable linear table is none" if problem.startswith("neither") else "no function for"
    with pytest.raises(CorruptPackError, match=same):
        core.linear(bytes(data), 2, 4, 12, 1000, None)
    assert core.held() == 0


def test_values_beyond_16_bits_are_refused() -> None:
    wide = replace(SMALL, gain=np.array([6, 32767], np.int16))
    with pytest.raises(CorruptPackError, match="channel 1 does not fit 16 bits"):
        wide.table()
    with pytest.raises(CorruptPackError, match="no function for channel 1"):
        Core().linear(wide.to_bytes(), 2, 4, 12, 1000, None)


def test_the_default_packs_table_is_separable() -> None:
    pack = default_pack()
    assert len(pack.linear_bytes) == separable_bytes(pack.channels, pack.patch, True) == 1504
    assert np.array_equal(SeparableTable.from_bytes(pack.linear_bytes).table(), pack.linear)
