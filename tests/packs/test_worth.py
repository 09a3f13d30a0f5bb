"""What errors of latents cost in the decoder's pixels."""

from __future__ import annotations

import numpy as np
import torch

from sdz.export.models import TinyAutoencoder
from sdz.export.packs.worth import MEANS_COLOUR, decoder_worth, groups


def test_channels_of_like_frequency_are_one_group() -> None:
    functions = [(0, 0, 0), (1, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 1), (0, 1, 1), (0, 7, 7), (0, 6, 8), (0, 0, 15)]
    assert groups(functions) == [[0], [1], [2, 3], [4], [5], [6, 7], [8]]


def test_a_linear_decoder_is_worth_its_gains() -> None:
    """Of a network that adds nothing yet the gains are all there is, but for what blocks share by the lapping."""
    torch.manual_seed(0)
    autoencoder = TinyAutoencoder((6, 1, 1), (8, 8, 8), (1, 1, 1), (8, 8, 8), (1, 1, 1)).eval()
    functions = autoencoder.decoder.linear.functions
    assert functions is not None
    gains = torch.ones(8)
    for channels, gain in zip(groups(functions), (1.0, 0.5, 2.0, 1.0, 0.25, 1.5, 1.0, 1.0), strict=False):
        gains[channels] = gain
    with torch.no_grad():
        autoencoder.decoder.linear.gain.copy_(gains)
        autoencoder.encoder.linear.gain.copy_(1.0 / gains)
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.normal(0.0, 30.0, (1, 3, 12, 12)).astype(np.float32))
    photo = (128.0 + torch.nn.functional.interpolate(coarse, size=(96, 96), mode="bilinear")).clamp(40, 216)
    found = decoder_worth(autoencoder, [photo])
    expected = np.square(gains.numpy().astype(np.float64))
    expected[[c for c, (plane, u, v) in enumerate(functions) if plane and not u and not v]] *= MEANS_COLOUR
    assert ((found > 0.7 * expected) & (found < 1.05 * expected)).all()
