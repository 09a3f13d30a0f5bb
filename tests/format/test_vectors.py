"""The shared vectors, run by the Python runtime; `web` runs the same files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from sdz.runtime.decode import open_latents
from sdz.runtime.format.indices import KnownIndices, entries_of

FOLDER = Path(__file__).resolve().parents[1] / "vectors"
sys.path.insert(0, str(FOLDER))

import make  # noqa: E402
import make_indices  # noqa: E402

PACK = make.load_pack({path.name: path.read_bytes() for path in (FOLDER / "pack").iterdir()})
PALETTE = make.load_pack({path.name: path.read_bytes() for path in (FOLDER / "pack").iterdir()}, "palette")
PALETTES = sorted(path.stem for path in (FOLDER / "palette").glob("*.sdz"))
VALID = sorted(path.stem for path in (FOLDER / "valid").glob("*.sdz"))
INDICES = make_indices.FOLDER
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


def test_a_golden_file_with_a_codebook_decodes_to_its_entries() -> None:
    pack = make_indices.load_pack({path.name: path.read_bytes() for path in (INDICES / "pack").iterdir()})
    known = open_latents((INDICES / "valid" / "plain.sdz").read_bytes(), pack=pack).known
    assert isinstance(known, KnownIndices)
    assert np.array_equal(entries_of(known, pack.indices), make_indices.make_entries(61, 35))


def test_invalid_files_with_a_codebook_name_the_field() -> None:
    assert json.loads((INDICES / "invalid.json").read_bytes()) == {
        "step-index-8": {"error": "CorruptFileError", "offset": 9, "field": "step index"},
        "planes-3": {"error": "CorruptFileError", "offset": 10, "field": "planes"},
        "both": {"error": "CorruptFileError", "offset": 9, "field": "step index"},
        "tilt-2": {"error": "CorruptFileError", "offset": 8, "field": "tilt"},
        "crc": {"error": "CorruptFileError", "offset": 15, "field": "chunk crc"},
    }
