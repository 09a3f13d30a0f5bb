"""What an error of each latent costs in the decoded picture: the decoder's gains, measured.

Takes an autoencoder and photos, returns what a squared unit of a latent's error is in squared levels of the pixels. The linear stage's
gains alone do not tell: the network smooths what is coarse in the low frequencies and makes more of the high ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...runtime.quantize import TYPICAL_ROUNDING
from ..models import TinyAutoencoder
from ..models.truncation import truncate

STEPS = (48, 56, 64)
"""Step indices of the lowest plane; photos take turns."""

BINS_PER_OCTAVE = 2
"""Channels of one plane of colour are told apart by frequency, in so many steps of an octave."""

MEANS_COLOUR = 2.0
"""The squared error of the chroma means counts so much more than in the pixels: sixteen by sixteen of them are off alike, and the eye sees
that of all errors first."""


def groups(functions: Sequence[tuple[int, int, int]]) -> list[list[int]]:
    """Channels that are measured as one: those of a plane of colour and of like frequency, the means each alone."""
    found: dict[tuple[int, int], list[int]] = {}
    for channel, (plane, u, v) in enumerate(functions):
        band = round(BINS_PER_OCTAVE * math.log2(math.hypot(u, v))) if u or v else -1
        found.setdefault((plane, band), []).append(channel)
    return list(found.values())


def decoder_worth(autoencoder: TinyAutoencoder, photos: Sequence[Tensor]) -> NDArray[np.float64]:
    """What a squared error of one grey level of each latent costs, squared levels summed over all samples of the pixels: (C,), positive.

    `photos` are (1, 3, H, W) in [0, 255], sides multiples of the patch. A group's lowest plane is added to a picture of which no lowest
    plane is known, and taken from one of which all are known: what both change in the pixels, by what they change in the latents.
    """
    functions = autoencoder.decoder.linear.functions
    assert functions is not None
    members = groups(functions)
    pixels, latents = np.zeros(len(members)), np.zeros(len(members))
    with torch.inference_mode():
        for number, photo in enumerate(photos):
            z = autoencoder.encode(photo)
            step = STEPS[number % len(STEPS)]
            cut = torch.ones(z.shape[1])

            def known(cut: Tensor, z: Tensor = z, step: int = step, photo: Tensor = photo) -> tuple[Tensor, float]:
                depth = cut[None, :, None, None]
                found = truncate(z, step + 8.0 * depth, depth, torch.tensor(TYPICAL_ROUNDING))
                decoded = autoencoder.decode(found.values, found.precision).clamp(0, 255)
                return (found.values - z).square().sum(dim=(0, 2, 3)), float((decoded - photo).square().sum())

            (coarse_latents, coarse), (fine_latents, fine) = known(cut), known(0.0 * cut)
            for i, channels in enumerate(members):
                one = cut.clone()
                one[channels] = 0.0
                pixels[i] += (coarse - known(one)[1]) + (known(1.0 - one)[1] - fine)
                latents[i] += 2.0 * float((coarse_latents - fine_latents)[channels].sum())
    worth = np.zeros(len(functions))
    # the linear stage's gain stands for groups that these photos have too little of
    gains = autoencoder.decoder.linear.gain.detach().numpy().astype(np.float64) ** 2
    for channels, changed, moved in zip(members, pixels, latents, strict=True):
        measured = changed / moved if moved > 0.0 else 0.0
        # half-way: high frequencies first leave the coder less to go by, all the way is 0.3 % more bytes and half of it none
        worth[channels] = np.sqrt(measured * gains[channels]) if measured > 0.0 else gains[channels]
    chroma_means = [c for c, (plane, u, v) in enumerate(functions) if plane and not u and not v]
    worth[chroma_means] *= MEANS_COLOUR
    return worth
