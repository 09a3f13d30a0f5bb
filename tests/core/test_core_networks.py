"""The exact core's networks against onnxruntime: every layer, 0 differing bytes; what the converter and the core refuse."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from networks import CHANNELS, small_networks
from onnx import numpy_helper

from sdz.export.models import LightDecoder
from sdz.export.models.layers import freeze_ranges, set_quantization
from sdz.export.packs.core_parity import check_core_parity
from sdz.export.packs.core_weights import UnsupportedGraphError, core_weights
from sdz.export.packs.graph import decoder_graph, decoder_table, denoiser_graph, serialize
from sdz.export.packs.parity import ParityError
from sdz.runtime.core import Core
from sdz.runtime.errors import CoreError, CorruptPackError

L1_LIMIT = 20_000


@pytest.fixture(scope="module")
def graphs() -> dict[str, bytes]:
    autoencoder, denoiser = small_networks()
    return {"decoder": serialize(decoder_graph(autoencoder, "int8")), "denoiser": serialize(denoiser_graph(denoiser, "int8"))}


def linear_stage(core: Core) -> int:
    table = decoder_table(small_networks()[0])
    return core.linear(np.ascontiguousarray(table.weight.T).astype("<i2").tobytes(), CHANNELS, 16, table.shift, L1_LIMIT, table.lapping)


def test_every_layer_is_onnxruntimes(graphs: dict[str, bytes]) -> None:
    core = Core()
    linear = linear_stage(core)
    held = core.held()
    compared = [
        check_core_parity(graph, core_weights(graph, CHANNELS), CHANNELS, L1_LIMIT, core, linear if name == "decoder" else 0)
        for name, graph in graphs.items()
    ]
    assert min(compared) > 100_000 and core.held() == held


@pytest.mark.parametrize("patch", [4, 8])
def test_light_decoders_of_blocks_that_stand_alone(patch: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        widths, blocks = {4: ((8,), (2,)), 8: ((8, 16), (1, 1))}[patch]
        model = LightDecoder(5, patch, widths, blocks).eval()
        torch.nn.init.normal_(model.decoder.head.conv.weight, std=0.1)
        for _, name in model.decoder.stages:
            for block in model.decoder.get_submodule(name):  # type: ignore[union-attr]
                torch.nn.init.normal_(block.conv2.conv.weight, std=0.2)
        torch.nn.init.normal_(model.decoder.linear.gain, std=0.3)
        set_quantization(model, enabled=False, observe=True)
        with torch.no_grad():
            model.decode(torch.randn(1, 5, 9, 7) * 200, torch.full((1, 5, 9, 7), 40.0))
        freeze_ranges(model)
    table = decoder_table(model)
    graph = serialize(decoder_graph(model, "int8"))
    core = Core()
    limit = min(table.l1_limit, L1_LIMIT)
    stage = core.linear(np.ascontiguousarray(table.weight.T).astype("<i2").tobytes(), 5, patch, table.shift, limit, None)
    assert check_core_parity(graph, core_weights(graph, 5), 5, limit, core, stage) > 50_000


def test_a_difference_is_found_and_named(graphs: dict[str, bytes]) -> None:
    weights = bytearray(core_weights(graphs["denoiser"], CHANNELS))
    weights[-40] ^= 1
    with pytest.raises(ParityError, match=r"the core differs from onnxruntime in \d+ bytes of node '\w+' \(QLinearConv\)"):
        check_core_parity(graphs["denoiser"], bytes(weights), CHANNELS, L1_LIMIT, Core())


def changed(graph: bytes, kind: str, change: str) -> tuple[bytes, str]:
    """The graph with its first node of that kind spoilt, and the node's name."""
    model = onnx.load_from_string(graph)
    node = next(node for node in model.graph.node if node.op_type == kind)
    if change == "attribute":
        node.attribute.append(onnx.helper.make_attribute("group", 2))
    elif change == "operator":
        node.op_type = "QLinearAdd"
    else:
        constants = {t.name: t for t in model.graph.initializer}
        index = int(change)
        value = numpy_helper.to_array(constants[node.input[index]]).copy()
        spoilt = numpy_helper.from_array((value * 3).astype(value.dtype), "spoilt")
        model.graph.initializer.append(spoilt)
        node.input[index] = "spoilt"
    return model.SerializeToString(), node.name


@pytest.mark.parametrize(
    ("kind", "change", "why"),
    [
        ("QLinearConv", "attribute", "has the attributes"),
        ("QLinearConv", "operator", "is not the QLinearConv expected there"),
        ("QLinearConv", "1", "has a scale that is not a power of two"),
        ("QuantizeLinear", "1", "has a scale that is not a power of two"),
        ("DequantizeLinear", "1", "has a scale that is not a power of two"),
        ("Add", "operator", "is not the Add expected there"),
    ],
)
@pytest.mark.parametrize("name", ["decoder", "denoiser"])
def test_other_graphs_are_refused_with_the_nodes_name(graphs: dict[str, bytes], name: str, kind: str, change: str, why: str) -> None:
    graph, node = changed(graphs[name], kind, change)
    with pytest.raises(UnsupportedGraphError, match=f"node '{node}'.* {why}"):
        core_weights(graph, CHANNELS)


def test_graphs_of_other_inputs_are_refused() -> None:
    from sdz.export.packs.graph import encoder_graph

    with pytest.raises(UnsupportedGraphError, match="its inputs are pixels"):
        core_weights(serialize(encoder_graph(small_networks()[0].encoder)), CHANNELS)


def test_fp32_graphs_are_refused() -> None:
    with pytest.raises(UnsupportedGraphError, match="expected there"):
        core_weights(serialize(decoder_graph(small_networks()[0], "fp32")), CHANNELS)


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        (slice(0, 4), b"sdzM", "do not begin with 'sdzN'"),
        (slice(4, 5), b"\2", "do not begin with 'sdzN'"),
        (slice(5, 6), b"\3", "does not fit"),
        (slice(6, 7), b"\0", "does not fit"),
        (slice(7, 8), b"\1", "does not fit"),
        (slice(8, 9), b"\1", "layer 0 does not fit"),
        (slice(-1, None), b"", "end too early or too late"),
        (slice(12, 16), struct.pack("<f", float("nan")), "layer 0 has a scale that is out of range"),
        (slice(12, 16), struct.pack("<f", -1.0), "layer 0 has a scale that is out of range"),
        (slice(12 + 64, 16 + 64), struct.pack("<i", 2**31 - 1), "layer 0 can sum beyond"),
    ],
)
def test_bad_weights_are_refused(graphs: dict[str, bytes], place: slice, value: bytes, problem: str) -> None:
    weights = bytearray(core_weights(graphs["decoder"], CHANNELS))
    weights[place] = value
    core = Core()
    with pytest.raises(CorruptPackError, match=problem):
        core.network(bytes(weights), L1_LIMIT)
    assert core.held() == 0
    assert core.network(core_weights(graphs["decoder"], CHANNELS), L1_LIMIT)


def test_every_cut_of_the_weights_is_refused(graphs: dict[str, bytes]) -> None:
    weights, core = core_weights(graphs["denoiser"], CHANNELS), Core()
    for length in [*range(40), *range(40, len(weights), 97)]:
        with pytest.raises(CorruptPackError):
            core.network(weights[:length] or b"x", L1_LIMIT)
    assert core.held() == 0


def test_inputs_beyond_the_checked_bounds_are_refused(graphs: dict[str, bytes]) -> None:
    core = Core()
    network = core.network(core_weights(graphs["denoiser"], CHANNELS), L1_LIMIT)
    zeros = np.zeros((CHANNELS, 2, 2), np.int32)
    good = [zeros, zeros, zeros, zeros]
    assert len(core.run(network, 0, good, 4 * zeros.size)) == 4 * zeros.size  # type: ignore[arg-type]
    for place, value in ((0, L1_LIMIT + 1), (0, -(2**31)), (1, 16), (1, -(2**31)), (2, 201), (2, -1), (3, -1)):
        inputs = list(good)
        inputs[place] = zeros.copy()
        inputs[place][3, 1, 1] = value
        with pytest.raises(CoreError, match="out of range"):
            core.run(network, 0, inputs, 4 * zeros.size)  # type: ignore[arg-type]
    for room in (0, 4 * zeros.size - 1):
        with pytest.raises(CoreError, match="out of range"):
            core.run(network, 0, good, room)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "kinds"), [("sdz", ("", "WRITER_")), ("reader", ("",))])
def test_the_header_says_what_is_exported(name: str, kinds: tuple[str, ...]) -> None:
    """A module's exports are the header's calls, no more and no less, and it imports nothing; the readers' is without those of writers."""
    import re

    import wasmtime

    core = Path(__file__).resolve().parents[2] / "core"
    header = (core / "sdz_core.h").read_text()
    calls = {call for kind in kinds for call in re.findall(rf"SDZ_{kind}CALL\((sdz_\w+)\)", header)}
    module = wasmtime.Module(wasmtime.Engine(), (core / f"{name}.wasm").read_bytes())
    assert {export.name for export in module.exports} == calls | {"memory"}
    assert not list(module.imports)
