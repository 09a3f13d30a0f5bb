"""The coder's tables from latents: what a pack's entropy coder knows before the first bit.

Takes float latents (grey levels) of training photos, returns `runtime.format.coder.CoderTables`. Neighbour weights come from
non-negative and ordinary least squares on simulated partial knowledge; starting states and mixing weights are what the
coder itself learns of the training latents at many steps (`learning.states`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls
from tqdm import tqdm

from ...runtime.files import write_atomically
from ...runtime.format.coder import WEIGHT_ONE
from ...runtime.format.coder_tables import (
    CROSS_TERMS,
    FILLS,
    INPUTS,
    LEVELS,
    MEANS_LIMIT,
    PARTS,
    PREDICTION_TERMS,
    CoderTables,
    TableLayout,
)
from ...runtime.format.planes import LEVEL_WEIGHT, MAGNITUDE_LIMIT
from ...runtime.format.reconstruction import finer_by
from ...runtime.quantize import TUNINGS, TYPICAL_ROUNDING
from ..commands import failed, parser
from ..crops import CropSampler, TrainingDataError, load_photos
from ..models import TinyAutoencoder
from .graph import decoder_table
from .learning.pass_order import A_LEVEL, measure_order
from .learning.runs import coarse_runs, fine_runs, plain_runs
from .learning.states import learned
from .upper.gains import upper_gains
from .upper.tables import DraftStage, analysed, learn_upper
from .worth import decoder_worth

STEP_INDICES = (24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 64, 68)
"""Steps at which the training latents are coded: 8 to 362 grey levels."""

STEPS_PER_PHOTO = 4
"""At how many of them each photo is coded."""

THRESHOLD_OCTAVES = (3.0, 7.5)
"""Thresholds of the simulated passes: 8 to 181 grey levels."""

REGRESSION_SAMPLES = 12000
"""Positions per channel in each regression."""

ENERGY_UNIT = 2048.0
"""Energy of a certain significance."""

PROBABILITY_STEPS = (
    0.002, 0.004, 0.007, 0.011, 0.016, 0.022, 0.03, 0.04, 0.052, 0.067, 0.085, 0.107,
    0.133, 0.163, 0.198, 0.238, 0.285, 0.34, 0.4, 0.47, 0.55, 0.65, 0.8,
)  # fmt: skip
"""Bucket boundaries of the predicted probability of significance."""

PREDICTOR_CANDIDATES = 8
"""Coarsest channels offered, with their neighbours, to every channel's linear predictor."""

COUNT_LIMIT_IN_FILES = 255
"""Counts stop here while a file is coded: 127 costs 0.1 to 0.15 %, 60 costs 0.4 %."""

MIX_RATE = 14
"""Step of the mixers in files: 8 to 18 are as good, 3 costs 0.1 to 0.4 %, most at low rates."""

REGRESSION_PHOTOS = 100
"""Photos for the regressions."""

ORDER_SHARE, ORDER_PHOTOS = 4, 60
"""One photo in four teaches the states with which the passes' slopes are measured, on sixty photos."""

WORTH_PHOTOS = 12
"""Photos on which the decoder's gains are measured."""

PREDICTION_STEP = 8
"""What prediction weights are rounded to: a page loads the tables before its first paint."""

Functions = Sequence[tuple[int, int, int]]
"""Of each channel its colour, its frequency down and its frequency across."""

UPPER_PHOTOS = 96
"""Crops from which the upper functions' tables are learned."""

CROP = 384
"""Side of the crops, in pixels."""


def _levels(magnitude: NDArray[np.int32]) -> NDArray[np.float32]:
    return LEVEL_WEIGHT[np.minimum(magnitude, MAGNITUDE_LIMIT)].astype(np.float32)


def _shifted(a: NDArray[np.float32], dy: int, dx: int) -> NDArray[np.float32]:
    """Value at (y + dy, x + dx), zeros outside; (..., h, w)."""
    out = np.zeros_like(a)
    h, w = a.shape[-2:]
    ys, yd = slice(max(0, dy), h + min(0, dy)), slice(max(0, -dy), h + min(0, -dy))
    xs, xd = slice(max(0, dx), w + min(0, dx)), slice(max(0, -dx), w + min(0, -dx))
    out[..., yd, xd] = a[..., ys, xs]
    return out


CAUSAL = ((0, -1), (-1, 0), (-1, -1), (-1, 1))
AHEAD = ((0, 1), (1, 0), (1, -1), (1, 1))


def fit_neighbours(latents: NDArray[np.float32], rng: np.random.Generator, means: int = 0) -> dict[str, NDArray[np.int64]]:
    """Energy and prediction weights of every channel from latents (N, C, h, w), by least squares on simulated passes.

    Every photo gets one threshold T; channels before the one coded, and causal neighbours, are known to T, the rest to 2 T, and the first
    `means` channels in full.
    """
    count, channels = latents.shape[:2]
    lead = min(PREDICTOR_CANDIDATES, channels)
    terms = [(k, dy, dx) for k in range(lead) for dy, dx in ((0, 0), *CAUSAL[:2], *AHEAD[:2])]
    own = [*CAUSAL, *AHEAD]
    threshold = np.exp2(rng.uniform(*THRESHOLD_OCTAVES, (count, 1, 1, 1))).astype(np.float32)
    scaled = latents / threshold
    level = np.floor(np.abs(scaled) + TYPICAL_ROUNDING / 2).astype(np.int32)
    before = level >> 1
    sign = np.sign(scaled)
    weight = {"now": _levels(level), "old": _levels(before * 2)}
    value = {"now": sign * np.where(level > 0, level + 0.5, 0), "old": sign * np.where(before > 0, 2 * before + 0.5, 0)}
    value = {known: v.astype(np.float32) for known, v in value.items()}
    for v in value.values():
        v[:, :means] = scaled[:, :means]

    def across(a: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.ascontiguousarray(a.swapaxes(0, 1)).reshape(len(a[0]), -1)

    flat = {known: across(v) for known, v in weight.items()}
    lead_terms = {known: across(np.stack([_shifted(v[:, k], dy, dx) for k, dy, dx in terms], axis=1)) for known, v in value.items()}
    energy, signed = [], []
    for c in tqdm(range(channels), desc="neighbours", disable=None):
        now, old = weight["now"][:, c], weight["old"][:, c]
        beside = [_shifted(now, 0, -1), _shifted(now, -1, 0), _shifted(old, 0, 1), _shifted(old, 1, 0)]
        beside += [_shifted(now, -1, -1) + _shifted(now, -1, 1), _shifted(old, 1, -1) + _shifted(old, 1, 1)]
        undecided = np.flatnonzero(before[:, c].ravel() == 0)
        target = (level[:, c] > 0).ravel()
        picked = rng.choice(undecided, min(REGRESSION_SAMPLES, len(undecided)), replace=False)
        # where a channel is rarely significant all its ones are kept, and weighted back
        ones = undecided[target[undecided]]
        share = len(picked) / max(1, len(undecided))
        picked = np.concatenate([picked[~target[picked]], ones])
        weights = np.where(target[picked], share, 1.0).astype(np.float32)
        cross = np.concatenate([flat["now"][:c, picked], np.zeros((1, len(picked)), np.float32), flat["old"][c + 1 :, picked]])
        x = np.concatenate([np.stack([b.ravel()[picked] for b in beside]), cross, np.ones((1, len(picked)), np.float32)])
        x = np.concatenate([x, target[picked][None].astype(np.float32)])
        energy.append((x * weights) @ x.T)
        split = min(c, lead) * 5
        some = rng.choice(target.size, min(REGRESSION_SAMPLES, target.size), replace=False)
        z = np.concatenate(
            [
                lead_terms["now"][:split, some],
                lead_terms["old"][split:, some],
                np.stack([_shifted(value["now"][:, c], *d).ravel()[some] for d in CAUSAL]),
                np.stack([_shifted(value["old"][:, c], *d).ravel()[some] for d in AHEAD]),
                scaled[:, c].ravel()[None, some],
            ]
        )
        z[[j for j, (k, _, _) in enumerate(terms) if k == c]] = 0.0
        signed.append(z @ z.T)
    return _solve_energy(np.stack(energy).astype(np.float64)) | _solve_prediction(np.stack(signed).astype(np.float64), terms, own)


def _solve_energy(grams: NDArray[np.float64]) -> dict[str, NDArray[np.int64]]:
    channels = len(grams)
    space = np.zeros((channels, 6), dtype=np.int64)
    cross = np.zeros((channels, CROSS_TERMS), dtype=np.int64)
    cross_channel = np.zeros((channels, CROSS_TERMS), dtype=np.int64)
    for c, gram in enumerate(grams):
        # by plain correlation first: the full non-negative fit of every channel would take minutes
        links = gram[6 : 6 + channels, -1] / np.sqrt(np.diagonal(gram)[6 : 6 + channels] + 1e-9)
        chosen = [*range(6), *sorted(6 + np.argsort(-links)[: 4 * CROSS_TERMS])]
        for keep in (2 * CROSS_TERMS, CROSS_TERMS):
            weights = _nnls(gram, chosen)
            gain = {j: weights[i] ** 2 * gram[j, j] for i, j in enumerate(chosen) if j >= 6}
            best = sorted(gain, key=lambda j: -gain[j])[:keep]
            chosen = list(range(6)) + sorted(best)
        weights = np.clip(np.round(_nnls(gram, chosen) * ENERGY_UNIT), 0, 255).astype(np.int64)
        space[c] = weights[:6]
        cross_channel[c, : len(chosen) - 6] = np.array(chosen[6:]) - 6
        cross[c, : len(chosen) - 6] = weights[6:]
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


def means_of(functions: Functions | None) -> int:
    """How many of the first channels are means of blocks, by the functions that channels are of."""
    return sum(1 for _ in itertools.takewhile(lambda function: function[1:] == (0, 0), functions or ()))


def _fill(functions: Functions, means: int) -> NDArray[np.uint8]:
    """`CoderTables.mean_fill`: of each mean's colour the channels of the first two frequencies, across and down."""
    places = {function: channel for channel, function in enumerate(functions)}
    fill = np.zeros((MEANS_LIMIT, FILLS), np.uint8)
    for mean in range(means):
        plane = functions[mean][0]
        fill[mean] = [places.get((plane, *frequency), 0) for frequency in ((0, 1), (1, 0), (0, 2), (2, 0))]
    return fill


def _starting_tables(channels: int, functions: Functions | None, neighbours: dict[str, NDArray[np.int64]]) -> CoderTables:
    """Tables that know the neighbourhood and nothing else: even odds, equal mixing weights, no channel's pass brought forward."""
    means = means_of(functions)
    layout = TableLayout(channels, means)
    weights = np.zeros((layout.weights // INPUTS, INPUTS), dtype=np.int32)
    weights[:, :3] = WEIGHT_ONE // 2
    # the decisions of significance have seven states
    seven = [(layout.set_bases[0], layout.set_bases[2])] + ([(layout.mean_sets[0], layout.mean_sets[2])] if means else [])
    for start, end in seven:
        weights[start // INPUTS : end // INPUTS, :7] = WEIGHT_ONE * 2 // 7
    return CoderTables(
        means=means,
        order=np.zeros((channels, PARTS), dtype=np.int16),
        energy_space=neighbours["energy_space"].astype(np.uint8),
        energy_cross_channel=neighbours["energy_cross_channel"].astype(np.uint8),
        energy_cross=neighbours["energy_cross"].astype(np.uint8),
        prediction_channel=neighbours["prediction_channel"].astype(np.uint8),
        prediction_dy=neighbours["prediction_dy"].astype(np.int8),
        prediction_dx=neighbours["prediction_dx"].astype(np.int8),
        prediction=(np.round(neighbours["prediction"] / PREDICTION_STEP) * PREDICTION_STEP).astype(np.int16),
        energy_thresholds=np.round(np.array(PROBABILITY_STEPS) * ENERGY_UNIT).astype(np.uint16),
        mean_order=np.tile(A_LEVEL * np.arange(LEVELS, dtype=np.int16), (MEANS_LIMIT if means else 0, 1)),
        mean_fill=_fill(functions, means) if functions and means else np.zeros((0, FILLS), np.uint8),
        probability=np.full(layout.states, 32768, dtype=np.uint16),
        count=np.zeros(layout.states, dtype=np.uint8),
        weights=weights.ravel(),
        mix_rate=MIX_RATE,
        count_limit=COUNT_LIMIT_IN_FILES,
    )


def prime(
    latents: NDArray[np.float32],
    worth: NDArray[np.floating],
    *,
    functions: Functions | None = None,
    seed: int = 0,
) -> CoderTables:
    """Tables learned from float latents (N, C, h, w), grey levels; `worth` (C,) is what a squared error of each channel costs in the
    pixels (`worth.decoder_worth`). `functions`, where the channels are a DCT's, tell which of the first are means of blocks, to be coded
    as pyramids."""
    rng = np.random.default_rng(seed)
    channels = latents.shape[1]
    tables = _starting_tables(channels, functions, fit_neighbours(latents[:REGRESSION_PHOTOS], rng, means_of(functions)))
    some = plain_runs(latents[: max(1, len(latents) // ORDER_SHARE)], STEP_INDICES, STEPS_PER_PHOTO, rng)
    order, mean_order = measure_order(latents[:ORDER_PHOTOS], learned(tables, some), worth, STEP_INDICES)
    tables = replace(tables, order=order, mean_order=mean_order)
    return learned(tables, plain_runs(latents, STEP_INDICES, STEPS_PER_PHOTO, rng))


def photo_latents(
    weights: Path, sources: list[Path], count: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float64], Functions | None]:
    """Latents (N, C, 24, 24) of `count` random 384x384 crops of photos, tilted as one of the tunings does, what errors of each channel
    cost in the pixels of the first ones, (C,), and the functions that the channels are of."""
    autoencoder = TinyAutoencoder.from_pretrained(weights / "autoencoder", low_cpu_mem_usage=False).eval()
    sampler = CropSampler(load_photos(sources, CROP), CROP, seed)
    with torch.inference_mode():
        photos = [sampler.batch(1) for _ in range(min(count, WORTH_PHOTOS))]
        worth = decoder_worth(autoencoder, photos)
        rest = (sampler.batch(1) for _ in range(count - len(photos)))
        latents = [autoencoder.encode(photo)[0].numpy() for photo in tqdm(itertools.chain(photos, rest), "latents", count, disable=None)]
    # as the coder meets them: the tunings take turns, and a finer step is a larger latent
    octaves = np.array(autoencoder.octaves, np.int32)
    for number, tuning in zip(range(count), itertools.cycle(TUNINGS.values()), strict=False):
        latents[number] *= np.exp2(finer_by(tuning.tilt, octaves) / 8.0).astype(np.float32)[:, None, None]
    return np.stack(latents), worth, autoencoder.decoder.linear.functions


def main(arguments: list[str]) -> int:
    """`sdz prime`; 0 done, 1 no usable data."""
    command = parser("prime", "Learn the entropy coder's tables of a pack from photos.")
    command.add_argument("--weights", type=Path, required=True, metavar="RUN", help="directory with autoencoder/")
    command.add_argument("--data", type=Path, nargs="+", required=True, metavar="PHOTOS", help="folders or .tar shards of training photos")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write: a pack's coder.bin")
    command.add_argument("--keep", type=Path, metavar="FILE", help="coder tables of which only states and mixing weights are learned anew")
    command.add_argument("--count", type=int, default=600, metavar="N", help=f"crops of {CROP} pixels to learn from (default 600)")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of the random draws of crops and steps (default 0)")
    options = command.parse_args(arguments)
    try:
        latents, worth, functions = photo_latents(options.weights, options.data, options.count, options.seed)
    except TrainingDataError as error:
        return failed("prime", error)
    autoencoder = TinyAutoencoder.from_pretrained(options.weights / "autoencoder", low_cpu_mem_usage=False).eval()
    sampler = CropSampler(load_photos(options.data, CROP), CROP, options.seed)
    crops = (sampler.batch(1)[0].round().byte().permute(1, 2, 0).numpy() for _ in range(min(options.count, UPPER_PHOTOS)))
    linear = decoder_table(autoencoder)
    assert linear.factors is not None and functions is not None  # of the project's own networks
    factors = replace(linear.factors, upper=upper_gains()).to_bytes()
    stage = DraftStage(factors, np.ascontiguousarray(linear.weight.T), linear.shift, linear.lapping)
    exact, reach = analysed(crops, stage)
    if options.keep is None:
        tables = learn_upper(
            prime(latents, worth, functions=functions, seed=options.seed), exact, list(functions), reach, seed=options.seed
        )
    else:
        tables = CoderTables.from_bytes(options.keep.read_bytes())
    rng = np.random.default_rng(options.seed)
    tables = replace(tables, mix_rate=MIX_RATE, count_limit=COUNT_LIMIT_IN_FILES)
    octaves = np.array(autoencoder.octaves, np.int32)
    for upper, runs in ((False, coarse_runs(latents, tables, rng)), (True, fine_runs(exact, tables, octaves, rng))):
        tables = learned(tables, [runs[i] for i in rng.permutation(len(runs))], upper=upper, activity=False)
    data = tables.to_bytes()
    write_atomically(options.out, data)
    print(f"{options.out}: {len(data)} bytes")
    return 0
