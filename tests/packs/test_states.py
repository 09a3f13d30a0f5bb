"""Starting states: what runs show of them, what a start costs, and which starts a table of few bytes has."""

from __future__ import annotations

import numpy as np
from standins import neutral_tables

from sdz.export.packs.learning.states import COUNTS, LOGITS, Run, Seen, chosen, learned, rounded, starting_costs
from sdz.runtime.format.coder_tables import TableLayout
from sdz.runtime.format.planes import encode_planes


def seen(*entries: tuple[int, int, int]) -> Seen:
    state, decisions, ones = np.array(entries, np.int64).T
    return Seen(state, decisions, ones)


def cost_of(p: float, count: int, bits: str) -> float:
    """Of bits by a state that begins so, with probabilities that are not rounded."""
    total = 0.0
    for bit in bits:
        total -= np.log2(p if bit == "1" else 1 - p)
        p += (float(bit) - p) / (count + 1.5)
        count += 1
    return total


def test_a_start_costs_what_the_coder_would_spend() -> None:
    costs = starting_costs([seen((0, 5, 2)), seen((0, 2, 0), (2, 1, 1))], np.zeros(3, np.bool_))
    even = int(np.flatnonzero(LOGITS == 0.0)[0])
    for i, count in enumerate(COUNTS.tolist()):
        for logit in (even - 6, even, even + 3):
            p = 1 / (1 + np.exp(-LOGITS[logit]))
            np.testing.assert_allclose(costs[0, i, logit], cost_of(p, count, "10010") + cost_of(p, count, "00"), rtol=1e-5)
            np.testing.assert_allclose(costs[2, i, logit], -np.log2(p), rtol=1e-4)
    assert not costs[1].any()


def test_states_that_do_not_adapt_cost_the_same_with_every_count() -> None:
    costs = starting_costs([seen((0, 4, 1)), seen((0, 4, 3))], np.array([True]))
    even = int(np.flatnonzero(LOGITS == 0.0)[0])
    assert (costs[0] == costs[0, :1]).all()
    assert costs[0, 0, even] == 8.0
    # chances stay within the coder's bounds
    np.testing.assert_allclose(costs[0, 0, 0], -4 * np.log2(500 / 65536) - 4 * np.log2(1 - 500 / 65536), rtol=1e-5)


def test_dear_tables_repeat_what_stands_before() -> None:
    rng = np.random.default_rng(0)
    costs = rng.uniform(0, 2, (40, len(COUNTS), len(LOGITS))).astype(np.float32)
    costs[20, 3, 7] = -1000.0
    cheap, dear = chosen(costs, 1e-3), chosen(costs, 1e3)
    best = costs.reshape(40, -1).argmin(axis=1)
    assert (cheap[1] * len(LOGITS) + cheap[0] == best).all()
    kinds = [len(set(zip(*(entries.tolist() for entries in found), strict=True))) for found in (cheap, dear)]
    assert kinds == [37, 12]


def test_weights_have_a_grid_and_a_limit() -> None:
    assert rounded(np.array([511.0, 513.0, -1537.0, 40_000.0, -40_000.0])).tolist() == [0, 1024, -2048, 31_744, -31_744]


def test_learning_makes_files_smaller_and_keeps_what_it_is_told_to() -> None:
    rng = np.random.default_rng(3)
    spread = np.exp(rng.normal(0, 1, (24, 1, 12, 12)))
    photos = (rng.laplace(0, 1, (24, 4, 12, 12)) * spread).astype(np.int16)
    tables = neutral_tables(4)
    steady = slice(*TableLayout(4, 0).bases[[13, 14]])
    learning = [Run(photo, 32) for photo in photos[:18]]
    taught, partly = learned(tables, learning), learned(tables, learning, activity=False)
    sizes = [sum(len(encode_planes(photo.astype(np.int32), 32, t)) for photo in photos[18:]) for t in (tables, partly, taught)]
    assert sizes[2] <= sizes[1] < sizes[0]
    assert (partly.probability[steady] == tables.probability[steady]).all()
    assert not (taught.probability[steady] == tables.probability[steady]).all()
    assert (taught.mix_rate, taught.count_limit) == (tables.mix_rate, tables.count_limit)
    assert learned(tables, learning, upper=True).weights.tobytes() == tables.weights.tobytes()
