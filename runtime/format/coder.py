"""The binary arithmetic coder and its adaptive, logistically mixed probabilities: integers only.

Takes decisions (bits) with the indices of their context states, hands on bytes, and back. Everything here is 32-bit
integer arithmetic with products below 2**53, so that the twin in `web/format/coder.js` computes the same numbers; FORMAT.md
("Coder") is the specification. Sources: the carryless range coder and logistic mixing of Mahoney's lpaq (2007) and
"Adaptive Weighing of Context Models for Lossless Data Compression" (2005); the prefix rule is this project's own.

Coder registers live in one int64 array, named by the constants below, because numba compiles plain arrays best.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..errors import CorruptPackError

STRETCH_LIMIT = 2047
"""Largest |stretch(p)|: ln(p / (1 - p)) * 256, i.e. odds of about 3000 to 1."""

PROBABILITY_FLOOR = 24
"""Least probability of a bit, of 65536: a certain bit costs 0.0005 bits, a surprise 11.4."""

WEIGHT_ONE = 1 << 14
"""A mixing weight of 1.0."""

WEIGHT_LIMIT = (1 << 15) - 1
"""Weights stay within +-2: eight products with stretches stay below 2**29."""

MIX_RATE_SHIFT = 18
"""Mixing step: weight += (stretch * error * rate + 2**17) >> 18."""

COUNT_LIMIT = 255
"""Counts of a state stop here; the adaptation rate is then 1 / 256.5."""

LOW, HIGH, CODE, POSITION, UNKNOWN, STOPPED, CHANCE = range(7)
"""Registers: interval bounds, the decoder's window, bytes read or written, mask of missing bits, prefix exhausted, and the
probability of a one (of 65536) that the last mixed decision encoded had."""

WINDOW_BYTES = 4
"""The decoder reads this many bytes ahead of what the encoder had written at the same decision."""


def _stretch_table() -> NDArray[np.int32]:
    """stretch(p) for p = (i + 1/2) / 4096, rounded half up, clipped; exact in any correctly rounded `log` to 1e-9."""
    values = [math.log((i + 0.5) / (4095.5 - i)) * 256.0 for i in range(4096)]
    return np.array([max(-STRETCH_LIMIT, min(STRETCH_LIMIT, math.floor(v + 0.5))) for v in values], dtype=np.int32)


def _squash_table() -> NDArray[np.int32]:
    """Inverse of stretch for -2047..2047 (offset 2048): 65536 / (1 + exp(-x / 256)), clipped to the floor."""
    values = [65536.0 / (1.0 + math.exp(-(i - 2048) / 256.0)) for i in range(4096)]
    top = 65536 - PROBABILITY_FLOOR
    return np.array([max(PROBABILITY_FLOOR, min(top, math.floor(v + 0.5))) for v in values], dtype=np.int32)


STRETCH = _stretch_table()
SQUASH = _squash_table()
RATES = np.array([math.floor(65536.0 / (n + 1.5)) for n in range(COUNT_LIMIT + 1)], dtype=np.int32)
"""Adaptation rate of a state that has seen n bits, of 65536."""


def new_registers() -> NDArray[np.int64]:
    """The coder's registers before the first bit."""
    return np.array([0, 0xFFFFFFFF, 0, 0, 0, 0, 0], dtype=np.int64)


@njit(cache=True, inline="always")
def encode_bit(registers: Any, out: Any, probability: int, bit: int) -> None:
    """Narrow the interval to `bit` (probability of a one, of 65536) and write the bytes that are settled."""
    low = registers[LOW]
    high = registers[HIGH]
    middle = low + ((high - low) * probability >> 16)
    if bit:
        high = middle
    else:
        low = middle + 1
    while (low ^ high) & 0xFF000000 == 0:
        out[registers[POSITION]] = high >> 24
        registers[POSITION] += 1
        low = (low << 8) & 0xFFFFFFFF
        high = ((high << 8) & 0xFFFFFFFF) | 0xFF
    registers[LOW] = low
    registers[HIGH] = high


@njit(cache=True, inline="always")
def decode_bit(registers: Any, data: Any, probability: int) -> int:
    """The next bit, or 0 with STOPPED set when the bytes at hand do not determine it."""
    low = registers[LOW]
    high = registers[HIGH]
    code = registers[CODE]
    middle = low + ((high - low) * probability >> 16)
    bit = 1 if code <= middle else 0
    unknown = registers[UNKNOWN]
    if unknown != 0:
        # missing bytes may be anything: the bit is known only if all of them agree on it
        last = code + unknown
        if (last <= middle) != (bit == 1):
            registers[STOPPED] = 1
            return 0
    if bit:
        high = middle
    else:
        low = middle + 1
    while (low ^ high) & 0xFF000000 == 0:
        low = (low << 8) & 0xFFFFFFFF
        high = ((high << 8) & 0xFFFFFFFF) | 0xFF
        code = (code << 8) & 0xFFFFFFFF
        unknown = (unknown << 8) & 0xFFFFFFFF
        position = registers[POSITION]
        if position < len(data):
            code |= data[position]
        else:
            unknown |= 0xFF
        registers[POSITION] = position + 1
    registers[LOW] = low
    registers[HIGH] = high
    registers[CODE] = code
    registers[UNKNOWN] = unknown
    return bit


@njit(cache=True)
def start_decoder(registers: Any, data: Any) -> None:
    """Load the first four bytes; bytes that are not there are marked as unknown."""
    registers[LOW] = 0
    registers[HIGH] = 0xFFFFFFFF
    registers[CODE] = 0
    registers[UNKNOWN] = 0
    registers[STOPPED] = 0
    for i in range(WINDOW_BYTES):
        registers[CODE] <<= 8
        registers[UNKNOWN] <<= 8
        if i < len(data):
            registers[CODE] |= data[i]
        else:
            registers[UNKNOWN] |= 0xFF
    registers[POSITION] = WINDOW_BYTES


@njit(cache=True)
def finish_encoder(registers: Any, out: Any) -> None:
    """Write the fewest bytes all of whose continuations lie inside the interval."""
    low = registers[LOW]
    high = registers[HIGH]
    for count in range(5):
        mask = (1 << (32 - 8 * count)) - 1
        value = (low + mask) & ~mask
        if value + mask <= high:
            for i in range(count):
                out[registers[POSITION]] = (value >> (24 - 8 * i)) & 0xFF
                registers[POSITION] += 1
            return


@njit(cache=True, inline="always")
def code_mixed(
    encode: bool, bit: int, n: int, slot: Any, set_a: int, set_b: int, registers: Any, data: Any, probability: Any, count: Any,
    weights: Any, stretched: Any, rate: int, stretch: Any, squash: Any, rates: Any, count_limit: Any,
) -> int:  # fmt: skip
    """Code one decision from `n` states (`slot`) and two weight sets; update all of them. Returns the bit."""
    dot_a = weights[set_a + n] * 256
    dot_b = weights[set_b + n] * 256
    for i in range(n):
        s = stretch[probability[slot[i]] >> 4]
        stretched[i] = s
        dot_a += weights[set_a + i] * s
        dot_b += weights[set_b + i] * s
    a = min(STRETCH_LIMIT, max(-STRETCH_LIMIT, dot_a >> 14))
    b = min(STRETCH_LIMIT, max(-STRETCH_LIMIT, dot_b >> 14))
    p = squash[((a + b) >> 1) + 2048]
    if encode:
        registers[CHANCE] = p
        encode_bit(registers, data, p, bit)
    else:
        bit = decode_bit(registers, data, p)
        if registers[STOPPED]:
            return 0
    target = bit << 12
    error_a = (target - (squash[a + 2048] >> 4)) * rate
    error_b = (target - (squash[b + 2048] >> 4)) * rate
    stretched[n] = 256
    for i in range(n + 1):
        s = stretched[i]
        w = weights[set_a + i] + ((s * error_a + (1 << (MIX_RATE_SHIFT - 1))) >> MIX_RATE_SHIFT)
        weights[set_a + i] = min(WEIGHT_LIMIT, max(-WEIGHT_LIMIT, w))
        w = weights[set_b + i] + ((s * error_b + (1 << (MIX_RATE_SHIFT - 1))) >> MIX_RATE_SHIFT)
        weights[set_b + i] = min(WEIGHT_LIMIT, max(-WEIGHT_LIMIT, w))
    full = bit * 65535
    for i in range(n):
        k = slot[i]
        c = count[k]
        probability[k] += ((full - probability[k]) * rates[c]) >> 16
        if c < count_limit[0]:
            count[k] = c + 1
    return bit


CROSS_TERMS = 8
"""Other channels at the same position whose magnitudes predict a latent's significance."""

PREDICTION_TERMS = 12
"""Signed neighbours (channel, dy, dx) that predict a latent's value."""

PREDICTION_LIMIT = 43_690
"""Largest sum of a channel's |prediction weights|: times 1.5 * 2**15, below 2**31."""

ENERGY_LEVELS = 24
"""Buckets of the predicted probability of significance."""

INPUTS = 8
"""Inputs of a mixer: at most seven states and a constant."""

TABLES_MAGIC = b"sdzT"


class TableLayout:
    """Where each kind of context state and each mixing weight set begins, for `channels` channels."""

    def __init__(self, channels: int) -> None:
        sizes = [
            channels * ENERGY_LEVELS,  # 0 significance: channel, predicted energy
            12 * 12 * 4,  # 1 significance: energy in space, energy across channels, band
            channels * 16,  # 2 significance: channel, which of the four neighbours are significant
            channels * 16,  # 3 significance: channel, absolute plane
            12 * ENERGY_LEVELS,  # 4 significance: density of the pass so far, energy
            channels * 12,  # 5 significance: channel, predicted value (or the wider neighbourhood)
            8 * 8 * 4,  # 6 significance: significant channels here and beside, band
            channels * 9,  # 7 sign: channel, signs to the west and north
            channels * 11,  # 8 sign: channel, predicted value
            channels * 9,  # 9 sign: channel, signs to the east and south
            channels * 3,  # 10 refinement: channel, level
            ENERGY_LEVELS * 3,  # 11 refinement: energy, level
            channels * 9,  # 12 refinement: channel, predicted value against the middle
            channels * 16,  # 13 activity: channel, absolute plane
        ]
        self.channels = channels
        self.bases = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        self.states = int(self.bases[-1])
        sets = [ENERGY_LEVELS, channels, 11, channels, ENERGY_LEVELS, channels]
        self.set_bases = (np.concatenate([[0], np.cumsum(sets)]) * INPUTS).astype(np.int32)
        self.weights = int(self.set_bases[-1])


@dataclass(frozen=True)
class CoderTables:
    """What a pack's coder knows before the first bit, learned offline, integers only.

    `order` (C,) int16: how many eighths of a plane a channel's passes are brought forward.
    `energy_space` (C, 6) uint8: weights of W, N, E, S, NW + NE, SW + SE magnitudes.
    `energy_cross_channel`, `energy_cross` (C, 8) uint8: channels at the same position and their weights.
    `prediction_channel` (C, 12) uint8, `prediction_dy`, `prediction_dx` (C, 12) int8, `prediction` (C, 12) int16 (256 = 1.0).
    `energy_thresholds` (23,) uint16: bucket boundaries of the energy.
    `probability` (S,) uint16, `count` (S,) uint8: starting states. `weights` (W,) int32: starting mixing weights (2**14 = 1.0).
    `mix_rate` int: step of the mixers; `count_limit` int: counts of the states stop here (adaptation rate 1 / (limit + 1.5)).
    """

    order: NDArray[np.int16]
    energy_space: NDArray[np.uint8]
    energy_cross_channel: NDArray[np.uint8]
    energy_cross: NDArray[np.uint8]
    prediction_channel: NDArray[np.uint8]
    prediction_dy: NDArray[np.int8]
    prediction_dx: NDArray[np.int8]
    prediction: NDArray[np.int16]
    energy_thresholds: NDArray[np.uint16]
    probability: NDArray[np.uint16]
    count: NDArray[np.uint8]
    weights: NDArray[np.int32]
    mix_rate: int
    count_limit: int

    @property
    def channels(self) -> int:
        """C."""
        return len(self.order)

    def to_bytes(self) -> bytes:
        """Magic, channels u8, zero u8, mixing rate u8, count limit u8, then every array in the order above, little-endian, C order."""
        head = TABLES_MAGIC + bytes([self.channels, 0, self.mix_rate, self.count_limit])
        return head + stored_arrays(self, _table_fields(self.channels))

    @classmethod
    def from_bytes(cls, data: bytes) -> CoderTables:
        """Parse `to_bytes`' result; raises CorruptPackError when it is not one."""
        if len(data) < 8 or data[:4] != TABLES_MAGIC:
            raise CorruptPackError("coder tables do not begin with 'sdzT'; rebuild the pack")
        channels = data[4]
        arrays = read_arrays(data, 8, _table_fields(channels), "coder tables")
        tables = cls(**arrays, mix_rate=data[6], count_limit=data[7])
        if channels == 0 or max(tables.energy_cross_channel.max(), tables.prediction_channel.max()) >= channels:
            raise CorruptPackError("coder tables name a channel that does not exist; rebuild the pack")
        # int8 has no +128
        if max(np.abs(tables.prediction_dy.astype(int)).max(), np.abs(tables.prediction_dx.astype(int)).max()) > 2:
            raise CorruptPackError("coder tables reach further than two positions; rebuild the pack")
        sums = np.abs(tables.prediction.astype(int)).sum(axis=1)
        if sums.max() > PREDICTION_LIMIT:
            raise CorruptPackError(f"coder tables predict channel {sums.argmax()} with weights too large; rebuild the pack")
        return tables


TableField = tuple[str, Any, tuple[int, ...]]
"""Name, stored type and shape of one array of a pack's tables."""


def stored_arrays(tables: Any, fields: list[TableField]) -> bytes:
    """The arrays that `fields` name, attributes of `tables`, as files hold them: one after the other, little-endian, C order."""
    return b"".join(getattr(tables, name).astype(np.dtype(kind).newbyteorder("<")).tobytes() for name, kind, _ in fields)


def read_arrays(data: bytes, at: int, fields: list[TableField], what: str) -> dict[str, NDArray[Any]]:
    """The arrays that `stored_arrays` wrote, from byte `at` to the end; weights come as int32, all others in their stored type.

    Raises CorruptPackError, which calls them `what`, where there are too few or too many bytes.
    """
    arrays = {}
    for name, kind, shape in fields:
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        if at + size > len(data):
            raise CorruptPackError(f"{what} end inside '{name}' (byte {len(data)}); rebuild the pack")
        stored = np.frombuffer(data, np.dtype(kind).newbyteorder("<"), int(np.prod(shape)), at)
        arrays[name] = stored.reshape(shape).astype(np.int32 if name == "weights" else kind)
        at += size
    if at != len(data):
        raise CorruptPackError(f"{what} have {len(data) - at} bytes too many; rebuild the pack")
    return arrays


def _table_fields(channels: int) -> list[TableField]:
    layout = TableLayout(channels)
    return [
        ("order", np.int16, (channels,)),
        ("energy_space", np.uint8, (channels, 6)),
        ("energy_cross_channel", np.uint8, (channels, CROSS_TERMS)),
        ("energy_cross", np.uint8, (channels, CROSS_TERMS)),
        ("prediction_channel", np.uint8, (channels, PREDICTION_TERMS)),
        ("prediction_dy", np.int8, (channels, PREDICTION_TERMS)),
        ("prediction_dx", np.int8, (channels, PREDICTION_TERMS)),
        ("prediction", np.int16, (channels, PREDICTION_TERMS)),
        ("energy_thresholds", np.uint16, (ENERGY_LEVELS - 1,)),
        ("probability", np.uint16, (layout.states,)),
        ("count", np.uint8, (layout.states,)),
        ("weights", np.int16, (layout.weights,)),
    ]


@dataclass
class CoderState:
    """The adaptive part of the model: copies of a pack's starting states that one payload then changes."""

    probability: NDArray[np.int32]
    count: NDArray[np.int32]
    weights: NDArray[np.int32]
    count_limit: int

    @classmethod
    def start(cls, tables: CoderTables, count_limit: int) -> CoderState:
        """Fresh copies of the starting states."""
        return cls(tables.probability.astype(np.int32), tables.count.astype(np.int32), tables.weights.astype(np.int32), count_limit)
