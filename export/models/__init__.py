"""The project's own networks: a rate-distortion trained variational autoencoder and a one-step denoiser."""

from export.models.autoencoder import TinyAutoencoder, UniformPosterior
from export.models.denoiser import OneStepDenoiser

__all__ = ["OneStepDenoiser", "TinyAutoencoder", "UniformPosterior"]
