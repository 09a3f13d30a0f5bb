"""Integer latents to embedded bit-planes and back: contexts, pass order, and what a prefix leaves known.

Takes signed integers (C, h, w) and gives bytes; back, it gives for every latent the known part of its magnitude,
its sign, and down to which plane it is known. One pass sends one plane of one channel over the whole picture; passes
stand in the order of their measured rate-distortion slope (a table of the pack), so a cut never favours one half of
the picture. The model of each decision is in FORMAT.md ("Contexts"); the core holds itself to this reading of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdz.runtime import limits
from sdz.runtime.errors import EncodeInputError
from sdz.runtime.format.coder_tables import CROSS_TERMS, ENERGY_LEVELS, INPUTS, PREDICTION_TERMS, CoderState, CoderTables, TableLayout
from sdz.runtime.format.reconstruction import Known

from .coder import (
    CHANCE,
    POSITION,
    RATES,
    SQUASH,
    STOPPED,
    STRETCH,
    WINDOW_BYTES,
    code_mixed,
    decode_bit,
    encode_bit,
    finish_encoder,
    new_registers,
    start_decoder,
)

BORDER = 2
"""Positions of zeros around every channel, so that no neighbour needs a bounds check."""

MAGNITUDE_LIMIT = 4
"""Levels from here on count as one: `LEVEL_WEIGHT` has one entry each."""

LEVEL_WEIGHT = np.array([0, 3, 5, 7, 9], dtype=np.int32)
"""What a neighbour's level adds to the energy: twice its interval's middle, at most 9."""

ENERGY_CEILING = 4095
"""Energies from here on fall into the last bucket (2048 is a probability of one)."""

PREDICTION_STEPS = np.array([1, 2, 3, 4, 5, 6, 8, 11, 16, 24, 36], dtype=np.int32)
"""Boundaries of |prediction| in quarters of the plane's threshold: 12 buckets."""

SIGN_STEPS = np.array([1, 2, 4, 8, 16], dtype=np.int32)
"""Boundaries of |prediction| for a sign, in quarters of the threshold: 11 signed buckets with zero."""

DENSITY_STEPS = np.array([2, 5, 9, 15, 24, 36, 52, 74, 104, 140], dtype=np.int32)
"""Boundaries of the share of ones among a pass's decisions so far, of 256; bucket 11 means nothing is known yet."""

COUNT_STEPS = np.array([1, 2, 3, 5, 8, 13, 21], dtype=np.int32)
"""Boundaries of the number of significant channels at a position: 8 buckets."""

BANDS = (0, 6, 24, 54)
"""First channels of the four bands that some contexts tell apart; a pack's channels stand coarse structure first."""

OUTPUT_SLACK = 64
"""Bytes of room in the encoder's buffer beyond what the decisions can cost."""


def pass_order(tables: CoderTables, planes: int) -> NDArray[np.int32]:
    """All passes as rows (plane, channel), first to last: by `8 * plane + order[channel]` downwards, then by channel."""
    channels = tables.channels
    plane, channel = np.meshgrid(np.arange(planes), np.arange(channels), indexing="ij")
    priority = 8 * plane + tables.order[None, :].astype(np.int64)
    rank = np.lexsort((channel.ravel(), -priority.ravel()))
    return np.stack([plane.ravel()[rank], channel.ravel()[rank]], axis=1).astype(np.int32)


def _bucket(value: int, steps: Any) -> int:
    """How many boundaries `value` has reached."""
    count = 0
    for i in range(len(steps)):
        if value >= steps[i]:
            count += 1
    return count


def _code_passes(
    encode: bool, source: Any, passes: Any, channels: int, rows: int, columns: int, step_index: int, magnitude: Any, sign: Any,
    reached: Any, chance: Any, energy_space: Any, cross_channel: Any, cross: Any, prediction_channel: Any, prediction_shift: Any,
    prediction: Any, energy_bucket: Any, bases: Any, set_bases: Any, probability: Any, count: Any, weights: Any, rate: int,
    stretch: Any, squash: Any, rates: Any, level_weight: Any, prediction_steps: Any, sign_steps: Any, density_steps: Any,
    count_steps: Any, registers: Any, data: Any, ends: Any, count_limit: Any,
) -> int:  # fmt: skip
    """Code all passes; returns how many were finished. `reached[pass]` counts positions coded in each pass, `ends[pass]` is the
    coder's byte position behind it."""
    width = columns + 2 * BORDER
    area = (rows + 2 * BORDER) * width
    active = [0] * channels
    significant = [0] * area
    slot = [0] * INPUTS
    stretched = [0] * INPUTS
    across_weight = [0] * CROSS_TERMS
    across_offset = [0] * CROSS_TERMS
    guess_weight = [0] * PREDICTION_TERMS
    guess_offset = [0] * PREDICTION_TERMS
    for number in range(len(passes)):
        plane, channel = passes[number].tolist()
        threshold = 1 << plane
        base = channel * area
        space_weight = energy_space[channel].tolist()
        absolute = min(15, (step_index >> 3) + plane)
        band = 0 if channel < BANDS[1] else 1 if channel < BANDS[2] else 2 if channel < BANDS[3] else 3
        if not active[channel]:
            flag = 0
            if encode:
                for y in range(rows):
                    for x in range(columns):
                        if abs(source[channel, y, x]) >= threshold:
                            flag = 1
            k = bases[13] + channel * 16 + absolute
            p = min(65000, max(500, probability[k]))
            if encode:
                encode_bit(registers, data, p, flag)
            else:
                flag = decode_bit(registers, data, p)
                if registers[STOPPED]:
                    return number
            active[channel] = flag
            if not flag:
                reached[number] = rows * columns
                ends[number] = registers[POSITION]
                continue
        # a channel that is all zeros as yet adds nothing
        across_terms = 0
        for i in range(CROSS_TERMS):
            if cross[channel, i] != 0 and active[cross_channel[channel, i]]:
                across_weight[across_terms] = cross[channel, i]
                across_offset[across_terms] = cross_channel[channel, i] * area
                across_terms += 1
        guess_terms = 0
        for i in range(PREDICTION_TERMS):
            if prediction[channel, i] != 0 and active[prediction_channel[channel, i]]:
                guess_weight[guess_terms] = prediction[channel, i]
                guess_offset[guess_terms] = prediction_channel[channel, i] * area + prediction_shift[channel, i]
                guess_terms += 1
        ones = 0
        seen = 0
        for y in range(rows):
            density = 11 if seen < 16 else _bucket(ones * 256 // seen, density_steps)
            for x in range(columns):
                here = (y + BORDER) * width + x + BORDER
                at = base + here
                west = min(MAGNITUDE_LIMIT, magnitude[at - 1] >> plane)
                north = min(MAGNITUDE_LIMIT, magnitude[at - width] >> plane)
                east = min(MAGNITUDE_LIMIT, magnitude[at + 1] >> plane)
                south = min(MAGNITUDE_LIMIT, magnitude[at + width] >> plane)
                space = (
                    space_weight[0] * level_weight[west]
                    + space_weight[1] * level_weight[north]
                    + space_weight[2] * level_weight[east]
                    + space_weight[3] * level_weight[south]
                    + space_weight[4]
                    * (
                        level_weight[min(MAGNITUDE_LIMIT, magnitude[at - width - 1] >> plane)]
                        + level_weight[min(MAGNITUDE_LIMIT, magnitude[at - width + 1] >> plane)]
                    )
                    + space_weight[5]
                    * (
                        level_weight[min(MAGNITUDE_LIMIT, magnitude[at + width - 1] >> plane)]
                        + level_weight[min(MAGNITUDE_LIMIT, magnitude[at + width + 1] >> plane)]
                    )
                )
                across = 0
                for i in range(across_terms):
                    across += across_weight[i] * level_weight[min(MAGNITUDE_LIMIT, magnitude[across_offset[i] + here] >> plane)]
                energy = energy_bucket[min(ENERGY_CEILING, space + across)]
                known = magnitude[at]
                guess = 0
                for i in range(guess_terms):
                    k = guess_offset[i] + here
                    if sign[k] != 0:
                        guess += guess_weight[i] * sign[k] * (magnitude[k] + (threshold >> 1))
                guess >>= 8
                if known == 0:
                    slot[0] = bases[0] + channel * ENERGY_LEVELS + energy
                    slot[1] = (
                        bases[1]
                        + ((energy_bucket[min(ENERGY_CEILING, space)] >> 1) * 12 + (energy_bucket[min(ENERGY_CEILING, across)] >> 1)) * 4
                        + band
                    )
                    pattern = (1 if west else 0) + (2 if north else 0) + (4 if east else 0) + (8 if south else 0)
                    slot[2] = bases[2] + channel * 16 + pattern
                    slot[3] = bases[3] + channel * 16 + absolute
                    slot[4] = bases[4] + density * ENERGY_LEVELS + energy
                    slot[5] = bases[5] + channel * 12 + _bucket((abs(guess) << 2) >> plane, prediction_steps)
                    beside = significant[here - 1] + significant[here - width] + significant[here + 1] + significant[here + width]
                    slot[6] = bases[6] + (_bucket(significant[here], count_steps) * 8 + _bucket(beside >> 1, count_steps)) * 4 + band
                    bit = 0
                    if encode:
                        bit = 1 if abs(source[channel, y, x]) >= threshold else 0
                    bit = code_mixed(
                        encode, bit, 7, slot, set_bases[0] + energy * INPUTS, set_bases[1] + channel * INPUTS, registers, data,
                        probability, count, weights, stretched, rate, stretch, squash, rates, count_limit,
                    )  # fmt: skip
                    if registers[STOPPED]:
                        return number
                    if encode:
                        chance[at] = registers[CHANCE]
                    seen += 1
                    if bit:
                        ones += 1
                        bucket = _bucket((abs(guess) << 2) >> plane, sign_steps)
                        if guess < 0:
                            bucket = -bucket
                        slot[0] = bases[7] + channel * 9 + (sign[at - 1] + 1) * 3 + sign[at - width] + 1
                        slot[1] = bases[8] + channel * 11 + bucket + 5
                        slot[2] = bases[9] + channel * 9 + (sign[at + 1] + 1) * 3 + sign[at + width] + 1
                        negative = 0
                        if encode:
                            negative = 1 if source[channel, y, x] < 0 else 0
                        negative = code_mixed(
                            encode, negative, 3, slot, set_bases[2] + (bucket + 5) * INPUTS, set_bases[3] + channel * INPUTS,
                            registers, data, probability, count, weights, stretched, rate, stretch, squash, rates, count_limit,
                        )  # fmt: skip
                        if registers[STOPPED]:
                            return number
                        magnitude[at] = threshold
                        sign[at] = -1 if negative else 1
                        significant[here] += 1
                else:
                    level = min(3, known >> (plane + 1)) - 1
                    away = ((guess * sign[at] - known - threshold) << 1) >> plane
                    away = min(4, max(-4, away))
                    slot[0] = bases[10] + channel * 3 + level
                    slot[1] = bases[11] + energy * 3 + level
                    slot[2] = bases[12] + channel * 9 + away + 4
                    bit = 0
                    if encode:
                        bit = (abs(source[channel, y, x]) >> plane) & 1
                    bit = code_mixed(
                        encode, bit, 3, slot, set_bases[4] + energy * INPUTS, set_bases[5] + channel * INPUTS, registers, data,
                        probability, count, weights, stretched, rate, stretch, squash, rates, count_limit,
                    )  # fmt: skip
                    if registers[STOPPED]:
                        return number
                    if encode:
                        chance[at] = registers[CHANCE]
                    magnitude[at] = known + (threshold if bit else 0)
                reached[number] += 1
        ends[number] = registers[POSITION]
    return len(passes)


@dataclass(frozen=True)
class _Coded:
    magnitude: NDArray[np.int32]
    sign: NDArray[np.int8]
    reached: NDArray[np.int64]
    ends: NDArray[np.int64]
    chance: NDArray[np.uint16]
    finished: int


def _run(
    encode: bool, source: NDArray[np.int32], shape: tuple[int, int, int], planes: int, step_index: int, tables: CoderTables,
    state: CoderState, registers: list[int], data: list[int],
) -> _Coded:  # fmt: skip
    channels, rows, columns = shape
    layout = TableLayout(channels)
    area = (rows + 2 * BORDER) * (columns + 2 * BORDER)
    passes = pass_order(tables, planes)
    coded = _Coded(
        np.zeros(channels * area, dtype=np.int32),
        np.zeros(channels * area, dtype=np.int8),
        np.zeros(len(passes), dtype=np.int64),
        np.zeros(len(passes), dtype=np.int64),
        # no decoder wants them
        np.zeros(channels * area if encode else 0, dtype=np.uint16),
        0,
    )
    shift = tables.prediction_dy.astype(np.int32) * (columns + 2 * BORDER) + tables.prediction_dx
    energy_bucket = np.searchsorted(tables.energy_thresholds, np.arange(ENERGY_CEILING + 1), side="right").astype(np.uint8)
    magnitude, sign, chance = coded.magnitude.tolist(), coded.sign.tolist(), coded.chance.tolist()
    reached, ends = coded.reached.tolist(), coded.ends.tolist()
    probability, count, weights = state.probability.tolist(), state.count.tolist(), state.weights.tolist()
    finished = _code_passes(
        encode, source.astype(np.int64), passes.astype(np.int64), channels, rows, columns, step_index, magnitude, sign, reached, chance,
        tables.energy_space.astype(np.int64), tables.energy_cross_channel.astype(np.int64), tables.energy_cross.astype(np.int64),
        tables.prediction_channel.astype(np.int64), shift.astype(np.int64), tables.prediction.astype(np.int64), energy_bucket.tolist(),
        layout.bases.tolist(), layout.set_bases.tolist(), probability, count, weights, tables.mix_rate, STRETCH.tolist(), SQUASH.tolist(),
        RATES.tolist(), LEVEL_WEIGHT.tolist(), PREDICTION_STEPS.tolist(), SIGN_STEPS.tolist(), DENSITY_STEPS.tolist(), COUNT_STEPS.tolist(),
        registers, data, ends, [state.count_limit],
    )  # fmt: skip
    return _Coded(
        np.array(magnitude, np.int32), np.array(sign, np.int8), np.array(reached, np.int64), np.array(ends, np.int64),
        np.array(chance, np.uint16), finished,
    )  # fmt: skip


def plane_count(latents: NDArray[np.int32]) -> int:
    """Planes that the largest magnitude of `latents` needs; raises EncodeInputError over `limits.MAX_PLANES`."""
    planes = int(np.abs(latents).max(initial=0)).bit_length()
    if planes > limits.MAX_PLANES:
        raise EncodeInputError(f"a latent needs {planes} bit-planes, the format has {limits.MAX_PLANES}: use a coarser step")
    return planes


def encode_planes(latents: NDArray[np.int32], step_index: int, tables: CoderTables) -> tuple[int, bytes]:
    """All planes of int32 latents (C, h, w): (number of planes, payload). Every prefix of the payload decodes."""
    planes, payload, _ = _encode(latents, step_index, tables)
    return planes, payload


def last_chances(latents: NDArray[np.int32], step_index: int, tables: CoderTables) -> NDArray[np.uint16]:
    """Probability (of 65536) of a one that the coder gave to every latent's decision in the lowest plane, uint16 (C, h, w).

    For a latent below 2 that decision is its significance, for any other its last bit; 0 where nothing was asked because the
    whole channel is zero.
    """
    chances = _encode(latents, step_index, tables)[2].chance
    channels, rows, columns = latents.shape
    padded = chances.reshape(channels, rows + 2 * BORDER, columns + 2 * BORDER)
    return np.ascontiguousarray(padded[:, BORDER:-BORDER, BORDER:-BORDER])


def _encode(latents: NDArray[np.int32], step_index: int, tables: CoderTables) -> tuple[int, bytes, _Coded]:
    planes = plane_count(latents)
    registers = new_registers()
    # a decision costs at most log2(65536 / floor) bits: 12 of them, two decisions per latent and plane
    room = latents.size * planes * 3 + len(latents) * planes * 2 + OUTPUT_SLACK
    data = [0] * room
    source = np.ascontiguousarray(latents, dtype=np.int32)
    channels, rows, columns = source.shape
    state = CoderState.start(tables, tables.count_limit)
    coded = _run(True, source, (channels, rows, columns), planes, step_index, tables, state, registers, data)
    finish_encoder(registers, data)
    return planes, bytes(data[: registers[POSITION]]), coded


def decode_planes(payload: bytes, channels: int, rows: int, columns: int, planes: int, step_index: int, tables: CoderTables) -> Known:
    """What `payload`, whole or cut anywhere, determines of latents (channels, rows, columns)."""
    shape = (channels, rows, columns)
    passes = pass_order(tables, planes)
    coded = _decode(payload, shape, planes, step_index, tables)
    known_plane = np.full((channels, rows * columns), planes, dtype=np.uint8)
    for (plane, channel), reached in zip(passes[: coded.finished + 1].tolist(), coded.reached.tolist(), strict=False):
        known_plane[channel, :reached] = plane
    padded = (channels, rows + 2 * BORDER, columns + 2 * BORDER)
    inner = (slice(None), slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    return Known(
        np.ascontiguousarray(coded.magnitude.reshape(padded)[inner]),
        np.ascontiguousarray(coded.sign.reshape(padded)[inner] < 0),
        known_plane.reshape(shape),
        coded.finished == len(passes),
    )


def spent_bytes(
    payload: bytes, channels: int, rows: int, columns: int, planes: int, step_index: int, tables: CoderTables
) -> NDArray[np.int64]:
    """How many bytes of `payload`, whole or cut anywhere, each pass took: int64 (planes, channels), the sum is the payload's length.

    A pass takes the bytes that it settles; a byte shared by several passes is the last one's, and so are the bytes behind it of the
    pass in which the payload ends.
    """
    passes = pass_order(tables, planes)
    coded = _decode(payload, (channels, rows, columns), planes, step_index, tables)
    begun = passes[: coded.finished + 1]
    ends = coded.ends[: len(begun)] - WINDOW_BYTES
    ends[-1:] = len(payload)
    spent = np.zeros((planes, channels), dtype=np.int64)
    spent[begun[:, 0], begun[:, 1]] = np.diff(np.minimum(ends, len(payload)), prepend=0)
    return spent


def _decode(payload: bytes, shape: tuple[int, int, int], planes: int, step_index: int, tables: CoderTables) -> _Coded:
    registers = new_registers()
    data = list(payload)
    start_decoder(registers, data)
    nothing = np.zeros((1, 1, 1), dtype=np.int32)
    return _run(False, nothing, shape, planes, step_index, tables, CoderState.start(tables, tables.count_limit), registers, data)
