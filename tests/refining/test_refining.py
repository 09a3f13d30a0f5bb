"""Encoder effort: what it finds on the default pack, exact integers on a decoder made up here, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from standins import StandInSession

from sdz.runtime.encode import encode
from sdz.runtime.errors import CorruptPackError, EncodeInputError
from sdz.runtime.format.container import parse
from sdz.runtime.format.planes import encode_planes
from sdz.runtime.format.reconstruction import Latents, channel_steps
from sdz.runtime.options import Tune
from sdz.runtime.pack import REFINE, default_pack, load_pack
from sdz.runtime.quantize import TUNINGS, Tuning, rdo_quantize
from sdz.runtime.refining.encoder import encode_latents
from sdz.runtime.refining.refiner import MARGIN, ROUNDS, TILE, Refiner, _spans, rounds_of
from sdz.runtime.session import Session

PICTURE = np.add.outer(np.arange(80) * 2, np.arange(96)).astype(np.uint8)[:, :, None] // np.array([1, 2, 3], np.uint8)
PICTURE[20:50, 30:60] = (200, 90, 40)

HALVES = Tuning(rounding=0.5, lagrangian=0.0, strength=0)
"""Rounds to the nearest, so that no move is longer than a step."""


class Recorded(Session):
    """The default pack's networks, and the likeness of every round."""

    def __init__(self) -> None:
        super().__init__(default_pack())
        self.likeness: list[float] = []

    def refine(
        self, latents: Latents, rgb: NDArray[np.uint8], realism: float, shares: Sequence[float], *, moves: bool = True
    ) -> tuple[float, NDArray[np.float32] | None]:
        found = super().refine(latents, rgb, realism, shares, moves=moves)
        self.likeness.append(found[0])
        return found


def zeros_noting(seen: list[float]) -> Callable[[NDArray[np.float32]], NDArray[np.int32]]:
    """A quantizer that makes everything zero, and notes where one latent has been moved to."""

    def quantized(moved: NDArray[np.float32]) -> NDArray[np.int32]:
        seen.append(float(moved[7, 2, 3]))
        return np.zeros(moved.shape, np.int32)

    return quantized


@pytest.mark.parametrize("tune", ["natural", "faithful"])
def test_more_rounds_bring_the_picture_nearer(tune: Tune) -> None:
    session = Recorded()
    data = [encode(PICTURE, quality=40, tune=tune, effort=effort, session=session) for effort in (0, 5)]
    assert len(session.likeness) == ROUNDS[5] + 1
    assert min(session.likeness) < session.likeness[0] - 0.005
    assert abs(len(data[1]) - len(data[0])) <= 0.05 * len(data[0])
    assert parse(data[1]).header == parse(data[0]).header
    # the same again, whatever ran in between
    assert encode(PICTURE, quality=40, tune=tune, effort=5, session=Session(default_pack())) == data[1]


def test_the_kept_round_is_never_worse_than_the_plain_quantizer() -> None:
    pack, session = default_pack(), Session(default_pack())
    latents = encode_latents(PICTURE, session)
    steps = channel_steps(48, 0, pack.octaves, pack.channels)
    tuning = TUNINGS["natural"]

    def quantized(moved: NDArray[np.float32]) -> NDArray[np.int32]:
        return rdo_quantize(moved, 48, pack.coder, tuning, None, steps)

    def cost(rounds: int) -> float:
        refiner = Refiner(PICTURE, session, rounds, tuning, None)
        payload = refiner(latents, 48, 0, 1.0, quantized)
        known, codes = refiner._known(payload, latents.shape[1:], 48, steps)
        likeness, _ = refiner._measure(known, codes, PICTURE, 1.0, moves=False)
        return likeness + 0.6 * float(np.log(len(payload)))

    costs = [cost(rounds) for rounds in (0, 2, 6)]
    assert costs[2] < costs[0]
    assert costs[1] <= costs[0]


@pytest.mark.parametrize(("counts", "aim"), [(None, 64.0), (8.0, 37.5)])
def test_latents_move_towards_where_the_graph_wants_them(counts: float | None, aim: float) -> None:
    """A decoder that is the linear stage alone, an objective that is the squared error: exact numbers. Where errors count eight times as
    much, the same gradient asks for an eighth of the step."""
    pack = default_pack()
    wanted = np.zeros((pack.channels, 5, 6), np.float32)
    wanted[7, 2, 3] = 300.0

    class Linear:
        def __init__(self) -> None:
            self.pack = pack

        def refine(
            self, latents: Latents, rgb: NDArray[np.uint8], realism: float, shares: Sequence[float], *, moves: bool
        ) -> tuple[float, NDArray[np.float32] | None]:
            off = wanted - latents.values / 4
            asked.append(moves)
            return float(np.log(np.square(off).sum())), off.astype(np.float32) if moves else None

    seen: list[float] = []
    asked: list[bool] = []

    errors = None if counts is None else np.full((5, 6), counts, np.float32)
    refiner = Refiner(PICTURE, Linear(), 2, HALVES, errors)  # type: ignore[arg-type]
    payload = refiner(np.zeros_like(wanted), 48, 0, 0.0, zeros_noting(seen))
    # 300 is farther than a step of 64; 0.16 of that way, then two thirds of such a part of what is left; no moves are asked for after the
    # last round
    assert seen == pytest.approx([0.0, 0.16 * aim, 0.16 * aim + 0.32 / 3 * 0.84 * aim])
    assert asked == [True, True, False]
    # all are zero in every round
    assert payload == encode_planes(np.zeros(wanted.shape, np.int32), 48, pack.coder)


def test_a_round_that_makes_it_worse_is_taken_back_and_tried_half_as_far() -> None:
    pack = default_pack()
    likeness = iter([1.0, 2.0, 0.5, 0.5])

    class Told:
        def __init__(self) -> None:
            self.pack = pack

        def refine(
            self, latents: Latents, rgb: NDArray[np.uint8], realism: float, shares: Sequence[float], *, moves: bool
        ) -> tuple[float, NDArray[np.float32] | None]:
            return next(likeness), np.full(latents.values.shape, 300.0, np.float32) if moves else None

    seen: list[float] = []

    refiner = Refiner(PICTURE, Told(), 3, HALVES, None)  # type: ignore[arg-type]
    refiner(np.zeros((pack.channels, 5, 6), np.float32), 48, 0, 0.0, zeros_noting(seen))
    # 0.16 of the way, then from zero again three quarters of half as much; on from there, half as much in the last round
    assert seen == pytest.approx([0.0, 0.16 * 64.0, 0.06 * 64.0, 3.84 + 0.04 * 60.16])


def test_a_size_is_met_with_any_effort() -> None:
    session = Session(default_pack())
    for size in (300, 901):
        assert len(encode(PICTURE, target_size=size, effort=2, session=session)) == size


@pytest.mark.parametrize("effort", [-1, 10])
def test_efforts_that_do_not_exist_are_refused(effort: int) -> None:
    with pytest.raises(EncodeInputError, match=f"effort is {effort}, it must be a whole number from 0 to 9"):
        encode(PICTURE, effort=effort)


def test_a_pack_without_the_graph_has_no_effort() -> None:
    session = StandInSession()
    assert rounds_of(0, session.pack, 1) == rounds_of(None, session.pack, 1) == 0
    assert [rounds_of(None, default_pack(), pixels) for pixels in (1, 1 << 20, (1 << 20) + 1)] == [2, 2, 0]
    assert rounds_of(2, default_pack(), 1 << 24) == 3
    with pytest.raises(EncodeInputError, match="has no graph for it: encode with effort 0"):
        encode(PICTURE, effort=1, session=session)


def test_tiles_cover_every_position_once() -> None:
    for length in (1, TILE, TILE + 1, 3 * TILE + 7):
        spans = _spans(length)
        assert [i for inner, _ in spans for i in range(inner.start, inner.stop)] == list(range(length))
        assert all(outer.stop - outer.start <= TILE + 2 * MARGIN and outer.start <= inner.start for inner, outer in spans)


def test_the_graph_belongs_to_one_pack(tmp_path: Path) -> None:
    assert default_pack().refine is not None
    copy = tmp_path / "copy"
    shutil.copytree(default_pack().directory, copy)
    note = json.loads((copy / "refine.json").read_text())
    (copy / "refine.json").write_text(json.dumps(note | {"pack": "00000000"}))
    assert load_pack(copy).refine is None
    (copy / "refine.json").write_text("{}")
    with pytest.raises(CorruptPackError, match=r"refine\.json: 'pack' is missing"):
        load_pack(copy)
    (copy / "refine.json").unlink()
    assert load_pack(copy).refine is None
    assert load_pack(copy).id == default_pack().id
    (copy / "refine.json").write_text(json.dumps(note))
    (copy / "refine.onnx").write_bytes(b"x" * note[REFINE]["bytes"])
    with pytest.raises(CorruptPackError, match=r"refine\.onnx: SHA-256"):
        load_pack(copy).verify()
