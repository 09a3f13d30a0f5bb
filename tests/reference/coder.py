"""The binary arithmetic coder and its adaptive, logistically mixed probabilities: integers only.

Takes decisions (bits) with the indices of their context states and gives bytes, and back. Everything here is integer
arithmetic with products below 2**53; FORMAT.md ("Coder") is the specification. Sources: the carryless range coder and
logistic mixing of Mahoney's lpaq (2007) and "Adaptive Weighing of Context Models for Lossless Data Compression" (2005);
the prefix rule is this project's own.

Slow and readable: plain Python integers, no compiled code. Registers are a list, named by the constants below.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def new_registers() -> list[int]:
    """The coder's registers before the first bit."""
    return [0, 0xFFFFFFFF, 0, 0, 0, 0, 0]


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
