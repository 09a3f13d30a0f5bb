"""The second decoder, written from FORMAT.md alone, gives every vector's integers and pixels, and refuses what must be refused."""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference.container import Chunk, FormatError, Header
from reference.decoder import Opened, Pack, open_file
from reference.indices import KnownIndices

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests" / "vectors"
MAY_IMPORT = {"__future__", "bisect", "dataclasses", "functools", "hashlib", "itertools", "json", "math", "pathlib", "struct", "typing"}
MAY_IMPORT |= {"numpy", "zlib"}
PLANES, PALETTE = (Pack.of_vectors(VECTORS / "pack", quantizer) for quantizer in ("planes", "palette"))
FINE = Pack.of_vectors(VECTORS / "fine" / "pack", "planes")
INDICES = Pack.of_vectors(VECTORS / "indices" / "pack", "indices")


def digest(*arrays: Any) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def files(*folders: str) -> list[str]:
    return sorted(f"{folder}/{path.stem}" for folder in folders for path in (VECTORS / folder).glob("*.sdz"))


def as_told(header: Header) -> dict[str, Any]:
    """The header as a vector's JSON has it."""
    names = {"step_index": "stepIndex", "size": "bytes"}
    told = {names.get(name, name): value for name, value in asdict(header).items() if name not in ("pack_id", "alone")}
    return told | {"packId": header.pack_id.hex()}


def chunk_as_told(chunk: Chunk) -> dict[str, Any]:
    tag = chunk.tag.decode("latin-1")
    return {"tag": tag, "offset": chunk.offset, "start": chunk.start, "bytes": len(chunk.payload), "complete": chunk.complete}


def latents_of(opened: Opened) -> str:
    latents = opened.latents
    return digest(*(array.astype("<i4") for array in (latents.values, latents.levels, latents.precision, latents.half_width)))


def error_of(data: bytes, pack: Pack) -> dict[str, Any]:
    with pytest.raises(FormatError) as caught:
        open_file(data, pack)
    told = {"error": caught.value.name, "offset": caught.value.offset, "field": caught.value.field}
    return {name: value for name, value in told.items() if value is not None}


@pytest.mark.parametrize("name", files("valid", "invalid", "palette", "fine"))
def test_every_vector(name: str) -> None:
    expected = json.loads((VECTORS / f"{name}.json").read_bytes())
    data, pack = (VECTORS / f"{name}.sdz").read_bytes(), {"palette": PALETTE, "fine": FINE}.get(name.partition("/")[0], PLANES)
    if "error" in expected:
        assert error_of(data, pack) == expected
        return
    opened = open_file(data, pack)
    known = opened.known
    assert not isinstance(known, KnownIndices)
    pixels = opened.pixels("linear")
    found = {
        "header": as_told(opened.header),
        "chunks": [chunk_as_told(chunk) for chunk in opened.chunks],
        "alt": opened.alt,
        "alpha": None if opened.alpha is None else digest(opened.alpha),
        "known": {
            "complete": known.complete,
            "sha256": digest(abs(known.integers).astype("<i4"), known.integers < 0, known.plane.astype(np.uint8)),
        },
        "latents": latents_of(opened),
        "linear": digest(pixels),
    }
    assert found == expected


@pytest.mark.parametrize("name", files("indices/valid"))
def test_every_vector_with_a_codebook(name: str) -> None:
    expected = json.loads((VECTORS / "indices" / "valid.json").read_bytes())[Path(name).name]
    opened = open_file((VECTORS / f"{name}.sdz").read_bytes(), INDICES)
    known = opened.known
    assert isinstance(known, KnownIndices)
    held = INDICES.indices.entries
    entries = [held[node][0] if held[node][1] == 1 else -1 for node in known.node.flat]
    found = {
        "known": {
            "complete": known.complete,
            "entries": digest(np.array(entries, "<i4")),
            "nodes": digest(known.node.astype("<i4")),
        },
        "latents": latents_of(opened),
        "linear": digest(opened.pixels("linear")),
    }
    assert found == expected


@pytest.mark.parametrize("name", files("indices/invalid"))
def test_every_vector_with_a_codebook_that_must_be_refused(name: str) -> None:
    expected = json.loads((VECTORS / "indices" / "invalid.json").read_bytes())[Path(name).name]
    assert error_of((VECTORS / f"{name}.sdz").read_bytes(), INDICES) == expected


@pytest.mark.parametrize("name", files("lossless/valid"))
def test_every_vector_with_a_tail(name: str) -> None:
    expected = json.loads((VECTORS / "lossless" / "valid.json").read_bytes())[Path(name).name]
    exact = open_file((VECTORS / f"{name}.sdz").read_bytes(), PALETTE if name.endswith("of-a-palette") else PLANES).exact()
    assert {"rows": len(exact), "sha256": digest(exact)} == expected


@pytest.mark.parametrize("name", files("lossless/invalid"))
def test_every_vector_whose_tail_must_be_refused(name: str) -> None:
    expected = json.loads((VECTORS / "lossless" / "invalid.json").read_bytes())[Path(name).name]
    with pytest.raises(FormatError) as caught:
        open_file((VECTORS / f"{name}.sdz").read_bytes(), PLANES).exact()
    assert {"error": caught.value.name, "offset": caught.value.offset, "field": caught.value.field} == expected


def test_the_default_packs_pixels_at_every_stage() -> None:
    """The networks too: their arithmetic is in FORMAT.md."""
    expected = json.loads((VECTORS / "tiny" / "chelsea.json").read_bytes())
    opened = open_file((VECTORS / "tiny" / "chelsea.sdz").read_bytes(), Pack.of_folder(ROOT / "runtime" / "packs" / "tiny"))
    assert {stage: digest(opened.pixels(stage)) for stage in expected} == expected


def test_it_is_nobodys_twin() -> None:
    """It imports the standard library and numpy, nothing of sdz and no compiler, and stays small."""
    folder = ROOT / "tests" / "reference"
    lines = 0
    for path in folder.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        lines += len(text.splitlines())
        for node in ast.walk(ast.parse(text)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names.append(node.module or "")
            assert {name.partition(".")[0] for name in names} <= MAY_IMPORT, path.name
    assert lines < 1_900
