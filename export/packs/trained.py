"""`sdz pack`: trained weights -> a pack directory, behind the parity gate.

Takes a folder with `autoencoder/` and `denoiser/` (diffusers layout, safetensors) and the coder's tables. The pack is exact: its int8
graphs give the same bytes on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ...runtime.core import Core
from ...runtime.errors import SdzError
from ...runtime.format.coder_tables import CoderTables
from ...runtime.pack import Pack
from ..commands import failed, parser
from ..models import OneStepDenoiser, TinyAutoencoder
from ..models.autoencoder import PATCH
from ..models.layers import is_calibrated
from .core_parity import check_core_parity
from .core_weights import UnsupportedGraphError, core_weights
from .cost import graph_cost
from .graph import decoder_graph, decoder_table, denoiser_graph, encoder_graph, serialize
from .manifest import Draft, GraphFile, write_pack
from .parity import ParityError, check_parity, gate_photos
from .quantization import QuantizationError, calibrate_ranges, grid_weights, settle_gains
from .refine import curvature_by_channel, refine_graph
from .upper.gains import upper_gains

TINY_WEIGHTS = Path(__file__).parents[1] / "weights" / "tiny"
"""The default pack's trained weights, in half precision."""

TINY_PACK = Path(__file__).parents[2] / "runtime" / "packs" / "tiny"
"""The default pack."""


@dataclass(frozen=True)
class BuiltPack:
    """What `build_pack` made: the pack, the parity gate's figures, whether ranges were fixed after training (no QAT),
    and by network the bytes in which the core was compared with onnxruntime, all equal."""

    pack: Pack
    parity: dict[str, float]
    calibrated: bool
    compared: dict[str, int]


def build_pack(weights: Path, out: Path, coder_table: bytes, *, name: str = "tiny") -> BuiltPack:
    """Write the pack directory `out`, replacing a pack that is there.

    Raises OSError where `weights` lacks a model, QuantizationError for weights that do not fit the integer grids, ParityError if a graph
    or the core does not compute what its network computes, UnsupportedGraphError for a network that the core does not have,
    CorruptPackError for a `coder_table` that `runtime.format.coder` does not read.
    """
    autoencoder = TinyAutoencoder.from_pretrained(weights / "autoencoder", use_safetensors=True, low_cpu_mem_usage=False).eval()
    denoiser = OneStepDenoiser.from_pretrained(weights / "denoiser", use_safetensors=True, low_cpu_mem_usage=False).eval()
    photos = gate_photos()
    calibrated = not (is_calibrated(autoencoder.decoder) and is_calibrated(denoiser))
    if calibrated:
        calibrate_ranges(autoencoder, denoiser, photos)
    settle_gains(autoencoder, decoder_table(autoencoder))
    table = decoder_table(autoencoder)
    assert table.lapping is not None  # of the project's own networks
    stems = (
        grid_weights(autoencoder.decoder.stem, autoencoder.channels, "decoder.stem"),
        grid_weights(denoiser.stem, autoencoder.channels, "denoiser.stem"),
    )
    fp32 = {"denoiser-fp32": denoiser_graph(denoiser, "fp32"), "decoder-fp32": decoder_graph(autoencoder, "fp32")}
    models = fp32 | {
        "encoder": encoder_graph(autoencoder.encoder),
        "denoiser": denoiser_graph(denoiser, "int8"),
        "decoder": decoder_graph(autoencoder, "int8"),
    }
    files = {key: serialize(model) for key, model in models.items()}
    figures = check_parity(autoencoder, denoiser, files, photos)
    l1_limit = min(table.l1_limit, *(stem.l1_limit for stem in stems))
    assert table.factors is not None  # of the project's own networks
    coder = CoderTables.from_bytes(coder_table)
    factors = replace(table.factors, upper=upper_gains() if coder.groups else None)
    core = Core()
    stage = core.linear(factors.to_bytes(), autoencoder.channels, PATCH, table.shift, l1_limit, table.lapping)
    weights_of = {key: core_weights(files[key], autoencoder.channels) for key in ("decoder", "denoiser")}
    compared = {
        key: check_core_parity(files[key], data, autoencoder.channels, l1_limit, core, stage if key == "decoder" else 0)
        for key, data in weights_of.items()
    }
    graphs = {"encoder": GraphFile("encoder.onnx", files["encoder"], graph_cost(models["encoder"]).macs)}
    for key in ("decoder", "denoiser"):
        cost = graph_cost(models[f"{key}-fp32"])
        graphs[key] = GraphFile(f"{key}.int8.onnx", files[key], cost.macs, cost.halo)
        graphs[f"{key}-fp32"] = GraphFile(f"{key}.fp32.onnx", files[f"{key}-fp32"], cost.macs, cost.halo)
    curvature = curvature_by_channel(serialize(refine_graph(autoencoder, denoiser)), autoencoder)
    draft = Draft(
        name=name,
        channels=autoencoder.channels,
        patch=PATCH,
        l1_limit=l1_limit,
        linear=factors,
        linear_shift=table.shift,
        coder=coder_table,
        graphs=graphs,
        core=weights_of,
        denoiser_min_step_index=denoiser.config.min_step_index,
        lapping=table.lapping,
        octaves=autoencoder.octaves,
        refine=serialize(refine_graph(autoencoder, denoiser, curvature)),
    )
    return BuiltPack(write_pack(out, draft), figures, calibrated, compared)


def save_weights(run: Path, out: Path) -> None:
    """Copy a run's two models to `out` in half precision (safetensors, diffusers layout); packs are built from these."""
    for name, kind in (("autoencoder", TinyAutoencoder), ("denoiser", OneStepDenoiser)):
        model = kind.from_pretrained(run / name, use_safetensors=True, low_cpu_mem_usage=False)
        model.half().save_pretrained(out / name)


def main(arguments: list[str]) -> int:
    """`sdz pack`; 0 done, 1 the weights or tables were refused."""
    command = parser("pack", "Build a model pack from trained weights.")
    weights_help = "run directory with autoencoder/ and denoiser/ (default: the built-in pack's weights)"
    command.add_argument("--weights", type=Path, default=TINY_WEIGHTS, metavar="RUN", help=weights_help)
    coder_help = "the coder's tables, of `sdz prime` (default: the built-in pack's)"
    command.add_argument("--coder", type=Path, default=TINY_PACK / "coder.bin", metavar="FILE", help=coder_help)
    command.add_argument("--out", type=Path, default=TINY_PACK, metavar="PACK", help="directory to write (default: the built-in pack's)")
    command.add_argument("--name", default="tiny", help="the pack's name, for people (default: tiny)")
    command.add_argument("--keep-weights", type=Path, metavar="DIR", help="copy the weights there in half precision, build from these")
    options = command.parse_args(arguments)
    weights = options.weights
    try:
        if options.keep_weights is not None:
            save_weights(options.weights, options.keep_weights)
            weights = options.keep_weights
        built = build_pack(weights, options.out, options.coder.read_bytes(), name=options.name)
    except (OSError, QuantizationError, ParityError, UnsupportedGraphError, SdzError) as error:
        return failed("pack", error)
    for figure, value in built.parity.items():
        print(f"{figure:48} {value:.4f}")
    for key, count in built.compared.items():
        print(f"{f'{key}: bytes in which the core is onnxruntime':48} {count}")
    graphs = built.pack.manifest["graphs"]
    for key, entry in graphs.items():
        sizes = f"{entry['bytes']} bytes, {entry['gzip']} gzip, {entry['brotli']} brotli"
        print(f"{key:16} {sizes}, {entry['macs_per_pixel'] / 1000:.1f} kMAC per pixel")
    print(f"pack {built.pack.id.hex()} in {options.out}" + (", ranges calibrated after training" if built.calibrated else ""))
    return 0
