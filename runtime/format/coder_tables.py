"""What a pack's coder knows before the first bit of a file: where its states and weights stand, and their starting values.

Takes the bytes of a pack's `coder` table and gives arrays, checked, and back. FORMAT.md ("Contexts") is the specification.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptPackError

CROSS_TERMS = 8
"""Other channels at the same position whose magnitudes predict a latent's significance."""

PREDICTION_TERMS = 12
"""Signed neighbours (channel, dy, dx) that predict a latent's value."""

PREDICTION_LIMIT = 43_690
"""Largest sum of a channel's |prediction weights|: times 1.5 * 2**15, below 2**31."""

ENERGY_LEVELS = 24
"""Buckets of the predicted probability of significance."""

MEANS_LIMIT = 3
"""A picture has at most so many means: luma and two chromas."""

MEANS, CHANNELS, UPPERS = 0, 1, 2
"""The kinds of bands that passes name: levels of a mean's pyramid, whole channels, and groups of upper functions."""

FILLS = 4
"""Channels that a mean's neighbours suggest: its slopes across and down, its curves across and down."""

LEVELS = 14
"""Levels of a pyramid that have an order: 1, the finest, to 13, the top of the largest picture; 0 is not used."""

PARTS = 2
"""Passes of one plane of one channel: the positions near those that earlier planes have found, then all others."""

A_PLANE = 10
"""What a plane counts in the order of passes. Slopes fall by about four from one to the next, eight units; lonely values make it more."""

INPUTS = 8
"""Inputs of a mixer: at most seven states and a constant."""

TABLES_MAGIC = b"sdzT"


_COLOURS, _KINDS, _CLASSES, _AROUND, _ABSOLUTES = 3, 2, 6, 24, 16

MEAN_SIZES = (
    _COLOURS * _KINDS * _CLASSES * 16,  # 0 significance: group (colour, kind, class of level), energy of the band's own neighbours
    _COLOURS * _KINDS * _CLASSES * _AROUND,  # 1 significance: group, energy of all around
    _COLOURS * _KINDS * _CLASSES * 16,  # 2 significance: group, which of the four neighbours are significant
    _COLOURS * _KINDS * _CLASSES * _ABSOLUTES,  # 3 significance: group, absolute plane
    _COLOURS * _KINDS * 125,  # 4 significance: levels of the parent and of the other two orientations
    _COLOURS * _KINDS * 125,  # 5 significance: levels of the other two colours, own neighbours
    _COLOURS * 5 * _AROUND,  # 6 significance: finer level of the parent, energy
    _COLOURS * 3 * _CLASSES * 9,  # 7 sign: orientation, class of level, signs along
    _COLOURS * 3 * 9,  # 8 sign: orientation, the other two colours' signs
    _COLOURS * 3 * 27,  # 9 sign: orientation, signs beside and of the parent
    _COLOURS * _CLASSES * 3,  # 10 refinement: class of level, level
    _AROUND * 3,  # 11 refinement: energy, level
    _COLOURS * _ABSOLUTES * 3,  # 12 refinement: absolute plane, level
    _COLOURS * LEVELS * _ABSOLUTES,  # 13 activity: level, absolute plane
    _COLOURS * LEVELS * 3,  # 14 activity: level, how long the next coarser one has been active
    _COLOURS * LEVELS * 3,  # 15 activity: level, how long the same one of another colour has been active
)
"""States of the means' slots."""

MEAN_SETS = (_AROUND, _COLOURS * _KINDS * _CLASSES, _COLOURS * 3, _COLOURS * _CLASSES, _AROUND, _COLOURS * _CLASSES, 1, _COLOURS)
"""Weight sets of the means' mixers: two each of significance, sign, refinement and activity."""

PLANE_STATES = 32
"""States of the number of planes: by absolute plane."""


UPPER_GROUPS = 16
"""Most groups of upper functions."""

UPPER_TERMS = 11
"""Weights with which an upper function's neighbours, in space and among the frequencies, predict its significance."""


def upper_sizes(groups: int) -> tuple[int, ...]:
    """States of the upper functions' slots."""
    return (
        groups * ENERGY_LEVELS,  # 0 significance: group, energy
        12 * 12 * _COLOURS,  # 1 significance: energy in space, energy across functions, colour
        groups * 16,  # 2 significance: group, which of W, N and the two lower frequencies are significant
        _COLOURS * 8 * 8 * 8,  # 3 significance: colour, halves of both frequencies, absolute plane
        12 * ENERGY_LEVELS,  # 4 significance: density of the pass so far, energy
        groups * 12,  # 5 significance: group, sum of levels around
        _ABSOLUTES * 9,  # 6 significance: absolute plane, levels of the other two colours
        groups * 3 * 4,  # 7 refinement: group, level, level of W and N
        ENERGY_LEVELS * 3,  # 8 refinement: energy, level
        _ABSOLUTES * 3,  # 9 refinement: absolute plane, level
        groups * _ABSOLUTES,  # 10 activity: group, absolute plane
    )


class TableLayout:
    """Where each kind of context state and each mixing weight set begins, for `channels` channels of which the first `means` are means, and
    `groups` of upper functions.

    `mean_bases` and `mean_sets` are those of the means (all states of FORMAT.md's second table), `upper_bases` and `upper_sets` those of
    the upper functions (its third), `planes` is the first state of the number of planes.
    """

    def __init__(self, channels: int, means: int, groups: int = 0) -> None:
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
        sets = [ENERGY_LEVELS, channels, 11, channels, ENERGY_LEVELS, channels]
        self.set_bases = (np.concatenate([[0], np.cumsum(sets)]) * INPUTS).astype(np.int32)
        mean_sizes = MEAN_SIZES if means else ()
        self.mean_bases = (self.bases[-1] + np.cumsum([0, *mean_sizes])).astype(np.int32)
        self.mean_sets = (self.set_bases[-1] + np.cumsum([0, *(MEAN_SETS if means else ())]) * INPUTS).astype(np.int32)
        self.upper_bases = (self.mean_bases[-1] + np.cumsum([0, *(upper_sizes(groups) if groups else ())])).astype(np.int32)
        sets = [ENERGY_LEVELS, groups, ENERGY_LEVELS, groups] if groups else []
        self.upper_sets = (self.mean_sets[-1] + np.cumsum([0, *sets]) * INPUTS).astype(np.int32)
        self.planes = int(self.upper_bases[-1])
        self.states = self.planes + PLANE_STATES
        self.weights = int(self.upper_sets[-1])


@dataclass(frozen=True)
class CoderTables:
    """What a pack's coder knows before the first bit, learned offline, integers only.

    `order` (C, 2) int16: how far a channel's near and far passes are brought forward, units of which A_PLANE make a plane, the near ones
    further, by less than a plane; of a mean (the first channels, `means` of them) nothing counts that has a row for each channel.
    `mean_order` (3, LEVELS) int16: the same of the levels of each mean's pyramid; (0, LEVELS) without means.
    `mean_fill` (3, FILLS) uint8: the channels that hold each mean's slopes and curves, 0 for none; (0, FILLS) without means.
    `energy_space` (C, 6) uint8: weights of W, N, E, S, NW + NE, SW + SE magnitudes.
    `energy_cross_channel`, `energy_cross` (C, 8) uint8: channels at the same position and their weights.
    `prediction_channel` (C, 12) uint8, `prediction_dy`, `prediction_dx` (C, 12) int8, `prediction` (C, 12) int16 (256 = 1.0).
    `energy_thresholds` (23,) uint16: bucket boundaries of the energy.
    `probability` (S,) uint16, `count` (S,) uint8: starting states. `weights` (W,) int32: starting mixing weights (2**14 = 1.0).
    `mix_rate` int: step of the mixers; `count_limit` int: counts of the states stop here (adaptation rate 1 / (limit + 1.5)).
    With the upper functions, those that no channel has: `upper_step` (1,) uint8 is the coarsest step index of files that have them;
    `function` (3, C) uint8 every channel's plane of colour, frequency down and across; `fine_order` (C,) int8 stands in place of `order`
    in such files, of far passes, near ones two further. Of each of G groups, `upper_sizes` (G,) uint8 is how many functions it has,
    `upper_order` (G, 2) int16 as `order`, `upper_octaves` (G,) int8 as a pack's `octaves`, `upper_weights` (G, 11) uint8 what a neighbour's
    magnitude counts. All are empty where there are no groups.
    """

    means: int
    order: NDArray[np.int16]
    energy_space: NDArray[np.uint8]
    energy_cross_channel: NDArray[np.uint8]
    energy_cross: NDArray[np.uint8]
    prediction_channel: NDArray[np.uint8]
    prediction_dy: NDArray[np.int8]
    prediction_dx: NDArray[np.int8]
    prediction: NDArray[np.int16]
    energy_thresholds: NDArray[np.uint16]
    mean_order: NDArray[np.int16]
    mean_fill: NDArray[np.uint8]
    probability: NDArray[np.uint16]
    count: NDArray[np.uint8]
    weights: NDArray[np.int32]
    mix_rate: int
    count_limit: int
    upper_step: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    function: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((3, 0), np.uint8))
    fine_order: NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, np.int8))
    upper_sizes: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    upper_order: NDArray[np.int16] = field(default_factory=lambda: np.zeros((0, PARTS), np.int16))
    upper_octaves: NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, np.int8))
    upper_weights: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, UPPER_TERMS), np.uint8))

    @property
    def channels(self) -> int:
        """C."""
        return len(self.order)

    @property
    def groups(self) -> int:
        """G."""
        return len(self.upper_sizes)

    def is_fine(self, step_index: int) -> bool:
        """Whether files of that step index have the upper functions."""
        return self.groups > 0 and step_index <= int(self.upper_step[0])

    @functools.cached_property
    def stored(self) -> bytes:
        """`to_bytes`, once."""
        return self.to_bytes()

    def to_bytes(self) -> bytes:
        """Magic, channels u8, means + 4 groups u8, mixing rate u8, count limit u8, then every array in the order above, little-endian, C
        order."""
        head = TABLES_MAGIC + bytes([self.channels, self.means + 4 * self.groups, self.mix_rate, self.count_limit])
        return head + stored_arrays(self, _table_fields(self.channels, self.means, self.groups))

    @classmethod
    def from_bytes(cls, data: bytes) -> CoderTables:
        """Parse `to_bytes`' result; raises CorruptPackError when it is not one."""
        if len(data) < 8 or data[:4] != TABLES_MAGIC:
            raise CorruptPackError("coder tables do not begin with 'sdzT'; rebuild the pack")
        channels, means, groups = data[4], data[5] & 3, data[5] >> 2
        if means > min(MEANS_LIMIT, channels):
            raise CorruptPackError(f"coder tables have {means} means, more than {MEANS_LIMIT} or their channels; rebuild the pack")
        if groups > UPPER_GROUPS:
            raise CorruptPackError(f"coder tables have {groups} groups of functions, more than {UPPER_GROUPS}; rebuild the pack")
        arrays = read_arrays(data, 8, _table_fields(channels, means, groups), "coder tables")
        tables = cls(**arrays, means=means, mix_rate=data[6], count_limit=data[7])
        if channels == 0 or max(tables.energy_cross_channel.max(), tables.prediction_channel.max()) >= channels:
            raise CorruptPackError("coder tables name a channel that does not exist; rebuild the pack")
        # int8 has no +128
        if max(np.abs(tables.prediction_dy.astype(int)).max(), np.abs(tables.prediction_dx.astype(int)).max()) > 2:
            raise CorruptPackError("coder tables reach further than two positions; rebuild the pack")
        ahead = tables.order[:, 0].astype(int) - tables.order[:, 1]
        if ((ahead < 0) | (ahead >= A_PLANE)).any():
            place = int(np.flatnonzero((ahead < 0) | (ahead >= A_PLANE))[0])
            raise CorruptPackError(f"coder tables let the near and far passes of channel {place} change places; rebuild the pack")
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


def _table_fields(channels: int, means: int, groups: int) -> list[TableField]:
    layout = TableLayout(channels, means, groups)
    return [
        ("upper_step", np.uint8, (1 if groups else 0,)),
        ("order", np.int16, (channels, PARTS)),
        ("energy_space", np.uint8, (channels, 6)),
        ("energy_cross_channel", np.uint8, (channels, CROSS_TERMS)),
        ("energy_cross", np.uint8, (channels, CROSS_TERMS)),
        ("prediction_channel", np.uint8, (channels, PREDICTION_TERMS)),
        ("prediction_dy", np.int8, (channels, PREDICTION_TERMS)),
        ("prediction_dx", np.int8, (channels, PREDICTION_TERMS)),
        ("prediction", np.int16, (channels, PREDICTION_TERMS)),
        ("energy_thresholds", np.uint16, (ENERGY_LEVELS - 1,)),
        ("mean_order", np.int16, (MEANS_LIMIT if means else 0, LEVELS)),
        ("mean_fill", np.uint8, (MEANS_LIMIT if means else 0, FILLS)),
        ("function", np.uint8, (3, channels if groups else 0)),
        ("fine_order", np.int8, (channels if groups else 0,)),
        ("upper_sizes", np.uint8, (groups,)),
        ("upper_order", np.int16, (groups, PARTS)),
        ("upper_octaves", np.int8, (groups,)),
        ("upper_weights", np.uint8, (groups, UPPER_TERMS)),
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
