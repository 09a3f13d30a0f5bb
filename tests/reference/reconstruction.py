"""What is known of latents to values and intervals: FORMAT.md, "Reconstruction", "Indices" ("Values") and "Palette"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .coder import clamp
from .container import FormatError, inflate
from .indices import IndexTables, KnownIndices
from .planes import KnownPlanes

M = [round(16384 * 2 ** (j / 8)) for j in range(8)]


@dataclass
class Latents:
    """int32 (C, h, w) each."""

    values: Any
    levels: Any
    precision: Any
    half_width: Any


def channel_steps(step_index: int, tilt: int, octaves: list[int] | None, channels: int) -> list[int]:
    """Each channel's step index."""
    return [clamp(step_index - ((tilt * o + 8) >> 4), 0, 80) for o in octaves or [0] * channels]


def guarded(position: list[int], l1_limit: int) -> list[int]:
    """The values of one position, halved towards zero until their magnitudes sum to no more than the limit."""
    while sum(map(abs, position)) > l1_limit:
        position = [abs(value) >> 1 if value > 0 else -(abs(value) >> 1) for value in position]
    return position


def all_guarded(values: Any, l1_limit: int) -> Any:
    """int64 (C, h, w), each position guarded."""
    flat = values.reshape(len(values), -1).T.tolist()
    return np.array([guarded(position, l1_limit) for position in flat], np.int64).T.reshape(values.shape)


def step_of(i: int) -> int:
    """The step of a step index."""
    return (M[i % 8] << (i >> 3)) >> 12


def coarser_means(known: KnownPlanes, steps: list[int]) -> list[int]:
    """Step indices, those of means coarser by their floor."""
    base = known.regions.base if known.regions else 0
    return [min(80, step + 8 * base) if c < len(known.means) else step for c, step in enumerate(steps)]


def reconstruct(known: KnownPlanes, steps: list[int], rho: int, l1_limit: int) -> Latents:
    """Of integers (C, h, w) and means, whose bits below some plane are not known."""
    steps, found = coarser_means(known, steps), list[list[int]]()
    means = [pyramid.paint(rho) for pyramid in known.means]
    for (c, y, x), q in np.ndenumerate(known.integers[: len(steps)]):
        k, i = int(known.plane[c, y, x]), steps[c]
        floor = int(known.regions.floors[y, x]) if known.regions else 0
        step = step_of(i)
        sixteenths = abs(int(means[c][y, x])) if c < len(means) else 16 * abs(int(q)) + (2**k - 2**floor) * rho if q else 0
        sign = -1 if (means[c][y, x] if c < len(means) else q) < 0 else 1
        m = sixteenths >> 4 if c < len(means) else abs(int(q))
        value = sign * ((sixteenths * step + 8) >> 4)
        found.append([value, sign * min(15, m >> k), i + 8 * k, (step << k) >> 1 if sixteenths else step << k])
    arrays = np.array(found, np.int64).T.reshape(4, len(steps), *known.integers.shape[1:])
    return Latents(all_guarded(arrays[0], l1_limit), arrays[1], arrays[2], arrays[3])


def filled(latents: Latents, known: KnownPlanes, steps: list[int], rho: int, fill: Any, l1_limit: int) -> Any:
    """The values with the slopes and curves that means suggest where nothing of them is known."""
    values, steps = latents.values.copy(), coarser_means(known, steps)
    for c, pyramid in enumerate(known.means):
        painted = pyramid.paint(rho)
        mean = np.sign(painted) * np.minimum((abs(painted) * step_of(steps[c]) + 8) >> 4, 1 << 20)
        around = np.pad(mean, 1, mode="edge")
        here = around[1:-1, 1:-1]
        sides = [(around[1:-1, :-2], around[1:-1, 2:]), (around[:-2, 1:-1], around[2:, 1:-1])]
        guesses = [38 * (before - after) for before, after in sides] + [8 * (before + after - 2 * here) for before, after in sides]
        for channel, guess in zip(fill[c], guesses, strict=True):
            if not channel:
                continue
            most = (step_of(steps[channel]) << known.plane[channel].astype(np.int64)) >> 3
            suggested = np.clip((guess + 128) >> 8, -most, most)
            values[channel] = np.where(known.integers[channel] == 0, suggested, values[channel])
    return all_guarded(values, l1_limit)


def reconstruct_indices(known: KnownIndices, tables: IndexTables, l1_limit: int) -> Latents:
    """Of nodes (h, w) of the tree."""
    rows, columns = known.node.shape
    out = np.zeros((4, tables.channels, rows, columns), np.int64)
    for y in range(rows):
        for x in range(columns):
            node = int(known.node[y, x])
            bits = tables.levels if tables.entries[node][1] == 1 else node.bit_length() - 1
            half = tables.half_width[bits]
            # levels are those of the centres, before the guard
            centre = tables.centre[node]
            levels = [min(15, abs(v) // max(1, 2 * half)) * (-1 if v < 0 else 1) for v in centre]
            out[:, :, y, x] = [centre, levels, [tables.precision[bits]] * len(centre), [half] * len(centre)]
    return Latents(all_guarded(out[0], l1_limit), out[1], out[2], out[3])


def read_palette(payload: bytes, offset: int, channels: int, rows: int, columns: int) -> Any:
    """The latents (C, rows, columns) of a palette chunk."""
    raw = inflate(payload, 1 + 256 * channels + rows * columns, offset, "palette")
    entries = raw[0] + 1 if raw else 0
    indices = raw[1 + entries * channels :]
    if not entries or len(indices) != rows * columns or max(indices) >= entries:
        raise FormatError("CorruptFileError", offset, "palette")
    palette = np.frombuffer(raw, np.int8, entries * channels, 1).reshape(entries, channels).astype(np.int32)
    return palette[list(indices)].T.reshape(channels, rows, columns)
