"""Alpha's filters and the palette's nearest entries in plain Python and numpy, FORMAT.md ("Alpha", "Palette"). Slow and readable."""

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


def unfilter(rows: Any, bordered: Any) -> None:
    """Undoes the filters of `rows` (H, W+1) into `bordered` (H+1, W+1), whose first row and column are zero."""
    for y in range(1, bordered.shape[0]):
        kind = rows[y - 1, 0]
        for x in range(1, bordered.shape[1]):
            left = np.int32(bordered[y, x - 1])
            above = np.int32(bordered[y - 1, x])
            corner = np.int32(bordered[y - 1, x - 1])
            prediction = np.int32(0)
            if kind == 1:
                prediction = left
            elif kind == 2:
                prediction = above
            elif kind == 3:
                prediction = (left + above) >> 1
            elif kind == 4:
                to_left, to_above, to_corner = abs(above - corner), abs(left - corner), abs(left + above - 2 * corner)
                if to_left <= to_above and to_left <= to_corner:
                    prediction = left
                elif to_above <= to_corner:
                    prediction = above
                else:
                    prediction = corner
            bordered[y, x] = (rows[y - 1, x] + prediction) & 0xFF


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
