"""Groups of upper functions, and what their neighbours, in space and among the frequencies, tell of their significance.

Takes photos' latents in all functions; gives the groups' weights, by non-negative least squares on simulated passes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from tqdm import tqdm

from ....runtime.format.coder_tables import UPPER_TERMS
from ....runtime.format.planes import LEVEL_WEIGHT, MAGNITUDE_LIMIT
from ....runtime.format.separable import upper_functions
from ....runtime.quantize import TYPICAL_ROUNDING

GROUP_ENDS: Final = ((15.5, 22.0), (7.5, 10.5, 14.0, 22.0), (7.5, 10.5, 14.0, 22.0))
"""Up to which frequency the groups of each plane reach."""

THRESHOLD_OCTAVES: Final = (1.5, 5.5)
"""Thresholds of the simulated passes: 3 to 45 grey levels."""

SAMPLES: Final = 40
"""Positions of one function in one photo that a regression takes."""

Function = tuple[int, int, int]
"""Plane of colour, frequency down, frequency across."""


def group_of(function: Function) -> int:
    """The group of an upper function."""
    plane, u, v = function
    before = sum(len(ends) for ends in GROUP_ENDS[:plane])
    return before + next(i for i, end in enumerate(GROUP_ENDS[plane]) if np.hypot(u, v) <= end)


def fit_weights(latents: list[NDArray[np.float32]], functions: list[Function], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The groups' weights (G, UPPER_TERMS) from latents (n, h, w) of all `functions`, channels first."""
    upper = upper_functions(functions)
    place = {f: i for i, f in enumerate([*functions, *upper])}
    groups = group_of(upper[-1]) + 1
    terms: list[list[NDArray[np.float32]]] = [[] for _ in range(groups)]
    targets: list[list[NDArray[np.bool_]]] = [[] for _ in range(groups)]
    for photo in tqdm(latents, desc="neighbours", disable=None):
        threshold = np.exp2(rng.uniform(*THRESHOLD_OCTAVES))
        level = np.floor(np.abs(photo) / threshold + TYPICAL_ROUNDING / 2).astype(np.int32)
        now, old = (LEVEL_WEIGHT[np.minimum(m, MAGNITUDE_LIMIT)].astype(np.float32) for m in (level, level >> 1 << 1))
        for function in upper:
            undecided = np.flatnonzero(level[place[function]].ravel() < 2)
            if not len(undecided):
                continue
            some = rng.choice(undecided, min(SAMPLES, len(undecided)), replace=False)
            group = group_of(function)
            terms[group].append(_terms(function, place, now, old)[:, some].T)
            targets[group].append(level[place[function]].ravel()[some] > 0)
    weights = np.zeros((groups, UPPER_TERMS), np.uint8)
    for group in range(groups):
        x, y = np.concatenate(terms[group]).astype(np.float64), np.concatenate(targets[group]).astype(np.float64)
        # a constant of either sign
        fit = nnls(np.concatenate([x, np.ones((len(x), 1)), -np.ones((len(x), 1))], axis=1), y)[0]
        weights[group] = np.clip(np.round(fit[:UPPER_TERMS] * 2048), 0, 255)
    return weights


def _terms(function: Function, place: dict[Function, int], now: NDArray[np.float32], old: NDArray[np.float32]) -> NDArray[np.float32]:
    """What each weight counts, (UPPER_TERMS, h w): what was coded before is known by this plane, the rest by the one before."""
    plane, u, v = function
    here = place[function]
    nothing = np.zeros_like(now[0])

    def at(k: int, row: int, column: int) -> NDArray[np.float32]:
        other = place.get((k % 3, row, column))
        return nothing if other is None else np.asarray((now if other < here else old)[other])

    def moved(a: NDArray[np.float32], dy: int, dx: int) -> NDArray[np.float32]:
        h, w = a.shape
        return np.asarray(np.pad(a, 1)[1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w])

    n, o = now[here], old[here]
    found = [
        moved(n, 0, -1) + moved(n, -1, 0),
        moved(o, 0, 1) + moved(o, 1, 0),
        moved(n, -1, -1) + moved(n, -1, 1),
        moved(o, 1, -1) + moved(o, 1, 1),
        at(plane, u - 1, v) + at(plane, u, v - 1),
        at(plane, u + 1, v) + at(plane, u, v + 1),
        at(plane, u - 2, v) + at(plane, u, v - 2),
        at(plane, u - 1, v - 1) + at(plane, u + 1, v - 1) + at(plane, u - 1, v + 1),
        at(plane, u + 1, v + 1),
        at(plane + 1, u, v),
        at(plane + 2, u, v),
    ]
    return np.stack([a.ravel() for a in found])
