"""Codebook indices: exact bytes, every cut, non-powers of two, broken tables."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from numpy_forms import dequantize_indices, known_bits

from sdz.runtime.errors import CorruptPackError, EncodeInputError
from sdz.runtime.format.coder import WEIGHT_ONE
from sdz.runtime.format.coder_tables import INPUTS
from sdz.runtime.format.indices import (
    IndexLayout,
    IndexTables,
    build_tree,
    decode_indices,
    encode_indices,
    entries_of,
    leaf_nodes,
    spent_bytes,
)


def some_tables(entries: int, channels: int = 3, seed: int = 1) -> IndexTables:
    """Arbitrary tables that bring every field into play."""
    rng = np.random.default_rng(seed)
    levels = (entries - 1).bit_length()
    layout = IndexLayout(levels)
    codebook = rng.integers(-900, 900, (entries, channels)).astype(np.int16)
    codebook = codebook[np.argsort(codebook[:, 0], kind="stable")]
    return IndexTables(
        codebook=codebook,
        usage=rng.integers(1, 50, entries).astype(np.uint16),
        precision=np.arange(levels, -1, -1).astype(np.uint8) * 8,
        half_width=(64 << np.minimum(9, np.arange(levels, -1, -1))).astype(np.uint16),
        pull=rng.integers(-300, 900, (levels, 8)).astype(np.int16),
        probability=rng.integers(2000, 60000, layout.stored).astype(np.uint16),
        count=rng.integers(0, 30, layout.stored).astype(np.uint8),
        weights=rng.integers(-3000, WEIGHT_ONE // 2, layout.weights).astype(np.int32),
        mix_rate=5,
        count_limit=127,
        usage_limit=60,
    )


def some_entries(entries: int, rows: int = 7, columns: int = 9, seed: int = 2) -> NDArray[np.int64]:
    """A picture of smooth parts and noise."""
    rng = np.random.default_rng(seed)
    smooth = np.add.outer(np.arange(rows), np.arange(columns)) * entries // (rows + columns)
    return np.where(rng.random((rows, columns)) < 0.3, rng.integers(0, entries, (rows, columns)), smooth)


@pytest.mark.parametrize(
    ("entries", "size", "sha256"),
    [
        (2, 9, "0094c8f513e4a242"),
        (37, 39, "affcd365d6b8502f"),
        (1024, 69, "aaba9a7d8d88f27c"),
    ],
)
def test_golden_payloads(entries: int, size: int, sha256: str) -> None:
    payload = encode_indices(some_entries(entries), some_tables(entries))
    assert (len(payload), hashlib.sha256(payload).hexdigest()[:16]) == (size, sha256)


@pytest.mark.parametrize("entries", [2, 3, 5, 16, 37, 255, 257, 65536])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (6, 7)])
def test_whole_payload_gives_the_entries_back(entries: int, shape: tuple[int, int]) -> None:
    tables = some_tables(entries, channels=1)
    source = some_entries(entries, *shape)
    known = decode_indices(encode_indices(source, tables), *shape, tables)
    assert known.complete
    assert np.array_equal(entries_of(known, tables), source)


def test_the_tree_halves_the_codebook() -> None:
    codebook = np.array([[0, 1], [2, 1], [10, -7]], np.int16)
    tree = build_tree(codebook, np.array([1, 2, 5], np.uint16))
    assert tree.leaves.tolist() == [0, 3, 2, 1, 1, 1, 0, 0]
    assert tree.usage.tolist() == [0, 8, 3, 5, 1, 2, 0, 0]
    # (0 + 4 + 50) / 8 and (1 + 2 - 35) / 8, then (0 + 4) / 3 and 1, rounded half up
    assert tree.centre[1:6].tolist() == [[7, -4], [1, 1], [10, -7], [0, 1], [2, 1]]
    assert leaf_nodes(tree, 3).tolist() == [4, 5, 3]
    assert (tree.direction[1].tolist(), tree.span[1], tree.middle[1]) == ([9, -8], 145, 9 * 11 + -8 * -6)


@pytest.mark.parametrize("entries", [37, 256])
def test_cuts_at_every_byte_know_a_growing_part_of_the_truth(entries: int) -> None:
    tables = some_tables(entries)
    source = some_entries(entries)
    truth = leaf_nodes(tables.tree, entries)[source]
    payload = encode_indices(source, tables)
    before = np.zeros(source.shape, np.int32)
    for cut in range(len(payload) + 1):
        known = decode_indices(payload[:cut], *source.shape, tables)
        bits = np.frexp(known.node)[1] - 1
        assert np.array_equal(known.node, truth >> (np.frexp(truth)[1] - 1 - bits))
        assert (bits >= before).all()
        assert bits.max() - bits.min() <= 1
        assert known.complete == (cut == len(payload))
        before = bits
    assert (before >= 5).all()


def test_levels_can_be_left_out() -> None:
    tables = some_tables(37)
    source = some_entries(37)
    sizes = []
    for levels in range(7):
        payload = encode_indices(source, tables, levels)
        bits = known_bits(decode_indices(payload, *source.shape, tables).node, tables)
        assert bits.min() >= levels
        sizes.append(len(payload))
    assert sizes == [0, 8, 15, 23, 30, 36, 39]


def test_every_byte_went_into_a_level() -> None:
    tables = some_tables(37)
    source = some_entries(37)
    payload = encode_indices(source, tables)
    whole = spent_bytes(payload, *source.shape, tables)
    assert whole.tolist() == [6, 8, 8, 7, 6, 4]
    for cut in range(len(payload) + 1):
        part = spent_bytes(payload[:cut], *source.shape, tables)
        last = max(np.flatnonzero(part), default=0)
        assert part.sum() == cut
        assert part[:last].tolist() == whole[:last].tolist()


def test_a_known_bit_is_a_mean_and_an_interval() -> None:
    tables = some_tables(3)
    # the root, an inner node, an entry that ends early, and one that does not
    node = np.array([[1, 2], [3, 5]], np.int32)
    assert known_bits(node, tables).tolist() == [[0, 1], [2, 2]]
    seen = dequantize_indices(node, tables, 1 << 20)
    assert np.array_equal(seen.values[:, 1, 0], tables.codebook[2])
    assert np.array_equal(seen.values[:, 1, 1], tables.codebook[1])
    assert np.array_equal(seen.values[:, 0, 0], tables.tree.centre[1])
    assert seen.half_width[0].tolist() == [[256, 128], [64, 64]]
    assert seen.precision[2].tolist() == [[16, 8], [0, 0]]
    assert np.array_equal(seen.levels[:, 1, 0], np.sign(tables.codebook[2]) * (np.abs(tables.codebook[2]) // 128))
    assert (np.abs(dequantize_indices(node, tables, 300).values).sum(axis=0) <= 300).all()


def test_entries_outside_the_codebook_are_refused() -> None:
    for wrong in (-1, 37):
        with pytest.raises(EncodeInputError, match=r"outside the codebook's 0\.\.36"):
            encode_indices(np.array([[wrong]]), some_tables(37))


def test_tables_survive_their_bytes() -> None:
    tables = some_tables(37)
    again = IndexTables.from_bytes(tables.to_bytes())
    assert again.to_bytes() == tables.to_bytes()
    assert (again.channels, again.levels, again.mix_rate, again.count_limit, again.usage_limit) == (3, 6, 5, 127, 60)
    assert len(again.weights) == (6 * 5 + 23) * INPUTS


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (lambda data: b"sdzT" + data[4:], "do not begin with 'sdzI'"),
        (lambda data: data[:9], "do not begin with 'sdzI'"),
        (lambda data: data[:4] + b"\0" + data[5:], "37 entries of 0 channels"),
        (lambda data: data[:5] + b"\0\0" + data[7:], "1 entries of 3 channels"),
        (lambda data: data[:-1], "end inside 'weights'"),
        (lambda data: data[:100], "end inside 'codebook'"),
        (lambda data: data + b"\0", "1 bytes too many"),
        (lambda data: data[: 10 + 37 * 6] + struct.pack("<H", 0) + data[12 + 37 * 6 :], "an entry, 0, without usage"),
        (lambda data: data[: 10 + 37 * 8] + b"\xc9" + data[11 + 37 * 8 :], "precision code over 200"),
    ],
)
def test_broken_tables_are_refused(broken: object, problem: str) -> None:
    with pytest.raises(CorruptPackError, match=problem):
        IndexTables.from_bytes(broken(some_tables(37).to_bytes()))  # type: ignore[operator]


@settings(max_examples=80)
@given(st.integers(2, 70), st.integers(1, 6), st.integers(1, 6), st.binary(max_size=60), st.integers(0, 60))
@example(2, 1, 1, b"", 0)
@example(64, 6, 6, b"\xff" * 60, 3)
def test_any_payload_decodes_and_a_longer_one_never_knows_less(entries: int, rows: int, columns: int, payload: bytes, cut: int) -> None:
    tables = some_tables(entries)
    less, more = (decode_indices(part, rows, columns, tables).node for part in (payload[:cut], payload))
    assert (tables.tree.leaves[more] > 0).all()
    assert np.array_equal(more >> (np.frexp(more)[1] - np.frexp(less)[1]), less)


def test_identical_entries_tell_nothing_apart() -> None:
    tables = replace(some_tables(16), codebook=np.zeros((16, 3), np.int16))
    source = some_entries(16)
    known = decode_indices(encode_indices(source, tables), *source.shape, tables)
    assert np.array_equal(entries_of(known, tables), source)
