"""The encoder's graph for effort: what a file's integers cost in likeness, and where each latent should move.

Takes the networks of a pack, returns a graph that decodes in floating point, compares with the photo, and differentiates (`Tape`). It
decides nothing about a file's meaning: any integers decode alike, so it may be approximate where that saves time. It leaves out the
activations' grids, and of SSIMULACRA2 the sixth scale and the straight part of sRGB's curve.
"""

from __future__ import annotations

import functools

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from ssimulacra2 import ssimulacra2
from torch import nn

from ...runtime.quantize import TYPICAL_ROUNDING
from ..models import OneStepDenoiser, TinyAutoencoder
from ..models.autoencoder import CENTRE, GRID, INPUT_GAIN, PATCH, PRECISION_GAIN, RESIDUAL_GAIN
from ..models.denoiser import LEVEL_GAIN
from ..models.layers import GridConv2d, QuantConv2d, ResidualBlock, grid_scale, weight_levels
from ..models.truncation import truncate
from .gradient import Tape, numpy_one
from .graph import GraphBuilder
from .parity import gate_photos, graph_runner

SHARES = (0.45, 0.3, 0.25, 0.0)
"""What a per cent of squared error, of 1 - MS-SSIM, of SSIMULACRA2's distance and of the texture's error are worth where curvature is
measured."""

TEXTURE_SCALES = 2
"""Of MS-SSIM's five, from the finest on: how many tell how much texture there is. With three or five nothing was gained."""

TEXTURE_STEADY = 10.0
"""Added to a window's variance, squared levels: below that there is no texture."""

PATTERN_STEADY = 1.0
"""The same where the picture has more variance than the photo: there a level is seen already, as hatching or as specks on calm ground."""

PATTERN_WEIGHT = 2.0
"""How many times as much as the texture's error what a window has too much counts, beside it."""

SCALES = 5
"""Of SSIMULACRA2's six: sides are multiples of 16 and can be halved four times."""

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of MS-SSIM's five scales (Wang, Simoncelli and Bovik 2003)."""

MS_STEADY = (0.01 * 255.0) ** 2, (0.03 * 255.0) ** 2
"""MS-SSIM's constants of light and structure."""

TAPS, DEVIATION = 11, 1.5
"""The Gaussian of both."""

OPSIN = np.array([[0.30, 0.622, 0.078], [0.23, 0.692, 0.078], [0.24342268924547819, 0.20476744424496821, 0.55180986650955360]])
OPSIN_BIAS = 0.0037930732552754493
"""Linear RGB to the cones of JPEG XL's XYB, and what is added before their cube roots."""

XYB = np.array([[7.0, -7.0, 0.0], [0.5, 0.5, 0.0], [-0.5, -0.5, 1.0]])
XYB_SHIFT = np.array([0.42, 0.01, 0.55])
"""Cube roots to the planes that SSIMULACRA2 compares."""

CURVATURE = "curvature"
"""The initializer that holds `curvature_by_channel`."""

CODE = 58
"""Precision code of the latents at which curvature is measured: 0.2 to 0.3 bits per pixel."""

PROBE = 0.04
"""Every latent is moved by so much of a step there, up or down by chance. By more, and the measures' logarithms are curved themselves."""

DRAWS = 2

LEAST_CURVATURE = 0.05
"""No channel is taken for straighter than this."""

STEADY = 0.0009
"""SSIMULACRA2's constant of structure."""

LEAST = 1e-4
"""Keeps powers and logarithms away from zero."""


class _Network:
    """The layers of the project's networks on a tape, with weights as integers and one scale per output channel."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape

    def conv(self, x: str, layer: QuantConv2d, order: NDArray[np.int64] | None = None) -> str:
        weight, bias = (t.detach().double().numpy() for t in (layer.conv.weight, _bias(layer.conv)))
        if order is not None:
            weight, bias = weight[order], bias[order]
        y = self._conv(x, weight, bias, weight_levels(weight.size))
        return self.tape.relu(y) if layer.relu else y

    def stem(self, parts: list[tuple[str, float]], layer: GridConv2d) -> str:
        """The sum of 1x1 convolutions of parts of the input, each with the gain that its integers come with.

        Weights are on the layer's own grid: some stand before numbers of thousands, and rounded to any other they move the result by a
        tenth.
        """
        scale = grid_scale(layer.conv.weight).double().numpy()
        weights = np.split(layer.conv.weight.detach().double().numpy(), len(parts), axis=1)
        bias = _bias(layer.conv).detach().double().numpy()
        total = ""
        for (x, gain), weight in zip(parts, weights, strict=True):
            y = self._scaled(x, weight, scale, gain, np.zeros_like(bias) if total else bias)
            total = self.tape.add(total, y) if total else y
        return self.tape.relu(total)

    def blocks(self, x: str, chain: nn.Module) -> str:
        assert isinstance(chain, nn.Sequential)
        for block in chain:
            assert isinstance(block, ResidualBlock)
            x = self.tape.add(x, self.conv(self.conv(x, block.conv1), block.conv2))
        return x

    def _conv(self, x: str, weight: NDArray[np.float64], bias: NDArray[np.float64], levels: int) -> str:
        scale = np.maximum(np.abs(weight).max(axis=(1, 2, 3), keepdims=True), 1e-8) / levels
        return self._scaled(x, weight, scale, 1.0, bias)

    def _scaled(self, x: str, weight: NDArray[np.float64], scale: NDArray[np.float64], gain: float, bias: NDArray[np.float64]) -> str:
        b = self.tape.builder
        kernel = b.scaled(np.rint(weight / scale).astype(np.int8), (scale * gain).astype(np.float32))
        return self.tape.conv(x, kernel, (weight.shape[2], weight.shape[3]), b.constant(bias.astype(np.float32)))


def refine_graph(autoencoder: TinyAutoencoder, denoiser: OneStepDenoiser, curvature: NDArray[np.floating] | None = None) -> onnx.ModelProto:
    """`latents`, `levels`, `precision`, `half_width` float32 (1, C, h, w) as the denoiser's graph has them, `pixels` uint8
    (1, 16h, 16w, 3), `realism` float32 () in [0, 1], `shares` float32 (4,), `differentiated` bool () -> `likeness` float32 (1,), the sum by
    `shares` of the logarithms of the mean squared error (levels), 1 - MS-SSIM, SSIMULACRA2's distance before it is made a score, and the
    texture's error, the sum over scales of the mean squared logarithm of how many times the photo's variance a window has, what it has too
    much counted again by PATTERN_WEIGHT;
    `moves` float32 (1, C, h, w): the step, in grey levels, with which Newton's method would minimise it if every latent stood alone,
    zeros where it is not `differentiated`, which takes half the time.

    `curvature` float (C,): of `curvature_by_channel`, ones where it is None."""
    b = GraphBuilder()
    tape = Tape(b)
    decoded = _decoded(tape, autoencoder, denoiser)
    photo = b.op("Cast", b.op("Transpose", "pixels", perm=[0, 3, 1, 2]), to=TensorProto.FLOAT)
    error = tape.sub(decoded, photo)
    squared = tape.scale(tape.total(tape.mean(tape.mul(error, error))), b.scalar(1.0 / 3.0))
    structure, texture = _structure_and_texture(tape, decoded, photo)
    terms = (squared, structure, _ssimulacra2(tape, decoded, photo), texture)
    parts = [tape.scale(tape.log(x), b.op("Gather", "shares", b.shape(i))) for i, x in enumerate(terms)]
    likeness = functools.reduce(tape.add, parts)
    b.op("Reshape", likeness, b.shape(-1), output="likeness")
    still = b.op("ConstantOfShape", b.op("Shape", "latents"))
    forward = len(b.nodes)
    # the gradient of the sum of squares over all samples, were all measures that one
    total = b.op("Mul", squared, b.op("Cast", b.op("Size", "pixels"), to=TensorProto.FLOAT))
    slope = b.op("Mul", tape.gradient(likeness, "latents"), total)
    channels = autoencoder.channels
    bent = 2.0 * np.square(_lapped_basis(autoencoder).astype(np.float64)).sum(axis=(1, 2, 3))
    steps = b.op("Mul", slope, b.constant((-GRID / bent).astype(np.float32)[:, None, None]))
    by_channel = np.ones(channels) if curvature is None else curvature
    b.initializers[CURVATURE] = numpy_helper.from_array(by_channel.astype(np.float32)[:, None, None], CURVATURE)
    b.op("Div", steps, CURVATURE)
    b.only_if("differentiated", forward, "moves", still)
    maps = ("latents", "levels", "precision", "half_width")
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, channels, "h", "w"]) for n in maps]
    inputs += [
        helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, "height", "width", 3]),
        helper.make_tensor_value_info("realism", TensorProto.FLOAT, []),
        helper.make_tensor_value_info("shares", TensorProto.FLOAT, [len(SHARES)]),
        helper.make_tensor_value_info("differentiated", TensorProto.BOOL, []),
    ]
    outputs = [
        helper.make_tensor_value_info("moves", TensorProto.FLOAT, [1, channels, "h", "w"]),
        helper.make_tensor_value_info("likeness", TensorProto.FLOAT, [1]),
    ]
    return b.model("refine", inputs, outputs)


@torch.no_grad()
def curvature_by_channel(graph: bytes, autoencoder: TinyAutoencoder) -> NDArray[np.float32]:
    """Per channel, float32 (C,), how curved `refine_graph`'s likeness is, in units of the curvature that squared error would give it
    without networks; by Hutchinson's probes ("A stochastic estimator of the trace", 1990) on the gate's photos.

    Networks shrink what the smooth channels do; structure minds the smooth and the coloured ones several times as much as the fine ones.
    One damping for all would either leave the fine ones where they are or shake the smooth ones.

    `graph`: of `refine_graph` with a curvature of one everywhere.
    """
    run = graph_runner(graph, plain=False)
    random = np.random.default_rng(1)
    width = 2.0 ** (CODE / 8)
    bent, length = (np.zeros(autoencoder.channels) for _ in range(2))
    for pixels in gate_photos():
        latents = autoencoder.encode(pixels[None])
        known = truncate(latents, torch.tensor(float(CODE)), torch.tensor(0.0), torch.tensor(TYPICAL_ROUNDING))
        maps = {"levels": known.levels.clamp(-15, 15), "precision": known.precision, "half_width": known.half_width * GRID}
        feeds = {name: np.rint(m.expand_as(latents).numpy()).astype(np.float32) for name, m in maps.items()}
        feeds["pixels"] = pixels[None].permute(0, 2, 3, 1).to(torch.uint8).numpy()
        feeds["shares"] = np.array(SHARES, np.float32)
        feeds["differentiated"] = np.array(True)
        values = np.rint(known.values.numpy() * GRID).astype(np.float32)
        for realism in (0.0, 1.0):
            feeds["realism"] = np.array(realism, np.float32)
            for _ in range(DRAWS):
                probe = np.rint(random.choice([-1.0, 1.0], values.shape) * PROBE * width * GRID).astype(np.float32)
                moves = [run(feeds | {"latents": values + sign * probe}) for sign in (1, -1)]
                # with the linear stage's own curvature a step would lead just back
                bent += ((moves[1] - moves[0]) / 2 * probe / GRID).sum(axis=(0, 2, 3))
                length += np.square(probe / GRID).sum(axis=(0, 2, 3))
    found: NDArray[np.float32] = np.maximum(bent / length, LEAST_CURVATURE).astype(np.float32)
    return found


def _decoded(tape: Tape, autoencoder: TinyAutoencoder, denoiser: OneStepDenoiser) -> str:
    """Levels (1, 3, 16h, 16w), not clipped."""
    b, network = tape.builder, _Network(tape)
    known = [("latents", INPUT_GAIN / GRID), ("levels", LEVEL_GAIN), ("precision", PRECISION_GAIN)]
    delta = _within_one(tape, network.conv(network.blocks(network.stem(known, denoiser.stem), denoiser.trunk), denoiser.head))
    latents = tape.add("latents", tape.scale(delta, b.op("Mul", "half_width", "realism")))
    decoder = autoencoder.decoder
    x = network.stem([(latents, INPUT_GAIN / GRID), ("precision", PRECISION_GAIN)], decoder.stem)
    for up, name in decoder.stages:
        if up:
            layer = decoder.get_submodule(up)
            assert isinstance(layer, QuantConv2d)
            x = tape.shuffle(network.conv(x, layer, _rows_first(layer.conv.out_channels, 2)), 2)
        x = network.blocks(x, decoder.get_submodule(name))
    residual = tape.shuffle(network.conv(x, decoder.head, _rows_first(decoder.head.conv.out_channels, 4)), 4)
    kernel = _lapped_basis(autoencoder) / GRID
    stored = b.op("Cast", b.constant(kernel.astype(np.float16)), to=TensorProto.FLOAT)
    linear = tape.spread(latents, stored, kernel.shape[-1], PATCH)
    if overhang := (kernel.shape[-1] - PATCH) // 2:
        # at the picture's borders blocks stand alone: what hangs over comes back
        linear = tape.fold(tape.fold(linear, overhang, 2), overhang, 3)
    return tape.shift(tape.add(linear, tape.scale(residual, b.scalar(RESIDUAL_GAIN))), b.scalar(CENTRE))


def _within_one(tape: Tape, x: str) -> str:
    """`x` held within -1 and 1, as a latent is within its interval."""
    b = tape.builder
    above = tape.relu(tape.shift(x, b.scalar(-1)))
    return tape.shift(tape.add(tape.relu(tape.shift(x, b.scalar(1))), tape.scale(above, b.scalar(-1))), b.scalar(-1))


def _rows_first(channels: int, block: int) -> NDArray[np.int64]:
    """Where (row, column, channel) stands among torch's (channel, row, column)."""
    return np.arange(channels).reshape(-1, block * block).T.ravel()


@torch.no_grad()
def _lapped_basis(autoencoder: TinyAutoencoder) -> NDArray[np.float32]:
    """What one grey level of each latent adds to the picture inside: (C, 3, n, n), its block in the middle."""
    lapping = autoencoder.decoder.lapping
    overlap = 0 if lapping is None else len(lapping.matrix)
    impulses = torch.zeros(autoencoder.channels, autoencoder.channels, 3, 3)
    impulses[:, :, 1, 1] = torch.eye(autoencoder.channels)
    inside = slice(PATCH - overlap, 2 * PATCH + overlap)
    return autoencoder.decoder.linear_stage(impulses)[:, :, inside, inside].numpy()


def _ssimulacra2(tape: Tape, output: str, target: str) -> str:
    """The weighted sum of SSIMULACRA2's norms (1, 1, 1, 1) between levels; what does not depend on `output` leaves no note."""
    b = tape.builder
    apart = Tape(b)
    weights = np.array(ssimulacra2.weights, np.float32).reshape(3, -1, 2, 3)
    total = ""
    output, target = _linear_light(tape, output), _linear_light(apart, target)
    for scale in range(SCALES):
        if scale:
            output, target = tape.halve(output), apart.halve(target)
        o, t = _xyb(tape, output), _xyb(apart, target)
        blur, blur_apart = _Blur(tape, t), _Blur(apart, t)
        mean_o, mean_t = blur(o), blur_apart(t)
        power_o = tape.sub(blur(tape.mul(o, o)), tape.mul(mean_o, mean_o))
        power_t = b.op("Sub", blur_apart(b.op("Mul", t, t)), b.op("Mul", mean_t, mean_t))
        common = tape.sub(blur(tape.scale(o, t)), tape.scale(mean_o, mean_t))
        lighter = tape.shift(mean_o, b.op("Neg", mean_t))
        light = tape.shift(tape.scale(tape.mul(lighter, lighter), b.scalar(-1)), b.scalar(1))
        alike = tape.mul(light, _ratio(tape, common, power_o, power_t, STEADY))
        unlike = tape.relu(tape.shift(tape.scale(alike, b.scalar(-1)), b.scalar(1)))
        edge_t = b.op("Add", b.op("Abs", b.op("Sub", t, mean_t)), b.scalar(1))
        edge_o = tape.shift(tape.absolute(tape.sub(o, mean_o)), b.scalar(1))
        more = tape.shift(tape.scale(edge_o, b.op("Reciprocal", edge_t)), b.scalar(-1))
        maps = (unlike, tape.relu(more), tape.relu(tape.scale(more, b.scalar(-1))))
        for kind, x in enumerate(maps):
            square = tape.mul(x, x)
            fourth = tape.power(tape.shift(tape.mean(tape.mul(square, square)), b.scalar(1e-12)), 0.25)
            for norm, value in enumerate((tape.mean(x), fourth)):
                weight = weights[:, scale, norm, kind]
                if weight.any():
                    part = tape.total(tape.scale(value, b.constant(weight[None, :, None, None])))
                    total = tape.add(total, part) if total else part
    return tape.shift(total, b.scalar(LEAST))


def _structure_and_texture(tape: Tape, output: str, target: str) -> tuple[str, str]:
    """1 - MS-SSIM of levels, and the texture's error, (1, 1, 1, 1) each, means over colours; what does not depend on `output` leaves no
    note."""
    b = tape.builder
    apart = Tape(b)
    product, texture = "", ""
    for scale, weight in enumerate(SCALE_WEIGHTS):
        if scale:
            output, target = tape.halve(output), apart.halve(target)
        blur, blur_apart = _Blur(tape, target), _Blur(apart, target)
        mean_o, mean_t = blur(output), blur_apart(target)
        square_t = b.op("Mul", mean_t, mean_t)
        square_o = tape.mul(mean_o, mean_o)
        power_t = b.op("Sub", blur_apart(b.op("Mul", target, target)), square_t)
        power_o = tape.sub(blur(tape.mul(output, output)), square_o)
        cross = tape.scale(mean_o, mean_t)
        common = tape.sub(blur(tape.scale(output, target)), cross)
        alike = _ratio(tape, common, power_o, power_t, MS_STEADY[1])
        if scale < TEXTURE_SCALES:
            more, pattern = (
                tape.shift(_texture(tape, power_o, steady), b.op("Neg", _texture(apart, power_t, steady)))
                for steady in (TEXTURE_STEADY, PATTERN_STEADY)
            )
            pattern = tape.relu(pattern)
            excess = tape.scale(tape.mean(tape.mul(pattern, pattern)), b.scalar(PATTERN_WEIGHT))
            part = tape.add(tape.mean(tape.mul(more, more)), excess)
            texture = tape.add(texture, part) if texture else part
        if scale == len(SCALE_WEIGHTS) - 1:
            alike = tape.mul(alike, _ratio(tape, cross, square_o, square_t, MS_STEADY[0]))
        part = tape.power(tape.shift(tape.relu(tape.mean(alike)), b.scalar(LEAST)), weight)
        product = tape.mul(product, part) if product else part
    likeness, texture = (tape.scale(tape.total(x), b.scalar(1.0 / 3.0)) for x in (product, texture))
    return tape.shift(tape.scale(likeness, b.scalar(-1)), b.scalar(1.0 + LEAST)), tape.shift(texture, b.scalar(LEAST))


def _texture(tape: Tape, power: str, steady: float) -> str:
    """The logarithm of how much texture there is, of windows' variances (levels), which may be a little below 0."""
    b = tape.builder
    return tape.log(tape.shift(tape.relu(power), b.scalar(steady)))


def _ratio(tape: Tape, product: str, ours: str, theirs: str, steady: float) -> str:
    """(2 product + steady) / (ours + theirs + steady)."""
    b = tape.builder
    above = tape.shift(tape.scale(product, b.scalar(2)), b.scalar(steady))
    below = tape.shift(ours, b.op("Add", theirs, b.scalar(steady)))
    return tape.mul(above, tape.reciprocal(below))


def _linear_light(tape: Tape, levels: str) -> str:
    """sRGB levels to about linear light; levels under 0 count as 0."""
    b = tape.builder
    raised = tape.shift(tape.scale(tape.relu(levels), b.scalar(1.0 / (255.0 * 1.055))), b.scalar(0.055 / 1.055))
    return tape.power(raised, 2.4)


def _xyb(tape: Tape, linear: str) -> str:
    """The planes that SSIMULACRA2 compares, of linear light."""
    b = tape.builder

    def mixed(x: str, matrix: NDArray[np.float64], shift: NDArray[np.float64]) -> str:
        return tape.conv(x, b.constant(matrix.astype(np.float32)[:, :, None, None]), (1, 1), b.constant(shift.astype(np.float32)))

    roots = tape.power(mixed(linear, OPSIN, np.full(3, OPSIN_BIAS)), 1.0 / 3.0)
    return mixed(roots, XYB, XYB_SHIFT - XYB @ np.full(3, OPSIN_BIAS ** (1.0 / 3.0)))


class _Blur:
    """The Gaussian with weights that sum to one at the borders too, for maps of three channels and the size of `like`."""

    def __init__(self, tape: Tape, like: str) -> None:
        self.tape = tape
        b = tape.builder
        x = np.arange(TAPS) - TAPS // 2
        taps = np.exp(-(x**2) / (2 * DEVIATION**2))
        self.kernel = np.broadcast_to((taps / taps.sum()).astype(np.float32), (3, 1, TAPS))
        ones = b.op("ConstantOfShape", b.op("Shape", like), value=numpy_one())
        self.whole = b.op("Reciprocal", self._plain(Tape(b), ones))

    def __call__(self, x: str) -> str:
        return self.tape.scale(self._plain(self.tape, x), self.whole)

    def _plain(self, tape: Tape, x: str) -> str:
        b = tape.builder
        x = tape.conv(x, b.constant(self.kernel[:, :, :, None]), (TAPS, 1), group=3)
        return tape.conv(x, b.constant(self.kernel[:, :, None, :]), (1, TAPS), group=3)


def _bias(conv: nn.Conv2d) -> torch.Tensor:
    assert conv.bias is not None
    return conv.bias
