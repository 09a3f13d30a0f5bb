"""The gate between training and a pack: do the ONNX graphs compute what the trained networks compute?

Takes the modules and the graph files of one pack, runs both on photos whose latents were truncated in several ways, and returns a table of
figures. A figure beyond its tolerance raises, so no pack is written from graphs that differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from ...runtime.quantize import TYPICAL_ROUNDING
from ..models import OneStepDenoiser, TinyAutoencoder
from ..models.autoencoder import GRID
from ..models.denoiser import DELTA_SCALE_EXPONENT
from ..models.layers import set_quantization
from ..models.truncation import Truncated, truncate

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
"""Names in `skimage.data`: photos that come with a package, so that the gate needs no download."""

CROP = 256
"""Side of the crops compared: more shows nothing new and costs time."""

TRUNCATIONS = ((26, 0), (40, 0), (40, 2), (58, 1))
"""(precision code, planes cut): fine to coarse, whole and cut files."""

TOLERANCES = {
    # weights stored as fp16: relative errors of 2**-12 on latents of up to some thousand levels; the finest step is 6.7
    "encoder: mean error against torch (grey levels)": 0.25,
    # biases on integer grids, and ties that torch's fp32 sums break differently, move an activation by a level now and then
    "denoiser int8: mean error against torch (levels of delta)": 0.5,
    "denoiser int8: largest error against torch (levels of delta)": 24.0,
    # rounding to whole pixel levels alone is a mean error of 0.25, the linear table's integers add 0.3 of bright images
    "decoder int8: mean error against torch (pixel levels)": 0.75,
    "decoder int8: largest error against torch (pixel levels)": 12.0,
    # the same integers in the same grids: exact, or one of the graphs is wrong
    "denoiser int8: values that differ from fp32": 0.0,
    "decoder int8: values that differ from fp32": 0.0,
    # what quantization costs end to end; training with it in the loop brings this under 0.1
    "pipeline int8: PSNR loss against unquantized torch (dB)": 1.0,
}
"""Largest acceptable value of every figure."""


Runner = Callable[[dict[str, Any]], NDArray[Any]]
Runners = dict[str, Runner]
Note = Callable[[str, float], None]


class ParityError(RuntimeError):
    """A graph does not compute what its network computes: names graph, figure, value and tolerance."""


@dataclass(frozen=True)
class _Case:
    """One photo under one truncation: `pixels` float (1, 3, H, W), and what is known of its latents."""

    pixels: torch.Tensor
    known: Truncated

    @property
    def precision(self) -> torch.Tensor:
        return self.known.precision.expand_as(self.known.values)

    def feeds(self) -> dict[str, NDArray[np.float32]]:
        """Inputs of the denoiser graph."""
        arrays = {
            "latents": self.known.values * GRID,
            "levels": self.known.levels.clamp(-15, 15),
            "precision": self.precision,
            "half_width": self.known.half_width * GRID,
        }
        return {name: np.rint(a.numpy()).astype(np.float32) for name, a in arrays.items()}


def gate_photos() -> list[torch.Tensor]:
    """The photos of the gate, (3, CROP, CROP) float in [0, 255]."""
    import skimage.data

    photos = []
    for name in PHOTOS:
        pixels = getattr(skimage.data, name)()[:, :, :3]
        top, left = (pixels.shape[0] - CROP) // 2, (pixels.shape[1] - CROP) // 2
        photos.append(torch.from_numpy(pixels[top : top + CROP, left : left + CROP].copy()).permute(2, 0, 1).float())
    return photos


@torch.no_grad()
def check_parity(
    autoencoder: TinyAutoencoder, denoiser: OneStepDenoiser, graphs: dict[str, bytes], photos: list[torch.Tensor]
) -> dict[str, float]:
    """The figures named in `TOLERANCES`, the worst over all photos and truncations.

    `graphs`: by their names in a manifest, "encoder", "denoiser", "denoiser-fp32", "decoder", "decoder-fp32". Raises ParityError.
    """
    run = {name: graph_runner(data, plain=name.endswith("-fp32")) for name, data in graphs.items()}
    figures = dict.fromkeys(TOLERANCES, 0.0)
    modules = (autoencoder, denoiser)

    def note(name: str, value: float) -> None:
        # not max(): a NaN must not be lost
        if not value <= figures[name]:
            figures[name] = value

    for pixels in photos:
        batch = pixels[None]
        latents = autoencoder.encode(batch)
        encoded = run["encoder"]({"pixels": batch.permute(0, 2, 3, 1).to(torch.uint8).numpy()})
        note("encoder: mean error against torch (grey levels)", float(np.abs(encoded - latents.numpy()).mean()))
        for code, depth in TRUNCATIONS:
            case = _Case(batch, truncate(latents, torch.tensor(float(code)), torch.tensor(float(depth)), torch.tensor(TYPICAL_ROUNDING)))
            for module in modules:
                set_quantization(module, enabled=True)
            _compare_denoisers(case, denoiser, run, note)
            _compare_decoders(case, autoencoder, run, note)
            for module in modules:
                set_quantization(module, enabled=False)
            note("pipeline int8: PSNR loss against unquantized torch (dB)", _loss(case, autoencoder, denoiser, run))
    for name, value in figures.items():
        if not value <= TOLERANCES[name]:
            raise ParityError(f"{name} is {value:.4g}, tolerance {TOLERANCES[name]:.4g}: the pack was not written")
    return figures


def _compare_denoisers(case: _Case, denoiser: OneStepDenoiser, run: Runners, note: Note) -> None:
    feeds = case.feeds()
    known = case.known
    delta = denoiser.delta(known.values, known.levels, case.precision)
    expected = feeds["latents"] + np.floor(feeds["half_width"] * delta.numpy() + 0.5)
    int8, fp32 = run["denoiser"](feeds), run["denoiser-fp32"](feeds)
    error = np.abs(int8 - expected) / (feeds["half_width"] * 2.0**DELTA_SCALE_EXPONENT)
    note("denoiser int8: mean error against torch (levels of delta)", float(error.mean()))
    note("denoiser int8: largest error against torch (levels of delta)", float(error.max()))
    note("denoiser int8: values that differ from fp32", float((int8 != fp32).sum()))


def _compare_decoders(case: _Case, autoencoder: TinyAutoencoder, run: Runners, note: Note) -> None:
    feeds = case.feeds()
    inputs = {name: feeds[name] for name in ("latents", "precision")}
    expected = autoencoder.decode(case.known.values, case.precision).clamp(0, 255)[0].permute(1, 2, 0).numpy()
    int8, fp32 = run["decoder"](inputs), run["decoder-fp32"](inputs)
    error = np.abs(int8[:, :, :3] - expected)
    note("decoder int8: mean error against torch (pixel levels)", float(error.mean()))
    note("decoder int8: largest error against torch (pixel levels)", float(error.max()))
    note("decoder int8: values that differ from fp32", float((int8 != fp32).sum()))


def _loss(case: _Case, autoencoder: TinyAutoencoder, denoiser: OneStepDenoiser, run: Runners) -> float:
    known = case.known
    values = denoiser(known.values, known.levels, case.precision, known.half_width)
    real = autoencoder.decode(values, case.precision).clamp(0, 255)[0].permute(1, 2, 0).numpy()
    feeds = case.feeds()
    denoised = run["denoiser"](feeds)
    quantized = run["decoder"]({"latents": denoised, "precision": feeds["precision"]})[:, :, :3]
    source = case.pixels[0].permute(1, 2, 0).numpy()
    return float(10 * np.log10(np.square(quantized - source).mean() / np.square(real - source).mean()))


def graph_runner(data: bytes, *, plain: bool, threads: int = 1) -> Runner:
    """A function that runs a graph; `plain` without graph optimization, which would fold a scale into weights that are exact without it.

    `threads`: 0 for as many as there are cores.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return lambda feeds: session.run(None, feeds)[0]
