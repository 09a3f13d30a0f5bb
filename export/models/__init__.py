"""The project's own networks: a rate-distortion trained variational autoencoder, a one-step denoiser, a light decoder for any latents."""

from .autoencoder import TinyAutoencoder, UniformPosterior
from .denoiser import OneStepDenoiser
from .light import LightDecoder

__all__ = ["LightDecoder", "OneStepDenoiser", "TinyAutoencoder", "UniformPosterior"]
