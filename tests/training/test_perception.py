"""`export.perception`: the measures that training on an accelerator minimises, against the packages that reports use."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytorch_msssim
import torch
from torch import Tensor

from sdz.export.metrics import similarity
from sdz.export.metrics.perceptual import PerceptualDistance
from sdz.export.training import perception


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> perception.WassersteinDistortion:
    file: Path = tmp_path_factory.mktemp("features") / "features.safetensors"
    perception.write_features(file)
    return perception.WassersteinDistortion(file)


@pytest.fixture(scope="module")
def pair() -> tuple[Tensor, Tensor]:
    """A soft picture and the same with noise, whole levels, (1, 3, 256, 256)."""
    generator = torch.Generator().manual_seed(3)
    small = torch.rand((1, 3, 16, 16), generator=generator) * 255
    photo = torch.nn.functional.interpolate(small, (256, 256), mode="bicubic").clamp(0, 255).round()
    return (photo + 6 * torch.randn(photo.shape, generator=generator)).clamp(0, 255).round(), photo


def test_ms_ssim_is_the_packages(pair: tuple[Tensor, Tensor]) -> None:
    theirs = float(pytorch_msssim.ms_ssim(*pair, data_range=255))
    assert abs(float(perception.ms_ssim(*pair)) - theirs) < 2e-5


def test_ssimulacra2_is_near_the_packages(pair: tuple[Tensor, Tensor], judge: perception.WassersteinDistortion) -> None:
    output, target = (perception.to_linear(x) for x in pair)
    ours = 100 - float(perception.ssimulacra2_loss(output, target, judge.ssimulacra2))
    pixels = [x[0].permute(1, 2, 0).to(torch.uint8).numpy() for x in pair]
    # the package darkens upper and lower borders before it blurs; under 256 a side it takes the wrong weights
    assert abs(ours - similarity.ssimulacra2(pixels[0], pixels[1])) < 6


def test_point_by_point_it_is_st_lpips_without_the_fifth_layer(
    pair: tuple[Tensor, Tensor], judge: perception.WassersteinDistortion
) -> None:
    with torch.inference_mode():
        _, point = judge(*pair)
        _, layers = PerceptualDistance("vgg").metric(pair[0] / 127.5 - 1, pair[1] / 127.5 - 1, retPerLayer=True)
    # the package adds the layers up in the first one's place
    whole, fifth = float(layers[0]), float(layers[4])
    assert abs(float(point) - (whole - fifth)) < 0.01 * whole


def test_equal_pictures_cost_nothing(pair: tuple[Tensor, Tensor], judge: perception.WassersteinDistortion) -> None:
    photo = pair[1]
    linear = perception.to_linear(photo)
    assert [float(x) for x in judge(photo, photo)] == [0.0, 0.0]
    assert float(perception.colour_loss(linear, linear)) == 0.0
    assert float(perception.ms_ssim(photo, photo)) == pytest.approx(1.0, abs=1e-6)
    # what keeps the gradient of a fourth root finite costs a few points
    assert float(perception.ssimulacra2_loss(linear, linear, judge.ssimulacra2)) < 5.0


def test_colour_sees_a_tint_and_no_noise(pair: tuple[Tensor, Tensor]) -> None:
    noisy, photo = (perception.to_linear(x) for x in pair)
    tinted = perception.to_linear((pair[1] * torch.tensor([1.05, 1.0, 0.95])[:, None, None]).clamp(0, 255))
    assert float(perception.colour_loss(tinted, photo)) > 20 * float(perception.colour_loss(noisy, photo))


def test_a_band_keeps_a_flat_picture_flat() -> None:
    for valid in (False, True):
        matrix = perception.band(32, torch.device("cpu"), valid=valid)
        assert tuple(matrix.shape) == (32, 22 if valid else 32)
        assert torch.allclose(matrix.sum(dim=0), torch.ones(matrix.shape[1]))
