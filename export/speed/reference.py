"""The reference shape that speed is measured against: the decoder of TAESD as an fp32 ONNX graph.

Takes nothing, returns a graph with the architecture of diffusers' `AutoencoderTiny` (its defaults are TAESD's) and random weights:
speed depends on shapes only, and no weights need to be downloaded.
"""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

SCALE = 8
"""Pixels per latent position on each side."""

OPSET = 17
"""The newest that torch's own exporter writes for every operator here; the other exporter needs one more package."""

PROBE = 16
"""Latent positions along each side of the image on which operations are counted."""


@dataclass(frozen=True)
class Reference:
    """`graph`: ONNX, `latents` float32 (1, `channels`, h, w) -> `pixels` float32 (1, 3, 8h, 8w). `macs`: per pixel."""

    graph: bytes
    channels: int
    macs: float


def taesd_decoder() -> Reference:
    """The decoder's graph, for any height and width."""
    from diffusers import AutoencoderTiny

    model: Any = AutoencoderTiny()  # type: ignore[no-untyped-call]
    model.eval()
    channels = int(model.config.latent_channels)
    example = torch.zeros(1, channels, PROBE, PROBE)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.decoder(example)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # says that another exporter is the default now
        torch.onnx.export(
            model.decoder,
            (example,),
            Path(folder) / "decoder.onnx",
            dynamo=False,
            opset_version=OPSET,
            input_names=["latents"],
            output_names=["pixels"],
            dynamic_axes={"latents": {2: "h", 3: "w"}, "pixels": {2: "height", 3: "width"}},
        )
        graph = (Path(folder) / "decoder.onnx").read_bytes()
    return Reference(graph, channels, counter.get_total_flops() / 2 / (PROBE * SCALE) ** 2)
