"""Trained layers -> the integers that the graphs hold: weights, biases, scales, and the proof that fp32 sums of them are exact.

Takes modules of `models.layers` whose activation ranges are fixed (by quantization-aware training, or by `calibrate_ranges`) and
hands `IntegerConv`, `GridWeights` and `LinearTable` to `graph`. All rounding of weights happens here, once, so that every variant
of a graph and the linear table hold the identical integers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...runtime.format.linear import LAP_PLACES, LAP_SHIFT, LAP_SUM
from ...runtime.format.separable import SeparableTable
from ...runtime.limits import MAX_PLANES, MAX_STEP_INDEX
from ...runtime.quantize import TYPICAL_ROUNDING
from ..models import OneStepDenoiser, TinyAutoencoder
from ..models.autoencoder import GRID, INPUT_GAIN, PRECISION_GAIN, ScaledTransform, dct_matrix, opponent_matrix
from ..models.denoiser import DELTA_SCALE_EXPONENT, LEVEL_GAIN, LEVEL_LIMIT
from ..models.lapping import Lapping
from ..models.layers import GridConv2d, QuantConv2d, freeze_ranges, grid_scale, set_quantization, weight_scale
from ..models.truncation import truncate

EXACT_LIMIT = 2**24
"""Every integer of magnitude up to this is a float32: sums that stay below are exact in any order of summation."""

PRECISION_LIMIT = MAX_STEP_INDEX + 8 * MAX_PLANES
"""Largest precision code that a file can state: the coarsest step with all planes unknown."""

BIAS_BITS = 22
"""Magnitude of an integer bias, in bits: a quarter of what an exact sum holds."""

SMALLEST_L1_LIMIT = 90000
"""GRID units. Photos reach 72300 (the astronaut, unquantized) per position; a bound below would alter honest images."""

GRID_DOUBLINGS = 3
"""How many bits a stem's weights may lose to keep its sums exact: 5 of 8 remain."""

LARGEST_SHIFT = 14
"""Finer linear tables gain nothing visible, and 2**14 times an orthonormal basis still fits int16."""

COLOUR_PLACES, WAVE_PLACES, GAIN_BITS = 15, 16, 15
"""Binary places of a separable table's colours and cosines, all below a half but for one, and bits of its largest gain."""


CALIBRATION_CODES = (22, 30, 40, 50, 60)
"""Precision codes at which ranges of a model trained without quantization are observed: the rates it was trained for."""


class QuantizationError(ValueError):
    """Weights that do not fit the integer grids; says which layer and by how much."""


@dataclass(frozen=True)
class IntegerConv:
    """A `QuantConv2d` on its grids: `weight` int8 (O, I, k, k) with |w| up to its layer's `weight_levels`, `scale` float32 (O,) per weight
    level, `bias` int32 (O,) in units of input scale times `scale`; output grid `2**exponent` per level, zero point 128 if `signed`,
    else 0."""

    weight: NDArray[np.int8]
    scale: NDArray[np.float32]
    bias: NDArray[np.int32]
    exponent: int
    signed: bool

    def ordered(self, order: NDArray[np.int64]) -> IntegerConv:
        """Output channels `order`; an entry of -1 gives a channel that is always zero."""
        empty = order < 0
        weight = np.where(empty[:, None, None, None], 0, self.weight[order]).astype(np.int8)
        bias = np.where(empty, 0, self.bias[order]).astype(np.int32)
        return IntegerConv(weight, self.scale[order], bias, self.exponent, self.signed)


@dataclass(frozen=True)
class GridWeights:
    """A `GridConv2d` on its grid: weights are `levels` int8 (O, I) times `gains` int32 (I,) over integer inputs, `channels` latents first;
    `bias` int32 (O,); both in units of `2**exponents[o]`. The output grid is `2**exponent` per level, zero point 0."""

    levels: NDArray[np.int8]
    gains: NDArray[np.int32]
    bias: NDArray[np.int32]
    exponents: NDArray[np.int32]
    exponent: int
    channels: int

    @property
    def l1_limits(self) -> NDArray[np.int64]:
        """Per output channel (O,): the largest L1 norm of latents per position, GRID units, under which every partial sum is below 2**24.

        In any order of summation a partial sum lies between the sum of all negative terms and that of all positive ones.
        """
        weight = self.levels.astype(np.int64) * self.gains
        latents, levels, precision = weight[:, : self.channels], weight[:, self.channels : -self.channels], weight[:, -self.channels :]
        bias = self.bias.astype(np.int64)
        positive = np.maximum(bias, 0) + PRECISION_LIMIT * np.maximum(precision, 0).sum(axis=1)
        negative = np.maximum(-bias, 0) + PRECISION_LIMIT * np.maximum(-precision, 0).sum(axis=1)
        reserve = np.maximum(positive, negative) + LEVEL_LIMIT * np.abs(levels).sum(axis=1)
        limits: NDArray[np.int64] = (EXACT_LIMIT - 1 - reserve) // np.maximum(np.abs(latents).max(axis=1), 1)
        return limits

    @property
    def l1_limit(self) -> int:
        """The smallest of `l1_limits`."""
        return int(self.l1_limits.min())


@dataclass(frozen=True)
class LinearTable:
    """The linear stage: `weight` int16 (O=768, C), colour * 256 + row * 16 + column by latent, `2**shift` per grey level over GRID units;
    `l1_limit` as `GridWeights.l1_limit`, with room for the rounding offset and the decoder network's residual; `lapping` int32 (n, n) as
    `runtime.format.linear.lapped` takes it, None where blocks stand alone; `factors`, what the weight is made of, where it is a DCT."""

    weight: NDArray[np.int16]
    shift: int
    l1_limit: int
    lapping: NDArray[np.int32] | None
    factors: SeparableTable | None

    @property
    def stored(self) -> SeparableTable | NDArray[np.int16]:
        """What a pack holds: the factors, or the weight as (C, O)."""
        return self.weight.T if self.factors is None else self.factors


def integer_conv(layer: QuantConv2d, input_exponent: int, name: str) -> IntegerConv:
    """The integers of `layer` behind an activation of `2**input_exponent` per level.

    Raises `QuantizationError` if a sum of its products may leave the exact integers of float32.
    """
    weight = layer.conv.weight.detach().float()
    assert layer.conv.bias is not None
    bias = layer.conv.bias.detach().double().numpy()
    # the same float32 operations as `fake_quantize_weight`, so that ties fall alike; a channel that is almost only bias gets a scale
    # in which the bias fits the accumulator
    scale = weight_scale(weight)
    room = torch.from_numpy(np.abs(bias) / 2.0 ** (BIAS_BITS + input_exponent)).float()
    scale = torch.maximum(scale, room[:, None, None, None])
    integers = (weight / scale).round().numpy().astype(np.int8)
    scales = scale.flatten().numpy()
    units = np.rint(bias / (np.exp2(float(input_exponent)) * scales.astype(np.float64)))
    reach = 255 * np.abs(integers.astype(np.int64)).sum(axis=(1, 2, 3)) + np.abs(units)
    if reach.max() >= EXACT_LIMIT:
        raise QuantizationError(
            f"{name}: output channel {int(reach.argmax())} may sum to {reach.max():.0f}, beyond 2**24; "
            "train on with weight decay on this layer, or narrow it"
        )
    signed = layer.activation.signed
    return IntegerConv(integers, scales, units.astype(np.int32), int(layer.activation.exponent), signed)


def grid_weights(layer: GridConv2d, channels: int, name: str) -> GridWeights:
    """The integers of a stem over (latents, precision) or (latents, levels, precision), `channels` of each.

    An output channel whose sums would be exact for a part of all photos only gets a coarser grid than `grid_scale` gives it.
    Raises `QuantizationError` if that does not help.
    """
    weight = layer.conv.weight.detach().double()[:, :, 0, 0].numpy()
    assert layer.conv.bias is not None
    bias = layer.conv.bias.detach().double().numpy()
    unit = INPUT_GAIN / GRID
    gains = {2: (unit, PRECISION_GAIN), 3: (unit, LEVEL_GAIN, PRECISION_GAIN)}[weight.shape[1] // channels]
    steps = np.repeat([round(g / unit) for g in gains], channels).astype(np.int32)
    scale = grid_scale(layer.conv.weight).flatten().double().numpy()
    for _ in range(GRID_DOUBLINGS + 1):
        grid = GridWeights(
            np.rint(weight / scale[:, None]).astype(np.int8),
            steps,
            np.rint(np.clip(bias / (scale * unit), -EXACT_LIMIT, EXACT_LIMIT)).astype(np.int32),
            np.rint(np.log2(scale * unit)).astype(np.int32),
            int(layer.activation.exponent),
            channels,
        )
        narrow = grid.l1_limits < SMALLEST_L1_LIMIT
        if not narrow.any():
            return grid
        scale = np.where(narrow, 2 * scale, scale)
    raise QuantizationError(
        f"{name}: fp32 sums stay exact for latents of L1 norm {grid.l1_limit} only, photos need {SMALLEST_L1_LIMIT}; "
        "train on with weight decay on this layer"
    )


def linear_table(layer: ScaledTransform, residual_exponent: int, lapping: Lapping | None = None) -> LinearTable:
    """The decoder's linear layer as integers, at the finest power of two that leaves `SMALLEST_L1_LIMIT`, and its lapping.

    `residual_exponent` is the grid of the network's residual in grey levels, `2**residual_exponent` per level of uint8.
    """
    entries = None if lapping is None else lapping_entries(lapping)
    weight = layer.weight.detach().double()[:, :, 0, 0].numpy() / GRID
    gain = layer.gain.detach().double().numpy() / GRID
    smallest = max(0 if lapping is None else LAP_PLACES + 1, -residual_exponent)
    for shift in range(LARGEST_SHIFT, smallest - 1, -1):
        factors = None if layer.functions is None else dct_factors(gain * 2.0**shift, layer.functions)
        integers = np.rint(weight * 2.0**shift) if factors is None else factors.products().T
        peak = int(np.abs(integers).max())
        # mid-grey and the rounding offset, then the residual, all in units of 2**-shift grey levels
        reserve = (128 << shift) + (1 << shift >> 1) + int(128 * 2.0 ** (residual_exponent + shift))
        limit = (EXACT_LIMIT - 1 - reserve) // max(peak, 1)
        if peak < 2**15 and limit >= SMALLEST_L1_LIMIT:
            return LinearTable(integers.astype(np.int16), shift, limit, entries, factors)
    raise QuantizationError(
        f"no shift of the linear table leaves room for latents of L1 norm {SMALLEST_L1_LIMIT}: "
        f"largest weight {np.abs(weight).max():.4f}, residual grid 2**{residual_exponent}; train on with a smaller rate for the linear pair"
    )


def dct_factors(gain: NDArray[np.float64], functions: Sequence[tuple[int, int, int]]) -> SeparableTable:
    """The factors of a DCT with `gain` (C,), units of the table; the gains keep as many places as 15 bits hold."""
    places = GAIN_BITS - max(0, math.ceil(math.log2(max(np.abs(gain).max(), 1.0))))
    plane, row, column = np.array(functions, np.uint8).T
    return SeparableTable(
        np.rint(opponent_matrix().numpy() * 2.0**COLOUR_PLACES).astype(np.int16),
        np.rint(dct_matrix().numpy() * 2.0**WAVE_PLACES).astype(np.int16),
        np.rint(gain * 2.0**places).clip(1 - 2**15, 2**15 - 1).astype(np.int16),
        plane,
        row,
        column,
        COLOUR_PLACES + 2 * WAVE_PLACES + places,
    )


def lapping_entries(lapping: Lapping) -> NDArray[np.int32]:
    """The decoder's lapping in units of 2**-LAP_SHIFT. Raises QuantizationError for one whose sums would not be exact in fp32."""
    entries = np.rint(lapping.matrix.detach().double().numpy() * 2.0**LAP_SHIFT).astype(np.int32)
    sums = np.abs(entries).sum(axis=1)
    if sums.max() > LAP_SUM:
        raise QuantizationError(f"row {sums.argmax()} of the lapping sums to {sums.max()}, beyond {LAP_SUM}; train on with a smaller rate")
    return entries


@torch.no_grad()
def settle_gains(autoencoder: TinyAutoencoder, table: LinearTable) -> None:
    """Make the linear table's integers exact on average: what rounding takes from a channel's gain moves into the encoder's.

    A mean's integers all err the same way, by up to a level of bright pixels. The latents of a channel change by that same per cent.
    """
    exact = autoencoder.decoder.linear.weight[:, :, 0, 0].double().numpy() * 2.0**table.shift / GRID
    rounded = table.weight.astype(np.float64)
    kept = torch.from_numpy((rounded * exact).sum(axis=0) / np.square(exact).sum(axis=0)).float()
    autoencoder.decoder.linear.gain.mul_(kept)
    autoencoder.encoder.linear.gain.div_(kept)
    autoencoder.encoder.head.weight.div_(kept[:, None, None, None])
    assert autoencoder.encoder.head.bias is not None
    autoencoder.encoder.head.bias.div_(kept)


@torch.no_grad()
def calibrate_ranges(autoencoder: TinyAutoencoder, denoiser: OneStepDenoiser, photos: Iterable[Tensor]) -> None:
    """Fix all activation ranges from `photos`, each (3, H, W) float in [0, 255], H and W multiples of 16: quantization after training."""
    for module in (autoencoder, denoiser):
        set_quantization(module, enabled=False, observe=True)
    for pixels in photos:
        latents = autoencoder.encode(pixels[None])
        for code in CALIBRATION_CODES:
            known = truncate(latents, torch.tensor(float(code)), torch.tensor(0.0), torch.tensor(TYPICAL_ROUNDING))
            values = denoiser(known.values, known.levels, known.precision, known.half_width)
            autoencoder.decode(values, known.precision)
    for module in (autoencoder, denoiser):
        freeze_ranges(module)
        set_quantization(module, enabled=False)
    denoiser.head.activation.exponent.fill_(DELTA_SCALE_EXPONENT)
