"""A pack and a session small enough to reason about, in place of trained ones: four channels, networks of whole numbers.

Channel 0..2 are the mean red, green and blue of a patch as an orthonormal transform has them, channel 3 is always 0. The decoder
and the denoiser look one latent position around, so that tiles without margins would show.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import sdz.runtime.decode
from sdz.runtime.errors import MissingPackError, ProviderError
from sdz.runtime.format.coder import WEIGHT_ONE
from sdz.runtime.format.coder_tables import (
    CROSS_TERMS,
    ENERGY_LEVELS,
    FILLS,
    LEVELS,
    MEANS_LIMIT,
    PARTS,
    PREDICTION_TERMS,
    CoderTables,
    TableLayout,
)
from sdz.runtime.format.container import LATENTS, Chunk, Header, serialize
from sdz.runtime.format.planes import encode_planes
from sdz.runtime.format.reconstruction import Latents
from sdz.runtime.format.tiles import Tiling
from sdz.runtime.limits import FULL_STRENGTH

CHANNELS = 4
PATCH = 16
SHIFT = 12


def neutral_tables(channels: int = CHANNELS, means: int = 0) -> CoderTables:
    """Coder tables that know nothing: even odds, equal weights."""
    layout = TableLayout(channels, means)
    own = np.arange(channels, dtype=np.uint8)[:, None]
    none = np.zeros((channels, PREDICTION_TERMS), np.int8)
    return CoderTables(
        means=means,
        order=np.zeros((channels, PARTS), np.int16),
        energy_space=np.ones((channels, 6), np.uint8),
        energy_cross_channel=np.repeat(own, CROSS_TERMS, axis=1),
        energy_cross=np.zeros((channels, CROSS_TERMS), np.uint8),
        prediction_channel=np.repeat(own, PREDICTION_TERMS, axis=1),
        prediction_dy=none,
        prediction_dx=none,
        prediction=none.astype(np.int16),
        energy_thresholds=np.arange(1, ENERGY_LEVELS, dtype=np.uint16) * 8,
        mean_order=np.zeros((MEANS_LIMIT if means else 0, LEVELS), np.int16),
        mean_fill=np.zeros((MEANS_LIMIT if means else 0, FILLS), np.uint8),
        probability=np.full(layout.states, 32768, np.uint16),
        count=np.zeros(layout.states, np.uint8),
        weights=np.full(layout.weights, WEIGHT_ONE // 4, np.int32),
        mix_rate=3,
        count_limit=127,
    )


def _linear_table() -> NDArray[np.int16]:
    """One grid unit of channel c is 1/64 grey level of colour c in each pixel of the patch."""
    table = np.zeros((CHANNELS, 3, PATCH * PATCH), np.int16)
    for colour in range(3):
        table[colour, colour] = (1 << SHIFT) // 64
    return table.reshape(CHANNELS, 3 * PATCH * PATCH)


@dataclass(frozen=True)
class StandInPack:
    """What `decode` and `encode` ask of a pack."""

    id: bytes = b"\x01\x02\x03"
    name: str = "stand-in"
    channels: int = CHANNELS
    patch: int = PATCH
    reconstruction: int = 7
    l1_limit: int = 1 << 20
    linear_shift: int = SHIFT
    linear: NDArray[np.int16] = field(default_factory=_linear_table)
    coder: CoderTables = field(default_factory=neutral_tables)
    denoiser_min_step_index: int | None = 40
    denoiser_halo: int = 1
    decoder_halo: int = 1
    exact: bool = True
    tiling: Tiling | None = None
    encoder_tiling: Tiling | None = None
    quantizer: str = "planes"
    lapping: NDArray[np.int32] | None = None
    octaves: NDArray[np.int32] | None = None
    refine: None = None
    encoder: str = "1-"

    @property
    def linear_bytes(self) -> bytes:
        """The table as a pack stores it."""
        return self.linear.astype("<i2").tobytes()


def _around(a: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sum over each position's 3 x 3 neighbourhood, 0 outside."""
    wide = np.pad(a, ((0, 0), (1, 1), (1, 1)))
    rows, columns = a.shape[1:]
    return sum(wide[:, y : y + rows, x : x + columns] for y in range(3) for x in range(3))  # type: ignore[return-value]


class StandInSession:
    """Networks of whole numbers that mix every position with its neighbours; counts its calls."""

    def __init__(self, pack: StandInPack | None = None) -> None:
        self.pack = pack or StandInPack()
        self.calls: list[tuple[str, int, int]] = []
        self.strengths: list[int] = []

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        rows, columns = pixels.shape[0] // PATCH, pixels.shape[1] // PATCH
        self.calls.append(("encode", rows, columns))
        means = pixels.reshape(rows, PATCH, columns, PATCH, 3).mean(axis=(1, 3)) - 128.0
        latents = np.zeros((CHANNELS, rows, columns), np.float32)
        latents[:3] = means.transpose(2, 0, 1) * PATCH
        return latents

    def encode_with_deviation(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        return self.encode(pixels), None

    def denoise(self, latents: Latents, strength: int = FULL_STRENGTH) -> NDArray[np.int32]:
        self.calls.append(("denoise", *latents.values.shape[1:]))
        self.strengths.append(strength)
        mixed = latents.values + _around(latents.levels.astype(np.int64)) + latents.precision + (latents.half_width >> 4)
        return mixed.astype(np.int32)

    def decode(self, values: NDArray[np.int32], precision: NDArray[np.int32]) -> NDArray[np.uint8]:
        self.calls.append(("decode", *values.shape[1:]))
        mixed = (_around(values.astype(np.int64))[:3] // 64 + 9 * precision[:3] + 128) & 0xFF
        pixels = np.repeat(np.repeat(mixed.transpose(1, 2, 0), PATCH, axis=0), PATCH, axis=1)
        pixels = (pixels + np.arange(PATCH)[np.arange(pixels.shape[0]) % PATCH][:, None, None]) & 0xFF
        opaque = np.full((*pixels.shape[:2], 1), 255)
        return np.concatenate([pixels, opaque], axis=2).astype(np.uint8)


PACK = StandInPack()


@dataclass
class StandIns:
    """What `use_stand_ins` made: every session in turn; and the providers whose sessions are to fail."""

    sessions: list[StandInSession] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)


def use_stand_ins(monkeypatch: pytest.MonkeyPatch) -> StandIns:
    """Has the runtime find the stand-in pack, and nothing else, and run its networks on every provider that is not to fail."""
    made = StandIns()

    def find_pack(pack_id: bytes) -> StandInPack:
        if pack_id != PACK.id:
            raise MissingPackError(pack_id)
        return PACK

    def session(pack: StandInPack, provider: str = "cpu", threads: int = 1) -> StandInSession:
        if provider in made.failing:
            raise ProviderError(f"execution provider '{provider}' is broken")
        made.sessions.append(StandInSession(pack))
        return made.sessions[-1]

    monkeypatch.setattr("sdz.runtime.decode.find_pack", find_pack)
    monkeypatch.setattr("sdz.runtime.pack.find_pack", find_pack)
    monkeypatch.setattr("sdz.runtime.session.Session", session)
    return made


def held_decoder(monkeypatch: pytest.MonkeyPatch, seconds: float) -> tuple[threading.Event, threading.Event]:
    """Has `open_latents` set the first event when it is asked and then wait for the second, `seconds` at most."""
    begun, go_on = threading.Event(), threading.Event()
    open_latents = sdz.runtime.decode.open_latents

    def held(*args: Any, **options: Any) -> Any:
        begun.set()
        assert go_on.wait(seconds)
        return open_latents(*args, **options)

    monkeypatch.setattr(sdz.runtime.decode, "open_latents", held)
    return begun, go_on


def stand_in_file(width: int, height: int, *side: Chunk, step: int = 40, grey: bool = False) -> bytes:
    """An .sdz of the stand-in pack with random latents, after the chunks `side`."""
    latents = np.random.default_rng(width).integers(-40, 41, (CHANNELS, -(-height // PATCH), -(-width // PATCH))).astype(np.int32)
    payload = encode_planes(latents, step, PACK.coder)
    return serialize(Header(width, height, step, PACK.id, grey), [*side, Chunk(LATENTS, payload)])
