"""`python -m export pack`: trained weights -> a pack directory, behind the parity gate.

Takes a folder with `autoencoder/` and `denoiser/` (diffusers layout, safetensors) and the coder's tables, and hands on a directory with
`manifest.json`, tables and single-file graphs as `runtime.pack` reads them. The directory appears only when everything in it was checked.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import math
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import brotli
import onnx
from onnx import shape_inference

from ...runtime.errors import SdzError
from ...runtime.pack import FORMAT, MANIFEST, Pack, load_pack
from ..models import OneStepDenoiser, TinyAutoencoder
from ..models.autoencoder import GRID, PATCH
from ..models.truncation import RECONSTRUCTION
from .graph import decoder_graph, decoder_table, denoiser_graph, encoder_graph, serialize
from .parity import ParityError, check_parity, gate_photos
from .quantization import QuantizationError, calibrate, grid_weights, is_calibrated, settle_gains

TINY_WEIGHTS = Path(__file__).parents[1] / "weights" / "tiny"
"""The default pack's trained weights, in half precision."""

TINY_PACK = Path(__file__).parents[2] / "runtime" / "packs" / "tiny"
"""The default pack."""

MODEL_CARD = "README.md"
"""The one file of a pack that people write; a rebuilt pack keeps it."""

RECONSTRUCTION_UNITS = 16
"""The manifest states the reconstruction point in sixteenths of the unknown interval."""

PROBE = 16
"""Latent positions along each side of the image on which operations are counted."""


LARGE = 16_000_000
"""Bytes from which graphs are compressed with less effort: minutes, for weights that hardly compress."""


@dataclass(frozen=True)
class BuiltPack:
    """What `build_pack` made: the pack, the parity gate's figures, and whether ranges were fixed after training (no QAT)."""

    pack: Pack
    parity: dict[str, float]
    calibrated: bool


@dataclass(frozen=True)
class Cost:
    """`macs`: multiply-accumulates per pixel of the image; `halo`: latent positions of receptive field on each side."""

    macs: float
    halo: int


def build_pack(weights: Path, out: Path, coder_table: bytes, *, name: str = "tiny") -> BuiltPack:
    """Write the pack directory `out`, replacing a pack that is there.

    Raises OSError where `weights` lacks a model, QuantizationError for weights that do not fit the integer grids, ParityError if a graph
    does not compute what its network computes, CorruptPackError for a `coder_table` that `runtime.format.coder` does not read.
    """
    autoencoder = TinyAutoencoder.from_pretrained(weights / "autoencoder", use_safetensors=True, low_cpu_mem_usage=False).eval()
    denoiser = OneStepDenoiser.from_pretrained(weights / "denoiser", use_safetensors=True, low_cpu_mem_usage=False).eval()
    photos = gate_photos()
    calibrated = not (is_calibrated(autoencoder.decoder) and is_calibrated(denoiser))
    if calibrated:
        calibrate(autoencoder, denoiser, photos)
    settle_gains(autoencoder, decoder_table(autoencoder))
    table = decoder_table(autoencoder)
    assert table.lapping is not None  # of the project's own networks
    stems = (
        grid_weights(autoencoder.decoder.stem, autoencoder.channels, "decoder.stem"),
        grid_weights(denoiser.stem, autoencoder.channels, "denoiser.stem"),
    )
    exact = {"denoiser-fp32": denoiser_graph(denoiser, "fp32"), "decoder-fp32": decoder_graph(autoencoder, "fp32")}
    models = exact | {
        "encoder": encoder_graph(autoencoder.encoder),
        "denoiser-int8": denoiser_graph(denoiser, "int8"),
        "decoder-int8": decoder_graph(autoencoder, "int8"),
        "denoiser-fp16": denoiser_graph(denoiser, "fp16"),
        "decoder-fp16": decoder_graph(autoencoder, "fp16"),
    }
    files = {key: serialize(model) for key, model in models.items()}
    figures = check_parity(autoencoder, denoiser, files, photos)
    costs = {key: graph_cost(models[f"{key}-fp32"]) for key in ("denoiser", "decoder")}
    encoder_cost = graph_cost(models["encoder"])
    kept = {
        "encoder": ("encoder.onnx", files["encoder"], encoder_cost),
        "decoder": ("decoder.int8.onnx", files["decoder-int8"], costs["decoder"]),
        "denoiser": ("denoiser.int8.onnx", files["denoiser-int8"], costs["denoiser"]),
        "decoder-fp32": ("decoder.fp32.onnx", files["decoder-fp32"], costs["decoder"]),
        "denoiser-fp32": ("denoiser.fp32.onnx", files["denoiser-fp32"], costs["denoiser"]),
    }
    linear = table.weight.T.astype("<i2").tobytes()
    tables = {"linear": ("linear.bin", linear), "coder": ("coder.bin", coder_table)}
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "channels": autoencoder.channels,
        "patch": PATCH,
        "grid": GRID,
        "reconstruction": round(RECONSTRUCTION * RECONSTRUCTION_UNITS),
        "l1_limit": min(table.l1_limit, *(stem.l1_limit for stem in stems)),
        "linear_shift": table.shift,
        "denoiser": {"min_step_index": denoiser.config.min_step_index},
        "halo": {key: cost.halo for key, cost in costs.items()},
        "lapping": table.lapping.tolist(),
        "octaves": autoencoder.octaves,
        "tables": {key: table_entry(file, data) for key, (file, data) in tables.items()},
        "graphs": {key: graph_entry(file, data, cost.macs) for key, (file, data, cost) in kept.items()},
    }
    contents = {file: data for file, data, _ in kept.values()} | dict(tables.values())
    contents[MANIFEST] = (json.dumps(manifest, sort_keys=True, separators=(",", ":")) + "\n").encode()
    write_folder(out, contents)
    return BuiltPack(load_pack(out), figures, calibrated)


def graph_cost(model: onnx.ModelProto, patch: int = PATCH) -> Cost:
    """Counted over the convolutions and matrix products of a graph in ONNX's own operators, whose sizes are free in height and width."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    for value in probe.graph.input:
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_value = PROBE if dimension.dim_param in ("h", "w") else PROBE * patch
    for value in probe.graph.output:
        value.type.tensor_type.ClearField("shape")
    graph = shape_inference.infer_shapes(probe, strict_mode=True, data_prop=True).graph
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*graph.value_info, *graph.input, *graph.output)}
    shapes |= {constant.name: list(constant.dims) for constant in graph.initializer}
    macs, reach = 0, 0.0
    for node in graph.node:
        if node.op_type == "Conv":
            _, inputs, height, width = shapes[node.input[1]]
            output = shapes[node.output[0]]
            macs += math.prod(output) * inputs * height * width
            reach += (height // 2) * PROBE / output[2]
        elif node.op_type == "MatMul":
            macs += math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    return Cost(macs / (PROBE * patch) ** 2, math.ceil(reach))


def table_entry(file: str, data: bytes) -> dict[str, Any]:
    """What a manifest says of a file."""
    return {"file": file, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def graph_entry(file: str, data: bytes, macs: float) -> dict[str, Any]:
    """What a manifest says of a graph; its compressed sizes are a visitor's download."""
    quality = 11 if len(data) <= LARGE else 5
    sizes = {"gzip": len(gzip.compress(data, min(quality, 9), mtime=0)), "brotli": len(brotli.compress(data, quality=quality))}
    return table_entry(file, data) | sizes | {"macs_per_pixel": round(macs)}


def write_folder(out: Path, contents: dict[str, bytes]) -> None:
    """Write a directory under a temporary name, read it back as a pack, then put it in its place."""
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


def save_weights(run: Path, out: Path) -> None:
    """Copy a run's two models to `out` in half precision (safetensors, diffusers layout); packs are built from these."""
    for name, kind in (("autoencoder", TinyAutoencoder), ("denoiser", OneStepDenoiser)):
        model = kind.from_pretrained(run / name, use_safetensors=True, low_cpu_mem_usage=False)
        model.half().save_pretrained(out / name)


def main(arguments: list[str]) -> int:
    """`python -m export pack`; 0 done, 1 the weights or tables were refused."""
    command = argparse.ArgumentParser(prog="python -m export pack", description="Build a model pack from trained weights.")
    command.add_argument("--weights", type=Path, default=TINY_WEIGHTS, metavar="RUN", help="directory with autoencoder/ and denoiser/")
    command.add_argument("--coder", type=Path, default=TINY_PACK / "coder.bin", metavar="FILE", help="tables of `python -m export prime`")
    command.add_argument("--out", type=Path, default=TINY_PACK, metavar="PACK", help="directory to write (default: the built-in pack)")
    command.add_argument("--name", default="tiny")
    command.add_argument("--keep-weights", type=Path, metavar="DIR", help="copy the weights there in half precision, build from these")
    options = command.parse_args(arguments)
    weights = options.weights
    try:
        if options.keep_weights is not None:
            save_weights(options.weights, options.keep_weights)
            weights = options.keep_weights
        built = build_pack(weights, options.out, options.coder.read_bytes(), name=options.name)
    except (OSError, QuantizationError, ParityError, SdzError) as error:
        print(f"python -m export pack: {error}", file=sys.stderr)
        return 1
    for figure, value in built.parity.items():
        print(f"{figure:48} {value:.4f}")
    graphs = built.pack.manifest["graphs"]
    for key, entry in graphs.items():
        sizes = f"{entry['bytes']} bytes, {entry['gzip']} gzip, {entry['brotli']} brotli"
        print(f"{key:16} {sizes}, {entry['macs_per_pixel'] / 1000:.1f} kMAC per pixel")
    print(f"pack {built.pack.id.hex()} in {options.out}" + (", ranges calibrated after training" if built.calibrated else ""))
    return 0
