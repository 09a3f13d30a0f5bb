"""The graph for encoder effort: its likeness is that of the networks it was made of, its moves follow its likeness."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from pytorch_msssim import ms_ssim

from sdz.export.models import OneStepDenoiser, TinyAutoencoder
from sdz.export.models.layers import GridConv2d, QuantConv2d
from sdz.export.models.truncation import Truncated, truncate
from sdz.export.packs.graph import decoder_table, serialize
from sdz.export.packs.parity import gate_photos
from sdz.export.packs.quantization import settle_gains
from sdz.export.packs.refine import CURVATURE, SHARES, _lapped_basis, curvature_by_channel, refine_graph
from sdz.export.packs.trained import TINY_PACK, TINY_WEIGHTS
from sdz.export.training.perception import ssimulacra2_loss, to_linear
from sdz.runtime.format.reconstruction import Latents
from sdz.runtime.pack import load_pack
from sdz.runtime.session import Session

CODE = 46


@pytest.fixture(scope="module")
def networks() -> tuple[TinyAutoencoder, OneStepDenoiser]:
    options = {"use_safetensors": True, "low_cpu_mem_usage": False}
    autoencoder = TinyAutoencoder.from_pretrained(TINY_WEIGHTS / "autoencoder", **options).eval().requires_grad_(False)
    denoiser = OneStepDenoiser.from_pretrained(TINY_WEIGHTS / "denoiser", **options).eval().requires_grad_(False)
    settle_gains(autoencoder, decoder_table(autoencoder))
    return autoencoder, denoiser


def test_the_committed_graph_is_that_of_the_committed_weights(networks: tuple[TinyAutoencoder, OneStepDenoiser]) -> None:
    committed = (TINY_PACK / "refine.onnx").read_bytes()
    initializers = {i.name: i for i in onnx.load_from_string(committed).graph.initializer}
    curvature = numpy_helper.to_array(initializers[CURVATURE])[:, 0, 0]
    assert committed == serialize(refine_graph(*networks, curvature))
    # measured in floating point: alike on every machine, not the same
    measured = curvature_by_channel(serialize(refine_graph(*networks)), networks[0])
    assert curvature == pytest.approx(measured, rel=0.02)
    # the means of luma and the coloured functions are the most curved, fine luma the least
    assert curvature[:3].min() > 1.0 > curvature[-24:].max()


def prepared(autoencoder: TinyAutoencoder, number: int) -> tuple[torch.Tensor, Truncated, Latents, NDArray[np.uint8]]:
    """A photo (1, 3, 176, 192) in [0, 255], what is known of its latents, the same as a decoder has it, the photo's bytes (176, 192, 3)."""
    pixels = gate_photos()[number][None, :, :176, :192]
    latents = autoencoder.encode(pixels)
    known = truncate(latents, torch.tensor(float(CODE)), torch.tensor(0.0), torch.tensor(0.45))
    maps = (known.values * 4, known.levels.clamp(-15, 15), known.precision.expand_as(latents), known.half_width.expand_as(latents) * 4)
    part = Latents(*(m[0].round().int().numpy() for m in maps))
    return pixels, known, part, np.ascontiguousarray(pixels[0].permute(1, 2, 0).byte().numpy())


def shown(autoencoder: TinyAutoencoder, denoiser: OneStepDenoiser, known: Truncated, realism: float) -> torch.Tensor:
    """The picture (1, 3, H, W), levels, by networks with the graph's integers for weights, and like it without the activations' grids."""
    layers = [m for network in (autoencoder, denoiser) for m in network.modules() if isinstance(m, QuantConv2d | GridConv2d)]
    for layer in layers:
        layer.fake_quantize = True
    moved = denoiser(known.values, known.levels, known.precision, known.half_width) if realism else known.values
    output = autoencoder.decode(moved, known.precision)
    for layer in layers:
        layer.fake_quantize = False
    return output


def texture_error(output: torch.Tensor, pixels: torch.Tensor) -> float:
    """How far the variances of windows are from the photo's, by other code than the graph's."""
    x = np.arange(-5, 6)
    taps = torch.from_numpy(np.exp(-np.square(x) / 4.5)).float()
    kernel = torch.outer(taps / taps.sum(), taps / taps.sum()).expand(3, 1, 11, 11)
    total = 0.0
    for scale in range(2):
        if scale:
            output, pixels = (torch.nn.functional.avg_pool2d(p, 2) for p in (output, pixels))
        whole = torch.nn.functional.conv2d(torch.ones_like(pixels), kernel, padding=5, groups=3)
        variances = []
        for picture in (output, pixels):
            means = [torch.nn.functional.conv2d(p, kernel, padding=5, groups=3) / whole for p in (picture, picture.square())]
            variances.append((means[1] - means[0].square()).clamp_min(0))
        unlike, more = (variances[0].add(steady).log() - variances[1].add(steady).log() for steady in (10.0, 1.0))
        total += float(unlike.square().mean() + 2.0 * more.clamp_min(0).square().mean())
    return total


@pytest.mark.parametrize(("realism", "shares"), [(0.0, SHARES), (1.0, SHARES), (1.0, (0.0, 0.0, 0.0, 1.0))])
def test_likeness_and_moves(
    networks: tuple[TinyAutoencoder, OneStepDenoiser], realism: float, shares: tuple[float, float, float, float]
) -> None:
    autoencoder, denoiser = networks
    pixels, known, part, rgb = prepared(autoencoder, 0)
    output = shown(autoencoder, denoiser, known, realism)
    session = Session(load_pack(TINY_PACK))
    likeness, moves = session.refine(part, rgb, realism, shares)
    assert moves is not None
    assert session.refine(part, rgb, realism, shares, moves=False) == (likeness, None)
    # the measures that it names, by other code: what is left for SSIMULACRA2 is its distance before the polynomial
    error = float((output - pixels).square().mean())
    structure = 1 - float(ms_ssim(output.clamp(0, 255), pixels, data_range=255))
    rest = likeness - shares[0] * np.log(error) - shares[1] * np.log(structure)
    if shares[2]:
        assert 2.0 < np.exp(rest / shares[2]) < 12.0
    else:
        assert rest == pytest.approx(np.log(texture_error(output, pixels)), abs=0.002)
    curvature = numpy_helper.to_array(next(i for i in onnx.load(TINY_PACK / "refine.onnx").graph.initializer if i.name == CURVATURE))
    bent = 2 * np.square(_lapped_basis(autoencoder)).sum(axis=(1, 2, 3))[:, None, None] * curvature
    gradient = -moves * bent / (error * rgb.size)
    # a quarter of the latents half a level uphill and downhill: against chance, rounding would drown what changes
    step = np.sign(gradient) * (np.random.default_rng(1).random(moves.shape) < 0.25) * 2
    sides = []
    for sign in (1, -1):
        values = part.values + (sign * step).astype(np.int32)
        sides.append(session.refine(Latents(values, part.levels, part.precision, part.half_width), rgb, realism, shares, moves=False)[0])
    assert (sides[0] - sides[1]) / 2 == pytest.approx(float((gradient * step).sum()) / 4, rel=0.01)


@pytest.mark.parametrize("realism", [0.0, 1.0])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_graph_decodes_what_the_networks_do(networks: tuple[TinyAutoencoder, OneStepDenoiser], number: int, realism: float) -> None:
    """By the squared error of the picture; in the second photo moves reach the ends of their intervals."""
    autoencoder, denoiser = networks
    pixels, known, part, rgb = prepared(autoencoder, number)
    output = shown(autoencoder, denoiser, known, realism)
    likeness, _ = Session(load_pack(TINY_PACK)).refine(part, rgb, realism, (1.0, 0.0, 0.0, 0.0), moves=False)
    assert likeness == pytest.approx(np.log(float((output - pixels).square().mean())), abs=0.001)


def test_part_of_the_moves_brings_likeness(networks: tuple[TinyAutoencoder, OneStepDenoiser]) -> None:
    """Newton's step for every latent at once is too long, the first round's part of it is not."""
    autoencoder, _ = networks
    _, _, part, rgb = prepared(autoencoder, 2)
    session = Session(load_pack(TINY_PACK))
    likeness, moves = session.refine(part, rgb, 1.0, SHARES)
    assert moves is not None

    def after(share: float) -> float:
        values = part.values + np.rint(4 * share * moves).astype(np.int32)
        return session.refine(Latents(values, part.levels, part.precision, part.half_width), rgb, 1.0, SHARES, moves=False)[0]

    assert after(0.16) < likeness - 0.1
    assert after(0.16) < after(1.0)


def test_ssimulacra2_of_the_graph_falls_with_the_score_of_the_training_loss(networks: tuple[TinyAutoencoder, OneStepDenoiser]) -> None:
    """Following the moves lowers SSIMULACRA2's loss as the training computes it."""
    from ssimulacra2 import ssimulacra2

    autoencoder, _ = networks
    pixels, known, part, rgb = prepared(autoencoder, 1)
    moves = Session(load_pack(TINY_PACK)).refine(part, rgb, 0.0, SHARES)[1]
    assert moves is not None
    weights = torch.tensor(ssimulacra2.weights).reshape(3, 6, 2, 3).float()
    step = torch.from_numpy(moves / np.sqrt(np.square(moves).mean()))[None]
    losses = [
        float(ssimulacra2_loss(to_linear(autoencoder.decode(known.values + size * step, known.precision)), to_linear(pixels), weights))
        for size in (0.0, 0.5)
    ]
    assert losses[1] < losses[0]
