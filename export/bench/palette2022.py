"""The method of 2022 in the bench: palette files of a pack's latents beside this coder on the same latents, and what a UNet adds.

Takes pixels and a pack whose quantizer is "palette" (the autoencoder the method is to be judged with), returns points of bytes and
likeness as `peers` and `own` do. Kept under the pack's id: another pack of ours, or another peer, measures nothing of it again.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

from ...runtime.decode import decode, open_latents
from ...runtime.encode import encode, palette_entries
from ...runtime.format.container import LATENTS, Chunk, serialize
from ...runtime.format.planes import encode_planes
from ...runtime.pack import GRID, PALETTE, PLANES, Pack
from ...runtime.session import Session
from ..families.unet import CleanUp
from ..metrics import perceptual, similarity
from ..metrics.kept import Kept
from ..site.assets import digest
from .peers import Pixels, Plan, figures

RECIPE: Final = 2
"""Raised when this module, the palette's encoder or `measure` would give other figures of the same photo and pack."""

PALETTE_2022, SAME_LATENTS, CLEANED = "2022", "sdz, the 2022 latents", "2022, UNet"
"""The method as published; this coder on the same latents in as many bytes; the method's picture after the UNet."""

METHODS: Final = (PALETTE_2022, SAME_LATENTS, CLEANED)

QUALITIES: Final = (50.0, 62.5, 75.0, 87.5, 100.0)
"""Of the palette: 16 to 256 entries."""


class PaletteError(ValueError):
    """The pack given is none that the method can be measured with."""


def check(pack: Pack, cleaned: bool) -> None:
    """Raises PaletteError unless `pack` carries palettes and, for the clean-up, says what its latents are to a UNet."""
    if pack.quantizer != PALETTE:
        raise PaletteError(f"pack {pack.name} carries {pack.quantizer}: the 2022 method wants a pack built with --quantizer {PALETTE}")
    if cleaned and not {"gains", "centre"} <= set(pack.manifest.get("family", {})):
        raise PaletteError(f"pack {pack.name} does not say what its latents are to a UNet: build it from the UNet's own autoencoder")


def recipe(plan: Plan, cleaned: str | None) -> str:
    """Changes with everything but the photo and the pack that decides about the figures."""
    parts = [RECIPE, QUALITIES, plan.visible_rate, cleaned, similarity.JUDGED_PIXELS, perceptual.available()]
    return digest(json.dumps(parts).encode())[:16]


def measure_photo(
    reference: Pixels, kept: Kept, session: Session, plan: Plan, clean_up: CleanUp | None, unet: str | None
) -> dict[str, Any]:
    """A photo's `points` at each of QUALITIES, taken from `kept` or measured and kept; `session` runs the palette pack, `clean_up` is the
    UNet named `unet`."""
    told = None if clean_up is None else f"{unet}, {clean_up.steps} steps, strength {clean_up.strength}"
    name, key = f"{plan.name}-2022-{session.pack.id.hex()}", recipe(plan, told)
    known = kept.figures(name, key)
    if known is not None:
        return known
    image = Image.fromarray(reference)
    twin = Session(replace(session.pack, quantizer=PLANES))
    points = []
    for quality in QUALITIES:
        data = encode(image, quality=quality, session=session)
        pictures = {PALETTE_2022: (data, decode(data, session=session).pixels)}
        same = encode(image, target_size=len(data), session=twin)
        pictures[SAME_LATENTS] = same, decode(same, session=twin).pixels
        if clean_up is not None:
            pictures[CLEANED] = data, cleaned(data, session, clean_up)
        for codec, (file, pixels) in pictures.items():
            names = {"codec": codec, "setting": "", "quality": palette_entries(quality)}
            points.append(names | figures(pixels, reference, len(file), plan.visible_rate))
    measured = {"points": points}
    kept.keep(name, key, measured, {}, {})
    return measured


def cleaned(data: bytes, session: Session, clean_up: CleanUp) -> Pixels:
    """The picture (H, W, 3) of a palette file after the UNet, as its decoder gives it."""
    opened, pack = open_latents(data, pack=session.pack), session.pack
    family = pack.manifest["family"]
    gains, centre = (torch.tensor(family[key], dtype=torch.float32)[None, :, None, None] for key in ("gains", "centre"))
    latents = torch.from_numpy(opened.picture.latents().values.astype(np.float32))[None] / (GRID * gains) + centre
    levels = ((clean_up(latents) - centre) * gains)[0].numpy()
    # as integers of the finest step, a grey level
    integers = np.rint(levels).clip(-(2**15) + 1, 2**15 - 1).astype(np.int32)
    twin = replace(pack, quantizer=PLANES)
    payload = encode_planes(integers, 0, twin.coder)
    header = replace(opened.header, step_index=0, grey=False, tilt=0)
    return open_latents(serialize(header, [Chunk(LATENTS, payload)]), pack=twin).paint("decoded", session)


def averages(points: list[list[dict[str, Any]]], metrics: tuple[str, ...]) -> list[dict[str, Any]]:
    """Per number of entries, over the photos' points: `entries`, `photos`, and by method its mean `bytes`, `bpp` and metrics (None where
    not all photos have it)."""
    out = []
    for entries in sorted({p["quality"] for photo in points for p in photo}, reverse=True):
        row: dict[str, Any] = {"entries": entries, "photos": len(points)}
        for method in METHODS:
            found = [p for photo in points for p in photo if (p["codec"], p["quality"]) == (method, entries)]
            if found:
                values = {m: [p[m] for p in found if m in p] for m in ("bytes", "bpp", *metrics)}
                row[method] = {m: float(np.mean(v)) if len(v) == len(found) else None for m, v in values.items()}
        out.append(row)
    return out
