"""What a network costs per pixel of the picture: multiply-accumulates and receptive field, counted over graphs and modules."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import onnx
import torch
from onnx import shape_inference
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ...runtime.limits import MAX_HALO
from ..families.family import mixes_everything
from ..models.autoencoder import PATCH

PROBE: Final = 16
"""Latent positions along each side of the picture on which operations are counted."""


@dataclass(frozen=True)
class Cost:
    """`macs`: multiply-accumulates per pixel of the picture; `halo`: latent positions of receptive field on each side."""

    macs: float
    halo: int


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


def macs_per_pixel(module: nn.Module, example: Tensor, pixels: int) -> float:
    """Multiply-accumulates of convolutions and matrix products on `example`, per pixel of the picture."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(example)
    return float(counter.get_total_flops()) / 2 / pixels


def receptive_field(decoder: nn.Module, channels: int) -> int | None:
    """Latent positions on each side that a pixel depends on, from the kernels passed through; None where that is not finite, or too far
    for tiles with margins."""
    if mixes_everything(decoder):
        return None
    reach = 0.0

    def note(module: nn.Conv2d, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal reach
        reach += module.dilation[0] * (module.kernel_size[0] // 2) * PROBE / inputs[0].shape[2]

    hooks = [module.register_forward_hook(note) for module in decoder.modules() if isinstance(module, nn.Conv2d)]
    with torch.no_grad():
        decoder(torch.zeros(1, channels, PROBE, PROBE))
    for hook in hooks:
        hook.remove()
    return math.ceil(reach) if reach <= MAX_HALO else None
