"""The arithmetic decoder, states and mixing: FORMAT.md, "Coder"."""

from __future__ import annotations

import math


class EndOfKnownBits(Exception):  # noqa: N818
    """The payload does not determine the next bit."""


def clamp(value: int, low: int, high: int) -> int:
    """`value`, brought into low ... high."""
    return max(low, min(high, value))


STRETCH = [clamp(math.floor(256 * math.log((j + 0.5) / (4095.5 - j)) + 0.5), -2047, 2047) for j in range(4096)]
SQUASH = {x: clamp(math.floor(65536 / (1 + math.exp(-x / 256)) + 0.5), 24, 65512) for x in range(-2047, 2048)}
RATE = [math.floor(65536 / (n + 1.5)) for n in range(256)]


class Coder:
    """Decodes one payload bit by bit; `position` is how many bytes it has loaded, `chance` the probability of the last mixed decision."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.low, self.high, self.code, self.unknown, self.position, self.chance = 0, 2**32 - 1, 0, 0, 0, 0
        for _ in range(4):
            self._load()

    def _load(self) -> None:
        there = self.position < len(self.payload)
        self.code = (self.code << 8) % 2**32 + (self.payload[self.position] if there else 0)
        self.unknown = (self.unknown << 8) % 2**32 + (0 if there else 255)
        self.position += 1

    def bit(self, probability: int) -> int:
        """The next bit, which is a one with `probability` of 65,536; EndOfKnownBits where it is not known."""
        middle = self.low + ((self.high - self.low) * probability >> 16)
        one = self.code <= middle
        if one != (self.code + self.unknown <= middle):
            raise EndOfKnownBits
        if one:
            self.high = middle
        else:
            self.low = middle + 1
        while self.low >> 24 == self.high >> 24:
            self.low = (self.low << 8) % 2**32
            self.high = (self.high << 8) % 2**32 + 255
            self._load()
        return int(one)


class Model:
    """What a pack's coder knows before the first bit, and what it learns: states and weights."""

    def __init__(self, probability: list[int], count: list[int], weights: list[int], mix_rate: int, count_limit: int) -> None:
        self.probability, self.count, self.weights = list(probability), list(count), list(weights)
        self.mix_rate, self.count_limit = mix_rate, count_limit

    def adaptive_bit(self, coder: Coder, state: int) -> int:
        """One bit from one state, unmixed, which learns."""
        p = self.probability[state]
        bit = coder.bit(clamp(p, 24, 65512))
        self.learn(state, bit)
        return bit

    def learn(self, state: int, bit: int) -> None:
        """One state, after a bit."""
        p, n = self.probability[state], self.count[state]
        self.probability[state] = p + (((65535 * bit - p) * RATE[n]) >> 16)
        self.count[state] = n if n == self.count_limit else n + 1

    def decide(self, coder: Coder, states: list[int], set_a: int, set_b: int) -> int:
        """One decision from `states` and the weight sets that begin at `set_a` and `set_b`; all of them learn."""
        weights = self.weights
        stretches = [STRETCH[self.probability[i] >> 4] for i in states] + [256]
        a = clamp(sum(weights[set_a + i] * s for i, s in enumerate(stretches)) >> 14, -2047, 2047)
        b = clamp(sum(weights[set_b + i] * s for i, s in enumerate(stretches)) >> 14, -2047, 2047)
        coder.chance = SQUASH[(a + b) >> 1]
        bit = coder.bit(coder.chance)
        for first, mixed in ((set_a, a), (set_b, b)):
            error = ((bit << 12) - (SQUASH[mixed] >> 4)) * self.mix_rate
            for i, s in enumerate(stretches, first):
                weights[i] = clamp(weights[i] + ((s * error + 2**17) >> 18), -32767, 32767)
        for i in states:
            self.learn(i, bit)
        return bit
