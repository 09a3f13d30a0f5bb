"""The arithmetic coder: its tables of functions, its invariants, its prefix rule, and bytes that must never change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from reference.coder import RATE, SQUASH, STRETCH, Coder, EndOfKnownBits
from standins import neutral_tables

from sdz.runtime.errors import CorruptPackError
from sdz.runtime.format.coder_tables import CoderTables

PROBABILITIES = [32768, 60000, 200, 24, 65512, 12345]


def encoded(bits: list[int]) -> bytes:
    """The other direction, as FORMAT.md has it."""
    low, high, out = 0, 2**32 - 1, b""
    for i, bit in enumerate(bits):
        middle = low + ((high - low) * PROBABILITIES[i % len(PROBABILITIES)] >> 16)
        low, high = (low, middle) if bit else (middle + 1, high)
        while low >> 24 == high >> 24:
            out += bytes([low >> 24])
            low, high = (low << 8) % 2**32, (high << 8) % 2**32 + 255
    for count in range(5):
        unit = 1 << (32 - 8 * count)
        first = -(-low // unit) * unit
        if first + unit - 1 <= high:
            return out + first.to_bytes(5, "big")[1 : 1 + count]
    raise AssertionError


def decoded(data: bytes, most: int) -> list[int]:
    coder, bits = Coder(data), []
    try:
        for i in range(most):
            bits.append(coder.bit(PROBABILITIES[i % len(PROBABILITIES)]))
    except EndOfKnownBits:
        pass
    return bits


def test_functions_are_the_specified_integers() -> None:
    assert (STRETCH[0], STRETCH[2047], STRETCH[2048], STRETCH[4095]) == (-2047, 0, 0, 2047)
    assert (SQUASH[-2047], SQUASH[0], SQUASH[2047], SQUASH[256]) == (24, 32768, 65512, 47911)
    assert (RATE[0], RATE[1], RATE[255]) == (43690, 26214, 255)


def test_golden_bytes() -> None:
    bits = [(i * i // 3) & 1 for i in range(60)]
    assert encoded(bits).hex() == "f53000c3b68020c00f50cce63deb29125c977a701b33c6456bd9be90afd515"


@pytest.mark.parametrize("length", [0, 1, 7, 60, 500])
def test_whole_payload_decodes_to_what_went_in(length: int) -> None:
    bits = [int(b) for b in np.random.default_rng(length).integers(0, 2, length)]
    assert decoded(encoded(bits), length) == bits


def test_every_cut_decodes_to_a_prefix_and_no_bit_too_many() -> None:
    bits = [int(b) for b in np.random.default_rng(9).integers(0, 2, 300)]
    data = encoded(bits)
    lengths = []
    for cut in range(len(data) + 1):
        known = decoded(data[:cut], 300)
        assert known == bits[: len(known)]
        # what the bytes determine is what every continuation agrees on
        for tail in (b"\x00" * 8, b"\xff" * 8, b"\x5a\x01" * 4):
            assert decoded(data[:cut] + tail, 300)[: len(known)] == known
        lengths.append(len(known))
    assert lengths == sorted(lengths)
    assert lengths[-1] == 300


def test_tables_survive_their_bytes() -> None:
    tables = neutral_tables(5)
    data = tables.to_bytes()
    again = CoderTables.from_bytes(data)
    assert again.to_bytes() == data
    assert again.channels == 5
    assert again.weights.dtype == np.int32


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda d: b"nope" + d[4:], "do not begin with 'sdzT'"),
        (lambda d: d[:7], "do not begin with 'sdzT'"),
        (lambda d: d[:-1], "end inside 'weights'"),
        (lambda d: d + b"\0", "1 bytes too many"),
        (lambda d: d[: 8 + 20 + 30] + b"\xff" + d[8 + 20 + 31 :], "name a channel that does not exist"),
    ],
)
def test_broken_tables_are_refused(change: object, problem: str) -> None:
    with pytest.raises(CorruptPackError, match=problem):
        CoderTables.from_bytes(change(neutral_tables(5).to_bytes()))  # type: ignore[operator]


def test_tables_that_leave_32_bits_or_the_border_are_refused() -> None:
    """What the core refuses, so that no pack is good on one side only."""
    tables = neutral_tables(5)
    weights = tables.prediction.copy()
    weights[3, :3] = (-21_845, 21_844, 1)
    at_the_limit = replace(tables, prediction=weights).to_bytes()
    assert (CoderTables.from_bytes(at_the_limit).prediction == weights).all()
    weights[3, 11] = -1
    with pytest.raises(CorruptPackError, match="predict channel 3 with weights too large; rebuild the pack"):
        CoderTables.from_bytes(replace(tables, prediction=weights).to_bytes())
    for name, reach in (("prediction_dy", -128), ("prediction_dx", 3)):
        moved = getattr(tables, name).copy()
        moved[4, 11] = reach
        changed: Any = {name: moved}
        with pytest.raises(CorruptPackError, match="reach further than two positions"):
            CoderTables.from_bytes(replace(tables, **changed).to_bytes())
