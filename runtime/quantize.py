"""Quantization with rate and distortion in mind: latents in grey levels -> the integers worth their bits.

A dead-zone quantizer's integers go through the coder; what it charged for every latent's decision in the lowest plane then tells,
latent by latent, which of the two nearest integers has the lower cost in rate and distortion, and the coder runs again on the result (the
rate-distortion optimised quantization of video encoders, Karczewicz, Ye and Chong 2008, against an adaptive coder's own
probabilities). It costs the decoder nothing. A `Tuning` says what a bit is worth, and where some errors matter more than others,
weights say so: `posterior_weights` has them from a variational autoencoder's deviations, `refining.sensitivity` from the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from . import limits
from .format.coder_tables import CoderTables
from .format.planes import last_chances
from .format.pyramid import quantize_mean
from .format.reconstruction import step_sizes, step_units
from .options import Tune
from .pack import GRID
from .regions.region_map import RegionMap, payload_of

STRETCH_LIMIT: Final = 2047
"""Largest |stretch(p)|: ln(p / (1 - p)) * 256, i.e. odds of about 3000 to 1."""


def _stretch_table() -> NDArray[np.int32]:
    """stretch(p) for p = (i + 1/2) / 4096, rounded half up, clipped; exact in any correctly rounded `log` to 1e-9."""
    values = [math.log((i + 0.5) / (4095.5 - i)) * 256.0 for i in range(4096)]
    return np.array([max(-STRETCH_LIMIT, min(STRETCH_LIMIT, math.floor(v + 0.5))) for v in values], dtype=np.int32)


STRETCH = _stretch_table()


FADING_FROM: Final = 60
"""The step index below which less is invented, that of the default quality: the more a file says, the less its reader wants added."""


@dataclass(frozen=True)
class Tuning:
    """`rounding` in [0, 1/2] is added before a magnitude is first rounded down; `lagrangian` is what one bit is worth then, in
    squared steps; where it is 0 nothing is weighed and the coder not asked. `tilt`, -3..3, is what a file of this tuning states
    (`reconstruction.channel_steps`), of packs that know their channels' frequencies. `masking` is the share of an error's weight that
    goes by where it is seen (`refining.sensitivity`). `strength` is how many sixteenths of the denoiser's moves its files are shown with,
    `fading` how many fewer for every step index below FADING_FROM. `shares` are what a per cent of squared error, of 1 - MS-SSIM, of
    SSIMULACRA2's distance and of the texture's error are worth to effort (`refining`)."""

    rounding: float
    lagrangian: float
    tilt: int = 0
    masking: float = 0.0
    strength: int = limits.FULL_STRENGTH
    fading: float = 0.0
    shares: tuple[float, float, float, float] = (0.45, 0.3, 0.25, 0.0)

    def realism(self, step_index: int) -> int:
        """Sixteenths of the denoiser's moves that a file of that step is shown with."""
        return max(0, round(self.strength - self.fading * max(0, FADING_FROM - step_index)))


TUNINGS: Final[dict[Tune, Tuning]] = {
    "natural": Tuning(rounding=0.45, lagrangian=0.045, fading=0.9, shares=(0.7, 0.2, 0.1, 0.3)),
    "faithful": Tuning(rounding=0.42, lagrangian=0.08, masking=0.6, strength=0, shares=(0.45, 0.3, 0.25, 0.1)),
}
"""What an encoder is asked for. `faithful` takes about the price of a bit that minimises the squared error at equal bytes; a dearer one
drops lonely values first, and with them texture; its masking buys structure (MS-SSIM, SSIMULACRA2) with a little squared error. `natural`
charges less and keeps texture, at equal bytes with a coarser step; tilted towards fine structure or without a price it gains by ST-LPIPS
and loses by SSIMULACRA2, MS-SSIM and PSNR. Its effort minds the squared error more, because what is invented costs that most, and the
texture, which it would else take back."""

FINE_TUNINGS: Final[dict[Tune, Tuning]] = {
    "natural": Tuning(rounding=0.4, lagrangian=0.08, tilt=-2, masking=0.25),
    "faithful": Tuning(rounding=0.4, lagrangian=0.08),
}
"""The same of files that are so fine that the networks are left out (`CoderTables.is_fine`), by SSIMULACRA2 and by the squared error: at
equal SSIMULACRA2 of 90 the tilt is worth 2 %, the price of a bit 3 %, masking 0.5 %."""

TYPICAL_ROUNDING: Final = 0.45
"""A plain dead-zone quantizer's rounding between the two tunings: by it coder tables are learned, ranges calibrated, coders compared."""

ROUNDS: Final = 2
"""Times that the coder is asked again; a third gained 0.2 %."""

DISTANCES: Final = 1 << 22
"""Distances to codebook entries taken at a time: 32 MB."""

SIGN_BITS: Final = 1.0
"""What the sign of a new latent costs, about: signs are hardly predictable."""

LEVEL_BITS: Final = 2.5
"""What one more step of magnitude costs, about, before the coder was asked: by it the tuning `faithful` has its rounding."""

COARSEST_ROUNDING: Final = -2.0
"""A latent of the least weight is rounded down by two steps more at first, where the choice between two neighbours could not bring it."""

TRUST: Final = 0.5
"""Exponent of the posterior's weights. 1 would be the theory; the deviation of a single latent is a rough estimate, and with steps that
follow each channel's posterior 1 cost 1.7 % of the bytes at equal PSNR (tuning `faithful`) where this saves 0.4 %."""

WEIGHT_RANGE: Final = (1.0 / 16.0, 16.0)
"""Posterior weights are held within: a deviation is an estimate, and beyond a factor of four it is not trusted."""


def rdo_quantize(
    latents: NDArray[np.float32],
    step_index: int,
    tables: CoderTables,
    tuning: Tuning,
    weights: NDArray[np.float32] | None = None,
    steps: NDArray[np.int32] | None = None,
    tilt: int = 0,
    regions: RegionMap | None = None,
) -> NDArray[np.int32]:
    """Signed integers int32 (C, h, w), magnitudes below 2**15, of latents float32 (C, h, w), quantized with rate and distortion in mind.

    `step_index` and `tilt` are the file's, which the coder sees; `steps`, int32 (C,), are the channels' (`reconstruction.channel_steps`),
    all the file's where they are None. `weights`, positive float32 (C or 1, h, w), say how much the squared error of each latent counts
    where a bit has a price; None is the same as ones. Bits that `regions` leave out are zero.
    """
    if steps is None:
        steps = np.full(len(latents), step_index, np.int32)
    below: NDArray[np.int32] = np.zeros((1, 1, 1), np.int32)
    if regions is not None:
        # a position's own step is so much coarser than the file's; means, which are coded as a whole, have one for all
        below = np.repeat(regions.below[None], len(latents), axis=0)
        below[: tables.means] = 0
        latents = latents * np.exp2(-below).astype(np.float32)
        steps = steps.copy()
        steps[: tables.means] = np.minimum(steps[: tables.means] + 8 * regions.means, limits.MAX_STEP_INDEX)
    if not tuning.lagrangian:
        return dead_zone(latents, steps, tuning.rounding) << below
    integers = dead_zone(latents, steps, tuning.rounding if weights is None else weighted_rounding(weights, tuning))
    size = np.abs(latents) * (GRID / step_sizes(steps)).astype(np.float32)
    for mean in range(tables.means):
        counts = None if weights is None else weights[min(mean, len(weights) - 1)]
        integers[mean] = quantize_mean(np.copysign(size[mean], latents[mean]), tuning.lagrangian, counts)
    sign = np.where(latents < 0, np.int32(-1), np.int32(1))
    for _ in range(ROUNDS):
        chances = last_chances(integers << below, step_index, tables, tilt, payload_of(regions))
        integers = sign * _cheaper(size, np.abs(integers), chances, tuning, weights)
    return integers << below


def posterior_weights(deviation: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much the squared error of each latent counts by its posterior's standard deviation, both float32 (C, h, w).

    The autoencoder's training settled each deviation where the decoder's loss and the price of precision balance: there the loss grows
    with the squared error over the squared deviation (Alemi et al., "Fixing a broken ELBO", 2018). Of that quotient TRUST is taken. The
    geometric mean of the result is 1 but for the clipping to WEIGHT_RANGE.
    """
    logs = -2.0 * TRUST * np.log(np.maximum(deviation.astype(np.float64), np.finfo(np.float32).tiny))
    weights: NDArray[np.float32] = np.exp(logs - logs.mean()).clip(*WEIGHT_RANGE).astype(np.float32)
    return weights


def weighted_rounding(weights: NDArray[np.float32], tuning: Tuning) -> NDArray[np.float64]:
    """The first rounding of each latent, of the weights' shape, COARSEST_ROUNDING to 1/2: the tuning's at weight 1, less where less is
    lost by it.

    With squared errors counting w and a level costing LEVEL_BITS, the next level pays from 1/2 + lagrangian · LEVEL_BITS / 2w on.
    """
    moved = tuning.rounding - 0.5 * tuning.lagrangian * LEVEL_BITS * (1.0 / weights.astype(np.float64) - 1.0)
    return moved.clip(COARSEST_ROUNDING, 0.5)


def dead_zone(latents: NDArray[np.float32], steps: int | NDArray[np.int32], rounding: float | NDArray[np.float64]) -> NDArray[np.int32]:
    """sign · max(0, floor(|y| / step + rounding)), |q| below 2**15: int32 (C, h, w) of latents float32 (C, h, w), with
    the decoders' steps, 2**(index/8) on the GRID for the step indices `steps`, one for all channels or one for each, int32 (C,).

    With a rounding below 1/2 zero gets a wider interval than the others, because for the peaked distribution of latents the
    bits a borderline value costs outweigh the distortion it saves (JPEG 2000 and video coders).
    """
    step = step_units(steps) if isinstance(steps, int) else step_sizes(steps)
    scaled = np.abs(latents.astype(np.float64)) * GRID / step + rounding
    magnitude = np.clip(np.floor(scaled), 0, (1 << limits.MAX_PLANES) - 1)
    signed: NDArray[np.float64] = np.copysign(magnitude, latents)
    return signed.astype(np.int32)


def nearest_entries(latents: NDArray[np.float32], codebook: NDArray[np.int16]) -> NDArray[np.int32]:
    """The entry of a codebook (K, C), GRID units, nearest to each position of latents (C, h, w), grey levels: int32 (h, w),
    the first of equals."""
    channels, rows, columns = latents.shape
    entries = codebook.astype(np.float64)
    lengths = np.square(entries).sum(axis=1)
    points = latents.reshape(channels, -1).T.astype(np.float64) * GRID
    nearest = np.empty(len(points), dtype=np.int32)
    chunk = max(1, DISTANCES // len(entries))
    for start in range(0, len(points), chunk):
        part = points[start : start + chunk]
        nearest[start : start + chunk] = (lengths - 2.0 * (part @ entries.T)).argmin(axis=1)
    return nearest.reshape(rows, columns)


def _cheaper(
    size: NDArray[np.float32],
    magnitude: NDArray[np.int32],
    chance: NDArray[np.uint16],
    tuning: Tuning,
    weights: NDArray[np.float32] | None,
) -> NDArray[np.int32]:
    """The better of the two magnitudes that a latent's last decision chooses between; `size` is the true one in steps.

    `chance` is of 65536, 0 where the coder asked nothing.
    """
    new = magnitude < 2
    low = np.where(new, np.int32(0), magnitude & ~1)
    # what a one costs more than a zero, by the coder's own table of log odds
    bits = STRETCH[chance >> 4] * np.float32(-1.0 / (256.0 * math.log(2.0))) + np.where(new, np.float32(SIGN_BITS), np.float32(0.0))
    gain = np.square(size - low) - np.square(size - low - 1)
    if weights is not None:
        gain *= weights
    better = low + (gain > tuning.lagrangian * bits)
    chosen: NDArray[np.int32] = np.where(chance > 0, better, magnitude).astype(np.int32)
    return chosen
