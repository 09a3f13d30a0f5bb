"""Families of autoencoders that packs are made from: one module each, chosen by the class that a model's configuration names."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any, Final

from ...runtime.pack import PATCHES
from .errors import FamilyError
from .family import Family, grey_latents
from .source import CLASS, Source

FAMILIES: Final = {
    "AutoencoderKL": "sdz.export.families.kl",
    "AutoencoderTiny": "sdz.export.families.tiny",
    "TinyAutoencoder": "sdz.export.families.lapped",
    "VQModel": "sdz.export.families.vq",
}
"""Class name in a model's configuration -> the module whose `load(source, config)` gives its `Family`."""

MAX_CHANNELS: Final = 255
"""Of a pack."""


def load_family(
    source: str,
    subfolder: str | None = None,
    revision: str | None = None,
    variant: str | None = None,
    local_files_only: bool = False,
    *,
    decoder_from: str | None = None,
    decoder_subfolder: str | None = None,
) -> Family:
    """The autoencoder at `source`, a folder or a hub id in diffusers' layout, with safetensors weights.

    `decoder_from` takes the decoder of another model instead of its own, one that speaks the same latents (TAESD's for Stable Diffusion's).
    HF_HUB_OFFLINE and the hub's other variables hold. Raises FamilyError.
    """
    family = _load(Source(source, subfolder, revision, variant, local_files_only))
    if decoder_from is not None:
        other = _load(Source(decoder_from, decoder_subfolder, None, None, local_files_only))
        if (other.channels, other.patch) != (family.channels, family.patch):
            raise FamilyError(
                f"{other.source}: its decoder takes {other.channels} channels at 1/{other.patch}, "
                f"the encoder of {family.source} gives {family.channels} at 1/{family.patch}"
            )
        family = replace(
            family,
            source=f"{family.source} with the decoder of {other.source}",
            decoder=other.decoder,
            has_global_operations=other.has_global_operations,
        )
    return replace(family, centre=grey_latents(family.encoder))


def _load(source: Source) -> Family:
    config: dict[str, Any] = source.config()
    module = FAMILIES.get(config[CLASS])
    if module is None:
        raise FamilyError(f"{source}: a {config[CLASS]} is no family that packs are made from; known are {', '.join(FAMILIES)}")
    for key in ("in_channels", "out_channels"):
        if config.get(key, 3) != 3:
            raise FamilyError(f"{source}: '{key}' is {config[key]}; packs hold pictures of 3 colours")
    family: Family = import_module(module).load(source, config)
    if not 1 <= family.channels <= MAX_CHANNELS:
        raise FamilyError(f"{source}: {family.channels} latent channels; a pack has 1 to {MAX_CHANNELS}")
    if family.patch not in PATCHES:
        raise FamilyError(f"{source}: one latent for {family.patch}x{family.patch} pixels; a pack has {', '.join(map(str, PATCHES))}")
    return family


__all__ = ["FAMILIES", "Family", "FamilyError", "load_family"]
