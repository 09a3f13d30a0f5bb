"""The photo itself: FORMAT.md, "Lossless"."""

from __future__ import annotations

from typing import Any

import numpy as np

from .coder import Coder, EndOfKnownBits, Model, clamp
from .container import FormatError

F = np.float32
BLOCK, IDS, LEVELS, MARGIN = 8, 33, 24, 4
WEIGHTS = [244, 241, 237, 232, 227, 220, 212, 203, 192, 181, 168, 155, 142, 128, 115, 103, 91, 80, 71, 62, 54, 47, 41, 36]
BOUNDS = [*range(4, 49, 4), *range(56, 97, 8), *range(112, 193, 16), 272, 384, 543, 768, 1086, 1536, 2172]
PAIRS = 3 * 3 * 64 * 64
SLOTS = [0, PAIRS, 5 * PAIRS, 6 * PAIRS, 10 * PAIRS, 11 * PAIRS, 11 * PAIRS + 12288, 14 * PAIRS + 12288]
OWN = [(0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0)]
FURTHER = [(-1, 2), (-1, -2), (-2, -1), (-2, 1), (0, -3), (-3, 0), (-1, 3), (-1, -3), (-2, 2), (-2, -2)]
AROUND = [(dy, dx) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]


def distance(d: int) -> int:
    """The class, of 64, of a difference in sixteenths."""
    steps = sum(bound <= abs(d) for bound in BOUNDS)
    return 32 + steps if d >= 0 else 31 - steps


def level(n: int) -> int:
    """Thirds of octaves of n + 2."""
    octave = (n + 2).bit_length() - 1
    part = ((n + 2) << 8) >> octave
    return 3 * octave + (part >= 323) + (part >= 407) - 3


class Predictor:
    """Local least squares of one plane."""

    def __init__(self, terms: int, blocks: int) -> None:
        self.sums = np.zeros((blocks + 4, terms, terms + 1), F)
        self.weight = np.zeros(terms, F)
        self.samples: list[Any] = []

    def solve(self, block: int) -> None:
        """The weights for a block of columns, from the sums around it."""
        left2, left, here, right, right2 = self.sums[block : block + 5]
        a = ((here + left) + right) + F(0.5) * (left2 + right2)
        n = len(a)
        inverse = np.zeros(n, F)
        for k in range(n):
            a[k, k] += F(10)
        for k in range(n):
            inverse[k] = F(1) / max(a[k, k], F(2.5))
            a[k + 1 :] -= (a[k, k + 1 : n] * inverse[k])[:, None] * a[k]
        for k in reversed(range(n)):
            self.weight[k] = a[k, n] * inverse[k]
            a[:k, n] -= a[:k, k] * self.weight[k]

    def keep(self, block: int) -> None:
        """Adds the block's samples to its sums."""
        sums = self.sums[block + 2] * F(0.875)
        for sample in self.samples:
            sums = sums + sample[:-1, None] * sample
        self.sums[block + 2] = sums
        self.samples = []

    def predict(self, terms: Any, middle: Any) -> int:
        """Sixteenths."""
        products = np.zeros(-(-len(terms) // 4) * 4, F)
        products[: len(terms)] = self.weight * terms
        s = np.zeros(4, F)
        for i in range(0, len(products), 4):
            s += products[i : i + 4]
        v = middle + ((s[0] + s[1]) + (s[2] + s[3]))
        return int(min(max(v, F(0)), F(255)) * F(16) + F(0.5))


class Picture:
    """The planes of a photo as they become known, with margins; all indices are pixels'."""

    def __init__(self, base: Any) -> None:
        self.height, self.width, self.planes = base.shape
        order = [1, 0, 2][: self.planes] if self.planes > 1 else [0]
        self.base = np.pad(base[:, :, order].transpose(2, 0, 1).astype(int), ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)), mode="edge")
        self.values = np.zeros_like(self.base)
        self.values[:, :MARGIN] = self.base[:, :1]
        self.errors = np.zeros_like(self.base)
        terms = [21, 20, 29]
        self.predictors = [Predictor(terms[p], -(-self.width // BLOCK)) for p in range(self.planes)]
        self.bias = np.zeros((3, 128, 8), int)
        self.model = Model([32768] * SLOTS[7], [0] * SLOTS[7], [*[3600] * 7, 0] * (9 * IDS + IDS * LEVELS), 16, 127)

    def row(self, coder: Coder, p: int, y: int) -> None:
        """Decodes a row of a plane."""
        y += MARGIN
        x = MARGIN
        values, errors, predictor = self.values[p], self.errors[p], self.predictors[p]
        values[y, :x] = values[y - 1, x]
        for x in range(MARGIN, MARGIN + self.width):
            column = x - MARGIN
            if column % BLOCK == 0:
                predictor.solve(column // BLOCK)
            value, error, expected, sample = self.sample(coder, p, y, x)
            values[y, x], errors[y, x] = value, error
            predictor.samples.append(sample * F(WEIGHTS[expected] / 256))
            if column % BLOCK == BLOCK - 1 or column == self.width - 1:
                predictor.keep(column // BLOCK)
        values[y, x + 1 :] = values[y, x]
        if y == MARGIN + self.height - 1:
            values[y + 1 :] = values[y]

    def sample(self, coder: Coder, p: int, y: int, x: int) -> tuple[int, int, int, Any]:
        """Value, error, level, and terms with the value, of one sample."""
        own, base = self.values[p], self.base[p]
        w, n = int(own[y, x - 1]), int(own[y - 1, x])
        middle = F(w + n) * F(0.5)
        terms = [F(own[y + dy, x + dx]) - middle for dy, dx in (OWN if p else OWN + FURTHER)]
        terms.append(F(base[y, x]) - middle)
        terms += [F(base[y + dy, x + dx] - base[y, x]) for dy, dx in ((0, -3), (0, 3), (-1, 0), (1, 0))]
        for q in reversed(range(p)):
            g = self.values[q]
            terms += [F(g[y + dy, x + dx]) - F(g[y, x - 1] + g[y - 1, x]) * F(0.5) for dy, dx in AROUND]
        predicted = self.predictors[p].predict(np.array(terms, F), middle)
        expected = min(level(self.energy(p, y, x) // 14), LEVELS - 1)
        nw, ne, ww, nn = (16 * int(own[y + dy, x + dx]) for dy, dx in ((-1, -1), (-1, 1), (0, -2), (-2, 0)))
        above = [nw, ne, ww, nn, 32 * w - ww, 32 * n - nn]
        pattern = (n > w) + sum((value > predicted) << i for i, value in enumerate(above, 1))
        bias = self.bias[p, pattern]
        predicted = clamp(predicted + ((int(bias[expected // 3]) + 32) >> 6), 0, 4080)
        guesses = [*self.guesses(p, y, x), predicted]
        b = base[y, x]
        change = abs(base[y, x + 2] - b) + abs(base[y + 1, x] - b) + abs(base[y, x + 1] - base[y, x - 1])
        busy = int(change >= 3) + int(change >= 9)
        value = self.decide(coder, p, guesses, expected, (x - MARGIN) % 2 * 2 + (y - MARGIN) % 2, busy)
        error = 16 * value - predicted
        bias[expected // 3] += (64 * error - int(bias[expected // 3])) >> 5
        return value, error, expected, np.array([*terms, F(value) - middle], F)

    def energy(self, p: int, y: int, x: int) -> int:
        """What is expected to be missed, from what was."""
        e = abs(self.errors[p])
        energy = 4 * (e[y, x - 1] + e[y - 1, x]) + 2 * (e[y - 1, x - 1] + e[y - 1, x + 1]) + e[y, x - 2] + e[y - 2, x]
        if p:
            b = abs(self.errors[p - 1])
            last = abs(self.errors[0])[y, x] if p == 2 else e[y, x - 1]
            energy = 3 * (energy + 8 * b[y, x] + 2 * (b[y, x + 1] + b[y + 1, x]) + 2 * last) // 5
        return int(energy)

    def guesses(self, p: int, y: int, x: int) -> list[int]:
        """Where the sample may be, in sixteenths: ten of the eleven guesses."""
        own = self.values[p]
        w, n, nw, ne, ww, nn = (int(own[y + dy, x + dx]) for dy, dx in ((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0)))
        if p == 0:
            b = self.base[0]
            half = 2 * b[y, x] + w - b[y, x - 1] + n - b[y - 1, x]
            www, nnn, nne = (int(own[y + dy, x + dx]) for dy, dx in ((0, -3), (-3, 0), (-2, 1)))
            found = [w + ne - n, 2 * n - nn, 3 * (w - ww) + www, 3 * (n - nn) + nnn, w + n - nw, 2 * w - ww, n + ne - nne]
        else:
            g = self.values[0].astype(int)
            here, left, up = g[y, x], w - g[y, x - 1], n - g[y - 1, x]
            corner, ahead = nw - g[y - 1, x - 1], ne - g[y - 1, x + 1]
            found = [here + left, here + up, here + 2 * left - (ww - g[y, x - 2]), here + 2 * up - (nn - g[y - 2, x])]
            found.append(here + left + up - corner)
            if p == 1:
                half = 2 * here + left + ahead
                found += [here + ahead, here + corner]
            else:
                r = self.values[1].astype(int)
                half = 2 * (r[y, x] + 2 * (w - r[y, x - 1]) - (ww - r[y, x - 2]))
                found += [r[y, x] + w - r[y, x - 1], r[y, x] + n - r[y - 1, x]]
        return [*(16 * int(value) for value in [*found, w, n]), 8 * int(half)]

    def decide(self, coder: Coder, p: int, guesses: list[int], expected: int, parity: int, busy: int) -> int:
        """The value, from its decisions."""

        def decision(kind: int, name: int, threshold: int, value: int, down: bool) -> int:
            first = 64 * (3 * p + kind)
            d = [distance(guess - threshold if down else threshold - guess) for guess in guesses]
            across, under, curved, curved_under, planar, side, other_side, left, up, half, best = d
            pairs = [(across, under), (curved, curved_under), (half, best), (across, planar), (side, other_side), (0, 0), (left, up)]
            slots = [(first + one) * 64 + other for one, other in pairs]
            for i, factor, more in ((1, 4, parity), (3, 4, parity), (6, 3, expected >> 3)):
                slots[i] = slots[i] * factor + more
            slots[5] = ((2 * p + down) * 256 + value) * 8 + (0, min(name, 6), 7)[kind]
            states = [base + slot for base, slot in zip(SLOTS, slots, strict=False)]
            return self.model.decide(coder, states, 8 * ((3 * busy + p) * IDS + name), 8 * (9 * IDS + name * LEVELS + expected))

        whole = guesses[10] >> 4
        above = whole < 255 and bool(decision(0, 0, 16 * whole + 8, whole, False))
        start, sign, last = (whole + 1, 1, 254 - whole) if above else (whole, -1, whole)
        away, stop = 0, 1
        while True:
            bits = (max(0, (expected - 15) // 3)) + max(0, stop - 12)
            nearest = start + sign * away
            if away + (1 << bits) > last or decision(1, stop, 16 * nearest, nearest, not above):
                break
            away += 1 << bits
            stop += 1
        for bit in reversed(range(bits)):
            nearest = start + sign * (away + (1 << bit))
            if away + (1 << bit) <= last and decision(2, 25 + bit, 16 * nearest - 8 * sign, nearest, not above):
                away += 1 << bit
        return start + sign * away


def decode_lossless(payload: bytes, offset: int, complete: bool, base: Any) -> Any:
    """The rows (rows, W, n) that a tail brings over the base (H, W, n)."""
    picture = Picture(base)
    lag, at, step, rows = picture.planes - 1, 1, 0, 0
    if (complete and not payload) or payload[:1] > b"\x0e":
        raise FormatError("CorruptFileError", offset, "lossless tail")
    steps = picture.height + lag
    while step < steps:
        until = min(steps, step + (1 << payload[0])) if payload else steps
        until = steps if steps - until <= lag else until
        start = at + 4
        end = start + int.from_bytes(payload[at:start], "little")
        if start > len(payload) or end > len(payload):
            if complete:
                raise FormatError("CorruptFileError", offset + at, "lossless tail")
            break
        coder = Coder(payload[start:end])
        try:
            for t in range(step, until):
                for p in range(picture.planes):
                    if 0 <= t - p < picture.height:
                        picture.row(coder, p, t - p)
        except EndOfKnownBits:
            raise FormatError("CorruptFileError", offset + start, "lossless tail") from None
        step, at, rows = until, end, max(0, until - lag)
    if step == steps and at < len(payload):
        raise FormatError("CorruptFileError", offset + at, "lossless tail")
    values = picture.values[:, MARGIN : MARGIN + rows, MARGIN : MARGIN + picture.width].astype(np.uint8)
    return values[[1, 0, 2] if picture.planes > 1 else [0]].transpose(1, 2, 0)
