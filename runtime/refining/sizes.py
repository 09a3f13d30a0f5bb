"""Rate control: the step at which a file needs about a size, and the price of a bit at which it needs hardly more.

Takes what a file of a step and a price needs in bytes; asks as seldom as it can. A file that is a little too large is cut, and a cut takes
the last passes as a whole, wherever in the picture they help; where a bit is a little dearer, what is worth least is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from .. import limits

FIRST_STEP_INDEX: Final = 48
STEPS_PER_HALVING: Final = 8.0
GUESSES: Final = 5
"""The search starts in the middle and first expects the bytes to halve every 8 steps, as they about do on photos, then as the last
two tries tell: three or four tries in most cases. It bisects after 5."""

LOWEST_PRICE: Final = 0.25
HIGHEST_PRICE: Final = 2.0
"""Times the tuning's. Between them bytes differ by more than from one step to the next: where a file is still too large, not even the
coarsest step needs so few."""

SLOPE: Final = -0.1
"""How the logarithm of the bytes goes with that of the price, about, before two prices were tried ..."""

FLATTEST: Final = -0.02
"""... and what two of them are not believed beyond."""

PRICES: Final = 4
"""Most prices tried besides the tuning's own."""

CLOSE: Final = 0.002
"""A file is close enough where it is at most by so much of a size larger; half of it is aimed at."""


def coarsest_step(needs: Callable[[int], int], size: int, finest: int) -> int | None:
    """The coarsest step index, `finest` to MAX_STEP_INDEX, whose file `needs` at least `size` bytes; None where even the finest needs
    fewer."""
    # steps up to `fine` need at least `size` bytes, steps from `coarse` on need less
    fine, coarse = finest - 1, limits.MAX_STEP_INDEX + 1
    guess, halving = FIRST_STEP_INDEX, STEPS_PER_HALVING
    tried: list[tuple[int, float]] = []
    while coarse - fine > 1:
        whole = needs(guess)
        if whole >= size:
            fine = guess
        elif guess == finest:
            return None
        else:
            coarse = guess
        tried.append((guess, math.log2(whole / size)))
        if len(tried) > 1:
            (before, bits_before), (now, bits_now) = tried[-2:]
            halving = (now - before) / (bits_before - bits_now) if bits_before != bits_now else STEPS_PER_HALVING
        aim = guess + round(tried[-1][1] * halving)
        guess = min(max(aim, fine + 1), coarse - 1) if len(tried) < GUESSES else (fine + coarse) // 2
    return fine


def price_for(needs: Callable[[float], int], size: int) -> float:
    """About the highest price, LOWEST_PRICE to HIGHEST_PRICE, at which the file `needs` at least `size` bytes; the lowest where none that
    was tried does. By secants: what a file needs falls evenly enough."""
    logs = {0.0: math.log(needs(1.0) / size)}
    price, slope = 0.0, SLOPE
    for _ in range(PRICES):
        over = logs[price]
        if 0.0 <= over <= CLOSE:
            break
        aim = min(max(price + (CLOSE / 2.0 - over) / slope, math.log(LOWEST_PRICE)), math.log(HIGHEST_PRICE))
        if aim in logs:
            break
        logs[aim] = math.log(needs(math.exp(aim)) / size)
        slope = min((logs[aim] - over) / (aim - price), FLATTEST)
        price = aim
    enough = [price for price, over in logs.items() if over >= 0.0]
    return math.exp(max(enough)) if enough else LOWEST_PRICE


def step_and_price(needs: Callable[[int, float], int], size: int, finest: int) -> tuple[int, float] | None:
    """The step index, from `finest` on, whose file `needs` about `size` bytes, and the price at which it hardly needs more; None where even
    the finest step needs fewer."""
    fine = coarsest_step(lambda step_index: needs(step_index, 1.0), size, finest)
    if fine is None:
        return None
    coarse = fine + 1
    if coarse <= limits.MAX_STEP_INDEX and size / needs(coarse, 1.0) < needs(fine, 1.0) / size:
        price = price_for(lambda price: needs(coarse, price), size)
        if needs(coarse, price) >= size:
            return coarse, price
    return fine, price_for(lambda price: needs(fine, price), size)
