"""The shared vectors, run by the Python runtime; `web` runs the same files."""

from __future__ import annotations

import json
import re
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from sdz.runtime.decode import open_latents
from sdz.runtime.format.coder import decoded
from sdz.runtime.format.coder_tables import TableLayout
from sdz.runtime.format.container import parse
from sdz.runtime.format.indices import KnownIndices, entries_of
from sdz.runtime.format.reconstruction import Known

FOLDER = Path(__file__).resolve().parents[1] / "vectors"
sys.path.insert(0, str(FOLDER))

import make  # noqa: E402
import make_fine  # noqa: E402
import make_indices  # noqa: E402
import make_lossless  # noqa: E402

PACK = make.load_pack({path.name: path.read_bytes() for path in (FOLDER / "pack").iterdir()})
PALETTE = make.load_pack({path.name: path.read_bytes() for path in (FOLDER / "pack").iterdir()}, "palette")
PALETTES = sorted(path.stem for path in (FOLDER / "palette").glob("*.sdz"))
VALID = sorted(path.stem for path in (FOLDER / "valid").glob("*.sdz"))
INDICES = make_indices.FOLDER
FINE = sorted(path.stem for path in make_fine.FOLDER.glob("*.sdz"))
FINE_PACK = make_fine.load_pack({path.name: path.read_bytes() for path in (make_fine.FOLDER / "pack").iterdir()})
INVALID = sorted(path.stem for path in (FOLDER / "invalid").glob("*.sdz"))


@pytest.mark.parametrize("name", VALID)
def test_valid(name: str) -> None:
    path = FOLDER / "valid" / name
    expected = json.loads(path.with_suffix(".json").read_bytes())
    assert make.expect_valid(path.with_suffix(".sdz").read_bytes(), PACK) == expected


@pytest.mark.parametrize("name", INVALID)
def test_invalid(name: str) -> None:
    path = FOLDER / "invalid" / name
    expected = json.loads(path.with_suffix(".json").read_bytes())
    assert make.expect_invalid(path.with_suffix(".sdz").read_bytes(), PACK) == expected


@pytest.mark.parametrize("name", FINE)
def test_fine(name: str) -> None:
    path = make_fine.FOLDER / name
    expected = json.loads(path.with_suffix(".json").read_bytes())
    assert make.expect_valid(path.with_suffix(".sdz").read_bytes(), FINE_PACK) == expected


@pytest.mark.parametrize("name", PALETTES)
def test_palette(name: str) -> None:
    path = FOLDER / "palette" / name
    expected = json.loads(path.with_suffix(".json").read_bytes())
    expect = make.expect_invalid if "error" in expected else make.expect_valid
    assert expect(path.with_suffix(".sdz").read_bytes(), PALETTE) == expected


def test_the_golden_files_are_what_the_encoder_writes() -> None:
    """Byte for byte: an encoder that writes anything else writes another format."""
    folders = (FOLDER / kind for kind in ("pack", "valid", "invalid", "palette"))
    committed = {path.relative_to(FOLDER).as_posix(): path.read_bytes() for folder in folders for path in folder.iterdir()}
    made = make.make()
    assert sorted(committed) == sorted(made)
    assert [name for name, data in made.items() if committed[name] != data] == []


def test_the_golden_files_with_a_codebook_are_what_the_encoder_writes() -> None:
    """And what they must give is what the runtime makes of them."""
    committed = {path.relative_to(INDICES).as_posix(): path.read_bytes() for path in INDICES.rglob("*") if path.is_file()}
    made = make_indices.make()
    assert sorted(committed) == sorted(made)
    assert [name for name, data in made.items() if committed[name] != data] == []


def test_the_golden_files_with_a_tail_are_what_the_encoder_writes() -> None:
    """And what they must give is what the runtime makes of them."""
    folder = make_lossless.FOLDER
    committed = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    made = make_lossless.make()
    assert sorted(committed) == sorted(made)
    assert [name for name, data in made.items() if committed[name] != data] == []


def test_the_golden_files_with_upper_functions_are_what_the_encoder_writes() -> None:
    """And what they must give is what the runtime makes of them."""
    committed = {path.relative_to(make_fine.FOLDER).as_posix(): path.read_bytes() for path in make_fine.FOLDER.rglob("*") if path.is_file()}
    made = make_fine.make()
    assert sorted(committed) == sorted(made)
    assert [name for name, data in made.items() if committed[name] != data] == []


def test_a_golden_file_with_upper_functions_decodes_to_its_integers() -> None:
    known = open_latents((make_fine.FOLDER / "plain.sdz").read_bytes(), pack=FINE_PACK).picture.known()
    assert isinstance(known, Known)
    signed = known.magnitude * np.where(known.negative, -1, 1)
    assert np.array_equal(signed, make_fine.make_latents(37, 35, 6, 37 * 7 + 35))
    assert known.complete and not known.plane.any()


def test_a_golden_file_with_a_codebook_decodes_to_its_entries() -> None:
    pack = make_indices.load_pack({path.name: path.read_bytes() for path in (INDICES / "pack").iterdir()})
    known = open_latents((INDICES / "valid" / "plain.sdz").read_bytes(), pack=pack).picture.known()
    assert isinstance(known, KnownIndices)
    assert np.array_equal(entries_of(known, pack.indices), make_indices.make_entries(61, 35))


def test_invalid_files_with_a_codebook_name_the_field() -> None:
    assert json.loads((INDICES / "invalid.json").read_bytes()) == {
        "step-index-8": {"error": "CorruptFileError", "offset": 7, "field": "step index"},
        "tilt-2": {"error": "CorruptFileError", "offset": 3, "field": "tilt"},
        "crc": {"error": "CorruptFileError", "offset": 11, "field": "chunk crc"},
    }


def test_the_example_of_format_md_says_what_its_bytes_decode_to() -> None:
    text = (FOLDER.parents[1] / "FORMAT.md").read_text(encoding="utf-8").partition("## Example")[2].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| (\d+) \| `([0-9A-F ]+)` \|", text)
    data = b""
    for offset, digits in rows:
        assert int(offset) == len(data)
        data += bytes.fromhex(digits)
    assert data == (FOLDER / "valid" / "example.sdz").read_bytes()
    container = parse(data)
    header, first, second = container.header, *container.chunks
    assert (header.width, header.height, header.step_index, header.tilt, header.grey) == (20, 9, 40, 0, False)
    assert [(chunk.tag, chunk.offset, chunk.start, chunk.length) for chunk in (first, second)] == [(b"T", 10, 16, 2), (b"L", 18, 24, 47)]
    for chunk in (first, second):
        assert f"| {zlib.crc32(data[:10] + chunk.tag + chunk.payload):08x}, of bytes" in text
    opened = open_latents(data, pack=PACK)
    known = opened.picture.known()
    assert isinstance(known, Known) and known.complete and not known.plane.any()
    latents = opened.picture.latents()
    signed = np.where(known.negative, -known.magnitude, known.magnitude)
    columns = (signed, latents.values, latents.half_width, latents.levels)
    told = re.findall(r"(?m)^\| (\d+) \| ([^|`]+) \| ([^|`]+) \| ([^|`]+) \| ([^|`]+) \|$", text)
    assert [int(row[0]) for row in told] == np.flatnonzero(signed.any(axis=(1, 2))).tolist() == [0, 1, 3]
    for channel, *cells in told:
        assert [[int(n) for n in cell.split(",")] for cell in cells] == [column[int(channel), 0].tolist() for column in columns]
    assert set(latents.precision.flat) == {40}
    pixels = opened.paint("linear")
    corners = [", ".join(map(str, pixels[0, x].tolist())) for x in (0, -1)]
    assert f"its colour is {corners[0]}." in " ".join(text.split()) and f"top right is {corners[1]}." in " ".join(text.split())
    assert [int(PACK.linear[channel, 0]) for channel in (0, 3, 10, 20)] == [207, 124, -184, 328]
    assert PACK.coder.mean_fill[0, 2] == 10 and PACK.coder.mean_fill[1, 0] == 20


def test_the_first_decisions_of_format_mds_example() -> None:
    text = " ".join((FOLDER.parents[1] / "FORMAT.md").read_text(encoding="utf-8").partition("**The first decisions.**")[2].split())
    data = (FOLDER / "valid" / "example.sdz").read_bytes()[24:]
    tables, first = PACK.coder, TableLayout(PACK.channels, 3).planes
    low, high, code, position = 0, 0xFFFFFFFF, int.from_bytes(data[:4], "big"), 4
    for planes in range(15, 0, -1):
        chance = min(65512, max(24, int(tables.probability[first + 5 + planes])))
        middle = low + ((high - low) * chance >> 16)
        if planes == 15:
            assert f"code = {code:08X}" in text and f"P = {chance}." in text and f">> 16 = {middle:08X}" in text
            assert f"low becomes {middle + 1:08X}." in text
        if code <= middle:
            break
        low = middle + 1
        while not (low ^ high) >> 24:
            low, high = low << 8 & 0xFFFFFFFF, high << 8 & 0xFFFFFFFF | 0xFF
            code, position = code << 8 & 0xFFFFFFFF | data[position], position + 1
    assert (planes, position) == (4, 6)
    assert f"low = {low:08X}, high = {high:08X}, code = {code:08X} (two bytes have been read by then), P = {chance}" in text
    assert f"middle = {middle:08X}, which is not less" in text
    with decoded(tables.stored, data, 1, 2, 40) as (core, picture):
        assert core.facts(picture).passes[0].tolist() == [0, 3, 2 << 4 | 2, 0]
    assert 10 * 3 + int(tables.mean_order[2, 2]) == 52
