"""A pack's directory: the one place that writes a manifest and the files it lists.

Takes a `Draft`, whatever built it, and writes a directory as `runtime.pack` reads it. The directory appears only when everything in it
was read back and its digests were verified.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import brotli
import numpy as np
from numpy.typing import NDArray

from ...runtime.format.separable import SeparableTable
from ...runtime.format.tiles import Tiling
from ...runtime.pack import FORMAT, ID_BYTES, MANIFEST, PLANES, REFINE, REFINE_NOTE, Pack, load_pack
from ..models.autoencoder import GRID
from ..models.truncation import RECONSTRUCTION

MODEL_CARD: Final = "README.md"
"""The one file of a pack that people write; a rebuilt pack keeps it."""

RECONSTRUCTION_UNITS: Final = 16
"""The manifest states the reconstruction point in sixteenths of the unknown interval."""

RECONSTRUCTION_POINT: Final = round(RECONSTRUCTION * RECONSTRUCTION_UNITS)

LARGE: Final = 16_000_000
"""Bytes from which graphs are compressed with less effort: minutes, for weights that hardly compress."""


@dataclass(frozen=True)
class GraphFile:
    """A graph of a pack: its file's name and content, `macs` multiply-accumulates per pixel of the picture, and `halo`, latent positions
    of receptive field on each side (0: not known, or tiled with an overlap), None of an encoder, which has none in the manifest."""

    file: str
    data: bytes
    macs: float
    halo: int | None = None


@dataclass(frozen=True)
class Draft:
    """What a pack consists of. `linear` int16 (C, 3 patch patch), or its factors, `coder` the table's bytes; `graphs` by name;
    `core`: the exact core's weights by network, none where it does not compute the graphs;
    `about`: what no decoder reads; `refine`: the encoder's graph for effort, which is no part of the manifest. The others as FORMAT.md has
    the manifest's fields; None and defaults are left out of it."""

    name: str
    channels: int
    patch: int
    l1_limit: int
    linear: NDArray[np.int16] | SeparableTable
    linear_shift: int
    coder: bytes
    graphs: Mapping[str, GraphFile]
    core: Mapping[str, bytes] = field(default_factory=dict)
    denoiser_min_step_index: int | None = None
    lapping: NDArray[np.int32] | None = None
    octaves: list[int] | None = None
    exact: bool = True
    quantizer: str = PLANES
    tiling: Tiling | None = None
    encoder_tiling: Tiling | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    refine: bytes | None = None

    def tables(self) -> dict[str, tuple[str, bytes]]:
        """File and content of each table by its name in a manifest."""
        linear = self.linear.to_bytes() if isinstance(self.linear, SeparableTable) else self.linear.astype("<i2").tobytes()
        return {"linear": ("linear.bin", linear), "coder": ("coder.bin", self.coder)}

    def core_files(self) -> dict[str, tuple[str, bytes]]:
        """File and content of the core's weights by network."""
        return {key: (f"{key}.core.bin", data) for key, data in self.core.items()}

    def manifest(self) -> dict[str, Any]:
        """The manifest's fields."""
        out: dict[str, Any] = {
            "format": FORMAT,
            "name": self.name,
            "channels": self.channels,
            "patch": self.patch,
            "grid": GRID,
            "reconstruction": RECONSTRUCTION_POINT,
            "l1_limit": self.l1_limit,
            "linear_shift": self.linear_shift,
            "halo": {key: self.graphs[key].halo for key in ("decoder", "denoiser") if key in self.graphs},
            "tables": {key: _table_entry(file, data) for key, (file, data) in self.tables().items()},
            "graphs": {key: _graph_entry(graph) for key, graph in self.graphs.items()},
        }
        if self.core:
            out["core"] = {key: _table_entry(file, data) for key, (file, data) in self.core_files().items()}
        if self.denoiser_min_step_index is not None:
            out["denoiser"] = {"min_step_index": self.denoiser_min_step_index}
        if self.lapping is not None:
            out["lapping"] = self.lapping.tolist()
        if self.octaves is not None:
            out["octaves"] = self.octaves
        if not self.exact:
            out["exact"] = False
        if self.quantizer != PLANES:
            out["quantizer"] = self.quantizer
        for name, tiling in (("tiling", self.tiling), ("encoder_tiling", self.encoder_tiling)):
            if tiling is not None:
                out[name] = {"whole": tiling.whole, "overlap": tiling.overlap}
        return out | dict(self.about)


def write_pack(out: Path, draft: Draft) -> Pack:
    """Write the pack directory `out`, replacing a pack that is there but for its README.md, and return it. Raises CorruptPackError."""
    contents = {graph.file: graph.data for graph in draft.graphs.values()}
    contents |= dict(draft.tables().values()) | dict(draft.core_files().values())
    contents[MANIFEST] = _json(draft.manifest())
    if draft.refine is not None:
        file = f"{REFINE}.onnx"
        pack_id = hashlib.sha256(contents[MANIFEST]).digest()[:ID_BYTES].hex()
        contents |= {file: draft.refine, REFINE_NOTE: _json({"pack": pack_id, REFINE: _table_entry(file, draft.refine)})}
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as room:
        fresh, old = Path(room) / "new", Path(room) / "old"
        fresh.mkdir()
        for file, data in contents.items():
            (fresh / file).write_bytes(data)
        if (out / MODEL_CARD).exists():
            (fresh / MODEL_CARD).write_bytes((out / MODEL_CARD).read_bytes())
        load_pack(fresh).verify()
        if out.exists():
            out.rename(old)
        fresh.rename(out)
    return load_pack(out)


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, sort_keys=True, separators=(",", ":")) + "\n").encode()


def _table_entry(file: str, data: bytes) -> dict[str, Any]:
    return {"file": file, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def _graph_entry(graph: GraphFile) -> dict[str, Any]:
    """With its compressed sizes: a visitor's download."""
    quality = 11 if len(graph.data) <= LARGE else 5
    compressed = {
        "gzip": len(gzip.compress(graph.data, min(quality, 9), mtime=0)),
        "brotli": len(brotli.compress(graph.data, quality=quality)),
    }
    return _table_entry(graph.file, graph.data) | compressed | {"macs_per_pixel": round(graph.macs)}
