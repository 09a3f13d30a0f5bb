"""int8 ONNX graphs -> the exact core's flat weights ("sdzN", docs/core.md): the one place that knows which operators the core computes.

Takes the graphs that `export.graph` writes and hands on bytes. The graph is read node by node in its own order; whatever is not exactly
what the core computes is refused with the node's name, so a pack whose graphs came from elsewhere keeps running in onnxruntime. That both
compute the same is measured, not believed: `export.core_parity` compares every convolution and addition.
"""

from __future__ import annotations

import struct
from typing import Any, NoReturn

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

MAGIC = b"sdzN"
VERSION = 1
DECODER, DENOISER = 1, 2
STEM, BLOCK, UPSAMPLE, PAINT, MOVES = range(5)
QUARTER_CHANNELS = 64
"""Outputs of the last convolution: 4 x 4 pixels of 4 colours."""

ZERO_SIGNED = 128
SHAPE_OPERATORS = ("Shape", "Mul", "Concat")

TAILS = {
    MOVES: ("Transpose", "DequantizeLinear", "Mul", "Add", "Floor", "Add"),
    PAINT: (
        *("Cast", "Mul", "Squeeze", "Transpose", "MatMul", "Add", "Floor", "Clip", "Reshape", "Transpose", "Reshape", "Reshape", "Gather"),
        *("Gather", "Concat", "Reshape", "MatMul", "Add", "Floor", "Reshape", "Slice", "Reshape", "Gather", "Gather", "Concat", "Reshape"),
        *("MatMul", "Add", "Floor", "Reshape", "Slice", "DequantizeLinear", "Squeeze", "Reshape", "Transpose", "Reshape", "Add", "Mul"),
        *("Clip", "Cast"),
    ),
}
"""What follows the last convolution; of a decoder whose blocks are lapped."""

PLAIN_PAINT = (
    *("Cast", "Mul", "Squeeze", "Transpose", "MatMul", "Add", "Reshape", "Transpose", "Reshape", "DequantizeLinear", "Squeeze", "Reshape"),
    *("Transpose", "Reshape", "Add", "Clip", "Cast"),
)
"""The same of a decoder whose blocks stand alone."""


class UnsupportedGraphError(ValueError):
    """The core does not compute this graph; names the node."""


class _Reader:
    """The nodes of a graph, one after the other, without those that only compute shapes."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        shapes: set[str] = set()
        self.nodes: list[onnx.NodeProto] = []
        for node in graph.node:
            unknown = [name for name in node.input if name not in self.constants]
            if node.op_type == "Shape" or (node.op_type in SHAPE_OPERATORS and unknown and shapes.issuperset(unknown)):
                shapes.update(node.output)
            else:
                self.nodes.append(node)
        self.at = 0

    def refuse(self, node: onnx.NodeProto | None, why: str) -> NoReturn:
        name = "its end" if node is None else f"node '{node.name}' ({node.op_type})"
        raise UnsupportedGraphError(f"the core does not compute this graph: {name} {why}")

    def peek(self, ahead: int = 0) -> str:
        """The operator that comes, "" at the end."""
        place = self.at + ahead
        return str(self.nodes[place].op_type) if place < len(self.nodes) else ""

    def take(self, kind: str, *inputs: str | None) -> onnx.NodeProto:
        """The next node, which must be of that kind and have these inputs; None stands for any."""
        node = self.nodes[self.at] if self.at < len(self.nodes) else None
        if node is None or node.op_type != kind:
            self.refuse(node, f"is not the {kind} expected there")
        if any(name not in (None, found) for name, found in zip(inputs, node.input, strict=False)):
            self.refuse(node, "takes other inputs than the core's layers do")
        self.at += 1
        return node

    def constant(self, node: onnx.NodeProto, index: int) -> NDArray[Any]:
        """The initializer that is an input of the node."""
        name = node.input[index] if index < len(node.input) else ""
        if name not in self.constants:
            self.refuse(node, f"has no constant as input {index}")
        return self.constants[name]

    def scalar(self, node: onnx.NodeProto, index: int) -> float:
        value = self.constant(node, index)
        if value.size != 1:
            self.refuse(node, f"has {value.size} numbers as input {index}")
        return float(value.reshape(()))

    def exponent(self, node: onnx.NodeProto, index: int) -> int:
        """The exponent of a scale that is a power of two."""
        mantissa, exponent = np.frexp(self.scalar(node, index))
        if mantissa != 0.5:
            self.refuse(node, "has a scale that is not a power of two")
        return int(exponent) - 1

    def attributes(self, node: onnx.NodeProto, **wanted: Any) -> None:
        found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if found != wanted:
            self.refuse(node, f"has the attributes {found}, not {wanted}")


class _Writer:
    """Layers, and what the next one begins from: the value's name, its scale's exponent and its zero point."""

    def __init__(self, role: int, channels: int) -> None:
        self.role, self.channels = role, channels
        self.layers: list[bytes] = []
        self.name, self.exponent, self.zero = "", 0, 0

    def bytes(self) -> bytes:
        return MAGIC + bytes([VERSION, self.role, self.channels, len(self.layers)]) + b"".join(self.layers)


def _requantize(scale: NDArray[np.float32], bias: NDArray[np.int32]) -> bytes:
    return scale.astype("<f4").tobytes() + bias.astype("<i4").tobytes()


def _stem(r: _Reader, w: _Writer, inputs: list[str]) -> None:
    cast = r.take("Cast")
    levels = r.constant(cast, 0)
    by_output = r.take("Mul", cast.output[0])
    by_input = r.take("Mul", by_output.output[0])
    concat = r.take("Concat", *inputs)
    conv = r.take("Conv", concat.output[0], by_input.output[0])
    r.attributes(conv, kernel_shape=[1, 1], pads=[0, 0, 0, 0], strides=[1, 1])
    quantize = r.take("QuantizeLinear", conv.output[0])
    transpose = r.take("Transpose", quantize.output[0])
    r.attributes(transpose, perm=[0, 2, 3, 1])
    scale = r.constant(by_output, 1).reshape(-1).astype(np.float64)
    gains = r.constant(by_input, 1).reshape(-1)
    bias = r.constant(conv, 2) / scale
    if levels.dtype != np.int8 or len(concat.input) != len(inputs) or levels.shape[1] != len(inputs) * w.channels:
        r.refuse(cast, "is not a stem's int8 weights over all inputs")
    if (gains != np.rint(gains)).any() or (bias != np.rint(bias)).any() or np.abs(bias).max() >= 2**24 or np.abs(gains).max() >= 2**15:
        r.refuse(conv, "has weights or biases that are not on the grid of its scale")
    w.exponent, w.zero = r.exponent(quantize, 1), int(r.scalar(quantize, 2))
    ratio = scale * 2.0**-w.exponent
    if (np.frexp(ratio)[0] != 0.5).any():
        r.refuse(by_output, "has scales that are not powers of two")
    head = struct.pack("<BBH", STEM, w.zero, len(levels))
    weights = gains.astype("<i2").tobytes() + levels.tobytes()
    w.layers.append(head + _requantize(ratio.astype(np.float32), bias.astype(np.int32)) + weights)
    w.name = transpose.output[0]


def _convolution(r: _Reader, w: _Writer, pad: bool = False) -> bytes:
    """The next convolution; with `pad` its outputs may be of any number, zeros are added."""
    node = r.take("QLinearConv", w.name)
    weight, zeros, bias = r.constant(node, 3), r.constant(node, 5), r.constant(node, 8)
    size = weight.shape[-1]
    r.attributes(node, kernel_shape=[size, size], pads=[size // 2] * 4, strides=[1, 1], channels_last=1)
    if weight.dtype != np.int8 or zeros.any() or size not in (1, 3) or bias.dtype != np.int32:
        r.refuse(node, "is not a symmetric int8 convolution of 1 x 1 or 3 x 3")
    if r.exponent(node, 1) != w.exponent or int(r.scalar(node, 2)) != w.zero:
        r.refuse(node, "reads its input on another grid than it was written on")
    exponent, zero = r.exponent(node, 6), int(r.scalar(node, 7))
    # exact: both grids are powers of two
    scale = r.constant(node, 4) * np.float32(2.0 ** (w.exponent - exponent))
    scale = np.broadcast_to(scale, len(weight))
    if pad:
        beyond = -len(weight) % 8
        weight, bias = np.pad(weight, ((0, beyond), (0, 0), (0, 0), (0, 0))), np.pad(bias, (0, beyond))
        scale = np.pad(scale, (0, beyond), constant_values=1)
    outputs, inputs = weight.shape[:2]
    if inputs % 8 or outputs % 8 or max(inputs, outputs) > 1024:
        r.refuse(node, f"has {inputs} inputs and {outputs} outputs: the core wants multiples of 8 up to 1024")
    reach = 255 * np.abs(weight.astype(np.int64)).sum(axis=(1, 2, 3)) + np.abs(bias.astype(np.int64))
    if reach.max() >= 1 << 25:
        r.refuse(node, f"can sum to {reach.max()}: the core is exact below 2**25")
    head = struct.pack("<BBBBHH", size, w.zero, zero, 0, inputs, outputs)
    w.name, w.exponent, w.zero = node.output[0], exponent, zero
    return head + _requantize(scale, bias) + weight.tobytes()


def _block(r: _Reader, w: _Writer) -> None:
    x = (w.name, w.exponent, w.zero)
    convolutions = _convolution(r, w) + _convolution(r, w)
    terms, offset = [], 0.0
    for name, exponent, zero in (x, (w.name, w.exponent, w.zero)):
        cast = r.take("Cast", name)
        product = r.take("Mul", cast.output[0])
        if r.exponent(product, 1) != exponent:
            r.refuse(product, "scales its input by another grid than it was written on")
        terms.append(product.output[0])
        offset -= zero * 2.0**exponent
    sums = r.take("Add", *terms)
    centred = r.take("Add", sums.output[0])
    if r.scalar(centred, 1) != offset:
        r.refuse(centred, "does not take the zero points away")
    quantize = r.take("QuantizeLinear", centred.output[0])
    grid, zero = r.exponent(quantize, 1), int(r.scalar(quantize, 2))
    w.layers.append(struct.pack("<BbbB", BLOCK, x[1] - grid, w.exponent - grid, zero) + convolutions)
    w.name, w.exponent, w.zero = quantize.output[0], grid, zero


def _upsample(r: _Reader, w: _Writer, convolution: bytes) -> None:
    parts = r.take("Reshape", w.name)
    lines = r.take("Transpose", parts.output[0])
    r.attributes(lines, perm=[0, 1, 3, 2, 4])
    if list(r.constant(parts, 1)[:4]) != [0, 0, 0, 2]:
        r.refuse(parts, "does not split its channels into two rows of two")
    whole = r.take("Reshape", lines.output[0])
    w.layers.append(struct.pack("<BbBB", UPSAMPLE, 0, 0, 0) + convolution)
    w.name = whole.output[0]


def _tail(r: _Reader, w: _Writer, kind: int, convolution: bytes) -> None:
    """The last convolution, and what follows it: the operators must be those that the core knows, in their order."""
    known = TAILS[kind]
    if kind == PAINT and "Floor" not in [node.op_type for node in r.nodes[r.at :]]:
        known = PLAIN_PAINT
    dequantize = None
    for operator in known:
        node = r.take(operator)
        if operator == "DequantizeLinear":
            dequantize = node
    if r.at != len(r.nodes):
        r.refuse(r.nodes[r.at], "follows what the core takes for the end")
    assert dequantize is not None
    # levels of a lapped picture have four binary places, and the graph's residual is in their unit
    if int(r.scalar(dequantize, 2)) != w.zero:
        r.refuse(dequantize, "has another zero point than the convolution before it")
    w.layers.append(struct.pack("<BbBB", kind, r.exponent(dequantize, 1), 0, 0) + convolution)


def core_weights(graph_bytes: bytes, channels: int) -> bytes:
    """The core's weights for an int8 decoder or denoiser of `channels` latents. Raises UnsupportedGraphError, which names the node."""
    graph = onnx.load_from_string(graph_bytes).graph
    inputs = [value.name for value in graph.input]
    roles = {
        (("latents", "precision"), ("rgba",)): DECODER,
        (("latents", "levels", "precision", "half_width"), ("denoised",)): DENOISER,
    }
    role = roles.get((tuple(inputs), tuple(value.name for value in graph.output)))
    if role is None:
        raise UnsupportedGraphError(f"the core does not compute this graph: its inputs are {', '.join(inputs)}")
    r, w = _Reader(graph), _Writer(role, channels)
    _stem(r, w, ["latents", "precision"] if role == DECODER else ["latents", "levels", "precision"])
    while True:
        node = r.nodes[r.at] if r.at < len(r.nodes) else None
        if node is None or node.op_type != "QLinearConv":
            r.refuse(node, "is not the QLinearConv expected there")
        if r.peek(1) == "QLinearConv":
            _block(r, w)
            continue
        # a denoiser's last gives as many channels as there are
        convolution = _convolution(r, w, pad=role == DENOISER)
        if r.peek() == "Reshape" and role == DECODER:
            _upsample(r, w, convolution)
            continue
        _tail(r, w, PAINT if role == DECODER else MOVES, convolution)
        return w.bytes()
