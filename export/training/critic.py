"""The adversary of `export.gpu_train`: a small network that tells photos from decoded pictures, patch by patch.

A fixed network can be pleased by patterns that no eye takes for the photo's texture; this one learns every pattern that gives a picture
away. It is shown what the file says as well (the linear stage's picture and the precision), as in HiFiC (Mentzer et al. 2020,
"High-Fidelity Generative Image Compression"). Hinge loss; every layer's spectral norm is held at one after each step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

LAYERS = ((32, 3, 1), (64, 4, 2), (128, 4, 2), (256, 4, 2), (256, 3, 1))
"""Output channels, kernel and stride: the first sees single pixels, the last judges patches of some 60."""

NOISE = 1.0
"""Levels of uniform noise over whatever is judged: photos are integers, decoded pictures in training are not."""

SLOPE = 0.2


class Critic(nn.Module):
    """Scores patches, above zero where they look like a photo's."""

    def __init__(self) -> None:
        super().__init__()
        widths = [7, *(width for width, _, _ in LAYERS)]
        self.layers = nn.ModuleList(
            nn.Conv2d(i, o, kernel, stride, padding=1) for i, (o, kernel, stride) in zip(widths[:-1], LAYERS, strict=True)
        )
        self.last = nn.Conv2d(widths[-1], 1, 3, padding=1)
        for number, layer in enumerate(self._all()):
            nn.init.orthogonal_(layer.weight)
            self.register_buffer(f"direction{number}", F.normalize(torch.randn(layer.weight.shape[0]), dim=0))

    def _all(self) -> list[nn.Conv2d]:
        return [m for m in (*self.layers, self.last) if isinstance(m, nn.Conv2d)]

    def forward(self, pixels: Tensor, linear: Tensor, code: Tensor) -> Tensor:
        """Patch scores (N, 1, H/8, W/8); `pixels` and `linear` (N, 3, H, W) levels, `code` (N, 1, 1, 1) eighths of an octave."""
        noisy = pixels + NOISE * (2 * torch.rand_like(pixels) - 1)
        shown = (code / 32.0 - 1.5).expand(-1, 1, *pixels.shape[-2:])
        x = torch.cat([noisy / 127.5 - 1.0, linear / 127.5 - 1.0, shown], dim=1).contiguous(memory_format=torch.channels_last)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
        return torch.as_tensor(self.last(x)).float()

    def flattery(self, pixels: Tensor, linear: Tensor, code: Tensor) -> Tensor:
        """What a picture loses by not being taken for a photo (N,); its gradient reaches the picture, not the critic."""
        frozen = {name: parameter.detach() for name, parameter in self.named_parameters()}
        return -torch.as_tensor(functional_call(self, frozen, (pixels, linear, code))).mean(dim=(1, 2, 3))

    def loss(self, output: Tensor, pixels: Tensor, linear: Tensor, code: Tensor) -> Tensor:
        """The critic's own hinge loss, a scalar; no gradient reaches the picture."""
        both = self(torch.cat([output.detach(), pixels]), torch.cat([linear, linear]), torch.cat([code, code]))
        drawn, photo = both.chunk(2)
        return F.relu(1 + drawn).mean() + F.relu(1 - photo).mean()

    @torch.no_grad()
    def constrain(self) -> None:
        """Divide every layer by its largest singular value, estimated by one further power iteration."""
        for number, layer in enumerate(self._all()):
            matrix = layer.weight.flatten(1)
            direction = getattr(self, f"direction{number}")
            other = F.normalize(matrix.t() @ direction, dim=0)
            product = matrix @ other
            direction.copy_(F.normalize(product, dim=0))
            layer.weight.div_(product.norm().clamp_min(1e-6))
