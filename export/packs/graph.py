"""Trained networks -> ONNX graphs, written node by node: the same weights give the same bytes, so the same digests, on every machine.

Takes the modules of `export.models`, returns `onnx.ModelProto`s of opset 21 with dynamic height and width. The decoder and the denoiser
come in two variants of one structure:

- "int8": the reference. onnxruntime's own NHWC operator QLinearConv is written out in between, so that neither results nor speed hang on
  what an optimizer fuses; exact fp32 sums of integers stand at both ends, where 8 bits are too few, and in residual additions. No operator
  whose rounding differs between processors: QLinearAdd rounds halves to even on x86 and away from zero on ARM64.
- "fp32": the identical integer grids evaluated in fp32, in ONNX's own operators: what runs on GPUs. Every product sum stays below 2**24, so
  it gives the int8 graph's output to the bit, as long as no optimizer folds scales into the integer weights.

The encoder has one variant: it need not be deterministic.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from ...runtime.format.linear import LAP_LIMIT, LAP_PLACES, LAP_SHIFT
from ..models import LightDecoder, OneStepDenoiser, TinyAutoencoder
from ..models.autoencoder import CENTRE, PATCH, RESIDUAL_GAIN, Encoder, EncoderBlock, ScaledTransform
from ..models.lapping import kernel_of
from ..models.layers import QuantConv2d, ResidualBlock
from .quantization import GridWeights, LinearTable, grid_weights, integer_conv, linear_table

OPSET = 21
CONTRIB = "com.microsoft"
"""onnxruntime's domain of the operators that ONNX lacks."""

IR_VERSION = 10
"""The file version that goes with opset 21."""

ZERO_SIGNED = 128
"""The zero point of signed activations; it is 0 for those behind a ReLU."""

RESIDUAL_SHIFT = int(np.log2(RESIDUAL_GAIN))
QUARTER = 4
"""Pixels per position of the decoder's last convolution, along each side."""

Variant = Literal["int8", "fp32"]


@dataclass(frozen=True)
class Value:
    """A named tensor on the grid `2**exponent` per level; its zero point is 128 if `signed` else 0."""

    name: str
    exponent: int
    signed: bool

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest level, counted from the zero point."""
        return (-128, 127) if self.signed else (0, 255)


class GraphBuilder:
    """Nodes and initializers of one graph, named by their order and content."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append a node with one output and return the output's name."""
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=f"n{len(self.nodes)}", **attributes))
        return output

    def constant(self, array: NDArray[Any] | np.generic) -> str:
        """The name of an initializer with this content; equal content is stored once."""
        array = np.asarray(array, order="C")
        name = "c_" + hashlib.sha256(f"{array.dtype}{array.shape}".encode() + array.tobytes()).hexdigest()[:12]
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(array, name)
        return name

    def scalar(self, value: float | np.float32) -> str:
        """A float32 scalar."""
        return self.constant(np.float32(value))

    def shape(self, *sizes: int) -> str:
        """An int64 vector."""
        return self.constant(np.array(sizes, np.int64))

    def scaled(self, integers: NDArray[Any], *factors: NDArray[np.float32] | np.float32) -> str:
        """float32 `integers` times `factors` from a small integer initializer: runtimes fold the nodes when they load the graph."""
        name = self.op("Cast", self.constant(integers), to=TensorProto.FLOAT)
        for factor in factors:
            name = self.op("Mul", name, self.constant(factor))
        return name

    def only_if(self, condition: str, since: int, output: str, otherwise: str) -> str:
        """Move the nodes from number `since` on, which end in a value, under `condition` (a bool scalar); `output` names that value where
        it holds, and `otherwise`'s where it does not: both of one shape. onnxruntime computes all that stands outside of a branch, asked
        for or not."""
        inside = self.nodes[since:]
        del self.nodes[since:]
        branches = []
        for name, nodes, value in (("then", inside, inside[-1].output[0]), ("else", [], otherwise)):
            result = f"{output}_{name}"
            identity = helper.make_node("Identity", [value], [result], name=f"n{since}_{name}")
            branches.append(helper.make_graph([*nodes, identity], name, [], [onnx.ValueInfoProto(name=result)]))
        then, other = branches
        return self.op("If", condition, output=output, then_branch=then, else_branch=other)

    def model(self, name: str, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]) -> onnx.ModelProto:
        """The finished, checked model."""
        graph = helper.make_graph(self.nodes, name, inputs, outputs, list(self.initializers.values()))
        domains = sorted({n.domain for n in self.nodes} - {""})
        opsets = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(d, 1) for d in domains)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="sdz")
        onnx.checker.check_model(model, full_check=True)
        return model


class Trunk:
    """The quantized layers of a network in one variant; values are (1, h, w, C) in int8 and (1, C, h, w) otherwise."""

    def __init__(self, builder: GraphBuilder, variant: Variant) -> None:
        self.builder = builder
        self.variant = variant

    def stem(self, inputs: list[str], weights: GridWeights) -> Value:
        """1x1 convolution of float32 integer inputs (1, C, h, w), exact in fp32, ReLU, then the grid."""
        b = self.builder
        scale = np.exp2(weights.exponents.astype(np.float32))[:, None, None, None]
        kernel = b.scaled(weights.levels[:, :, None, None], scale, weights.gains.astype(np.float32)[None, :, None, None])
        bias = b.constant((weights.bias * scale[:, 0, 0, 0].astype(np.float64)).astype(np.float32))
        x = b.op("Conv", b.op("Concat", *inputs, axis=1), kernel, bias, kernel_shape=[1, 1], pads=[0, 0, 0, 0], strides=[1, 1])
        grid = Value("", weights.exponent, False)
        if self.variant == "int8":
            return self._named(grid, b.op("Transpose", b.op("QuantizeLinear", x, *self._grid(grid)), perm=[0, 2, 3, 1]))
        return self._clipped(grid, b.op("Round", b.op("Mul", x, b.scalar(2.0**-grid.exponent))))

    def conv(self, x: Value, layer: QuantConv2d, name: str, order: NDArray[np.int64] | None = None) -> Value:
        """A convolution with its activation; `order` as `IntegerConv.ordered` takes it."""
        b = self.builder
        c = integer_conv(layer, x.exponent, name)
        if order is not None:
            c = c.ordered(order)
        grid = Value("", c.exponent, c.signed)
        size = c.weight.shape[-1]
        shape: dict[str, Any] = {"kernel_shape": [size, size], "pads": [size // 2] * 4, "strides": [1, 1]}
        if self.variant == "int8":
            weights = (b.constant(c.weight), b.constant(c.scale), b.constant(np.zeros(len(c.scale), np.int8)))
            shape |= {"channels_last": 1, "domain": CONTRIB}
            y = b.op("QLinearConv", x.name, *self._grid(x), *weights, *self._grid(grid), b.constant(c.bias), **shape)
            return self._named(grid, y)
        acc = b.op("Conv", x.name, b.scaled(c.weight), b.scaled(c.bias), **shape)
        scale = c.scale * np.float32(2.0 ** (x.exponent - grid.exponent))
        return self._clipped(grid, b.op("Round", b.op("Mul", acc, b.constant(scale[:, None, None]))))

    def add(self, x: Value, y: Value, exponent: int) -> Value:
        """x + y on a signed grid. All scales are powers of two, so the sum is exact before it is rounded, halves to even."""
        b = self.builder
        grid = Value("", exponent, True)
        if self.variant == "int8":
            # DequantizeLinear would be clearer, but optimizers fuse it with the addition back into QLinearAdd
            terms = [b.op("Mul", b.op("Cast", v.name, to=TensorProto.FLOAT), b.scalar(2.0**v.exponent)) for v in (x, y)]
            centre = -sum(ZERO_SIGNED * 2.0**v.exponent for v in (x, y) if v.signed)
            total = b.op("Add", b.op("Add", *terms), b.scalar(centre))
            return self._named(grid, b.op("QuantizeLinear", total, *self._grid(grid)))
        terms = [b.op("Mul", v.name, b.scalar(2.0 ** (v.exponent - exponent))) for v in (x, y)]
        return self._clipped(grid, b.op("Round", b.op("Add", *terms)))

    def block(self, x: Value, block: ResidualBlock, name: str) -> Value:
        """x + conv1x1(relu(conv3x3(x)))."""
        y = self.conv(self.conv(x, block.conv1, f"{name}.conv1"), block.conv2, f"{name}.conv2")
        return self.add(x, y, int(block.activation.exponent))

    def blocks(self, x: Value, blocks: nn.Sequential, name: str) -> Value:
        """A chain of residual blocks."""
        for i, block in enumerate(blocks):
            assert isinstance(block, ResidualBlock)
            x = self.block(x, block, f"{name}.{i}")
        return x

    def upsample(self, x: Value, layer: QuantConv2d, name: str, sides: str) -> Value:
        """1x1 convolution and pixel shuffle by two, to the height and width that `sides` names."""
        b = self.builder
        if self.variant != "int8":
            y = self.conv(x, layer, name)
            return self._named(y, b.op("DepthToSpace", y.name, blocksize=2, mode="CRD"))
        # channels as (row, column, channel): then whole rows of two positions move at once
        y = self.conv(x, layer, name, np.arange(layer.conv.out_channels).reshape(-1, 4).T.ravel())
        channels = layer.conv.out_channels // 4
        rows = b.op("Transpose", b.op("Reshape", y.name, b.shape(0, 0, 0, 2, 2 * channels)), perm=[0, 1, 3, 2, 4])
        return self._named(y, b.op("Reshape", rows, b.op("Concat", b.shape(1), sides, b.shape(channels), axis=0)))

    def planar(self, x: Value) -> Value:
        """`x` as (1, C, h, w) in any variant."""
        return self._named(x, self.builder.op("Transpose", x.name, perm=[0, 3, 1, 2])) if self.variant == "int8" else x

    def interleaved(self, x: Value) -> Value:
        """`x` as (1, h, w, C) in any variant."""
        return x if self.variant == "int8" else self._named(x, self.builder.op("Transpose", x.name, perm=[0, 2, 3, 1]))

    def real(self, x: Value, gain: float = 1.0) -> str:
        """float32 values of `x` times a power of two, same layout."""
        b = self.builder
        if self.variant == "int8":
            scale, zero = self._grid(Value("", x.exponent + int(np.log2(gain)), x.signed))
            return b.op("DequantizeLinear", x.name, scale, zero)
        return b.op("Mul", x.name, b.scalar(np.float32(gain) * 2.0**x.exponent))

    def _grid(self, v: Value) -> tuple[str, str]:
        return self.builder.scalar(2.0**v.exponent), self.builder.constant(np.uint8(ZERO_SIGNED if v.signed else 0))

    def _named(self, v: Value, name: str) -> Value:
        return Value(name, v.exponent, v.signed)

    def _clipped(self, v: Value, name: str) -> Value:
        low, high = (self.builder.scalar(limit) for limit in v.range)
        return self._named(v, self.builder.op("Clip", name, low, high))


def _maps(*names: str, channels: int) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, channels, "h", "w"]) for n in names]


def denoiser_graph(denoiser: OneStepDenoiser, variant: Variant) -> onnx.ModelProto:
    """`latents`, `levels`, `precision`, `half_width` float32 (1, C, h, w), integers (GRID units, -15..15, 0..255, GRID units) -> `denoised`
    float32 (1, C, h, w), integers in GRID units: latents + floor(half_width * delta + 1/2)."""
    b = GraphBuilder()
    trunk = Trunk(b, variant)
    channels = denoiser.head.conv.out_channels
    x = trunk.stem(["latents", "levels", "precision"], grid_weights(denoiser.stem, channels, "denoiser.stem"))
    x = trunk.blocks(x, denoiser.trunk, "denoiser.trunk")
    delta = trunk.real(trunk.planar(trunk.conv(x, denoiser.head, "denoiser.head")))
    move = b.op("Floor", b.op("Add", b.op("Mul", delta, "half_width"), b.scalar(0.5)))
    b.op("Add", "latents", move, output="denoised")
    inputs = _maps("latents", "levels", "precision", "half_width", channels=channels)
    return b.model("denoiser", inputs, _maps("denoised", channels=channels))


def decoder_table(model: TinyAutoencoder | LightDecoder) -> LinearTable:
    """The integers of the linear stage, for `decoder_graph` and for the pack's linear table."""
    decoder = model.decoder
    return linear_table(decoder.linear, int(decoder.head.activation.exponent) + RESIDUAL_SHIFT, decoder.lapping)


def decoder_graph(model: TinyAutoencoder | LightDecoder, variant: Variant) -> onnx.ModelProto:
    """`latents`, `precision` float32 (1, C, h, w), integers (GRID units, 0..255) -> `rgba` uint8 (patch h, patch w, 4), alpha 255."""
    b = GraphBuilder()
    trunk = Trunk(b, variant)
    decoder = model.decoder
    channels = model.channels
    x = trunk.stem(["latents", "precision"], grid_weights(decoder.stem, channels, "decoder.stem"))
    sides = ""
    for i, (up, name) in enumerate(decoder.stages):
        if up:
            layer = decoder.get_submodule(up)
            assert isinstance(layer, QuantConv2d)
            x = trunk.upsample(x, layer, f"decoder.{up}", b.op("Mul", sides, b.shape(2**i, 2**i)))
        blocks = decoder.get_submodule(name)
        assert isinstance(blocks, nn.Sequential)
        x = trunk.blocks(x, blocks, f"decoder.{name}")
        sides = sides or b.op("Shape", "latents", start=2, end=4)
    head = trunk.conv(x, decoder.head, "decoder.head", _pixel_order(QUARTER))
    # onnxruntime-web with WebGPU has no cast from int16
    stored = np.int32 if variant == "fp32" else np.int16
    _paint(b, decoder_table(model), stored, trunk, trunk.interleaved(head), sides)
    rgba = helper.make_tensor_value_info("rgba", TensorProto.UINT8, ["height", "width", 4])
    return b.model("decoder", _maps("latents", "precision", channels=channels), [rgba])


def _pixel_order(block: int) -> NDArray[np.int64]:
    """Where (row, column, colour) of a block stands among channels ordered (colour, row, column); -1 for alpha, the fourth colour.

    Colour last and four of them: whatever follows moves runs of whole pixels, and alpha needs no pass of its own.
    """
    row, column, colour = np.meshgrid(range(block), range(block), range(4), indexing="ij")
    return np.where(colour == 3, -1, (colour * block + row) * block + column).ravel()


def _paint(b: GraphBuilder, table: LinearTable, stored: type[np.signedinteger[Any]], trunk: Trunk, residual: Value, sides: str) -> None:
    """Append the linear stage, its sum with `residual` (1, 4h, 4w, row * 16 + column * 4 + colour), and the way to `rgba`.

    `stored`: the type of the table's integers in the file.

    Sums run over integers times 2**-shift, below 2**24 of them, so they are exact; clipping and truncation then give
    clamp(floor(linear + residual + 128.5), 0, 255), as `runtime.format.linear` computes it with integers where the residual is zero.
    """
    patch = math.isqrt(len(table.weight) // 3)
    order = _pixel_order(patch)
    kernel = np.where(order[:, None] < 0, 0, table.weight[order]).T
    # lapped levels are integers in units of their own, and so is all that is added to them
    places = 0 if table.lapping is None else LAP_PLACES
    # the offset of each colour, alpha's too, goes in where runs are long: broadcasting four values is slow
    offset = np.array([CENTRE + 0.5] * 3 + [255.0], np.float32) * np.float32(2.0**places)
    weights = b.scaled(kernel.astype(stored), np.float32(2.0 ** (places - table.shift)))
    linear = b.op("MatMul", b.op("Transpose", b.op("Squeeze", "latents", b.shape(0)), perm=[1, 2, 0]), weights)
    if table.lapping is None:
        linear = b.op("Add", linear, b.constant(np.tile(offset, patch * patch)))
    else:
        rounded = b.op("Floor", b.op("Add", linear, b.scalar(0.5)))
        linear = b.op("Clip", rounded, b.scalar(-LAP_LIMIT), b.scalar(LAP_LIMIT))
    lines = b.op("Transpose", b.op("Reshape", linear, b.shape(0, 0, patch, -1)), perm=[0, 2, 1, 3])
    size = b.op("Concat", b.op("Mul", sides, b.shape(patch, patch)), b.shape(4), axis=0)
    picture = b.op("Reshape", lines, size) if table.lapping is None else _lap(b, lines, patch, table.lapping, offset)
    quarters = b.op("Reshape", b.op("Squeeze", trunk.real(residual, RESIDUAL_GAIN * 2.0**places), b.shape(0)), b.shape(0, 0, QUARTER, -1))
    moved = b.op("Reshape", b.op("Transpose", quarters, perm=[0, 2, 1, 3]), size)
    total = b.op("Add", picture, moved)
    if places:
        total = b.op("Mul", total, b.scalar(2.0**-places))
    b.op("Cast", b.op("Clip", total, b.scalar(0), b.scalar(255)), to=TensorProto.UINT8, output="rgba")


def _lap(b: GraphBuilder, lines: str, patch: int, lapping: NDArray[np.int32], offset: NDArray[np.float32]) -> str:
    """Append the filter over the borders of blocks (`linear.lapped`): `lines` (h, patch, w, patch * 4) -> (patch h, patch w, 4),
    to which the integers `offset` (4,) are added.

    A product of whole blocks that stand half a block further, so that their borders are in the middle, with one matrix. The picture is
    continued by its mirror image, whose borders are no borders: mirrored pixels do not differ.
    """
    middle = patch // 2
    # entries are 2**-LAP_SHIFT times small integers, exact in float32
    kernel = kernel_of(torch.from_numpy(lapping).float() * 2.0**-LAP_SHIFT, patch).numpy()
    x = b.op("Reshape", b.op("Reshape", lines, b.shape(0, 0, -1)), b.shape(-1, 1, 0))
    above = b.op("Reshape", continued(b, x, middle, 0), b.shape(-1, patch, 0))
    filtered = b.op("Floor", b.op("Add", b.op("MatMul", b.constant(kernel), above), b.scalar(0.5)))
    x = b.op("Reshape", _inside(b, b.op("Reshape", filtered, b.shape(-1, 1, 0)), middle, 0), b.shape(0, -1, 4))
    beside = b.op("Reshape", continued(b, x, middle, 1), b.shape(0, -1, patch * 4))
    by_column = b.constant(np.kron(kernel.T, np.eye(4, dtype=np.float32)))
    filtered = b.op("Floor", b.op("Add", b.op("MatMul", beside, by_column), b.constant(np.tile(offset + np.float32(0.5), patch))))
    return _inside(b, b.op("Reshape", filtered, b.shape(0, -1, 4)), middle, 1)


def continued(b: GraphBuilder, x: str, count: int, axis: int) -> str:
    """`x` with `count` mirrored entries more on either side of an axis."""
    near, far = (b.op("Gather", x, b.constant(np.arange(*ends)), axis=axis) for ends in ((count - 1, -1, -1), (-1, -1 - count, -1)))
    return b.op("Concat", near, x, far, axis=axis)


def _inside(b: GraphBuilder, x: str, count: int, axis: int) -> str:
    """`x` without `count` entries on either side of an axis."""
    return b.op("Slice", x, b.shape(count), b.shape(-count), b.shape(axis))


def encoder_graph(encoder: Encoder) -> onnx.ModelProto:
    """`pixels` uint8 (1, H, W, 3), H and W multiples of 16 -> `latents` float32 (1, C, H/16, W/16), grey levels.

    Weights are stored as fp16 and cast when the graph is loaded; all sums are fp32.
    """
    b = GraphBuilder()

    def half(array: NDArray[Any]) -> str:
        return b.op("Cast", b.constant(array.astype(np.float16)), to=TensorProto.FLOAT)

    def conv(x: str, layer: nn.Conv2d | ScaledTransform, factor: int = 1, gain: float = 1.0) -> str:
        """`layer` behind SpaceToDepth by `factor`, whose channels are (row, column, channel) and not torch's (channel, row, column)."""
        kernel = layer.weight.detach().double().numpy() * gain
        out, inputs, size, _ = kernel.shape
        if factor > 1:
            x = b.op("SpaceToDepth", x, blocksize=factor)
            kernel = kernel.reshape(out, -1, factor, factor, size, size).transpose(0, 2, 3, 1, 4, 5).reshape(out, inputs, size, size)
        bias = [half(layer.bias.detach().numpy())] if isinstance(layer, nn.Conv2d) and layer.bias is not None else []
        return b.op("Conv", x, half(kernel), *bias, kernel_shape=[size, size], pads=[size // 2] * 4, strides=[1, 1])

    def blocks(x: str, chain: nn.Sequential) -> str:
        for block in chain:
            assert isinstance(block, EncoderBlock)
            x = b.op("Add", x, conv(b.op("Relu", conv(x, block.conv1)), block.conv2))
        return x

    pixels = b.op("Cast", b.op("Transpose", "pixels", perm=[0, 3, 1, 2]), to=TensorProto.FLOAT)
    pixels = b.op("Sub", pixels, b.scalar(CENTRE))
    x = blocks(conv(pixels, encoder.stem, QUARTER, 1.0 / 64.0), encoder.fine)
    x = blocks(conv(x, encoder.down1, 2), encoder.middle)
    x = blocks(conv(x, encoder.down2, 2), encoder.coarse)
    correction = b.op("Mul", conv(x, encoder.head), b.scalar(RESIDUAL_GAIN))
    kernel = encoder.lapping.kernel().detach().numpy()
    rows = continued(b, pixels, PATCH // 2, 2)
    filtered = b.op("MatMul", b.constant(kernel), b.op("Reshape", rows, b.shape(3, -1, PATCH, 0)))
    columns = continued(b, _inside(b, b.op("Reshape", filtered, b.shape(1, 3, -1, 0)), PATCH // 2, 2), PATCH // 2, 3)
    filtered = b.op("MatMul", b.op("Reshape", columns, b.shape(0, 0, -1, PATCH)), b.constant(np.ascontiguousarray(kernel.T)))
    differing = _inside(b, b.op("Reshape", filtered, b.op("Shape", columns)), PATCH // 2, 3)
    b.op("Add", conv(differing, encoder.linear, PATCH), correction, output="latents")
    inputs = [helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, "height", "width", 3])]
    return b.model("encoder", inputs, _maps("latents", channels=encoder.head.out_channels))


def serialize(model: onnx.ModelProto) -> bytes:
    """The bytes of a graph file; deterministic."""
    return bytes(model.SerializeToString(deterministic=True))
