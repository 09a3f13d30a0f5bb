"""The tiny variational autoencoder: `pixels = linear(latents) + network(latents)`.

Encoder and decoder are each a linear pair (a 16x16 DCT in an orthonormal opponent colour space, lapped over the borders of blocks) plus
convolutions whose last layers start at zero. Latents are in units of grey levels of an orthonormal transform, so one
quantization step serves all channels; the linear pair's gains learn what each channel's precision is worth.

The posterior is uniform over one quantization step around the encoder's output, as in Balle, Laparra and Simoncelli
2017 ("End-to-end Optimized Image Compression"), where rate-distortion training of such a model is shown to be a
variational autoencoder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

from .lapping import Lapping, boosted_matrix, inverse
from .layers import Activation, GridConv2d, QuantConv2d, residual_blocks, round_ste

PATCH = 16
"""Pixels per latent position along each side."""

GRID = 4
"""Integer units per grey level of a latent, as every exact stage sees it."""

CENTRE = 128.0
"""Level subtracted from pixels, so that mid-grey is the zero latent."""

RESIDUAL_GAIN = 16.0
"""Levels per unit of the decoder network's last convolution: keeps its weights near those of the other layers."""

INPUT_GAIN = 1.0 / 64.0
"""What a latent in grey levels is multiplied with before a network sees it, folded into integer weights at export."""

PRECISION_GAIN = 1.0 / 64.0
"""The same for precision codes (eighths of an octave)."""

SCALES = (("up2", "fine"), ("up1", "middle"), ("", "coarse"))
"""The decoder network's resolutions, 1/4, 1/8 and 1/16 of the picture: what leads there from the next coarser one, and the blocks."""


def opponent_matrix() -> Tensor:
    """Orthonormal RGB -> (luma, red-blue, green-magenta), (3, 3) float64."""
    rows = [[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 2.0, -1.0]]
    m = torch.tensor(rows, dtype=torch.float64)
    return m / m.square().sum(dim=1, keepdim=True).sqrt()


def dct_functions(counts: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """(plane, u, v) of every basis function, coarse to fine; `counts` as for `dct_basis`."""
    order = sorted((u * u + v * v, u, v) for u in range(PATCH) for v in range(PATCH))
    entries = [
        # chroma of the same frequency is coarser to the eye: place it later in the channel order
        (math.sqrt(radius) * (1.0 if plane == 0 else 1.6) + 0.01 * plane + 1e-4 * rank, (plane, u, v))
        for plane, count in enumerate(counts)
        for rank, (radius, u, v) in enumerate(order[:count])
    ]
    return [function for _, function in sorted(entries)]


def dct_octaves(counts: tuple[int, int, int]) -> list[int]:
    """Each basis function's frequency as octaves above a quarter of the highest, in sixteenths; 0 for the means, which a tilt spares."""
    frequencies = [math.hypot(u, v) for _, u, v in dct_functions(counts)]
    return [round(16 * math.log2(4 * frequency / PATCH)) if frequency else 0 for frequency in frequencies]


def dct_matrix() -> Tensor:
    """Orthonormal DCT-II of one side, (16, 16) float64: frequency, pixel."""
    n = PATCH
    k = torch.arange(n, dtype=torch.float64)
    one = torch.cos(math.pi * (2 * k[None, :] + 1) * k[:, None] / (2 * n)) * math.sqrt(2.0 / n)
    one[0] /= math.sqrt(2.0)
    return one


def dct_basis(counts: tuple[int, int, int]) -> Tensor:
    """Orthonormal DCT-II basis functions in opponent colours, coarse to fine: (sum(counts), 3 * 256) float32.

    `counts` gives how many functions luma and the two chroma planes keep, by rising u**2 + v**2. Columns are ordered
    as `pixel_unshuffle(rgb, 16)` orders them: colour, row, column.
    """
    one = dct_matrix()
    colours = opponent_matrix()
    functions = [torch.einsum("k,r,c->krc", colours[plane], one[u], one[v]).reshape(-1) for plane, u, v in dct_functions(counts)]
    return torch.stack(functions).float()


class ScaledTransform(nn.Module):
    """A fixed linear transform, 1x1 over patches, with one learned gain per latent channel.

    `basis` (C, 768). Analysis maps (N, 768, h, w) to (N, C, h, w), synthesis the other way. The basis is not trained: a
    dense learned matrix of this size would cost a page 150 kB before its first paint, a DCT costs 1. `functions`: (plane, u, v) of every
    basis function of a DCT, None of another basis.
    """

    basis: Tensor

    def __init__(self, basis: Tensor, *, synthesis: bool, functions: Sequence[tuple[int, int, int]] | None = None) -> None:
        super().__init__()
        self.synthesis = synthesis
        self.functions = functions
        self.register_buffer("basis", basis)
        self.gain = nn.Parameter(torch.ones(len(basis)))

    @property
    def weight(self) -> Tensor:
        """The convolution's weight, (C, 768, 1, 1) or (768, C, 1, 1)."""
        scaled = self.basis * self.gain[:, None]
        return (scaled.t() if self.synthesis else scaled)[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight)


@dataclass(frozen=True)
class UniformPosterior:
    """q(z | x): uniform on [mean - step/2, mean + step/2]; `mean` (N, C, H, W) float, `step` broadcastable."""

    mean: Tensor
    step: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One draw, shape of `mean`."""
        noise = torch.rand(self.mean.shape, generator=generator, device=self.mean.device, dtype=self.mean.dtype)
        return self.mean + (noise - 0.5) * self.step

    def mode(self) -> Tensor:
        """The centre of the interval."""
        return self.mean


class Encoder(nn.Module):
    """Pixels (N, 3, 16h, 16w), levels minus 128, to latents (N, C, h, w) in grey levels."""

    def __init__(
        self, channels: int, counts: tuple[int, int, int], widths: tuple[int, int, int], blocks: tuple[int, int, int], overlap: int
    ) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.lapping = Lapping(inverse(boosted_matrix(overlap)), PATCH)
        self.linear = ScaledTransform(dct_basis(counts), synthesis=False)
        self.stem = nn.Conv2d(48, fine, 3, padding=1)
        self.fine = nn.Sequential(*(EncoderBlock(fine) for _ in range(blocks[0])))
        self.down1 = nn.Conv2d(4 * fine, middle, 1)
        self.middle = nn.Sequential(*(EncoderBlock(middle) for _ in range(blocks[1])))
        self.down2 = nn.Conv2d(4 * middle, coarse, 1)
        self.coarse = nn.Sequential(*(EncoderBlock(coarse) for _ in range(blocks[2])))
        self.head = nn.Conv2d(coarse, channels, 1)
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(self, pixels: Tensor) -> Tensor:
        with torch.autocast(pixels.device.type, enabled=False):
            base = self.linear(F.pixel_unshuffle(self.lapping(pixels.float()), PATCH))
        x = self.stem(F.pixel_unshuffle(pixels / 64.0, 4))
        x = self.fine(x)
        x = self.middle(self.down1(F.pixel_unshuffle(x, 2)))
        x = self.coarse(self.down2(F.pixel_unshuffle(x, 2)))
        # the head's unit is 16 grey levels, as the decoder's: both networks correct, the linear pair carries
        return torch.as_tensor(base + RESIDUAL_GAIN * self.head(x).float())


class EncoderBlock(nn.Module):
    """x + conv1x1(relu(conv3x3(x))), never quantized: the encoder need not be deterministic."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(x + self.conv2(F.relu(self.conv1(x))))


class Decoder(nn.Module):
    """Latents (N, C, h, w) and their precision codes (N, C, h, w) to pixels (N, 3, patch h, patch w), levels minus 128.

    `basis` (C, 3 * patch * patch) is the linear path's; the patch is 4, 8 or 16. `widths` and `blocks` describe the network from 1/4 of the
    picture's resolution to the latents': one entry for a patch of 4, two for 8, three for 16; `hidden` the hidden channels of every block
    there, as many as the width where it is None. Blocks of the linear path are lapped by `overlap` pixels on either side of a border, or
    stand alone at 0. `functions`: as `ScaledTransform` has them. Raises ValueError for numbers that do not fit each other.
    """

    def __init__(
        self,
        basis: Tensor,
        widths: Sequence[int],
        blocks: Sequence[int],
        overlap: int = 0,
        functions: Sequence[tuple[int, int, int]] | None = None,
        hidden: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        self.patch = math.isqrt(basis.shape[1] // 3)
        between = [None] * len(blocks) if hidden is None else hidden
        if not len(widths) == len(blocks) == len(between) == self.patch.bit_length() - 2 <= len(SCALES):
            sizes = f"widths {list(widths)}, blocks {list(blocks)} and hidden channels {hidden}"
            raise ValueError(f"a decoder of patches of {self.patch} pixels with {sizes}")
        self.linear = ScaledTransform(basis, synthesis=True, functions=functions)
        self.lapping = Lapping(boosted_matrix(overlap), self.patch) if overlap else None
        self.stem = GridConv2d(2 * len(basis), widths[-1])
        self.stages: list[tuple[str, str]] = []
        above = 0
        for (up, name), width, count, inner in reversed(list(zip(SCALES, widths, blocks, between, strict=False))):
            if above:
                self.add_module(up, QuantConv2d(above, 4 * width, 1, relu=False))
            self.add_module(name, residual_blocks(width, count, inner))
            self.stages.append((up if above else "", name))
            above = width
        self.head = QuantConv2d(widths[0], 48, 3, relu=False)
        nn.init.zeros_(self.head.conv.weight)
        assert self.head.conv.bias is not None
        nn.init.zeros_(self.head.conv.bias)

    def linear_stage(self, latents: Tensor) -> Tensor:
        """The linear stage alone, same shapes as `forward`."""
        with torch.autocast(latents.device.type, enabled=False):
            pixels = F.pixel_shuffle(self.linear(latents.float()), self.patch)
            return pixels if self.lapping is None else torch.as_tensor(self.lapping(pixels))

    def forward(self, latents: Tensor, precision: Tensor) -> Tensor:
        base = self.linear_stage(latents)
        x = self.stem(torch.cat([latents.float() * INPUT_GAIN, precision.float() * PRECISION_GAIN], dim=1))
        for up, name in self.stages:
            if up:
                x = F.pixel_shuffle(self.get_submodule(up)(x), 2)
            x = self.get_submodule(name)(x)
        residual = F.pixel_shuffle(self.head(x), 4)
        return torch.as_tensor(base + RESIDUAL_GAIN * residual.float())


def _triple(values: Sequence[int]) -> tuple[int, int, int]:
    """Three numbers, fine to coarse; a configuration read back from JSON has lists."""
    fine, middle, coarse = values
    return fine, middle, coarse


class TinyAutoencoder(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """The project's variational autoencoder, in diffusers' manner (`save_pretrained`, `from_pretrained`).

    `encode(pixels)` takes (N, 3, H, W) float in [0, 255], H and W multiples of 16, and returns latents (N, C, H/16,
    W/16); `decode(latents, precision)` returns (N, 3, H, W) float, not clipped.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        basis_counts: tuple[int, int, int] = (140, 28, 24),
        encoder_widths: tuple[int, int, int] = (32, 96, 128),
        encoder_blocks: tuple[int, int, int] = (2, 3, 3),
        decoder_widths: tuple[int, int, int] = (32, 96, 128),
        decoder_blocks: tuple[int, int, int] = (4, 5, 2),
        overlap: int = 4,
        decoder_hidden: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        counts = _triple(basis_counts)
        self.channels = sum(counts)
        self.octaves = dct_octaves(counts)
        self.encoder = Encoder(self.channels, counts, _triple(encoder_widths), _triple(encoder_blocks), overlap)
        widths, blocks = _triple(decoder_widths), _triple(decoder_blocks)
        self.decoder = Decoder(dct_basis(counts), widths, blocks, overlap, dct_functions(counts), decoder_hidden)

    def encode(self, pixels: Tensor) -> Tensor:
        """Latents (N, C, H/16, W/16), grey levels; pixels (N, 3, H, W) in [0, 255]."""
        return torch.as_tensor(self.encoder(pixels - CENTRE))

    def posterior(self, pixels: Tensor, step: Tensor) -> UniformPosterior:
        """The approximate posterior at a quantization step (grey levels)."""
        return UniformPosterior(self.encode(pixels), step)

    def decode(self, latents: Tensor, precision: Tensor) -> Tensor:
        """Pixels (N, 3, H, W), about [0, 255], from latents and precision codes (both (N, C, H/16, W/16))."""
        return torch.as_tensor(self.decoder(round_ste(latents * GRID) / GRID, precision)) + CENTRE

    def decode_linear(self, latents: Tensor) -> Tensor:
        """The linear stage's pixels, as `decode` without the network."""
        return self.decoder.linear_stage(round_ste(latents * GRID) / GRID) + CENTRE


__all__ = ["Activation", "Decoder", "Encoder", "TinyAutoencoder", "UniformPosterior", "dct_basis", "dct_octaves", "opponent_matrix"]
