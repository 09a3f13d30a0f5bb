"""A codebook and the indices of calibration photos -> an index pack's tables: the tree's order, the coder's starting states.

Takes code vectors and, of every photo, which of them stands where; returns `IndexTables`. The order comes from splits
along principal axes, neighbours' pulls from logistic regressions, starting states and mixing weights from what the coder itself has
learned after coding the photos, as in `prime`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ...runtime.core import Core
from ...runtime.format.coder import COUNT_LIMIT, WEIGHT_ONE
from ...runtime.format.coder_tables import INPUTS, CoderState
from ...runtime.format.indices import (
    LEAN_LIMIT,
    LEAN_UNIT,
    MAX_PRECISION,
    NEIGHBOURS,
    OUTPUT_SLACK,
    PULL_SHIFT,
    IndexLayout,
    IndexTables,
    Tree,
    leaf_nodes,
)
from ...runtime.pack import GRID
from ...runtime.quantize import nearest_entries

SPREAD = 128.0
"""Grey levels: a grid unit, to which entries are rounded, is then 1/512 of their spread."""

LARGEST = 8190.0
"""Grey levels: 32,760 grid units."""

COUNT_CAP = 10
"""Starting counts stop here, so that a file can still teach the states something; 30 cost 0.4 % on held-out photos."""

USAGE_CAP = 60
"""Starting counts of the nodes' own states: 10 to 250 made no more than 0.3 % of difference."""

COUNT_LIMIT_IN_FILES = 127
LEARNING_MIX_RATE, MIX_RATE = 6, 5
"""Steps of the mixers while tables are learned, and in files."""

STRETCH_UNIT = 256
"""Stretches to a unit of log odds."""

RIDGE = 10.0
"""Prior of the regressions: as many leans of one unit that tell nothing."""

NEWTON_STEPS = 8

HALF_OF_RMS = math.sqrt(3.0)
"""Half the width of a uniform distribution over its standard deviation."""


def uniform_gain(codebook: NDArray[np.floating]) -> float:
    """What latents are multiplied with to be grey levels, the same in every channel, so that the nearest entry stays the nearest: entries
    (K, C), zero for mid-grey, then have a root mean square of SPREAD, and the largest fits the table."""
    largest = float(np.abs(codebook).max())
    return min(SPREAD / max(float(np.sqrt(np.square(codebook, dtype=np.float64).mean())), 1e-12), LARGEST / max(largest, 1e-12))


def learn_tables(codebook: NDArray[np.floating], latents: NDArray[np.float32], *, seed: int = 0) -> IndexTables:
    """Tables for a codebook (K, C), from the latents (N, C, h, w) of calibration photos before they are rounded to it, in grey levels."""
    entries = np.round(codebook * GRID).astype(np.int16)
    photos = np.stack([nearest_entries(photo, entries) for photo in latents])
    order = tree_order(entries, 1 + np.bincount(photos.ravel(), minlength=len(entries)))
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order))
    away = latents.transpose(0, 2, 3, 1) * GRID - entries[photos]
    return index_tables(entries[order], list(place[photos]), math.sqrt(float(np.square(away).mean())), seed=seed)


def tree_order(vectors: NDArray[np.number], usage: NDArray[np.integer]) -> NDArray[np.int64]:
    """The order, int64 (K,), in which code vectors (K, C) form a balanced tree of neighbourhoods: halves along the axis in which the
    vectors, weighted by `usage` (K,), vary most, and so on within the halves. A permutation; stable for equal input."""
    points = vectors.astype(np.float64)
    order = np.arange(len(points))
    parts = [(0, len(points))]
    while parts:
        start, count = parts.pop()
        if count == 1:
            continue
        part = slice(start, start + count)
        inside, weight = points[order[part]], usage[order[part], None].astype(np.float64)
        centred = inside - (inside * weight).sum(axis=0) / weight.sum()
        axis = np.linalg.eigh((centred * weight).T @ centred)[1][:, -1]
        # an eigenvector's sign is arbitrary: the largest component decides
        along = centred @ (axis * np.sign(axis[np.abs(axis).argmax()]))
        order[part] = order[part][np.argsort(along, kind="stable")]
        half = (count + 1) >> 1
        parts += [(start, half), (start + half, count - half)]
    return order


def index_tables(codebook: NDArray[np.int16], photos: Sequence[NDArray[np.integer]], residual: float, *, seed: int = 0) -> IndexTables:
    """Tables for a codebook (K, C), GRID units, in the tree's order, learned from the entries (h, w) of at least one photo.

    `residual` is the root mean square of what the codebook leaves of a latent, GRID units.
    """
    counts = [np.bincount(photo.ravel(), minlength=len(codebook)) for photo in photos]
    total = 1 + np.sum(counts, axis=0)
    levels = (len(codebook) - 1).bit_length()
    layout = IndexLayout(levels)
    weights = np.zeros((layout.weights // INPUTS, INPUTS), dtype=np.int32)
    weights[:, : INPUTS - 1] = WEIGHT_ONE * 2 // (INPUTS - 1)
    tables = IndexTables(
        codebook=codebook,
        usage=np.minimum(total, 65535).astype(np.uint16),
        precision=np.zeros(levels + 1, dtype=np.uint8),
        half_width=np.zeros(levels + 1, dtype=np.uint16),
        pull=np.zeros((levels, NEIGHBOURS), dtype=np.int16),
        probability=np.full(layout.stored, 32768, dtype=np.uint16),
        count=np.zeros(layout.stored, dtype=np.uint8),
        weights=weights.ravel(),
        mix_rate=LEARNING_MIX_RATE,
        count_limit=COUNT_LIMIT,
        usage_limit=USAGE_CAP,
    )
    nodes = [leaf_nodes(tables.tree, len(codebook))[photo] for photo in photos]
    half_width = _half_widths(tables, residual)
    codes = np.round(8.0 * np.log2(np.maximum(half_width / 2.0, 1.0)))
    tables = replace(
        tables,
        precision=np.clip(codes, 0, MAX_PRECISION).astype(np.uint8),
        half_width=np.clip(np.round(half_width), 0, 65535).astype(np.uint16),
        pull=np.stack([_fit_pull(nodes, tables.tree, level) for level in range(levels)]),
    )
    state = _learn_states(photos, counts, tables, np.random.default_rng(seed))
    stored = layout.derived
    return replace(
        tables,
        probability=state.probability[stored:].astype(np.uint16),
        count=np.minimum(state.count[stored:], COUNT_CAP).astype(np.uint8),
        weights=state.weights,
        mix_rate=MIX_RATE,
        count_limit=COUNT_LIMIT_IN_FILES,
    )


def _half_widths(tables: IndexTables, residual: float) -> NDArray[np.float64]:
    """Half the width, GRID units, of what is open in a latent of whose index so many bits are known, float64 (levels + 1,)."""
    tree, weight = tables.tree, tables.usage.astype(np.float64)
    leaf = leaf_nodes(tree, len(tables.codebook))
    depth = np.frexp(leaf)[1] - 1
    squares = np.full(tables.levels + 1, residual**2)
    for level in range(tables.levels):
        away = tables.codebook - tree.centre[leaf >> np.maximum(0, depth - level)].astype(np.float64)
        squares[level] += (np.square(away).mean(axis=1) * weight).sum() / weight.sum()
    widths: NDArray[np.float64] = HALF_OF_RMS * np.sqrt(squares)
    return widths


def _at_level(nodes: NDArray[np.int32], level: int) -> NDArray[np.int32]:
    """The ancestors of `nodes` that stand for their first `level` bits; those that have no more stay."""
    ancestors: NDArray[np.int32] = nodes >> np.maximum(0, np.frexp(nodes)[1] - 1 - level)
    return ancestors


def _fit_pull(photos: Sequence[NDArray[np.int32]], tree: Tree, level: int) -> NDArray[np.int16]:
    """What a neighbour's lean counts at a level, int16 (8,): logistic regression of the bits on the leans, beyond the nodes' own odds."""
    leans, bits, odds = [], [], []
    for nodes in photos:
        now, then = (np.pad(_at_level(nodes, bits), 1) for bits in (level, level + 1))
        rows, columns = (slice(1, size + 1) for size in nodes.shape)

        def beside(known: NDArray[np.int32], dy: int, dx: int, rows: slice = rows, columns: slice = columns) -> NDArray[np.int32]:
            return known[rows.start + dy : rows.stop + dy, columns.start + dx : columns.stop + dx].ravel()

        own, child = beside(now, 0, 0), beside(then, 0, 0)
        inner = tree.leaves[own] > 1
        own, child = own[inner], child[inner]
        direction, span = tree.direction[own].astype(np.int64), np.maximum(1, tree.span[own])
        known = [beside(then, *at)[inner] for at in ((0, -1), (-1, 0), (-1, -1), (-1, 1))]
        known += [beside(now, *at)[inner] for at in ((0, 1), (1, 0), (1, -1), (1, 1))]
        towards = [(2 * (direction * tree.centre[other]).sum(axis=1) - tree.middle[own]) * LEAN_UNIT // span for other in known]
        leans.append(
            np.stack([np.where(other > 0, np.clip(t, -LEAN_LIMIT, LEAN_LIMIT), 0) for other, t in zip(known, towards, strict=True)], axis=1)
        )
        bits.append(child & 1)
        odds.append(np.log(tree.usage[2 * own + 1] / tree.usage[2 * own]))
    x = np.concatenate(leans) / LEAN_UNIT
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    y, own_odds = np.concatenate(bits), np.concatenate(odds)
    pull = np.zeros(NEIGHBOURS + 1)
    for _ in range(NEWTON_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(x @ pull + own_odds, -30, 30)))
        curvature = (x * (p * (1 - p))[:, None]).T @ x + RIDGE * np.eye(len(pull))
        pull += np.linalg.solve(curvature, x.T @ (y - p) - RIDGE * pull)
    scale = (STRETCH_UNIT << PULL_SHIFT) / LEAN_UNIT
    return np.clip(np.round(pull[:NEIGHBOURS] * scale), -32768, 32767).astype(np.int16)


def _learn_states(
    photos: Sequence[NDArray[np.integer]], counts: Sequence[NDArray[np.int64]], tables: IndexTables, rng: np.random.Generator
) -> CoderState:
    """States and mixing weights after coding every photo, in random order. The nodes' own states begin each time as they would without
    that photo: else they would seem to know more than they will of others."""
    core = Core()
    handle = core.tables(tables.stored)
    total = np.sum(counts, axis=0)
    derived = tables.layout.derived
    for i in tqdm(rng.permutation(len(photos)), desc="states", disable=None):
        others = np.minimum(1 + total - counts[i], 65535).astype(np.uint16)
        fresh = replace(tables, usage=others).start()
        probability, count, _ = core.states(handle)
        probability[:derived] = fresh.probability[:derived]
        count[:derived] = fresh.count[:derived]
        core.set_states(handle, probability, count)
        room = photos[i].size * tables.levels * 2 + OUTPUT_SLACK
        core.encode(handle, photos[i].astype(np.int32), room=room, learn=True)
    probability, count, weights = core.states(handle)
    return CoderState(probability.astype(np.int32), count.astype(np.int32), weights.astype(np.int32), tables.count_limit)
