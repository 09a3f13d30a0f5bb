"""`sdz prune`: leave out of the residual blocks what no photo wakes.

A hidden channel whose sum stays below half a level under ReLU, wherever photos were looked at, adds nothing to a picture, and still
every reader downloads its weights and computes it. Photos are seen as training sees them, under random truncations, with and without the
denoiser. What is left is rounded up to the multiple of channels that the core takes, the busiest of the idle first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..commands import failed, parser
from ..crops import CropSampler, TrainingDataError, load_photos
from ..models import OneStepDenoiser, TinyAutoencoder
from ..models.layers import ResidualBlock, is_calibrated, set_quantization
from .train import Pipeline, known_latents, load_pipeline

MULTIPLE = 8
"""The core takes layers of so many channels, or a multiple."""

BATCH = 8
"""Crops that are looked at together."""


def _blocks(model: nn.Module) -> dict[str, ResidualBlock]:
    return {name: module for name, module in model.named_modules() if isinstance(module, ResidualBlock)}


@contextmanager
def _counted(blocks: dict[str, ResidualBlock]) -> Iterator[dict[str, Tensor]]:
    """By block, at what share of its positions each hidden channel was awake meanwhile, float64 (hidden,)."""
    counts = {name: torch.zeros(block.conv1.conv.out_channels, dtype=torch.float64) for name, block in blocks.items()}
    positions = dict.fromkeys(blocks, 0)

    def note(name: str, block: ResidualBlock) -> Any:
        def count(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            level = torch.exp2(block.conv1.activation.exponent.float())
            counts[name] += (inputs[0].float() > 0.5 * level).sum(dim=(0, 2, 3)).double()
            positions[name] += inputs[0][:, 0].numel()

        return block.conv1.activation.register_forward_pre_hook(count)

    hooks = [note(name, block) for name, block in blocks.items()]
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()
    for name, count in counts.items():
        count /= positions[name]


@torch.no_grad()
def awake(pipeline: Pipeline, sampler: CropSampler, crops: int, seed: int = 1) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """At what share of the positions of random crops the hidden channels of decoder and denoiser are awake: by block, (hidden,) float64."""
    generator = torch.Generator().manual_seed(seed)
    autoencoder, denoiser = pipeline.autoencoder, pipeline.denoiser
    set_quantization(pipeline, enabled=True)
    with _counted(_blocks(autoencoder)) as decoder_shares, _counted(_blocks(denoiser)) as denoiser_shares:
        for _ in range(0, crops, BATCH):
            pixels = sampler.batch(BATCH)
            for natural in (False, True):
                known = known_latents(autoencoder, pixels, generator, natural=natural)[-1]
                pipeline.reconstruct(known, denoise=natural)
    return decoder_shares, denoiser_shares


def kept_channels(shares: Tensor, rarely: float) -> Tensor:
    """Which hidden channels stay, int64 in rising order: those awake at a larger share of positions than `rarely`, and the next busiest up
    to a multiple of `MULTIPLE`, at least that."""
    busy = int((shares > rarely).sum())
    number = min(len(shares), MULTIPLE * max(1, -(-busy // MULTIPLE)))
    return torch.sort(torch.argsort(shares, descending=True, stable=True)[:number]).values


@torch.no_grad()
def _with(model: Any, kept: dict[str, Tensor], hidden: dict[str, Any]) -> Any:
    """A model of the configuration `hidden`, with the weights of the hidden channels that are kept."""
    state = model.state_dict()
    for name, channels in kept.items():
        for key, axis in (("conv1.conv.weight", 0), ("conv1.conv.bias", 0), ("conv2.conv.weight", 1)):
            state[f"{name}.{key}"] = state[f"{name}.{key}"].index_select(axis, channels)
    # not `from_config`, which takes what was given by position for defaults
    given = {key: value for key, value in model.config.items() if not key.startswith("_")}
    pruned = type(model)(**(given | hidden))
    pruned.load_state_dict(state)
    return pruned


def prune(pipeline: Pipeline, shares: tuple[dict[str, Tensor], dict[str, Tensor]], rarely: float = 0.0) -> Pipeline:
    """The same networks without the hidden channels awake at no larger a share of positions than `rarely`; `shares` as of `awake`."""
    decoder, denoiser = ({name: kept_channels(s, rarely) for name, s in of.items()} for of in shares)
    stages = [name for _, name in reversed(pipeline.autoencoder.decoder.stages)]
    by_stage = [[len(channels) for name, channels in decoder.items() if name.split(".")[1] == stage] for stage in stages]
    autoencoder: TinyAutoencoder = _with(pipeline.autoencoder, decoder, {"decoder_hidden": by_stage})
    smaller: OneStepDenoiser = _with(pipeline.denoiser, denoiser, {"hidden": [len(channels) for channels in denoiser.values()]})
    return Pipeline(autoencoder, smaller)


def main(arguments: list[str]) -> int:
    """`sdz prune`; 0 done, 1 no usable data or weights without fixed ranges."""
    command = parser(
        "prune",
        "Leave out the hidden channels that no photo wakes: smaller networks that draw alike, what is left of a layer on a finer grid.",
    )
    command.add_argument("--weights", type=Path, required=True, metavar="RUN", help="the weights of this run directory")
    command.add_argument("--data", type=Path, nargs="+", required=True, metavar="PHOTOS", help="folders or .tar shards of training photos")
    command.add_argument("--out", type=Path, required=True, metavar="RUN", help="run directory for the smaller networks")
    command.add_argument("--crops", type=int, default=512, metavar="N", help="crops that are looked at (default: 512)")
    command.add_argument("--crop", type=int, default=192, metavar="PIXELS", help="side of the crops (default: 192)")
    command.add_argument(
        "--rarely", type=float, default=0.0, metavar="SHARE", help="a channel awake at this share of positions is idle, too (default: 0)"
    )
    given = command.parse_args(arguments)
    pipeline = load_pipeline(given.weights)
    if not (is_calibrated(pipeline.autoencoder.decoder) and is_calibrated(pipeline.denoiser)):
        return failed("prune", f"{given.weights}: not trained for int8 yet, so what its grids leave of a channel is not known")
    try:
        sampler = CropSampler(load_photos(given.data, given.crop), given.crop, seed=1)
    except TrainingDataError as error:
        return failed("prune", error)
    shares = awake(pipeline, sampler, given.crops)
    pruned = prune(pipeline, shares, given.rarely)
    for prefix, model, of in (("", pruned.autoencoder, shares[0]), ("denoiser.", pruned.denoiser, shares[1])):
        for name, block in _blocks(model).items():
            print(f"{prefix}{name}: {block.conv1.conv.out_channels} of {len(of[name])} hidden channels stay")
    pruned.autoencoder.save_pretrained(given.out / "autoencoder")
    pruned.denoiser.save_pretrained(given.out / "denoiser")
    return 0
