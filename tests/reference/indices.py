"""Codebook indices: contexts and levels in plain Python, FORMAT.md ("Indices"). Slow and readable."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdz.runtime.format.coder_tables import INPUTS, CoderState
from sdz.runtime.format.indices import (
    AGREEMENTS,
    LEAN_LIMIT,
    LEAN_UNIT,
    LEANS,
    NEIGHBOURS,
    PATTERNS,
    PULL_SHIFT,
    SIDES,
    IndexTables,
    KnownIndices,
    joint_prefix,
    leaf_nodes,
)

from .coder import POSITION, RATES, SQUASH, STOPPED, STRETCH, code_mixed, finish_encoder, new_registers, start_decoder
from .planes import OUTPUT_SLACK

LEAN_STEPS = np.array([16, 40, 72, 112, 160, 224, 304, 416, 576, 800, 1152], dtype=np.int32)
"""Boundaries of |pull|, the sum of leans times pulls: 23 signed buckets."""

SIDE_STEPS = np.array([6, 14, 24, 36, 52], dtype=np.int32)
"""Boundaries of one neighbour's |lean|: 11 signed buckets; bucket 11 means no neighbour."""

AGREE_BUCKETS = np.array([0, 1, 2, 3, 3, 4, 4, 4, 4], dtype=np.int32)
"""By how many of the eight neighbours lie in the same subtree: 5 buckets."""


def _signed_bucket(value: int, steps: Any) -> int:
    """How many boundaries |value| has reached, negated where it is negative, counted from 0."""
    size = abs(value)
    count = len(steps)
    towards = 1 if value >= 0 else -1
    for i in range(len(steps)):
        if size >= steps[i]:
            count += towards
    return count


def _code_levels(
    encode: bool, source: Any, levels: int, rows: int, columns: int, node: Any, leaves: Any, centre: Any, direction: Any,
    middle: Any, span: Any, pull: Any, bases: Any, joint_bases: Any, joint_prefixes: Any, set_bases: Any, probability: Any, count: Any,
    weights: Any, rate: int, stretch: Any, squash: Any, rates: Any, lean_steps: Any, side_steps: Any, agreements: Any, registers: Any,
    data: Any, ends: Any, count_limit: Any,
) -> int:  # fmt: skip
    """Code all levels; returns how many were finished. `source` (h, w) are tree nodes of the last two levels, `node` (h + 2, w + 2) those
    known so far, 0 around the picture; `ends[level]` is the coder's byte position behind each."""
    width = columns + 2
    slot = [0] * INPUTS
    stretched = [0] * INPUTS
    lean = [0] * NEIGHBOURS
    # in the order W, N, NW, NE, E, S, SW, SE
    shift = [-1, -width, -width - 1, -width + 1, 1, width, width - 1, width + 1]
    for level in range(levels):
        prefix = joint_prefixes[level]
        for y in range(rows):
            for x in range(columns):
                at = (y + 1) * width + x + 1
                here = node[at]
                if leaves[here] == 1:
                    continue
                total = 0
                agree = 0
                pattern = 0
                for i in range(NEIGHBOURS):
                    other = node[at + shift[i]]
                    if other == 0:
                        lean[i] = LEAN_LIMIT + 1
                        if i < 4:
                            pattern *= 3
                        elif i < 6:
                            pattern *= 2
                        continue
                    same = 1 if other == here else 2 + (other & 1) if other >> 1 == here else 0
                    agree += same != 0
                    if i < 4:
                        pattern = pattern * 3 + (same - 1 if same > 1 else 0)
                    elif i < 6:
                        pattern = pattern * 2 + (same != 0)
                    towards = 2 * sum(a * b for a, b in zip(direction[here], centre[other], strict=True)) - middle[here]
                    value = 0
                    if span[here] > 0:
                        value = min(LEAN_LIMIT, max(-LEAN_LIMIT, towards * LEAN_UNIT // span[here]))
                    lean[i] = value
                    total += value * pull[level][i]
                total >>= PULL_SHIFT
                pulled = _signed_bucket(total, lean_steps)
                agreed = level * AGREEMENTS + agreements[agree]
                west = SIDES - 1 if lean[0] > LEAN_LIMIT else _signed_bucket(lean[0], side_steps)
                north = SIDES - 1 if lean[1] > LEAN_LIMIT else _signed_bucket(lean[1], side_steps)
                east = SIDES - 1 if lean[4] > LEAN_LIMIT else _signed_bucket(lean[4], side_steps)
                south = SIDES - 1 if lean[5] > LEAN_LIMIT else _signed_bucket(lean[5], side_steps)
                joint = here - (1 << level)
                for i in range(2):
                    other = node[at + shift[i]]
                    # a neighbour is known to `level` + 1 bits, but for an entry that ends one earlier
                    known = level + 1 if other >= 2 << level else level
                    first = (other - (1 << known)) >> (known - prefix) if other > 0 else 0
                    joint = (joint << prefix) + first
                slot[0] = bases[0] + here
                slot[1] = bases[1] + here
                slot[2] = bases[2] + agreed * LEANS + pulled
                slot[3] = bases[3] + (level * SIDES + west) * SIDES + north
                slot[4] = bases[4] + (level * SIDES + east) * SIDES + south
                slot[5] = bases[5] + level * PATTERNS + pattern
                slot[6] = joint_bases[level] + joint
                bit = 0
                if encode:
                    deep = source[y][x]
                    # the leaf's bit behind those of `here`
                    while deep >> 1 != here:
                        deep >>= 1
                    bit = deep & 1
                bit = code_mixed(
                    encode, bit, 7, slot, set_bases[0] + agreed * INPUTS, set_bases[1] + pulled * INPUTS, registers, data,
                    probability, count, weights, stretched, rate, stretch, squash, rates, count_limit,
                )  # fmt: skip
                if registers[STOPPED]:
                    return level
                node[at] = 2 * here + bit
        ends[level] = registers[POSITION]
    return levels


def run_levels(
    encode: bool, source: NDArray[np.int32], rows: int, columns: int, levels: int, tables: IndexTables, state: CoderState,
    registers: list[int], data: list[int],
) -> tuple[NDArray[np.int32], NDArray[np.int64], int]:  # fmt: skip
    """Codes the first `levels` levels of tree nodes `source` (rows, columns), or decodes them; returns the nodes known, the coder's byte
    behind each level, and how many levels were finished. `state` goes on learning."""
    tree, layout = tables.tree, tables.layout
    node = np.zeros((rows + 2, columns + 2), dtype=np.int32)
    node[1:-1, 1:-1] = 1
    ends = [0] * levels
    nodes = node.reshape(-1).tolist()
    finished = _code_levels(
        encode, source.tolist(), levels, rows, columns, nodes, tree.leaves.tolist(), tree.centre.tolist(), tree.direction.tolist(),
        tree.middle.tolist(), tree.span.tolist(), tables.pull.tolist(), layout.bases.tolist(), layout.joint_bases.tolist(),
        [joint_prefix(level) for level in range(layout.levels)], layout.set_bases.tolist(), state.probability.tolist(),
        state.count.tolist(), state.weights.tolist(), tables.mix_rate, STRETCH.tolist(), SQUASH.tolist(), RATES.tolist(),
        LEAN_STEPS.tolist(), SIDE_STEPS.tolist(), AGREE_BUCKETS.tolist(), registers, data, ends, [state.count_limit],
    )  # fmt: skip
    node = np.array(nodes, np.int32).reshape(rows + 2, columns + 2)
    return np.ascontiguousarray(node[1:-1, 1:-1]), np.array(ends, np.int64), finished


def encode_indices(entries: NDArray[np.integer], tables: IndexTables, levels: int | None = None) -> bytes:
    """The payload of codebook entries (h, w), in the tree's order, or of their first `levels` bits."""
    levels = tables.levels if levels is None else levels
    rows, columns = entries.shape
    registers = new_registers()
    data = [0] * (entries.size * levels * 3 // 2 + OUTPUT_SLACK)
    source = leaf_nodes(tables.tree, len(tables.codebook))[entries]
    run_levels(True, source, rows, columns, levels, tables, tables.start(), registers, data)
    finish_encoder(registers, data)
    return bytes(data[: registers[POSITION]])


def decode_indices(payload: bytes, rows: int, columns: int, tables: IndexTables) -> KnownIndices:
    """What `payload`, whole or cut anywhere, determines of indices (rows, columns)."""
    registers, data = new_registers(), list(payload)
    start_decoder(registers, data)
    nothing = np.zeros((1, 1), dtype=np.int32)
    node, _, finished = run_levels(False, nothing, rows, columns, tables.levels, tables, tables.start(), registers, data)
    return KnownIndices(node, finished == tables.levels)
