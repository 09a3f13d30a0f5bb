"""Starting states and mixing weights of a coder: those with which files cost the fewest bits, weighed against what they cost a page.

Takes tables whose contexts stand, and runs: integers at a step, as files have them. A state begins each file anew, so its start is a
prior: the probability and the count (how much it trusts the probability) that give the runs' decisions the best odds while the state
adapts as the coder's do. Among starts that are hardly worse those are taken that repeat what stands before them: a page loads the tables
before its first paint. The mixing weights are the mean of those that the coder reaches over runs which all begin with these states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln
from tqdm import tqdm

from ....runtime.core import Core
from ....runtime.format.coder_tables import CoderTables, TableLayout
from ....runtime.format.planes import code
from ....runtime.format.pyramid import split

LOGIT_STEP: Final = 0.5
"""Log odds between two starting probabilities."""

LOGITS: Final = LOGIT_STEP * np.arange(-16, 17)
"""Starting log odds that a state can have: up to the coder's own bounds."""

COUNTS: Final = np.array([0, 1, 3, 8, 16, 30, 60])
"""Counts that a state can start with."""

WEIGHT_STEP: Final = 1024
"""What mixing weights are rounded to: a sixteenth of a weight of one."""

WEIGHT_STEPS: Final = 31
"""A starting weight's largest magnitude, steps: about two."""

BIT_WORTH: Final = 6.0
"""Bits of a thousand runs that one bit of the tables may cost. At 2 the tables are 2 kB larger (brotli) and files no smaller; at 20 they
are 1.7 kB smaller and files 0.03 to 0.1 % larger."""

RUNS: Final = 1000
"""To so many runs that price refers."""

NEAR_LOGITS, FEW_RUNS = 4, 40
"""Starts this many steps around a state's mean are tried; all of them where at most so many runs met the state."""

ROUNDS: Final = 3
"""Times that the tables' own statistics are taken again."""

LEARNING_MIX_RATE: Final = 12
"""Step of the mixers while weights are learned."""

SKIPPED: Final = 4
"""The first in so many of the runs does not count in the weights' mean."""

ACTIVITY_CHANCES: Final = (500, 65_000)
"""Within which the coder takes the chance of an activity bit that does not adapt."""


@dataclass(frozen=True)
class Run:
    """Integers int16 (n, h, w) of one picture, as a file of that step index and tilt has them."""

    integers: NDArray[np.int16]
    step_index: int
    tilt: int = 0


@dataclass(frozen=True)
class Seen:
    """What one run showed: the states that took part, how many decisions each took, and how many of these were ones."""

    state: NDArray[np.int64]
    decisions: NDArray[np.int64]
    ones: NDArray[np.int64]


def learned(tables: CoderTables, runs: Sequence[Run], *, upper: bool = False, activity: bool = True) -> CoderTables:
    """`tables` with the starting states and mixing weights that suit the runs, in whose order weights are learned: of channels and means,
    from files without upper functions, or with `upper` of these alone, from files that have them. `activity`: whether the chances of
    activity bits, to which the coder does not adapt, are learned too. States that no run met begin as is cheapest in the table."""
    core = Core()
    handle = core.tables(replace(tables, count_limit=255).to_bytes())
    seen = [_observed(core, handle, tables, run) for run in tqdm(runs, desc="states", disable=None)]
    layout, steady = TableLayout(tables.channels, tables.means, tables.groups), _steady(tables)
    of_upper = np.zeros(layout.states, np.bool_)
    of_upper[layout.upper_bases[0] : layout.upper_bases[-1]] = True
    taught = (of_upper == upper) & (activity | ~steady)
    costs = starting_costs(seen, steady)
    costs[~taught] = np.inf
    chance, count = _nearest(tables)
    costs[~taught, count[~taught], chance[~taught]] = 0.0
    # the counts of states that do not adapt mean nothing
    costs[steady] = costs[steady].min(axis=1, keepdims=True)
    chance, count = chosen(costs, BIT_WORTH * len(runs) / RUNS)
    tables = replace(
        tables,
        probability=np.where(taught, np.round(65536 / (1 + np.exp(-LOGITS[chance]))), tables.probability).astype(np.uint16),
        count=np.where(taught | steady, COUNTS[count], tables.count).astype(np.uint8),
    )
    sets = np.zeros(tables.weights.size, np.bool_)
    sets[layout.upper_sets[0] : layout.upper_sets[-1]] = True
    return replace(tables, weights=np.where(sets == upper, _weights(tables, runs), tables.weights))


def _nearest(tables: CoderTables) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The entries of LOGITS and COUNTS next to the states of `tables`."""
    p = tables.probability.clip(1, 65535) / 65536.0
    chance = np.round((np.log(p / (1 - p)) - LOGITS[0]) / LOGIT_STEP).astype(np.int64).clip(0, len(LOGITS) - 1)
    return chance, np.abs(tables.count[:, None].astype(int) - COUNTS).argmin(axis=1)


def rounded(weights: NDArray[np.floating]) -> NDArray[np.int32]:
    """Mixing weights on their grid."""
    steps: NDArray[np.int32] = np.round(weights / WEIGHT_STEP).clip(-WEIGHT_STEPS, WEIGHT_STEPS).astype(np.int32)
    return steps * WEIGHT_STEP


def _steady(tables: CoderTables) -> NDArray[np.bool_]:
    """Which states do not adapt: activity bits of channels and of groups."""
    layout = TableLayout(tables.channels, tables.means, tables.groups)
    steady = np.zeros(layout.states, np.bool_)
    steady[layout.bases[13] : layout.bases[14]] = True
    if tables.groups:
        steady[layout.upper_bases[10] : layout.upper_bases[11]] = True
    return steady


def _observed(core: Core, handle: int, tables: CoderTables, run: Run) -> Seen:
    """What the coder decides in a run. States that begin even and without a count end as the mean of what they saw."""
    states = tables.probability.size
    core.set_states(handle, np.full(states, 1 << 15, np.uint16), np.zeros(states, np.uint8))
    code(core, handle, run.integers.astype(np.int32), run.step_index, run.tilt, learn=True)
    probability, count, _ = core.states(handle)
    met = np.flatnonzero(count)
    # after n decisions p = (1/4 + ones) / (n + 1/2); from the largest count on it forgets, and stands for the last so many
    decisions = count[met].astype(np.int64)
    ones = np.clip(np.round(probability[met] / 65536.0 * (decisions + 0.5) - 0.25), 0, decisions).astype(np.int64)
    flags = _activity(tables, run)
    asked = np.array(sorted(flags), np.int64)
    taken, active = (np.array([flags[state][i] for state in sorted(flags)], np.int64) for i in (0, 1))
    return Seen(np.concatenate([met, asked]), np.concatenate([decisions, taken]), np.concatenate([ones, active]))


def _activity(tables: CoderTables, run: Run) -> dict[int, tuple[int, int]]:
    """The activity bits of a run's channels and groups, which the coder does not adapt to: state -> how many, how many of them ones."""
    layout, first = TableLayout(tables.channels, tables.means, tables.groups), tables.channels
    integers = run.integers.astype(np.int32)
    peaks = np.abs(integers).max(axis=(1, 2))
    bands = [(int(layout.bases[13]) + 16 * c, int(peaks[c])) for c in range(tables.means, first)]
    if len(peaks) > first:
        ends = np.cumsum([0, *tables.upper_sizes.tolist()])
        bands += [
            (int(layout.upper_bases[10]) + 16 * g, int(peaks[first + ends[g] : first + ends[g + 1]].max())) for g in range(tables.groups)
        ]
    coefficients = [int(np.abs(d).max(initial=0)) for mean in integers[: tables.means] for level in split(mean) for d in level]
    planes = max(0, int(peaks[tables.means :].max(initial=0)), *coefficients).bit_length()
    found: dict[int, tuple[int, int]] = {}
    for base, peak in bands:
        top = peak.bit_length()
        for plane in range(planes - 1, max(top - 2, -1), -1):
            state = base + min(15, (run.step_index >> 3) + plane)
            taken, ones = found.get(state, (0, 0))
            found[state] = taken + 1, ones + (plane == top - 1)
    return found


def starting_costs(seen: Sequence[Seen], steady: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Bits, but for a constant, that all runs cost by how a state begins: float32 (states, COUNTS, LOGITS), infinite where not tried.

    A state that begins with probability p and count c gives its decisions the odds of a beta prior of weight c + 1/2.
    """
    states = len(steady)
    state, decisions, ones = (np.concatenate([getattr(s, name) for s in seen]) for name in ("state", "decisions", "ones"))
    runs, total, hits = (np.bincount(state, values, states) for values in (None, decisions, ones))
    # runs that showed the same of a state count as often as there are
    most = int(decisions.max(initial=0)) + 1
    keys, often = np.unique((state * most + decisions) * most + ones, return_counts=True)
    state, decisions, ones = keys // most**2, keys // most % most, keys % most
    mean = (hits + 0.4) / (total + 0.8)
    middle = np.round((np.log(mean / (1 - mean)) - LOGITS[0]) / LOGIT_STEP).astype(np.int64).clip(0, len(LOGITS) - 1)
    costs = np.full((states, len(COUNTS), len(LOGITS)), np.inf, np.float32)
    costs[runs == 0] = 0.0
    adapting = ~steady[state]
    few = runs <= FEW_RUNS
    tries = [(few[state] & adapting, np.full(states, logit)) for logit in range(len(LOGITS))]
    tries += [(~few[state] & adapting, middle + step) for step in range(-NEAR_LOGITS, NEAR_LOGITS + 1)]
    for entries, logit in tqdm(tries, desc="starts", disable=None):
        which, took, found, times = state[entries], decisions[entries], ones[entries], often[entries]
        valid = (logit >= 0) & (logit < len(LOGITS))
        rows = np.flatnonzero(valid & (np.bincount(which, minlength=states) > 0))
        p = 1 / (1 + np.exp(-LOGITS[logit.clip(0, len(LOGITS) - 1)]))
        for i, weight in enumerate(COUNTS + 0.5):
            a, b = p * weight, (1 - p) * weight
            own = gammaln(a) + gammaln(b) - gammaln(weight)
            sums = gammaln(weight + np.arange(took.max(initial=0) + 1))
            nats = own[which] - gammaln(a[which] + found) - gammaln(b[which] + took - found) + sums[took]
            costs[rows, i, logit[rows]] = (np.bincount(which, nats * times, states) / np.log(2))[rows]
    odds = 1 / (1 + np.exp(-LOGITS))
    odds = odds.clip(*(bound / 65536 for bound in ACTIVITY_CHANCES))
    hits, total = hits[steady, None], total[steady, None]
    costs[steady] = -(hits * np.log2(odds) + (total - hits) * np.log2(1 - odds))[:, None]
    return costs


def chosen(costs: NDArray[np.float32], bit_worth: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each state the entry of LOGITS and of COUNTS with which it begins, int64 (states,) each: the cheapest sequence, a bit of the
    tables counting as `bit_worth` bits of the runs. What the tables cost is told by how often one entry follows another."""
    states, counts, logits = costs.shape
    weighed = np.where(np.isfinite(costs), costs, 1e7).astype(np.float32) / np.float32(bit_worth)
    best = costs.reshape(states, -1).argmin(axis=1)
    count, logit = best // logits, best % logits
    for _ in range(ROUNDS):
        after_count, after_logit = _following(count, counts), _following(logit, logits)
        total = weighed[0]
        back = np.zeros((states, counts, logits), np.int32)
        for i in range(1, states):
            # the count before, then the probability before, that lead here for the least
            by_count = total[:, None, :] + after_count[:, :, None]
            from_count = by_count.argmin(axis=0)
            by_logit = np.take_along_axis(by_count, from_count[None], 0)[0][:, :, None] + after_logit
            from_logit = by_logit.argmin(axis=1)
            back[i] = np.take_along_axis(from_count, from_logit, 1) * logits + from_logit
            total = np.take_along_axis(by_logit, from_logit[:, None], 1)[:, 0] + weighed[i]
        best[-1] = total.argmin()
        for i in range(states - 1, 0, -1):
            best[i - 1] = back[i].reshape(-1)[best[i]]
        count, logit = best // logits, best % logits
    return logit, count


def _following(entries: NDArray[np.int64], kinds: int) -> NDArray[np.float32]:
    """Bits of an entry by the one before it, (kinds, kinds), as the sequence has them; what never followed is not impossible."""
    pairs = np.zeros((kinds, kinds))
    np.add.at(pairs, (entries[:-1], entries[1:]), 1)
    share = np.bincount(entries, minlength=kinds) + 0.05
    prior = 1.2 * share / share.sum()
    return np.asarray(-np.log2((pairs + prior) / (pairs.sum(axis=1, keepdims=True) + 1.2)), np.float32)


def _weights(tables: CoderTables, runs: Sequence[Run]) -> NDArray[np.int32]:
    """The mean of the mixing weights after each run, all of which begin with the tables' states."""
    core = Core()
    handle = core.tables(replace(tables, mix_rate=LEARNING_MIX_RATE).to_bytes())
    skipped = len(runs) // SKIPPED
    sums = np.zeros(tables.weights.size)
    for number, run in enumerate(tqdm(runs, desc="weights", disable=None)):
        core.set_states(handle, tables.probability, tables.count)
        code(core, handle, run.integers.astype(np.int32), run.step_index, run.tilt, learn=True)
        if number >= skipped:
            sums += core.states(handle)[2]
    return rounded(sums / (len(runs) - skipped))
