"""The slow reference reads every vector to the integers and linear pixels that the runtime gives."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from reference.indices import decode_indices
from reference.pixels import linear_pixels, values_of
from reference.planes import decode_planes

from sdz.runtime.decode import open_latents
from sdz.runtime.format.container import LATENTS
from sdz.runtime.format.indices import KnownIndices
from sdz.runtime.format.linear import linear_stage
from sdz.runtime.format.reconstruction import Known, dequantize

FOLDER = Path(__file__).resolve().parents[1] / "vectors"
sys.path.insert(0, str(FOLDER))

import make  # noqa: E402
import make_indices  # noqa: E402

PACK = make.load_pack({path.name: path.read_bytes() for path in (FOLDER / "pack").iterdir()})
INDEX_PACK = make_indices.load_pack({path.name: path.read_bytes() for path in (make_indices.FOLDER / "pack").iterdir()})


@pytest.mark.parametrize("name", sorted(path.name for path in (FOLDER / "valid").glob("*.sdz")))
def test_planes(name: str) -> None:
    opened = open_latents((FOLDER / "valid" / name).read_bytes(), pack=PACK)
    chunk, header, found = opened.container.find(LATENTS), opened.header, opened.known
    assert isinstance(found, Known)
    rows, columns = found.sides
    payload = b"" if chunk is None else chunk.payload
    known = decode_planes(payload, PACK.channels, rows, columns, header.planes, header.step_index, PACK.coder)
    assert np.array_equal(known.magnitude, found.magnitude) and np.array_equal(known.negative, found.negative)
    assert np.array_equal(known.plane, found.plane) and known.complete == found.complete
    signed = np.where(known.negative, -known.magnitude, known.magnitude)
    values = values_of(signed, known.plane, opened.steps.tolist(), PACK.reconstruction, PACK.l1_limit)
    latents = dequantize(found, opened.steps, PACK.reconstruction, PACK.l1_limit)
    assert np.array_equal(values, latents.values)
    pixels = linear_pixels(values, PACK.linear, PACK.patch, PACK.linear_shift, PACK.lapping)
    assert np.array_equal(pixels, linear_stage(latents.values, PACK.linear, PACK.linear_shift, PACK.lapping))


@pytest.mark.parametrize("name", sorted(path.name for path in (make_indices.FOLDER / "valid").glob("*.sdz")))
def test_indices(name: str) -> None:
    opened = open_latents((make_indices.FOLDER / "valid" / name).read_bytes(), pack=INDEX_PACK)
    chunk, found = opened.container.find(LATENTS), opened.known
    assert isinstance(found, KnownIndices)
    known = decode_indices(b"" if chunk is None else chunk.payload, *found.sides, INDEX_PACK.indices)
    assert np.array_equal(known.node, found.node) and known.complete == found.complete
