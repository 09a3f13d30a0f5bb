"""The lapped linear pair: its two filters undo each other, leave flat pictures and outer edges alone, and are what runtimes compute."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy_forms import lapped

from sdz.export.models import TinyAutoencoder
from sdz.export.models.lapping import BOOST, Lapping, boosted_matrix, inverse
from sdz.export.packs.quantization import QuantizationError, lapping_entries
from sdz.runtime.format.linear import LAP_PLACES, LAP_SHIFT


def pixels(height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(9).uniform(-128, 128, (2, 3, height, width))).float()


@pytest.mark.parametrize("overlap", [1, 2, 4, 8])
def test_synthesis_undoes_analysis(overlap: int) -> None:
    matrix = boosted_matrix(overlap)
    picture = pixels(64, 48)
    analysed = Lapping(inverse(matrix), 16)(picture).detach()
    assert float((analysed - picture).abs().mean()) > 1
    assert torch.allclose(Lapping(matrix, 16)(analysed), picture, atol=1e-3)


def test_only_pixels_near_inner_borders_move() -> None:
    picture = pixels(48, 32)
    moved = (Lapping(boosted_matrix(4), 16)(picture) != picture).any(dim=1).any(dim=0)
    near_row = np.isin(np.arange(48), [*range(12, 20), *range(28, 36)])
    near_column = np.isin(np.arange(32), range(12, 20))
    assert np.array_equal(moved.numpy(), near_row[:, None] | near_column[None, :])
    flat = torch.full((1, 3, 48, 32), 77.0)
    assert torch.allclose(Lapping(boosted_matrix(4), 16)(flat), flat, rtol=1e-5)
    single = pixels(16, 16)
    assert torch.equal(Lapping(boosted_matrix(4), 16)(single), single)


def test_the_smoothest_difference_across_a_border_is_what_is_boosted() -> None:
    # the paper's V scales one direction of the differences by BOOST and turns the others
    analysis = torch.eye(4) + 2 * inverse(boosted_matrix(4))
    assert torch.linalg.svdvals(analysis).tolist() == pytest.approx([BOOST, 1, 1, 1], abs=1e-5)


def test_integers_are_the_filter_within_their_rounding() -> None:
    lapping = Lapping(boosted_matrix(4), 16)
    entries = lapping_entries(lapping)
    with torch.no_grad():
        lapping.matrix.copy_(torch.from_numpy(entries / 2.0**LAP_SHIFT))
        levels = np.rint(pixels(48, 64)[0].permute(1, 2, 0).numpy() * 2**LAP_PLACES).astype(np.int32)
        expected = lapping(torch.from_numpy(levels).permute(2, 0, 1)[None].float())[0].permute(1, 2, 0).numpy()
    difference = np.abs(lapped(levels, 16, entries) - expected)
    # half a unit of the first pass, through the second, and half a unit of its own
    assert 0 < difference.max() <= 0.5 * (1 + 2 * np.abs(entries).sum(axis=1).max() / 2**LAP_SHIFT) + 0.5


def test_a_lapping_that_fp32_could_not_sum_is_refused() -> None:
    with pytest.raises(QuantizationError, match="row 1 of the lapping sums to 240, beyond 232"):
        lapping_entries(Lapping(torch.tensor([[0.5, 0.0], [-0.4375, 0.5]]), 16))


def test_the_linear_pair_alone_gives_a_smooth_picture_back() -> None:
    # frequencies that the small basis has: the mean and the slowest change, over the whole picture
    autoencoder = TinyAutoencoder()
    y, x = np.meshgrid(np.arange(64), np.arange(64), indexing="ij")
    wave = 128 + 60 * np.cos(np.pi * y / 64) * np.cos(np.pi * x / 64)
    photo = torch.from_numpy(wave).float().expand(1, 3, 64, 64)
    with torch.no_grad():
        found = autoencoder.decode_linear(autoencoder.encode(photo))
    assert float((found - photo).abs().max()) < 1
