"""The project's own networks: a rate-distortion trained variational autoencoder, a one-step denoiser, a light decoder for any latents."""

from export.models.autoencoder import TinyAutoencoder, UniformPosterior
from export.models.denoiser import OneStepDenoiser
from export.models.light import LightDecoder

__all__ = ["LightDecoder", "OneStepDenoiser", "TinyAutoencoder", "UniformPosterior"]
