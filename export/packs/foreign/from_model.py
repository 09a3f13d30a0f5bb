"""The pack that `sdz build --pack-from MODEL` builds a site with: made once, kept beside the site's files.

Takes what the user named, returns the pack's directory. A pack is taken again as long as model and options are the same, so that new
photos do not change the pack, and with it every file; `--force` calibrates again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch

from ....runtime.errors import CorruptPackError
from ....runtime.files import write_atomically
from ....runtime.pack import PLANES, Pack, load_pack
from ...crops import CropSampler
from ...families import Family, FamilyError, load_family
from ...families.source import CONFIG
from ..options import ModelOptions
from ..prime import prime
from ..trained import build_pack
from .build import build_foreign_pack, pack_name
from .calibrate import CROPS, read_photos
from .distilled import is_light_decoder, load_distilled

FOLDER: Final = "packs"
"""Inside the site: the whole pack, with the encoder, for whoever wants the files outside a browser."""

TRAINED: Final = ("autoencoder", "denoiser")
"""Subfolders of a run directory of `sdz train`."""

RECIPE: Final = 1
"""Raised when the same model and options would make another pack."""


@dataclass(frozen=True)
class SitePack:
    """The pack's directory; `figures` by name and `warning` as of the build, none where the pack was there already."""

    directory: Path
    figures: dict[str, float]
    warning: str | None
    reused: bool


def pack_for_site(site: Path, model: ModelOptions, photos: list[Path], *, force: bool = False) -> SitePack:
    """The pack of `model`, built in `site / "packs"` where it is not there yet, calibrated on the photos.

    Raises FamilyError, ParityError, QuantizationError, OSError.
    """
    name = pack_name(model.source) + ("" if model.quantizer == PLANES else f"-{model.quantizer}")
    out = site / FOLDER / name
    note = out.with_name(f".{out.name}.request")
    request = _request(model)
    if not force and _noted(note) == request and (pack := _intact(out)) is not None:
        return SitePack(out, {}, _warning(pack), reused=True)
    if _is_training_run(model):
        if (model.quantizer, model.steps) != (PLANES, "linear"):
            raise FamilyError(f"{model.source}: a run of `sdz train` has its steps and its bit-planes from training")
        if model.denoiser is not None:
            raise FamilyError(f"{model.source}: a run of `sdz train` has its denoiser beside its autoencoder; put another there")
        figures, warning = _trained_pack(Path(model.source), out, photos), None
    else:
        light = model.decoder_from if model.decoder_from is not None and is_light_decoder(model.decoder_from) else None
        family = load_family(
            model.source,
            model.subfolder,
            model.revision,
            model.variant,
            model.local_files_only,
            decoder_from=model.decoder_from if light is None else None,
            decoder_subfolder=model.decoder_subfolder,
        )
        distilled = load_distilled(family, None if model.denoiser is None else Path(model.denoiser), None if light is None else Path(light))
        built = build_foreign_pack(
            family,
            read_photos(photos),
            out,
            precision=model.precision,
            name=name,
            quantizer=model.quantizer,
            steps=model.steps,
            distilled=distilled,
        )
        figures, warning = built.figures, built.warning
    write_atomically(note, request.encode())
    return SitePack(out, figures, warning, reused=False)


def _trained_pack(run: Path, out: Path, photos: list[Path]) -> dict[str, float]:
    """The exact pack of a run directory of `sdz train`, its coder's tables learned from the photos."""
    family: Family = load_family(str(run), TRAINED[0])
    pixels = read_photos(photos)
    side = min(256, min(min(photo.shape[:2]) for photo in pixels) // 64 * 64)
    crops = CropSampler(pixels, side, 0).batch(CROPS)
    with torch.inference_mode():
        latents = torch.cat([family.encoder(crop[None])[0] for crop in crops]).numpy()
    autoencoder: Any = family.decoder.model
    gains = autoencoder.decoder.linear.gain.detach().numpy()
    return build_pack(run, out, prime(latents, gains).to_bytes(), name=pack_name(str(run))).parity


def _is_training_run(model: ModelOptions) -> bool:
    run = Path(model.source)
    return model.subfolder is None and all((run / part / CONFIG).is_file() for part in TRAINED)


def _warning(pack: Pack) -> str | None:
    from .expected import warning

    return warning(pack) if "expected_seconds" in pack.manifest else None


def _request(model: ModelOptions) -> str:
    """A digest of all that makes another pack, the sizes and times of local weights among it."""
    parts: list[Any] = [RECIPE, asdict(model)]
    for source in (model.source, model.decoder_from, model.denoiser):
        if source is not None and Path(source).is_dir():
            files = sorted(Path(source).rglob("*.safetensors"))
            parts.append([[str(file), (state := file.stat()).st_size, state.st_mtime_ns] for file in files])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _noted(note: Path) -> str | None:
    try:
        return note.read_text()
    except (OSError, UnicodeDecodeError):
        return None


def _intact(directory: Path) -> Pack | None:
    try:
        pack = load_pack(directory)
        pack.verify()
    except CorruptPackError:
        return None
    return pack
