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

from ....runtime.format.coder import WEIGHT_ONE
from ....runtime.format.coder_tables import INPUTS, PARTS, UPPER_TERMS, CoderTables, TableLayout
from ....runtime.format.separable import upper_functions
from ....runtime.refining.analysis import analysis_of, exact_latents
from ..learning.runs import plain_runs
from ..learning.states import learned
from .neighbours import Function, fit_weights, group_of
from .order import measure_fine_order

UPPER_STEP: Final = 37
"""Files of at most this step index, 24.7 grey levels, have the upper functions: from there on the linear stage with all functions is
better than the networks, which know the channels only."""

STEP_INDICES: Final = (4, 8, 12, 16, 20, 24, 28, 32, 36)
"""Steps at which photos are coded to learn states."""

PASSES: Final = 2
"""At how many of them each photo is coded."""

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


def analysed(photos: Iterable[NDArray[np.uint8]], stage: DraftStage) -> tuple[list[NDArray[np.float32]], NDArray[np.floating]]:
    """Of photos (H, W, 3) the latents (n, h, w) in all functions of the stage, and of each function the pixels' squared error by a
    latent's."""
    latents = [exact_latents(photo, stage) for photo in tqdm(photos, "exact latents", disable=None)]
    return latents, np.square(np.linalg.inv(analysis_of(stage)[0])).sum(axis=1)


def learn_upper(
    tables: CoderTables, latents: list[NDArray[np.float32]], functions: list[Function], reach: NDArray[np.floating], *, seed: int = 0
) -> CoderTables:
    """`tables` with a section learned from `latents` (n, h, w) of all functions; `reach` (n,): the pixels' squared error by a latent's."""
    rng = np.random.default_rng(seed)
    fresh = starting_tables(tables, functions)
    fresh = replace(fresh, upper_weights=fit_weights(latents, functions, rng))
    known = learned(fresh, plain_runs(latents, STEP_INDICES, PASSES, rng), upper=True)
    fine_order, upper_order = measure_fine_order(known, latents, reach, STEP_INDICES)
    return replace(known, fine_order=fine_order, upper_order=upper_order)
