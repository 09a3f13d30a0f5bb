"""The coder's tables of the upper functions, those of the linear stage that no channel has: what `prime` is to the channels.

Takes tables of the channels and photos' latents in all functions (`refining.analysis`); gives the same tables with a section for the
upper functions, which stand in groups: their neighbours' weights (`neighbours`), states and mixing weights from coding the photos at fine
steps, and the order of passes in fine files (`order`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ....runtime.core import Core
from ....runtime.format.coder import WEIGHT_ONE
from ....runtime.format.coder_tables import INPUTS, PARTS, UPPER_TERMS, CoderTables, TableLayout
from ....runtime.format.planes import code
from ....runtime.format.separable import upper_functions
from ....runtime.quantize import TYPICAL_ROUNDING, dead_zone
from ....runtime.refining.analysis import analysis_of, exact_latents
from .neighbours import Function, fit_weights, group_of
from .order import measure_fine_order

UPPER_STEP: Final = 37
"""Files of at most this step index, 24.7 grey levels, have the upper functions: from there on the linear stage with all functions is
better than the networks, which know the channels only."""

STEP_INDICES: Final = (4, 8, 12, 16, 20, 24, 28, 32, 36)
"""Steps at which photos are coded to learn states."""

LEARNING_MIX_RATE: Final = 6
COUNT_CAP: Final = 30
ACTIVITY_RATE: Final = 0.02


_Kind = TypeVar("_Kind", bound=np.integer)


def starting_tables(tables: CoderTables, functions: list[Function]) -> CoderTables:
    """`tables` with a section of upper functions that knows nothing; `functions` are the channels', (plane, u, v)."""
    upper = upper_functions(functions)
    group = [group_of(f) for f in upper]
    count = max(group) + 1
    layout = TableLayout(tables.channels, tables.means, count)
    states, weights = int(layout.upper_bases[-1] - layout.upper_bases[0]), int(layout.upper_sets[-1] - layout.upper_sets[0])
    before = int(layout.upper_bases[0])
    mixing = np.zeros((weights // INPUTS, INPUTS), np.int32)
    refining = int(layout.upper_sets[2] - layout.upper_sets[0]) // INPUTS
    mixing[:refining, :7] = WEIGHT_ONE * 2 // 7
    mixing[refining:, :3] = WEIGHT_ONE // 2
    frequency = [np.hypot(u, v) for _, u, v in upper]
    typical = [np.median([r for r, g in zip(frequency, group, strict=True) if g == n]) for n in range(count)]

    def grown(known: NDArray[_Kind], new: int) -> NDArray[_Kind]:
        return np.concatenate([known[:before], np.full(states, new, known.dtype), known[len(known) - layout.states + layout.planes :]])

    return replace(
        tables,
        upper_step=np.array([UPPER_STEP], np.uint8),
        function=np.array(functions, np.uint8).T.copy(),
        fine_order=np.zeros(tables.channels, np.int8),
        upper_sizes=np.bincount(group).astype(np.uint8),
        upper_order=np.zeros((count, PARTS), np.int16),
        upper_octaves=np.array([round(16 * np.log2(r / 4)) for r in typical], np.int8),
        upper_weights=np.zeros((count, UPPER_TERMS), np.uint8),
        probability=grown(tables.probability, 32768),
        count=grown(tables.count, 0),
        weights=np.concatenate([tables.weights, mixing.ravel()]).astype(np.int32),
    )


@dataclass(frozen=True)
class DraftStage:
    """The linear stage of a pack that is not built yet, as `runtime.refining.analysis` takes it."""

    linear_bytes: bytes
    linear: NDArray[np.int16]
    linear_shift: int
    lapping: NDArray[np.int32] | None


def with_upper(
    tables: CoderTables, stage: DraftStage, functions: list[Function], photos: Iterable[NDArray[np.uint8]], *, seed: int = 0
) -> CoderTables:
    """`tables` of a pack with that stage, whose channels have those `functions`, with a section for the upper functions, learned from
    `photos` (H, W, 3)."""
    latents = [exact_latents(photo, stage) for photo in photos]
    reach = np.square(np.linalg.inv(analysis_of(stage)[0])).sum(axis=1)
    return learn_upper(tables, latents, functions, reach, seed=seed)


def learn_upper(
    tables: CoderTables, latents: list[NDArray[np.float32]], functions: list[Function], reach: NDArray[np.floating], *, seed: int = 0
) -> CoderTables:
    """`tables` with a section learned from `latents` (n, h, w) of all functions; `reach` (n,): the pixels' squared error by a latent's."""
    rng = np.random.default_rng(seed)
    fresh = starting_tables(tables, functions)
    fresh = replace(fresh, upper_weights=fit_weights(latents, functions, rng))
    learned = _learned(fresh, latents, rng)
    fine_order, upper_order = measure_fine_order(learned, latents, reach, STEP_INDICES)
    return replace(learned, fine_order=fine_order, upper_order=upper_order)


def _learned(tables: CoderTables, latents: list[NDArray[np.float32]], rng: np.random.Generator) -> CoderTables:
    """The upper functions' states and mixing weights after every photo was coded twice; all others stay."""
    layout = TableLayout(tables.channels, tables.means, tables.groups)
    states, sets = slice(*layout.upper_bases[[0, -1]]), slice(*layout.upper_sets[[0, -1]])
    core = Core()
    handle = core.tables(replace(tables, mix_rate=LEARNING_MIX_RATE, count_limit=255).to_bytes())
    for number in tqdm(np.concatenate([rng.permutation(len(latents)) for _ in range(2)]), desc="upper states", disable=None):
        index = int(rng.choice(STEP_INDICES))
        source = dead_zone(latents[number], index, TYPICAL_ROUNDING)
        code(core, handle, source, index, learn=True)
        probability, count, _ = core.states(handle)
        _count_activity(probability, layout, tables, source, index)
        core.set_states(handle, probability, count)
    probability, count, weights = core.states(handle)

    def with_new(old: NDArray[_Kind], new: NDArray[_Kind], part: slice) -> NDArray[_Kind]:
        out = old.copy()
        out[part] = new[part]
        return out

    return replace(
        tables,
        probability=with_new(tables.probability, probability, states),
        count=with_new(tables.count, np.minimum(count, COUNT_CAP), states),
        weights=with_new(tables.weights, weights.astype(np.int32), sets),
    )


def _count_activity(
    probability: NDArray[np.uint16], layout: TableLayout, tables: CoderTables, source: NDArray[np.int32], step_index: int
) -> None:
    """Move the activity flags' probabilities, which the coder never adapts, towards what this photo showed."""
    planes = int(np.abs(source).max()).bit_length()
    first = tables.channels
    for group, size in enumerate(tables.upper_sizes.tolist()):
        top = int(np.abs(source[first : first + size]).max()).bit_length()
        first += size
        for plane in range(planes - 1, max(top - 2, -1), -1):
            k = int(layout.upper_bases[10]) + group * 16 + min(15, (step_index >> 3) + plane)
            before = int(probability[k])
            probability[k] = before + int(((65535 if plane == top - 1 else 0) - before) * ACTIVITY_RATE)
