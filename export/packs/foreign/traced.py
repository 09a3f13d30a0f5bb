"""A family's networks -> the single-file ONNX graphs of a pack, in fp32, with weights in half precision, and in int8.

Takes a family and its gains, returns bytes. Inputs and outputs are those of every pack: integers in grid units in, RGBA bytes out. The
graphs are traced, so unlike `export.packs.graph`'s they are no one's reference to the bit.
"""

from __future__ import annotations

import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, version_converter
from torch import Tensor, nn

from ...families import Family
from ...models.autoencoder import GRID

TRACED_OPSET: Final = 20
"""The newest that torch's own exporter writes; the other exporter needs one more package."""

OPSET: Final = 21
IR_VERSION: Final = 10

PROBE: Final = 8
"""Latent positions on the side of the example that is traced; heights and widths stay free."""

HALVED_ABOVE: Final = 256
"""Values from which a weight is stored in half precision: what is smaller saves nothing."""

TIGHT: Final = ("Conv",)
FULL: Final = ("Conv", "Relu", "Add", "Resize")
"""Operators that run in int8: convolutions only where normalisation and attention stand between them."""

Feeds = dict[str, NDArray[Any]]


class EncoderGraph(nn.Module):
    """Pixels uint8 (1, H, W, 3) -> latents float32 (1, C, h, w) in grey levels, and the posterior's deviation where there is one."""

    def __init__(self, family: Family, gains: NDArray[np.float32]) -> None:
        super().__init__()
        self.network = family.encoder
        self.register_buffer("centre", family.centre)
        self.register_buffer("gains", torch.from_numpy(gains)[None, :, None, None])

    centre: Tensor
    gains: Tensor

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        latents, *deviation = self.network(pixels.permute(0, 3, 1, 2).float())
        return ((latents - self.centre) * self.gains, *(d * self.gains for d in deviation))


class DecoderGraph(nn.Module):
    """Latents float32 (1, C, h, w) in grid units -> pixels uint8 (p h, p w, 4)."""

    def __init__(self, family: Family, gains: NDArray[np.float32]) -> None:
        super().__init__()
        self.network = family.decoder
        self.register_buffer("centre", family.centre)
        self.register_buffer("units", torch.from_numpy((1.0 / (GRID * gains)).astype(np.float32))[None, :, None, None])

    centre: Tensor
    units: Tensor

    def forward(self, latents: Tensor) -> Tensor:
        levels = self.network(latents * self.units + self.centre)[0].permute(1, 2, 0)
        rgb = torch.floor(levels + 0.5).clamp(0.0, 255.0)
        return torch.cat([rgb, torch.full_like(rgb[:, :, :1], 255.0)], dim=2).to(torch.uint8)


def encoder_model(family: Family, gains: NDArray[np.float32]) -> onnx.ModelProto:
    """The encoder's graph in fp32."""
    outputs = ["latents", "deviation"] if family.has_posterior else ["latents"]
    axes = {"pixels": {1: "H", 2: "W"}} | {name: {2: "h", 3: "w"} for name in outputs}
    example = torch.zeros(1, PROBE * family.patch, PROBE * family.patch, 3, dtype=torch.uint8)
    return _traced(EncoderGraph(family, gains), example, "pixels", outputs, axes)


def decoder_model(family: Family, gains: NDArray[np.float32]) -> onnx.ModelProto:
    """The decoder's graph in fp32; its input `precision` is there for the interface and goes nowhere."""
    axes = {"latents": {2: "h", 3: "w"}, "pixels": {0: "H", 1: "W"}}
    example = torch.zeros(1, family.channels, PROBE, PROBE)
    model = _traced(DecoderGraph(family, gains), example, "latents", ["pixels"], axes)
    model.graph.input.append(helper.make_tensor_value_info("precision", TensorProto.FLOAT, [1, family.channels, "h", "w"]))
    return model


def _traced(module: nn.Module, example: Tensor, name: str, outputs: list[str], axes: dict[str, dict[int, str]]) -> onnx.ModelProto:
    stream: Any = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer on sizes it takes for constants, and on being the older exporter
        torch.onnx.export(
            module.eval(), (example,), stream, dynamo=False, opset_version=TRACED_OPSET,
            input_names=[name], output_names=outputs, dynamic_axes=axes,
        )  # fmt: skip
    return plain(version_converter.convert_version(onnx.load_from_string(stream.getvalue()), OPSET))


def plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without what tools wrote into it about themselves and its making."""
    del model.metadata_props[:]
    model.producer_name, model.producer_version, model.doc_string, model.ir_version = "sdz", "", "", IR_VERSION
    del model.graph.value_info[:]
    for tensor in model.graph.initializer:
        # the data is in the file; a pack's reader refuses even the word that says so
        assert tensor.data_location == TensorProto.DEFAULT
        tensor.ClearField("data_location")
        tensor.ClearField("external_data")
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    return model


def half_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its larger weights stored in half precision and computed in fp32: half the bytes, and no kernels that a runtime
    may lack. Weights beyond half precision's range stay as they are."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    casts = []
    for tensor in out.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < HALVED_ABOVE:
            continue
        values = numpy_helper.to_array(tensor)
        if np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], name=f"cast {name}", to=TensorProto.FLOAT))
    nodes = [*casts, *out.graph.node]
    del out.graph.node[:]
    out.graph.node.extend(nodes)
    return out


def int8_model(model: onnx.ModelProto, feeds: list[Feeds], *, whole: bool) -> onnx.ModelProto:
    """The decoder in int8: static QDQ, uint8 activations with power-of-two scales from `feeds`, weights of 7 bits per channel.

    `whole`: every operator of FULL; else convolutions alone. The first and the last convolution, at whose ends 8 bits are too few, stay
    in fp32.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    kinds = FULL if whole else TIGHT
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    kept = [convolutions[0], convolutions[-1]]
    tensors = _activations(model, kinds, kept)
    overrides = {name: [{"scale": scale, "zero_point": zero}] for name, (scale, zero) in _scales(model, tensors, feeds).items()}
    marked = onnx.ModelProto()
    marked.CopyFrom(model)
    helper.set_model_props(marked, {"onnx.quant.pre_process": "onnxruntime.quant"})  # else it advises to, on every call
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "decoder.onnx"
        quantize_static(
            marked, path, _Reader(feeds[:1]), quant_format=QuantFormat.QDQ, op_types_to_quantize=list(kinds), per_channel=True,
            reduce_range=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, nodes_to_exclude=kept,
            extra_options={"TensorQuantOverrides": overrides},
        )  # fmt: skip
        return plain(onnx.load(path))


class _quiet:  # noqa: N801 (a context manager that reads as a word)
    """Keeps onnxruntime's quantizer from logging what it does."""

    def __enter__(self) -> None:
        self.level = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *error: object) -> None:
        logging.disable(self.level)


class _Reader:
    """What `quantize_static` asks for samples; the ranges are known already, one sample will do."""

    def __init__(self, feeds: list[Feeds]) -> None:
        self._feeds: Iterator[Feeds] = iter(feeds)

    def get_next(self) -> Feeds | None:
        return next(self._feeds, None)


def _activations(model: onnx.ModelProto, kinds: tuple[str, ...], kept: list[str]) -> list[str]:
    """Tensors that enter or leave an operator that will run in int8, each once."""
    constants = {tensor.name for tensor in model.graph.initializer}
    floats = {"Resize": 1, "Conv": 1}
    names: dict[str, None] = {}
    for node in model.graph.node:
        if node.op_type in kinds and node.name not in kept:
            inputs = list(node.input)[: floats.get(node.op_type, 2)]
            names |= dict.fromkeys(name for name in (*inputs, *node.output) if name and name not in constants)
    return list(names)


def _scales(model: onnx.ModelProto, names: list[str], feeds: list[Feeds]) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Scale, a power of two, and zero point of each float tensor, from the least and the largest value that `feeds` bring about."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    typed = {v.name: v.type.tensor_type.elem_type for v in onnx.shape_inference.infer_shapes(probe).graph.value_info}
    names = [name for name in names if typed.get(name) == TensorProto.FLOAT]
    del probe.graph.output[:]
    for name in names:
        # reduced at once, so that a large decoder's activations need not all be held
        for kind in ("ReduceMin", "ReduceMax"):
            probe.graph.node.append(helper.make_node(kind, [name], [f"{name}.{kind}"], keepdims=0))
            probe.graph.output.append(helper.make_tensor_value_info(f"{name}.{kind}", TensorProto.FLOAT, []))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    low, high = np.zeros(len(names)), np.zeros(len(names))
    for feed in feeds:
        found = np.array(session.run(None, feed), np.float64)
        low, high = np.minimum(low, found[0::2]), np.maximum(high, found[1::2])
    scales = np.exp2(np.ceil(np.log2(np.maximum(high - low, 1e-6) / 255.0)))
    zeros = np.clip(np.round(-low / scales), 0, 255)
    return {name: (np.array(scale, np.float32), np.array(zero, np.uint8)) for name, scale, zero in zip(names, scales, zeros, strict=True)}
