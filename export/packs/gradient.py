"""Reverse-mode differentiation while a graph is written: every operator that is appended also notes how gradients flow back through it.

Takes the same calls as a `GraphBuilder`'s, for the few operators that networks of this project and measures of likeness consist of, and
appends the backward nodes in plain ONNX, so that any onnxruntime computes gradients (Griewank and Walther, "Evaluating Derivatives", 2008).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from .graph import GraphBuilder, continued

Back = Callable[[str], list[tuple[str, str]]]
"""The gradient of an operator's output -> (input, its part of the gradient)."""


class Tape:
    """Values (1, C, H, W) float32 by name; constants have no gradient."""

    def __init__(self, builder: GraphBuilder) -> None:
        self.builder = builder
        self.steps: list[tuple[str, Back]] = []

    def gradient(self, of: str, to: str) -> str:
        """Append the backward nodes; the name of d `of` / d `to`, `of` being a sum of its entries."""
        b = self.builder
        found = {of: b.op("ConstantOfShape", b.op("Shape", of), value=numpy_one())}
        for output, back in reversed(self.steps):
            if output not in found:
                continue
            for name, part in back(found[output]):
                found[name] = part if name not in found else b.op("Add", found[name], part)
        return found[to]

    def add(self, x: str, y: str) -> str:
        return self._noted(self.builder.op("Add", x, y), lambda g: [(x, g), (y, g)])

    def sub(self, x: str, y: str) -> str:
        return self._noted(self.builder.op("Sub", x, y), lambda g: [(x, g), (y, self.builder.op("Neg", g))])

    def mul(self, x: str, y: str) -> str:
        b = self.builder
        return self._noted(b.op("Mul", x, y), lambda g: [(x, b.op("Mul", g, y)), (y, b.op("Mul", g, x))])

    def scale(self, x: str, constant: str) -> str:
        """Times what has no gradient."""
        b = self.builder
        return self._noted(b.op("Mul", x, constant), lambda g: [(x, b.op("Mul", g, constant))])

    def shift(self, x: str, constant: str) -> str:
        """Plus what has no gradient."""
        return self._noted(self.builder.op("Add", x, constant), lambda g: [(x, g)])

    def reciprocal(self, x: str) -> str:
        b = self.builder
        y = b.op("Reciprocal", x)
        return self._noted(y, lambda g: [(x, b.op("Neg", b.op("Mul", g, b.op("Mul", y, y))))])

    def power(self, x: str, exponent: float) -> str:
        """x ** exponent of positive values."""
        b = self.builder
        y = b.op("Pow", x, b.scalar(exponent))

        def back(g: str) -> list[tuple[str, str]]:
            # a quotient takes a fifth of a power's time
            slope = b.op("Div", y, b.op("Mul", x, b.scalar(1.0 / exponent)))
            return [(x, b.op("Mul", g, slope))]

        return self._noted(y, back)

    def log(self, x: str) -> str:
        b = self.builder
        return self._noted(b.op("Log", x), lambda g: [(x, b.op("Div", g, x))])

    def relu(self, x: str) -> str:
        b = self.builder
        y = b.op("Relu", x)
        return self._noted(y, lambda g: [(x, b.op("Mul", g, b.op("Cast", b.op("Greater", y, b.scalar(0)), to=TensorProto.FLOAT)))])

    def absolute(self, x: str) -> str:
        b = self.builder
        return self._noted(b.op("Abs", x), lambda g: [(x, b.op("Mul", g, b.op("Sign", x)))])

    def mean(self, x: str) -> str:
        """Over height and width, (1, C, 1, 1)."""
        b = self.builder

        def back(g: str) -> list[tuple[str, str]]:
            shape = b.op("Shape", x)
            area = b.op("Cast", b.op("ReduceProd", b.op("Slice", shape, b.shape(2), b.shape(4)), keepdims=1), to=TensorProto.FLOAT)
            return [(x, b.op("Expand", b.op("Div", g, area), shape))]

        return self._noted(b.op("ReduceMean", x, b.shape(2, 3), keepdims=1), back)

    def total(self, x: str) -> str:
        """The sum over channels, (1, 1, H, W)."""
        b = self.builder
        return self._noted(b.op("ReduceSum", x, b.shape(1), keepdims=1), lambda g: [(x, b.op("Expand", g, b.op("Shape", x)))])

    def halve(self, x: str) -> str:
        """Means of 2 x 2, of even sides."""
        b = self.builder

        def back(g: str) -> list[tuple[str, str]]:
            quarter = b.op("Mul", g, b.scalar(0.25))
            return [(x, b.op("Resize", quarter, "", b.constant(np.array([1, 1, 2, 2], np.float32)), mode="nearest"))]

        return self._noted(b.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2]), back)

    def shuffle(self, x: str, block: int) -> str:
        """Channels as (row, column, channel) to pixels."""
        b = self.builder
        y = b.op("DepthToSpace", x, blocksize=block, mode="DCR")
        return self._noted(y, lambda g: [(x, b.op("SpaceToDepth", g, blocksize=block))])

    def conv(self, x: str, weight: str, size: tuple[int, int], *bias: str, group: int = 1) -> str:
        """A convolution that keeps the sides, zeros around; `weight` (O, I / group, *size), depthwise where there are groups."""
        b = self.builder
        pads = [size[0] // 2, size[1] // 2] * 2
        shape: dict[str, Any] = {"kernel_shape": list(size), "pads": pads, "strides": [1, 1], "group": group}

        def back(g: str) -> list[tuple[str, str]]:
            # a convolution again, with the kernel turned round: runtimes fold the nodes when they load the graph
            turned = weight if group > 1 else b.op("Transpose", weight, perm=[1, 0, 2, 3])
            if size != (1, 1):
                ends = (b.shape(-1, -1), b.shape(-(1 << 30), -(1 << 30)), b.shape(2, 3), b.shape(-1, -1))
                turned = b.op("Slice", turned, *ends)
            return [(x, b.op("Conv", g, turned, **shape))]

        return self._noted(b.op("Conv", x, weight, *bias, **shape), back)

    def fold(self, x: str, count: int, axis: int) -> str:
        """Without the outermost `count` entries on either side of an axis, which are added, mirrored, to those inside."""
        b = self.builder

        def part(start: int, end: int) -> str:
            return b.op("Slice", x, b.shape(start), b.shape(end), b.shape(axis))

        near = b.op("Gather", x, b.constant(np.arange(count - 1, -1, -1)), axis=axis)
        far = b.op("Gather", x, b.constant(np.arange(-1, -1 - count, -1)), axis=axis)
        ends = b.op("Add", part(count, 2 * count), near), b.op("Add", part(-2 * count, -count), far)
        y = b.op("Concat", ends[0], part(2 * count, -2 * count), ends[1], axis=axis)
        return self._noted(y, lambda g: [(x, continued(b, g, count, axis))])

    def spread(self, x: str, weight: str, size: int, stride: int) -> str:
        """A transposed convolution to `stride` times the sides and what hangs over; `weight` (C, O, size, size)."""
        b = self.builder
        shape: dict[str, Any] = {"kernel_shape": [size, size], "pads": [0] * 4, "strides": [stride, stride]}
        return self._noted(b.op("ConvTranspose", x, weight, **shape), lambda g: [(x, b.op("Conv", g, weight, **shape))])

    def _noted(self, output: str, back: Back) -> str:
        self.steps.append((output, back))
        return output


def numpy_one() -> onnx.TensorProto:
    """What `ConstantOfShape` takes to make ones."""
    return numpy_helper.from_array(np.ones(1, np.float32))
