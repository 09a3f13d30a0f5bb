"""The int8 networks by their flat weights: FORMAT.md, "Networks" and "Arithmetic of the networks"."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from .pixels import blocks_to_picture, lapped_levels, pattern_sums
from .reconstruction import Latents, all_guarded

STEM, BLOCK, UPSAMPLE, PAINT, MOVES = range(5)


def requantized(sums: Any, scale: Any, zero: int) -> Any:
    """Levels less their zero point of exact integer sums (h, w, O)."""
    # numpy converts to float32 and rounds with halves to even
    levels = np.rint(sums.astype(np.float32) * scale)
    return np.clip(levels, -zero, 255 - zero).astype(np.int64)


class Convolution:
    """A convolution of k x k; takes and gives levels less their zero point, (h, w, channels)."""

    def __init__(self, read: Any) -> None:
        self.size, _, self.zero, _, inputs, outputs = struct.unpack("<4B2H", read(8))
        self.scale = np.frombuffer(read(4 * outputs), "<f4")
        self.bias = np.frombuffer(read(4 * outputs), "<i4").astype(np.int64)
        weight = np.frombuffer(read(outputs * inputs * self.size**2), np.int8)
        self.weight = weight.reshape(outputs, inputs, self.size, self.size).astype(np.float64)

    def __call__(self, x: Any) -> Any:
        margin, (rows, columns) = self.size // 2, x.shape[:2]
        padded = np.pad(x, ((margin, margin), (margin, margin), (0, 0))).astype(np.float64)
        sums = np.zeros((rows, columns, len(self.weight)))
        # products of integers whose sums stay below 2^25: float64 is exact
        for dy in range(self.size):
            for dx in range(self.size):
                sums += padded[dy : dy + rows, dx : dx + columns] @ self.weight[:, :, dy, dx].T
        return requantized(sums.astype(np.int64) + self.bias, self.scale, self.zero)


class Network:
    """A denoiser or a decoder, "sdzN"."""

    def __init__(self, data: bytes) -> None:
        at = 8

        def read(size: int) -> bytes:
            nonlocal at
            part = data[at : at + size]
            assert len(part) == size
            at += size
            return part

        assert data[:5] == b"sdzN\1"
        self.channels = data[6]
        inputs = self.channels * (2 if data[5] == 1 else 3)
        kind, self.stem_zero, outputs = struct.unpack("<2BH", read(4))
        assert kind == STEM
        self.stem_scale = np.frombuffer(read(4 * outputs), "<f4")
        self.stem_bias = np.frombuffer(read(4 * outputs), "<i4").astype(np.int64)
        gain = np.frombuffer(read(2 * inputs), "<i2").astype(np.int64)
        self.stem_weight = np.frombuffer(read(outputs * inputs), np.int8).reshape(outputs, inputs) * gain
        self.layers: list[tuple[int, int, int, int, list[Convolution]]] = []
        for _ in range(data[7] - 1):
            kind, a, b, zero = struct.unpack("<BbbB", read(4))
            self.layers.append((kind, a, b, zero, [Convolution(read) for _ in range(2 if kind == BLOCK else 1)]))
        assert at == len(data)

    def run(self, *inputs: Any) -> Any:
        """The levels, less their zero point, (h, w, channels), that the last convolution gives from integers (C, h, w) each."""
        stacked = np.concatenate(inputs).astype(np.int64)
        x = requantized(np.einsum("ihw,oi->hwo", stacked, self.stem_weight) + self.stem_bias, self.stem_scale, self.stem_zero)
        for kind, a, b, zero, convolutions in self.layers:
            if kind == BLOCK:
                y = convolutions[1](convolutions[0](x))
                total = np.rint(np.float32(2.0**a) * x.astype(np.float32) + np.float32(2.0**b) * y.astype(np.float32))
                x = np.clip(total, -zero, 255 - zero).astype(np.int64)
            elif kind == UPSAMPLE:
                y = convolutions[0](x)
                rows, columns, c = y.shape
                split = y.reshape(rows, columns, 2, 2, c // 4).transpose(0, 2, 1, 3, 4)
                x = split.reshape(2 * rows, 2 * columns, c // 4)
            else:
                x = convolutions[0](x)
        return x

    @property
    def shift(self) -> int:
        """The last layer's s."""
        return self.layers[-1][1]


def denoised(network: Network, latents: Latents, strength: int, l1_limit: int) -> Latents:
    """Latents whose values have made `strength` sixteenths of the moves that the denoiser asks for."""
    y = network.run(latents.values, latents.levels, latents.precision)[:, :, : network.channels].transpose(2, 0, 1)
    f32 = np.float32
    move = np.floor(latents.half_width.astype(f32) * (y.astype(f32) * f32(2.0**network.shift)) + f32(0.5))
    moved = (latents.values.astype(f32) + move).astype(np.int64)
    values = latents.values + ((strength * (moved - latents.values) + 8) >> 4)
    return Latents(all_guarded(values, l1_limit), latents.levels, latents.precision, latents.half_width)


def decoded_pixels(network: Network, latents: Latents, table: Any, patch: int, shift: int, lapping: list[list[int]] | None) -> Any:
    """RGB uint8 (p h, p w, 3)."""
    y = network.run(latents.values, latents.precision)
    rows, columns = y.shape[:2]
    residual = y.reshape(rows, columns, 4, 4, 4)[..., :3].transpose(0, 2, 1, 3, 4).reshape(4 * rows, 4 * columns, 3)
    if lapping is not None:
        levels = lapped_levels(latents.values, table, patch, shift, lapping) + 2056 + residual * 2**network.shift
        return np.clip(levels >> 4, 0, 255).astype(np.uint8)
    sums = blocks_to_picture(pattern_sums(latents.values, table), patch) + (128 << shift) + (1 << (shift - 1))
    return np.clip((sums + residual * 2 ** (network.shift + shift)) >> shift, 0, 255).astype(np.uint8)
