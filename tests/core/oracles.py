"""What an encoder chooses, in plain Python and numpy: alpha's filters and a palette's nearest entries. Slow and readable."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def filter_band(bordered: NDArray[np.uint8]) -> bytes:
    """Filtered rows, each after its filter's number, of a band that has the pixels above it and left of it as a border."""
    wide = bordered.astype(np.int16)
    here, left, above, corner = wide[1:, 1:], wide[1:, :-1], wide[:-1, 1:], wide[:-1, :-1]
    to_left, to_above, to_corner = abs(above - corner), abs(left - corner), abs(left + above - 2 * corner)
    paeth = np.where(to_above <= to_corner, above, corner)
    paeth = np.where((to_left <= to_above) & (to_left <= to_corner), left, paeth)
    predictions = (np.zeros_like(here), left, above, (left + above) >> 1, paeth)
    trials = np.stack([(here - prediction).astype(np.uint8) for prediction in predictions])
    best = abs(trials.view(np.int8).astype(np.int16)).sum(axis=2).argmin(axis=0)
    rows = np.column_stack([best.astype(np.uint8), trials[best, np.arange(len(best))]])
    return rows.tobytes()


def assign(source: Any, palette: Any, dither: bool) -> Any:
    """Each position's entry, uint8 (h, w): of `palette` float64 (n, C) the nearest to `source` float64 (h, w, C), of equals the first;
    with `dither` to what is left of the errors before it as well."""
    rows, columns, channels = source.shape
    wanted = source.copy()
    indices = np.empty((rows, columns), np.uint8)
    for y in range(rows):
        for x in range(columns):
            best, least = 0, np.inf
            for c in range(channels):
                # as Pillow holds its dithered samples to 8 bits: without it the error of what no entry can reach piles up
                wanted[y, x, c] = min(127.0, max(-127.0, wanted[y, x, c]))
            for entry in range(len(palette)):
                distance = 0.0
                for c in range(channels):
                    difference = wanted[y, x, c] - palette[entry, c]
                    distance += difference * difference
                if distance < least:
                    best, least = entry, distance
            indices[y, x] = best
            if dither:
                for c in range(channels):
                    sixteenth = (wanted[y, x, c] - palette[best, c]) / 16.0
                    if x + 1 < columns:
                        wanted[y, x + 1, c] += 7.0 * sixteenth
                    if y + 1 < rows:
                        if x > 0:
                            wanted[y + 1, x - 1, c] += 3.0 * sixteenth
                        wanted[y + 1, x, c] += 5.0 * sixteenth
                        if x + 1 < columns:
                            wanted[y + 1, x + 1, c] += sixteenth
    return indices
