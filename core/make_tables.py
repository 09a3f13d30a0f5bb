"""Writes src/squash.h: the coder's two curves, FORMAT.md "Coder", as differences that a core of 30 kB can afford.

Both are odd around their middle, up to a constant: half of each is enough. `python core/make_tables.py`
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path

LIMIT, FLOOR = 2047, 24


def stretch(j: int) -> int:
    """The clipped, scaled log odds of (j + 1/2) / 4096."""
    return max(-LIMIT, min(LIMIT, math.floor(math.log((j + 0.5) / (4095.5 - j)) * 256.0 + 0.5)))


def squash(x: int) -> int:
    """Its inverse, of 65,536."""
    return max(FLOOR, min(65536 - FLOOR, math.floor(65536.0 / (1.0 + math.exp(-x / 256.0)) + 0.5)))


def differences(values: list[int]) -> str:
    """C numbers, 40 a line; each fits a byte."""
    steps = [b - a for a, b in itertools.pairwise(values)]
    assert all(0 <= step < 256 for step in steps)
    return ",\n  ".join(", ".join(map(str, steps[i : i + 40])) for i in range(0, len(steps), 40))


def main() -> None:
    """Checks the symmetries and writes the header."""
    assert all(stretch(j) == -stretch(4095 - j) for j in range(4096))
    assert all(squash(-x) == 65536 - squash(x) for x in range(2048))
    rising, falling = [stretch(j) for j in range(2048, 4096)], [squash(x) for x in range(2048)]
    text = f"""/* Made by core/make_tables.py: stretch(2048) = {rising[0]} and squash(0) = {falling[0]}, then how much each entry adds. */
#include <stdint.h>

static const uint8_t STRETCH_STEPS[2047] = {{
  {differences(rising)}}};

static const uint8_t SQUASH_STEPS[2047] = {{
  {differences(falling)}}};
"""
    (Path(__file__).parent / "src" / "squash.h").write_text(text)
    print(rising[0], falling[0])


if __name__ == "__main__":
    main()
