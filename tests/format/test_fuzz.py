"""Bounded fuzzing on every run: whatever the bytes, an image or one typed error, in bounded memory."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from standins import StandInPack

from sdz.runtime import limits
from sdz.runtime.decode import decode
from sdz.runtime.errors import CorruptFileError, SdzError
from sdz.runtime.format.container import FLAG_ALONE, Chunk, Container, Header, parse, serialize
from sdz.runtime.format.planes import decode_planes

FOLDER = Path(__file__).resolve().parents[1] / "vectors"
sys.path.insert(0, str(FOLDER))

import make_indices  # noqa: E402

SEEDS = [path.read_bytes() for path in sorted(FOLDER.glob("*/*.sdz")) if path.stat().st_size < 1000]
PACK = StandInPack()
CODEBOOK = make_indices.load_pack({path.name: path.read_bytes() for path in (make_indices.FOLDER / "pack").iterdir()})

edits = st.lists(
    st.tuples(st.integers(0, 999), st.sampled_from(["set", "insert", "delete", "cut"]), st.binary(min_size=1, max_size=6)), max_size=6
)


def edited(data: bytes, changes: list[tuple[int, str, bytes]]) -> bytes:
    for position, kind, piece in changes:
        at = position % (len(data) + 1)
        skipped = {"set": len(piece), "insert": 0, "delete": len(piece), "cut": len(data)}[kind]
        data = data[:at] + (piece if kind in ("set", "insert") else b"") + data[at + skipped :]
    return data


@settings(max_examples=400)
@given(st.sampled_from(SEEDS), edits)
@example(serialize(Header(2, 38, 72, PACK.id), [Chunk(b"L", b"")])[:10], [])
def test_edited_files_parse_or_fail_with_one_typed_error(seed: bytes, changes: list[tuple[int, str, bytes]]) -> None:
    data = edited(seed, changes)
    try:
        container = parse(data)
    except SdzError as error:
        assert "\n" not in str(error)
        return
    assert 1 <= container.header.width <= limits.MAX_SIDE and 1 <= container.header.height <= limits.MAX_SIDE
    assert sum(len(chunk.payload) for chunk in container.chunks) < len(data)
    # a header that promises latents and nothing else, and ends there, is the beginning of a file
    begun = not container.chunks and data[7] & FLAG_ALONE
    if not begun and all(chunk.complete for chunk in container.chunks):
        assert serialize(container.header, container.chunks) == data


@settings(max_examples=150)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 80), st.booleans(), st.binary(max_size=300))
@example(1, 1, 80, True, b"\xff" * 300)
def test_any_payload_decodes(width: int, height: int, step: int, grey: bool, payload: bytes) -> None:
    data = serialize(Header(width, height, step, PACK.id, grey), [Chunk(b"L", payload)])
    assert decode(data, pack=PACK, stage="linear").pixels.shape == (height, width, 1 if grey else 3)


@settings(max_examples=60)
@given(st.integers(0, 80), st.binary(min_size=1, max_size=120), st.data())
def test_a_longer_prefix_never_knows_less(step: int, payload: bytes, data: st.DataObject) -> None:
    short = payload[: data.draw(st.integers(0, len(payload)))]
    less, more = (decode_planes(part, 4, 2, 3, step, PACK.coder) for part in (short, payload))
    assert (more.plane <= less.plane).all()
    assert (more.magnitude >> less.plane == less.magnitude >> less.plane).all()
    assert (more.negative == less.negative)[less.magnitude > 0].all()


@pytest.mark.parametrize("name", sorted(path.stem for path in (FOLDER / "valid").glob("*.json")))
def test_a_container_survives_its_own_serialization(name: str) -> None:
    container = parse((FOLDER / "valid" / f"{name}.sdz").read_bytes())
    whole = [chunk for chunk in container.chunks if chunk.complete]
    again = parse(serialize(container.header, whole))
    assert isinstance(again, Container)
    assert again.header == container.header
    assert [(c.tag, c.payload) for c in again.chunks] == [(c.tag, c.payload) for c in whole]
    assert json.loads((FOLDER / "valid" / f"{name}.json").read_bytes())["header"]["width"] == again.header.width


@settings(max_examples=100)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 1), st.booleans(), st.binary(max_size=120))
@example(60, 60, 0, False, b"\xff" * 120)
def test_any_payload_of_a_pack_with_a_codebook_decodes(width: int, height: int, step: int, grey: bool, payload: bytes) -> None:
    data = serialize(Header(width, height, step, CODEBOOK.id, grey), [Chunk(b"L", payload)])
    if step:
        with pytest.raises(CorruptFileError, match="it must be 0"):
            decode(data, pack=CODEBOOK, stage="linear")
    else:
        assert decode(data, pack=CODEBOOK, stage="linear").pixels.shape == (height, width, 1 if grey else 3)
