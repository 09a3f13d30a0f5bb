"""The coder's tables from latents: what a pack's entropy coder knows before the first bit.

Takes float latents (grey levels) of training photos, hands on `runtime.coder.CoderTables`. Neighbour weights come from
non-negative and ordinary least squares on simulated partial knowledge; starting states and mixing weights are what the
coder itself has learned after coding the training latents at many steps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from tqdm import tqdm

from export.truncation import ROUNDING_OFFSET
from runtime.coder import CROSS_TERMS, ENERGY_LEVELS, INPUTS, PREDICTION_TERMS, WEIGHT_ONE, CoderTables, TableLayout
from runtime.planes import LEVEL_WEIGHT, MAGNITUDE_LIMIT, CoderState, _run, plane_count

STEP_INDICES = (24, 28, 32, 36, 40, 44, 48, 52, 56)
"""Steps at which the training latents are coded: 8 to 128 grey levels."""

SAMPLES_PER_PHOTO = 3
"""Simulated thresholds per photo for the regressions."""

ENERGY_UNIT = 2048.0
"""Energy of a certain significance."""

PROBABILITY_STEPS = (
    0.002, 0.004, 0.007, 0.011, 0.016, 0.022, 0.03, 0.04, 0.052, 0.067, 0.085, 0.107,
    0.133, 0.163, 0.198, 0.238, 0.285, 0.34, 0.4, 0.47, 0.55, 0.65, 0.8,
)  # fmt: skip
"""Bucket boundaries of the predicted probability of significance."""

PREDICTOR_CANDIDATES = 8
"""Coarsest channels offered, with their neighbours, to every channel's linear predictor."""

COUNT_CAP = 30
"""Starting counts stop here, so that a file can still teach the states something."""


def quantize(latents: NDArray[np.float32], step: float) -> NDArray[np.int32]:
    """sign * floor(|y| / step + 1/3), int32."""
    return (np.sign(latents) * np.floor(np.abs(latents) / step + ROUNDING_OFFSET)).astype(np.int32)


def _levels(magnitude: NDArray[np.int32]) -> NDArray[np.float32]:
    return LEVEL_WEIGHT[np.minimum(magnitude, MAGNITUDE_LIMIT)].astype(np.float32)


def _shifted(a: NDArray[np.float32], dy: int, dx: int) -> NDArray[np.float32]:
    """Value at (y + dy, x + dx), zeros outside; (C, h, w)."""
    out = np.zeros_like(a)
    h, w = a.shape[-2:]
    ys, yd = slice(max(0, dy), h + min(0, dy)), slice(max(0, -dy), h + min(0, -dy))
    xs, xd = slice(max(0, dx), w + min(0, dx)), slice(max(0, -dx), w + min(0, -dx))
    out[..., yd, xd] = a[..., ys, xs]
    return out


CAUSAL = ((0, -1), (-1, 0), (-1, -1), (-1, 1))
AHEAD = ((0, 1), (1, 0), (1, -1), (1, 1))


def fit_neighbours(latents: NDArray[np.float32], rng: np.random.Generator) -> dict[str, NDArray[np.int64]]:
    """Energy and prediction weights of every channel from latents (N, C, h, w)."""
    n, channels, h, w = latents.shape
    grams = np.zeros((channels, 6 + channels + 2, 6 + channels + 2))
    lead = PREDICTOR_CANDIDATES
    places = CAUSAL + AHEAD
    terms: list[tuple[int, int, int]] = [(k, dy, dx) for k in range(lead) for dy, dx in ((0, 0), *places[:2], *places[4:6])]
    terms_own = list(places)
    size = len(terms) + len(terms_own) + 1
    signed = np.zeros((channels, size, size))
    for photo in tqdm(latents, desc="neighbours", disable=None):
        for _ in range(SAMPLES_PER_PHOTO):
            threshold = float(np.exp2(rng.uniform(3.0, 7.5)))
            level = np.floor(np.abs(photo) / threshold + 0.17).astype(np.int32)
            before = level >> 1
            now_levels, old_levels = _levels(level), _levels(before * 2)
            sign = np.sign(photo).astype(np.float32)
            now = sign * np.where(level > 0, level + 0.5, 0).astype(np.float32)
            old = sign * np.where(before > 0, 2 * before + 0.5, 0).astype(np.float32)
            west, north = _shifted(now_levels, 0, -1), _shifted(now_levels, -1, 0)
            east, south = _shifted(old_levels, 0, 1), _shifted(old_levels, 1, 0)
            up = _shifted(now_levels, -1, -1) + _shifted(now_levels, -1, 1)
            down = _shifted(old_levels, 1, -1) + _shifted(old_levels, 1, 1)
            own = np.stack([west, north, east, south, up, down])
            target = (level > 0).astype(np.float32)
            true = photo / threshold
            flat_now, flat_old = now_levels.reshape(channels, -1), old_levels.reshape(channels, -1)
            lead_terms = {}
            for known, name in ((now, "now"), (old, "old")):
                lead_terms[name] = np.stack([_shifted(known[k : k + 1], dy, dx)[0].ravel() for k, dy, dx in terms])
            for c in range(channels):
                undecided = (before[c] == 0).ravel()
                cross = np.concatenate([flat_now[:c], np.zeros_like(flat_now[:1]), flat_old[c + 1 :]])
                if target[c].any():
                    x = np.concatenate([own[:, c].reshape(6, -1), cross, np.ones((1, h * w), np.float32), target[c].reshape(1, -1)])
                    x = x[:, undecided]
                    # rare channels would otherwise be fitted to the coarse thresholds only
                    grams[c] += (x @ x.T) / max(1.0, float(target[c].sum()))
                split = min(c, lead) * 5
                z = np.concatenate([
                    lead_terms["now"][:split],
                    lead_terms["old"][split:],
                    np.stack([_shifted(now[c : c + 1], *d)[0].ravel() for d in CAUSAL]),
                    np.stack([_shifted(old[c : c + 1], *d)[0].ravel() for d in AHEAD]),
                    true[c].reshape(1, -1),
                ])  # fmt: skip
                for j, (k, dy, dx) in enumerate(terms):
                    if k == c:
                        z[j] = 0.0
                signed[c] += z @ z.T / max(1.0, float(np.square(true[c]).mean()))
    return _solve_energy(grams) | _solve_prediction(signed, terms, terms_own)


def _solve_energy(grams: NDArray[np.float64]) -> dict[str, NDArray[np.int64]]:
    channels = len(grams)
    space = np.zeros((channels, 6), dtype=np.int64)
    cross = np.zeros((channels, CROSS_TERMS), dtype=np.int64)
    cross_channel = np.zeros((channels, CROSS_TERMS), dtype=np.int64)
    for c, gram in enumerate(grams):
        chosen = list(range(6 + channels))
        for keep in (3 * CROSS_TERMS, CROSS_TERMS):
            weights = _nnls(gram, chosen)
            gain = {j: weights[i] ** 2 * gram[j, j] for i, j in enumerate(chosen) if j >= 6}
            best = sorted(gain, key=lambda j: -gain[j])[:keep]
            chosen = list(range(6)) + sorted(best)
        weights = np.clip(np.round(_nnls(gram, chosen) * ENERGY_UNIT), 0, 255).astype(np.int64)
        space[c] = weights[:6]
        cross_channel[c] = np.array(chosen[6:]) - 6
        cross[c] = weights[6:]
    return {"energy_space": space, "energy_cross_channel": cross_channel, "energy_cross": cross}


def _nnls(gram: NDArray[np.float64], chosen: list[int]) -> NDArray[np.float64]:
    """Non-negative least squares with a free constant from a Gram matrix whose last two rows are constant and target."""
    index = [*chosen, len(gram) - 2]
    a = gram[np.ix_(index, index)]
    b = gram[index, len(gram) - 1]
    a = a + np.eye(len(index)) * (1e-4 * np.trace(a) / len(index) + 1e-9)
    # the constant may be negative: it is split into a positive and a negative part
    a = np.pad(a, ((0, 1), (0, 1)))
    a[-1, :-1] = a[:-1, -1] = -a[-2, :-1]
    a[-1, -1] = a[-2, -2] * 1.0001
    b = np.append(b, -b[-1])
    lower = np.linalg.cholesky(a + np.eye(len(a)) * 1e-9 * np.trace(a))
    solution, _ = nnls(lower.T, np.linalg.solve(lower, b), maxiter=50 * len(a))
    return np.asarray(solution[: len(chosen)])


def _solve_prediction(
    signed: NDArray[np.float64], terms: list[tuple[int, int, int]], own: list[tuple[int, int]]
) -> dict[str, NDArray[np.int64]]:
    channels = len(signed)
    out = {name: np.zeros((channels, PREDICTION_TERMS), dtype=np.int64) for name in ("channel", "dy", "dx", "weight")}
    for c, gram in enumerate(signed):
        places = terms + [(c, dy, dx) for dy, dx in own]
        chosen: list[int] = []
        for _ in range(PREDICTION_TERMS):
            best, least = -1, np.inf
            for j in range(len(places)):
                if j in chosen or gram[j, j] <= 0:
                    continue
                error = _residual(gram, [*chosen, j])[0]
                if error < least:
                    best, least = j, error
            current = _residual(gram, chosen)[0]
            if best < 0 or least > current * 0.998:
                break
            chosen.append(best)
        weights = _residual(gram, chosen)[1]
        for i, j in enumerate(chosen):
            out["channel"][c, i], out["dy"][c, i], out["dx"][c, i] = places[j]
            out["weight"][c, i] = int(np.clip(np.round(weights[i] * 256), -1024, 1023))
    return {
        "prediction_channel": out["channel"],
        "prediction_dy": out["dy"],
        "prediction_dx": out["dx"],
        "prediction": out["weight"],
    }


def _residual(gram: NDArray[np.float64], chosen: list[int]) -> tuple[float, NDArray[np.float64]]:
    if not chosen:
        return float(gram[-1, -1]), np.zeros(0)
    a = gram[np.ix_(chosen, chosen)]
    a = a + np.eye(len(chosen)) * 1e-3 * np.trace(a) / len(chosen)
    b = gram[chosen, -1]
    weights = np.linalg.solve(a, b)
    return float(gram[-1, -1] - 2 * weights @ b + weights @ gram[np.ix_(chosen, chosen)] @ weights), weights


def prime(latents: list[NDArray[np.float32]], order: NDArray[np.int16], *, mix_rate: int = 3, count_limit: int = 127, seed: int = 0) -> CoderTables:
    """Tables learned from float latents (C, h, w) of one size; `order` gives the passes' places."""
    rng = np.random.default_rng(seed)
    stack = np.stack(latents)
    channels = stack.shape[1]
    layout = TableLayout(channels)
    neighbours = fit_neighbours(stack[:: max(1, len(stack) // 150)], rng)
    weights = np.zeros(layout.weights // INPUTS * INPUTS, dtype=np.int32).reshape(-1, INPUTS)
    first_sign, first_refine = ENERGY_LEVELS + channels, ENERGY_LEVELS + 2 * channels + 11
    weights[:first_sign, :7] = WEIGHT_ONE * 2 // 7
    weights[first_sign:, :3] = WEIGHT_ONE // 2
    assert first_refine < len(weights)
    tables = CoderTables(
        order=order.astype(np.int16),
        energy_space=neighbours["energy_space"].astype(np.uint8),
        energy_cross_channel=neighbours["energy_cross_channel"].astype(np.uint8),
        energy_cross=neighbours["energy_cross"].astype(np.uint8),
        prediction_channel=neighbours["prediction_channel"].astype(np.uint8),
        prediction_dy=neighbours["prediction_dy"].astype(np.int8),
        prediction_dx=neighbours["prediction_dx"].astype(np.int8),
        prediction=neighbours["prediction"].astype(np.int16),
        energy_thresholds=np.round(np.array(PROBABILITY_STEPS) * ENERGY_UNIT).astype(np.uint16),
        probability=np.full(layout.states, 32768, dtype=np.uint16),
        count=np.zeros(layout.states, dtype=np.uint8),
        weights=weights.ravel(),
        mix_rate=6,
        count_limit=255,
    )
    state = CoderState.start(tables, 255)
    rounds = [(photo, index) for photo in latents for index in rng.choice(STEP_INDICES, 3, replace=False)]
    for i in tqdm(rng.permutation(len(rounds)), desc="states", disable=None):
        photo, index = rounds[i]
        source = quantize(photo, float(np.exp2(index / 8.0)))
        registers = np.array([0, 0xFFFFFFFF, 0, 0, 0, 0], dtype=np.int64)
        room = np.zeros(source.size * 48, dtype=np.uint8)
        shape = (source.shape[0], source.shape[1], source.shape[2])
        _run(True, source, shape, plane_count(source), int(index), tables, state, registers, room)
        _count_activity(state, layout, source, int(index))
    return CoderTables(
        **{
            **{name: getattr(tables, name) for name in tables.__dataclass_fields__},
            "probability": state.probability.astype(np.uint16),
            "count": np.minimum(state.count, COUNT_CAP).astype(np.uint8),
            "weights": state.weights,
            "mix_rate": mix_rate,
            "count_limit": count_limit,
        }
    )


def _count_activity(state: CoderState, layout: TableLayout, source: NDArray[np.int32], step_index: int) -> None:
    """Move the activity flags' probabilities towards what this photo showed."""
    peak = np.abs(source).max(axis=(1, 2))
    for c in range(layout.channels):
        top = int(peak[c]).bit_length()
        for plane in range(plane_count(source) - 1, max(top - 2, -1), -1):
            k = layout.bases[13] + c * 16 + min(15, (step_index >> 3) + plane)
            state.probability[k] += int(((65535 if plane == top - 1 else 0) - state.probability[k]) * 0.02)
