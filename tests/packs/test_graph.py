"""Graphs of small random networks: exact sums, deterministic bytes, counted costs."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from networks import CHANNELS, small_networks
from numpy.typing import NDArray
from numpy_forms import linear_stage

from sdz.export.models import OneStepDenoiser, TinyAutoencoder
from sdz.export.models.layers import QuantConv2d, weight_levels
from sdz.export.packs.cost import graph_cost
from sdz.export.packs.graph import GraphBuilder, Trunk, Value, decoder_graph, decoder_table, denoiser_graph, encoder_graph, serialize
from sdz.export.packs.quantization import EXACT_LIMIT, QuantizationError, grid_weights, integer_conv, linear_table, settle_gains


@pytest.fixture(scope="module")
def networks() -> tuple[TinyAutoencoder, OneStepDenoiser]:
    return small_networks()


def run(model: onnx.ModelProto, level: str = "ORT_ENABLE_ALL", **feeds: NDArray[Any]) -> NDArray[Any]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    session = onnxruntime.InferenceSession(serialize(model), options, providers=["CPUExecutionProvider"])
    result: NDArray[Any] = session.run(None, feeds)[0]
    return result


def latents(height: int, width: int, norm: int, seed: int = 3) -> NDArray[np.float32]:
    """Random integers whose L1 norm at every position is `norm`, some of them in one channel alone."""
    random = np.random.default_rng(seed)
    shares = random.dirichlet(np.full(CHANNELS, 0.3), (height, width))
    values = np.floor(shares * norm)
    values[:, :, 0] += norm - values.sum(axis=2)
    values *= random.choice([-1, 1], values.shape)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None]).astype(np.float32)


def test_same_weights_give_the_same_bytes(networks: tuple[TinyAutoencoder, OneStepDenoiser]) -> None:
    again = small_networks()
    for first, second in zip(networks, again, strict=True):
        build = decoder_graph if isinstance(first, TinyAutoencoder) else denoiser_graph
        digests = {hashlib.sha256(serialize(build(m, "int8"))).hexdigest() for m in (first, first, second)}
        assert len(digests) == 1


def test_files_are_opset_21_and_say_nothing_of_their_making(networks: tuple[TinyAutoencoder, OneStepDenoiser]) -> None:
    autoencoder, denoiser = networks
    for model in (encoder_graph(autoencoder.encoder), decoder_graph(autoencoder, "fp32"), denoiser_graph(denoiser, "int8")):
        assert {o.domain: o.version for o in model.opset_import}[""] == 21
        assert not model.metadata_props and not model.graph.doc_string
        assert all(not t.external_data for t in model.graph.initializer)


def test_decoder_without_residual_is_the_linear_stage_at_the_largest_norm() -> None:
    autoencoder, _ = small_networks()
    torch.nn.init.zeros_(autoencoder.decoder.head.conv.weight)
    torch.nn.init.zeros_(autoencoder.decoder.head.conv.bias)
    table = decoder_table(autoencoder)
    model = decoder_graph(autoencoder, "int8")
    precision = np.full((1, CHANNELS, 3, 5), 40, np.float32)
    for norm in (0, 900, 9000, table.l1_limit):
        values = latents(3, 5, norm)
        expected = linear_stage(values[0].astype(np.int32), np.ascontiguousarray(table.weight.T), table.shift, table.lapping)
        rgba = run(model, latents=values, precision=precision)
        assert rgba.shape == (48, 80, 4) and rgba.dtype == np.uint8
        assert (rgba[:, :, :3] == expected).all()
        assert (rgba[:, :, 3] == 255).all()


@pytest.mark.parametrize("level", ["ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_ALL"])
def test_int8_is_the_same_integers_as_fp32_at_every_optimization_level(
    networks: tuple[TinyAutoencoder, OneStepDenoiser], level: str
) -> None:
    autoencoder, denoiser = networks
    limit = grid_weights(denoiser.stem, CHANNELS, "stem").l1_limit
    random = np.random.default_rng(5)
    for norm in (2000, limit):
        feeds = {
            "latents": latents(7, 4, norm),
            "levels": random.integers(-15, 16, (1, CHANNELS, 7, 4)).astype(np.float32),
            "precision": random.integers(0, 201, (1, CHANNELS, 7, 4)).astype(np.float32),
            "half_width": random.integers(0, 2000, (1, CHANNELS, 7, 4)).astype(np.float32),
        }
        exact = run(denoiser_graph(denoiser, "fp32"), "ORT_DISABLE_ALL", **feeds)
        assert (run(denoiser_graph(denoiser, "int8"), level, **feeds) == exact).all()
        assert (exact == np.rint(exact)).all()
        assert (np.abs(exact - feeds["latents"]) <= feeds["half_width"]).all()
        inputs = {"latents": feeds["latents"], "precision": feeds["precision"]}
        expected = run(decoder_graph(autoencoder, "fp32"), "ORT_DISABLE_ALL", **inputs)
        assert (run(decoder_graph(autoencoder, "int8"), level, **inputs) == expected).all()


ROUNDED_ALIKE_EVERYWHERE = {
    *("Add", "Cast", "Clip", "Concat", "Conv", "DequantizeLinear", "Floor", "Gather", "MatMul", "Mul", "QLinearConv", "QuantizeLinear"),
    *("Reshape", "Shape", "Slice", "Squeeze", "Transpose"),
}
"""Operators whose results are exact here, or rounded halves to even by every processor's kernel; QLinearAdd is none of them (ARM64)."""


def test_int8_graphs_hold_no_operator_that_rounds_differently_elsewhere(networks: tuple[TinyAutoencoder, OneStepDenoiser]) -> None:
    autoencoder, denoiser = networks
    operators = {n.op_type for m in (decoder_graph(autoencoder, "int8"), denoiser_graph(denoiser, "int8")) for n in m.graph.node}
    assert operators == ROUNDED_ALIKE_EVERYWHERE


@pytest.mark.parametrize("level", ["ORT_DISABLE_ALL", "ORT_ENABLE_ALL"])
@pytest.mark.parametrize(
    ("exponents", "signed"), [((-4, -4, -3), True), ((-2, -5, -3), True), ((-3, -2, -2), False), ((-6, -4, -2), False)]
)
def test_additions_round_halves_to_even(exponents: tuple[int, int, int], signed: bool, level: str) -> None:
    """Every pair of levels, on grids on which up to half of the sums are ties: against exact integers."""
    first, second, total = exponents
    b = GraphBuilder()
    result = Trunk(b, "int8").add(Value("x", first, signed), Value("y", second, True), total)
    b.op("Identity", result.name, output="sum")
    infos = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.UINT8, [256, 256]) for n in ("x", "y", "sum")]
    levels = np.arange(256, dtype=np.uint8)
    x, y = np.broadcast_to(levels[:, None], (256, 256)).copy(), np.broadcast_to(levels, (256, 256)).copy()
    found = run(b.model("addition", infos[:2], infos[2:]), level, x=x, y=y)
    finest = min(exponents)
    sums = ((x.astype(int) - (128 if signed else 0)) << (first - finest)) + ((y.astype(int) - 128) << (second - finest))
    shift = total - finest
    floor, rest, half = sums >> shift, sums & ((1 << shift) - 1), 1 << (shift - 1)
    up = (rest > half) | ((rest == half) & (floor % 2 == 1))
    assert (rest == half).mean() > 0.05
    assert (found == np.clip(floor + up + 128, 0, 255)).all()


def test_costs_are_counted_from_the_graphs(networks: tuple[TinyAutoencoder, OneStepDenoiser]) -> None:
    autoencoder, denoiser = networks
    cost = graph_cost(denoiser_graph(denoiser, "fp32"))
    assert cost.macs == (24 * 16 + 2 * 10 * 16 * 16 + 16 * 8) / 256
    assert cost.halo == 2
    cost = graph_cost(decoder_graph(autoencoder, "fp32"))
    coarse = 8 * 1024 + 16 * 16 + 10 * 16 * 16 + 16 * 64
    middle = 10 * 16 * 16 + 16 * 32
    fine = 10 * 8 * 8 + 9 * 8 * 64
    # over half a block more on every side: rows of 16 by a matrix, then columns of 16 with their four colours
    lapping = 16 * 17 / 16 * 4 + 64 * 17 / 16 * 4
    assert cost.macs == coarse / 256 + middle / 64 + fine / 16 + lapping
    assert cost.halo == 2


def test_halo_is_all_that_an_output_depends_on(networks: tuple[TinyAutoencoder, OneStepDenoiser]) -> None:
    model = decoder_graph(networks[0], "int8")
    values, precision = latents(9, 9, 3000), np.full((1, CHANNELS, 9, 9), 40, np.float32)
    whole = run(model, latents=values, precision=precision)
    window = (slice(None), slice(None), slice(2, 7), slice(2, 7))
    part = run(model, latents=np.ascontiguousarray(values[window]), precision=np.ascontiguousarray(precision[window]))
    assert (part[32:48, 32:48] == whole[64:80, 64:80]).all()


def test_encoder_graph_is_the_encoder(networks: tuple[TinyAutoencoder, OneStepDenoiser]) -> None:
    autoencoder, _ = networks
    pixels = np.random.default_rng(2).integers(0, 256, (1, 48, 32, 3)).astype(np.uint8)
    with torch.no_grad():
        expected = autoencoder.encode(torch.from_numpy(pixels).permute(0, 3, 1, 2).float()).numpy()
    found = run(encoder_graph(autoencoder.encoder), pixels=pixels)
    assert found.shape == (1, CHANNELS, 3, 2)
    assert np.abs(found - expected).max() < 0.5


def test_weights_keep_to_their_grids(networks: tuple[TinyAutoencoder, OneStepDenoiser]) -> None:
    autoencoder, denoiser = networks
    conv = integer_conv(denoiser.head, int(denoiser.trunk[1].activation.exponent), "head")
    assert conv.weight.dtype == np.int8 and (np.abs(conv.weight).max(axis=(1, 2, 3)) == 31).all()
    # 50,000 weights and more: most of what a visitor downloads
    large = integer_conv(QuantConv2d(125, 400, 1, relu=False), -5, "large")
    assert (np.abs(large.weight).max(axis=(1, 2, 3)) == 15).all()
    assert [weight_levels(weights) for weights in (49_999, 50_000)] == [31, 15]
    grid = grid_weights(autoencoder.decoder.stem, CHANNELS, "stem")
    assert (np.abs(grid.levels).max(axis=1) >= 32).all() and set(grid.gains) == {1, 4}
    table = decoder_table(autoencoder)
    assert table.weight.shape == (768, CHANNELS)
    assert table.l1_limit * np.abs(table.weight.astype(int)).max() + (129 << table.shift) < EXACT_LIMIT


def test_a_bias_out_of_all_proportion_keeps_its_channel_exact(networks: tuple[TinyAutoencoder, OneStepDenoiser]) -> None:
    _, denoiser = small_networks()
    with torch.no_grad():
        denoiser.head.conv.weight[3] = 0
        denoiser.head.conv.weight[4] *= 1e-7
        denoiser.head.conv.bias[3:5] = 0.75
    conv = integer_conv(denoiser.head, -5, "head")
    assert not conv.weight[3].any()
    assert conv.bias[3] * float(conv.scale[3]) * 2.0**-5 == pytest.approx(0.75, rel=1e-6)
    assert conv.bias[4] * float(conv.scale[4]) * 2.0**-5 == pytest.approx(0.75, rel=1e-6)


def test_weights_that_cannot_be_exact_are_refused(networks: tuple[TinyAutoencoder, OneStepDenoiser]) -> None:
    autoencoder, denoiser = small_networks()
    with torch.no_grad():
        autoencoder.decoder.linear.gain[2] = 1e8
        denoiser.stem.conv.bias[1] = 1e6
    with pytest.raises(QuantizationError, match="no shift of the linear table leaves room"):
        linear_table(autoencoder.decoder.linear, 0)
    with pytest.raises(QuantizationError, match=r"denoiser\.stem: fp32 sums stay exact"):
        grid_weights(denoiser.stem, CHANNELS, "denoiser.stem")


def test_settled_gains_make_the_linear_table_exact_and_leave_the_picture() -> None:
    autoencoder, _ = small_networks()
    with torch.no_grad():
        autoencoder.decoder.linear.gain[0] = 1.037
        # whole blocks of mid-grey and near black: what a mean's integers get wrong shows in full
        pixels = torch.tensor([128.0, 8.0, 250.0]).reshape(3, 1, 1, 1).expand(3, 3, 32, 32)
        before, latents = autoencoder.decode_linear(autoencoder.encode(pixels)), autoencoder.encode(pixels)
        settle_gains(autoencoder, decoder_table(autoencoder))
        after = autoencoder.decode_linear(autoencoder.encode(pixels))
    assert not torch.equal(autoencoder.encode(pixels), latents)
    assert float((after - before).abs().max()) < 0.25  # latents are on a grid of quarters
    table = decoder_table(autoencoder)
    exact = autoencoder.decoder.linear.weight[:, :, 0, 0].detach().double().numpy() * 2.0**table.shift / 4
    kept = (table.weight * exact).sum(axis=0) / np.square(exact).sum(axis=0)
    assert np.abs(kept - 1).max() < 1e-3
