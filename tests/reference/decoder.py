"""A whole file to pixels: what ties the steps of FORMAT.md's ladder together."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .container import Chunk, FormatError, Header, payload_of, read_container
from .indices import IndexTables, KnownIndices, decode_indices
from .lossless import decode_lossless
from .networks import Network, decoded_pixels, denoised
from .pixels import grey_of, linear_pixels, linear_table, read_alpha
from .planes import KnownPlanes, PlaneTables, decode_planes
from .reconstruction import Latents, channel_steps, filled, read_palette, reconstruct, reconstruct_indices
from .regions import read_regions
from .upper import upper_levels


class Pack:
    """What a decoder reads of a pack: its manifest and the files that it names."""

    def __init__(self, pack_id: bytes, manifest: dict[str, Any], files: dict[str, bytes]) -> None:
        self.id, self.manifest, self.files = pack_id, manifest, files
        self.channels, self.patch, self.shift, self.l1_limit = (
            manifest[name] for name in ("channels", "patch", "linear_shift", "l1_limit")
        )
        self.quantizer, self.lapping, self.octaves = manifest.get("quantizer", "planes"), manifest.get("lapping"), manifest.get("octaves")
        self.rho = manifest.get("reconstruction", 0)
        self.linear = linear_table(files["linear"], self.channels, self.patch)

    @functools.cached_property
    def planes(self) -> PlaneTables:
        """Coder tables of bit-planes."""
        return PlaneTables(self.files["coder"])

    @functools.cached_property
    def indices(self) -> IndexTables:
        """Coder tables of a codebook."""
        return IndexTables(self.files["coder"])

    @classmethod
    def of_vectors(cls, folder: Path, quantizer: str) -> Pack:
        """The numbers that the vectors are made with."""
        parameters = (folder / "pack.json").read_bytes()
        octaves = folder / "octaves.json"
        more = {"octaves": json.loads(octaves.read_bytes())} if octaves.exists() and quantizer == "planes" else {}
        manifest = {"patch": 16} | json.loads(parameters) | more | {"quantizer": quantizer}
        files = {name: (folder / f"{name}.bin").read_bytes() for name in ("linear", "coder")}
        return cls(hashlib.sha256(parameters).digest()[:3], manifest, files)

    @classmethod
    def of_folder(cls, folder: Path) -> Pack:
        """A real pack."""
        text = (folder / "manifest.json").read_bytes()
        manifest = json.loads(text)
        named = manifest["tables"] | manifest.get("core", {})
        files = {name: (folder / entry["file"]).read_bytes() for name, entry in named.items()}
        return cls(hashlib.sha256(text).digest()[:3], manifest, files)


@dataclass
class Opened:
    """A file read as far as its latents."""

    header: Header
    chunks: list[Chunk]
    pack: Pack
    known: KnownPlanes | KnownIndices
    alpha: Any

    @property
    def alt(self) -> str | None:
        """Alternative text."""
        found = payload_of(self.chunks, b"T")
        return found[0].decode("utf-8") if found else None

    @functools.cached_property
    def latents(self) -> Latents:
        """What the linear stage and the networks see."""
        pack = self.pack
        if isinstance(self.known, KnownIndices):
            return reconstruct_indices(self.known, pack.indices, pack.l1_limit)
        steps = channel_steps(self.header.step_index, self.header.tilt, pack.octaves, pack.channels)
        return reconstruct(self.known, steps, pack.rho, pack.l1_limit)

    @property
    def is_fine(self) -> bool:
        """Whether the picture has upper functions, and no network runs."""
        return isinstance(self.known, KnownPlanes) and len(self.known.integers) > self.pack.channels

    def _filled(self) -> Any:
        """The values that the linear stage paints when no network follows."""
        if not isinstance(self.known, KnownPlanes) or not self.known.means:
            return self.latents.values
        steps = channel_steps(self.header.step_index, self.header.tilt, self.pack.octaves, self.pack.channels)
        return filled(self.latents, self.known, steps, self.pack.rho, self.pack.planes.mean_fill, self.pack.l1_limit)

    def pixels(self, stage: str, strength: int | None = None) -> Any:
        """uint8 (H, W, n) of a stage, n = 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA; at the file's strength or this."""
        strength = self.header.realism if strength is None else strength
        pack, latents = self.pack, self.latents
        plan = (pack.linear, pack.patch, pack.shift, pack.lapping)
        codes, count = int(latents.precision.sum()), latents.precision.size
        stage = "linear" if self.is_fine or codes > 88 * count else stage
        if stage == "denoised" and strength and count * pack.manifest["denoiser"]["min_step_index"] <= codes:
            latents = denoised(Network(pack.files["denoiser"]), latents, strength, pack.l1_limit)
        more = None
        if self.is_fine:
            assert isinstance(self.known, KnownPlanes)
            more = upper_levels(self.known, pack.planes, self.header.step_index, self.header.tilt, pack.rho, pack.files["linear"])
        whole = linear_pixels(self._filled(), *plan, more) if stage == "linear" else None
        rgb = decoded_pixels(Network(pack.files["decoder"]), latents, *plan) if whole is None else whole
        rgb = rgb[: self.header.height, : self.header.width]
        colour = grey_of(rgb) if self.header.grey else rgb
        return colour if self.alpha is None else np.dstack([colour, self.alpha])

    def exact(self) -> Any:
        """The photo's own rows that there are, uint8 (rows, W, 1 or 3)."""
        width, height, tags = self.header.width, self.header.height, [chunk.tag for chunk in self.chunks]
        latents = b"P" if self.pack.quantizer == "palette" else b"L"
        pack = self.pack
        rgb = linear_pixels(self._filled(), pack.linear, pack.patch, pack.shift, pack.lapping)[:height, :width]
        base = grey_of(rgb) if self.header.grey else rgb
        if b"X" not in tags or latents not in tags[: tags.index(b"X")] or not self.chunks[tags.index(latents)].complete:
            return base[:0]
        tail = self.chunks[tags.index(b"X")]
        return decode_lossless(tail.payload, tail.start, tail.complete, base)


def open_file(data: bytes, pack: Pack) -> Opened:
    """Reads a file with the pack that it was coded with; raises FormatError."""
    header, chunks = read_container(data)
    if header.pack_id != pack.id:
        raise FormatError("MissingPackError")
    if header.tilt and pack.octaves is None:
        raise FormatError("CorruptFileError", 3, "tilt")
    rows, columns = -(-header.height // pack.patch), -(-header.width // pack.patch)
    known: KnownPlanes | KnownIndices
    payload = (payload_of(chunks, b"L") or (b"", 0))[0]
    if pack.quantizer == "indices":
        if header.step_index:
            raise FormatError("CorruptFileError", 7, "step index")
        known = decode_indices(payload, rows, columns, pack.indices)
    elif pack.quantizer == "palette":
        palette = payload_of(chunks, b"P")
        shape = (pack.channels, rows, columns)
        integers = read_palette(*palette, *shape) if palette else np.zeros(shape, np.int32)
        known = KnownPlanes(integers, np.full(shape, 0 if palette else 15), palette is not None)
    else:
        found = payload_of(chunks, b"R")
        regions = read_regions(*found, rows, columns) if found else None
        known = decode_planes(payload, rows, columns, header.step_index, pack.planes, header.tilt, regions)
    alpha = payload_of(chunks, b"A")
    return Opened(header, chunks, pack, known, read_alpha(*alpha, header.width, header.height) if alpha else None)
