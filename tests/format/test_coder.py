"""The arithmetic coder: its tables of functions, its invariants, its prefix rule, and bytes that must never change."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from reference.coder import (
    POSITION,
    RATES,
    SQUASH,
    STOPPED,
    STRETCH,
    decode_bit,
    encode_bit,
    finish_encoder,
    new_registers,
    start_decoder,
)
from standins import neutral_tables

from sdz.runtime.errors import CorruptPackError
from sdz.runtime.format.coder_tables import CoderTables

PROBABILITIES = [32768, 60000, 200, 24, 65512, 12345]


def encoded(bits: list[int]) -> bytes:
    registers = new_registers()
    out = [0] * (4 * len(bits) + 8)
    for i, bit in enumerate(bits):
        encode_bit(registers, out, PROBABILITIES[i % len(PROBABILITIES)], bit)
    finish_encoder(registers, out)
    return bytes(out[: registers[POSITION]])


def decoded(data: bytes, most: int) -> list[int]:
    registers = new_registers()
    source = list(data)
    start_decoder(registers, source)
    bits = []
    for i in range(most):
        bit = decode_bit(registers, source, PROBABILITIES[i % len(PROBABILITIES)])
        if registers[STOPPED]:
            break
        bits.append(int(bit))
    return bits


def test_functions_are_the_specified_integers() -> None:
    assert (STRETCH[0], STRETCH[2047], STRETCH[2048], STRETCH[4095]) == (-2047, 0, 0, 2047)
    assert (SQUASH[1], SQUASH[2048], SQUASH[4095], SQUASH[2048 + 256]) == (24, 32768, 65512, 47911)
    assert (RATES[0], RATES[1], RATES[255]) == (43690, 26214, 255)
    # the twin in web/ hashes its own tables against these
    assert hashlib.sha256(STRETCH.astype("<i4").tobytes()).hexdigest()[:16] == "d02a7159abcf00bd"
    assert hashlib.sha256(SQUASH.astype("<i4").tobytes()).hexdigest()[:16] == "c16c49557b261361"


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
        (lambda d: d[: 8 + 10 + 30] + b"\xff" + d[8 + 10 + 31 :], "name a channel that does not exist"),
    ],
)
def test_broken_tables_are_refused(change: object, problem: str) -> None:
    with pytest.raises(CorruptPackError, match=problem):
        CoderTables.from_bytes(change(neutral_tables(5).to_bytes()))  # type: ignore[operator]


def test_tables_that_leave_32_bits_or_the_border_are_refused() -> None:
    """What web/format/coder.js refuses, so that no pack is good on one side only."""
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
