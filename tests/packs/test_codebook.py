"""An index pack's tables from a codebook and photos: order, gain, what priming saves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from numpy_forms import dequantize_indices

from sdz.export.packs.codebook import LARGEST, SPREAD, learn_tables, tree_order, uniform_gain
from sdz.runtime.format.indices import IndexTables, decode_indices, encode_indices, entries_of
from sdz.runtime.quantize import nearest_entries


def smooth_latents(count: int, side: int, seed: int) -> NDArray[np.float32]:
    """Two channels of smooth noise, grey levels: (count, 2, side, side)."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 1, (count, 2, side + 4, side + 4))
    kernel = np.array([1.0, 2.0, 3.0, 2.0, 1.0])
    for axis in (2, 3):
        noise = sum(k * np.take(noise, np.arange(i, i + side), axis=axis) for i, k in enumerate(kernel))
    return (noise * 10.0).astype(np.float32)


@pytest.fixture(scope="module")
def codebook() -> NDArray[np.float64]:
    """50 entries, of which 10 are never used."""
    rng = np.random.default_rng(1)
    used = smooth_latents(1, 20, 2)[0].reshape(2, -1).T[rng.permutation(400)[:40]].astype(np.float64)
    return np.concatenate([used, 3000.0 + rng.normal(0, 10, (10, 2))])[rng.permutation(50)]


@pytest.fixture(scope="module")
def tables(codebook: NDArray[np.float64]) -> IndexTables:
    return learn_tables(codebook, smooth_latents(12, 20, 3))


def test_the_order_puts_neighbours_together() -> None:
    codebook = np.array([[5.0, 0], [-5, 0], [6, 1], [-6, 1], [0, 0]])
    order = tree_order(codebook, np.ones(5, int))
    assert order.tolist() in ([1, 3, 4, 0, 2], [3, 1, 4, 0, 2])
    assert sorted(tree_order(np.zeros((9, 3)), np.ones(9, int)).tolist()) == list(range(9))


def test_the_tables_hold_the_codebook_in_the_tree_s_order(codebook: NDArray[np.float64], tables: IndexTables) -> None:
    assert sorted(map(tuple, tables.codebook.tolist())) == sorted(map(tuple, np.round(codebook * 4).astype(int).tolist()))
    far = tables.codebook[:, 0] > 10_000
    assert far.sum() == 10 and tables.usage[far].tolist() == [1] * 10
    assert tables.usage.sum() == 50 + 12 * 400
    assert (np.diff(tables.half_width.astype(int)) <= 0).all() and (np.diff(tables.precision.astype(int)) <= 0).all()
    assert IndexTables.from_bytes(tables.to_bytes()).to_bytes() == tables.to_bytes()


def test_priming_saves_a_seventh_on_other_pictures(tables: IndexTables) -> None:
    blank = replace(
        tables,
        usage=np.ones_like(tables.usage),
        pull=np.zeros_like(tables.pull),
        probability=np.full_like(tables.probability, 32768),
        count=np.zeros_like(tables.count),
        weights=np.full_like(tables.weights, 4000),
    )
    primed = unprimed = 0
    for latents in smooth_latents(3, 20, 4):
        entries = nearest_entries(latents, tables.codebook)
        payload = encode_indices(entries, tables)
        assert np.array_equal(entries_of(decode_indices(payload, 20, 20, tables), tables), entries)
        primed += len(payload)
        unprimed += len(encode_indices(entries, blank))
    assert primed < unprimed * 6 / 7


def test_longer_prefixes_come_nearer(tables: IndexTables) -> None:
    latents = smooth_latents(1, 20, 5)[0]
    payload = encode_indices(nearest_entries(latents, tables.codebook), tables)
    errors = []
    for share in (0.0, 0.25, 0.5, 1.0):
        known = decode_indices(payload[: round(share * len(payload))], 20, 20, tables)
        values = dequantize_indices(known.node, tables, 1 << 20).values
        errors.append(float(np.square(values / 4 - latents).mean()))
    assert errors == sorted(errors, reverse=True) and errors[3] < errors[0] / 9


def test_the_gain_is_the_spread_unless_an_entry_would_not_fit() -> None:
    rng = np.random.default_rng(0)
    codebook = rng.normal(0, 0.2, (3000, 3))
    assert np.sqrt(np.square(codebook * uniform_gain(codebook)).mean()) == pytest.approx(SPREAD)
    codebook[7, 1] = 1e6
    assert np.abs(codebook * uniform_gain(codebook)).max() == pytest.approx(LARGEST)
