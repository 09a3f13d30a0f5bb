"""The codecs this one is measured beside: how each saves a photo, and its points of bytes and likeness.

Takes pixels, returns points. A peer is credited with what people do with it today: below the rates a codec reaches at full size
it saves the photo at half or quarter size, enlarged again on display. Nothing here depends on a model pack.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import pillow_jxl  # noqa: F401 (registers JPEG XL with Pillow)
from numpy.typing import NDArray
from PIL import Image

from ...runtime.options import DEFAULT_QUALITY
from ..metrics import frechet, perceptual, similarity
from ..metrics.artefacts import block_colour, hatching
from ..metrics.kept import Kept
from ..metrics.pictures import AVIF_SPEED, psnr
from ..site.assets import digest

RECIPE = 3
"""Raised when this module or `measure` would give other figures of the same photo."""

JUDGED_RATE = 1.6
"""Bits per pixel up to which MS-SSIM is taken: it is compared up to 1.0."""

NETWORKS_RATE = 0.8
"""The same for ST-LPIPS, LPIPS and DISTS: two VGG16s are nine tenths of the bench's time, and 0.05 to 0.3 is the range of use."""

VISIBLE_RATE = 0.05
"""Bits per pixel from which SSIMULACRA2 is taken: below, most photos score far under 0, where its scale has no meaning."""

EQUAL_RATES = (0.08, 0.1, 0.15, 0.3)
"""Bits per pixel at which one file of each codec is made and kept, for the Fréchet distance, for artefacts and for pictures side by
side."""

NEAR_ENOUGH = 0.92
"""Share of the wanted bytes at which the search for the quality ends: a step of quality changes them by about 5 per cent, and the
guess is rounded down."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Setting:
    """One way of saving with a codec: Pillow's format and options, the factor by which the photo is shrunk first, and the qualities
    measured, chosen close where the rates of interest (0.05 to 0.3 bits per pixel) are reached."""

    codec: str
    name: str
    format: str
    qualities: tuple[int, ...]
    shrink: int = 1
    options: dict[str, Any] = field(default_factory=dict)

    def encode(self, image: Image.Image, quality: int) -> bytes:
        """The whole file."""
        if self.shrink > 1:
            size = (max(1, round(image.width / self.shrink)), max(1, round(image.height / self.shrink)))
            image = image.resize(size, Image.Resampling.LANCZOS)
        target = io.BytesIO()
        image.save(target, self.format, quality=quality, **self.options)
        return target.getvalue()

    def decode(self, data: bytes, size: tuple[int, int]) -> Pixels:
        """The pixels (H, W, 3) of a file, enlarged to `size` (W, H)."""
        with Image.open(io.BytesIO(data)) as opened:
            picture = opened.convert("RGB")
        return np.asarray(picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS))


def _avif(name: str, subsampling: str, shrink: int, *qualities: int) -> Setting:
    return Setting("AVIF", name, "AVIF", qualities, shrink, {"speed": AVIF_SPEED, "subsampling": subsampling, "max_threads": 1})


def _jxl(name: str, shrink: int, *qualities: int) -> Setting:
    return Setting("JPEG XL", name, "JXL", qualities, shrink, {"effort": 7})


SETTINGS = (
    _avif("4:2:0", "4:2:0", 1, 0, 10, 24, 42),
    _avif("4:4:4", "4:4:4", 1, 20, 55, 92),
    _avif("4:2:0, 1/2", "4:2:0", 2, 4, 18, 40),
    _avif("4:2:0, 1/4", "4:2:0", 4, 30, 55),
    _jxl("full size", 1, 1, 15, 45, 75, 94, 97),
    _jxl("1/2", 2, 1, 20, 60),
    _jxl("1/4", 4, 20, 60),
    Setting("WebP", "method 6", "WEBP", (1, 20, 65, 95), options={"method": 6}),
    Setting("JPEG", "progressive", "JPEG", (5, 20, 65, 95), options={"optimize": True, "progressive": True}),
)
"""Everything that is measured of every photo."""

QUICK_SETTINGS = (
    _avif("4:2:0", "4:2:0", 1, 2, 26, 52),
    _avif("4:2:0, 1/2", "4:2:0", 2, 8, 38),
    _jxl("full size", 1, 1, 45),
    _jxl("1/2", 2, 1, 50),
    Setting("WebP", "method 6", "WEBP", (1, 50), options={"method": 6}),
    Setting("JPEG", "progressive", "JPEG", (8, 45), options={"optimize": True, "progressive": True}),
)
"""What `--quick` measures."""

PEERS = tuple(dict.fromkeys(s.codec for s in SETTINGS))
"""The codecs by name."""

SHRINKING = tuple(dict.fromkeys(s.codec for s in SETTINGS if s.shrink > 1))
"""The codecs that are also measured at reduced size, and so reach all of `EQUAL_RATES`."""


@dataclass(frozen=True)
class Plan:
    """What is measured: the peers' settings, this codec's qualities, the rates of `EQUAL_RATES` kept, the rate from which SSIMULACRA2 is
    taken, and whether the tables of coder and denoiser are."""

    name: str
    settings: tuple[Setting, ...]
    qualities: tuple[int, ...]
    equal_rates: tuple[float, ...]
    visible_rate: float
    tables: bool = True

    def of(self, codec: str) -> tuple[Setting, ...]:
        """The settings of one codec."""
        return tuple(s for s in self.settings if s.codec == codec)


def sdz_qualities(*others: int) -> tuple[int, ...]:
    """This codec's qualities in rising order, the default one among them: break-even is counted there."""
    return tuple(sorted({*others, round(DEFAULT_QUALITY)}))


FULL = Plan("peers", SETTINGS, sdz_qualities(0, 13, 26, 40, 53, 68, 84), EQUAL_RATES, VISIBLE_RATE)
QUICK = Plan("quick", QUICK_SETTINGS, sdz_qualities(10, 25, 60), (0.1,), math.inf)
AVIF = replace(FULL, name="avif", settings=FULL.of("AVIF"))
"""What the model card states: AVIF is the peer that is hardest to beat at these rates."""


class Codec(Protocol):
    """What `equal_file` needs of a way of saving."""

    @property
    def codec(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def qualities(self) -> tuple[int, ...]: ...
    def encode(self, image: Image.Image, quality: int) -> bytes: ...


@dataclass(frozen=True)
class EqualFile:
    """A codec's file that just keeps a rate: which of the settings and which quality made it."""

    setting: Codec
    quality: int
    data: bytes


def figures(picture: Pixels, reference: Pixels, size: int, visible_rate: float = VISIBLE_RATE) -> dict[str, float]:
    """`bytes`, `bpp`, `psnr` and, where the rate and the photo's sides allow, `ms_ssim`, `st_lpips`, `ssimulacra2`, and where their
    packages are installed `lpips` and `dists`, all of the whole picture."""
    bpp = 8.0 * size / reference[..., 0].size
    out = {"bytes": size, "bpp": bpp, "psnr": psnr(picture, reference)}
    if bpp <= JUDGED_RATE:
        structure = similarity.structural_similarity(picture, reference)
        if structure is not None:
            out["ms_ssim"] = structure
        if bpp <= NETWORKS_RATE and min(reference.shape[:2]) >= similarity.JUDGED_MINIMUM:
            out["st_lpips"] = similarity.whole_distance(picture, reference)
            if perceptual.available():
                out["lpips"] = similarity.lpips(picture, reference)
                out["dists"] = similarity.dists(picture, reference)
    if bpp >= visible_rate:
        out["ssimulacra2"] = similarity.ssimulacra2(picture, reference)
    return out


def artefacts(picture: Pixels, reference: Pixels) -> dict[str, float]:
    """`colour` and, where the photo has flat or skin areas enough, `hatching` (`metrics.artefacts`)."""
    out = {"colour": block_colour(picture, reference)}
    pattern = hatching(picture, reference)
    return out if pattern is None else out | {"hatching": pattern}


def measure_points(reference: Pixels, plan: Plan) -> list[dict[str, Any]]:
    """One point per setting and quality: `codec`, `setting`, `quality` and `figures`."""
    image = Image.fromarray(reference)
    points = []
    for setting in plan.settings:
        for quality in setting.qualities:
            data = setting.encode(image, quality)
            names = {"codec": setting.codec, "setting": setting.name, "quality": quality}
            points.append(names | figures(setting.decode(data, image.size), reference, len(data), plan.visible_rate))
    return points


def equal_file(settings: Sequence[Codec], rate: float, reference: Pixels, points: list[dict[str, Any]]) -> EqualFile | None:
    """A codec's file of at most `rate` bits per pixel, by the setting of best ST-LPIPS there; None where it has none so small.

    `points` are those of `measure_points`; the quality is guessed from them and then lowered until the file fits, or raised while it
    is far too small.
    """
    best: tuple[float, Codec, float] | None = None
    for setting in settings:
        own = [p for p in points if (p["codec"], p["setting"]) == (setting.codec, setting.name) and "st_lpips" in p]
        if not own or own[0]["bpp"] > rate:
            continue
        # past a setting's last point its largest file still is one of those that fit
        logs = np.log([p["bpp"] for p in own])
        distance, quality = (float(np.interp(math.log(rate), logs, [p[k] for p in own])) for k in ("st_lpips", "quality"))
        if best is None or distance < best[0]:
            best = distance, setting, quality
    if best is None:
        return None
    _, setting, guess = best
    image, budget = Image.fromarray(reference), rate * reference[..., 0].size / 8
    quality = int(guess)
    data = setting.encode(image, quality)
    while len(data) > budget and quality > setting.qualities[0]:
        quality -= 1
        data = setting.encode(image, quality)
    while len(data) < NEAR_ENOUGH * budget and quality < setting.qualities[-1]:
        larger = setting.encode(image, quality + 1)
        if len(larger) > budget:
            break
        quality, data = quality + 1, larger
    return EqualFile(setting, quality, data)


def recipe(plan: Plan) -> str:
    """Changes with everything that decides about the peers' figures, and with nothing else."""
    parts = [RECIPE, [repr(s) for s in plan.settings], JUDGED_RATE, NETWORKS_RATE, plan.visible_rate, plan.equal_rates, NEAR_ENOUGH]
    parts += [similarity.JUDGED_PIXELS, perceptual.available(), frechet.SQUARE, frechet.PATCH, frechet.STRIDE]
    return digest(json.dumps(parts).encode())[:16]


def measure_photo(reference: Pixels, kept: Kept, plan: Plan) -> dict[str, Any]:
    """All peers' figures of one photo, taken from `kept` or measured and kept.

    `points` as of `measure_points`; `equal` by rate and codec: `setting`, `quality` and `bytes` of the file kept as `file`, and its
    `artefacts`. The features kept are named `original` and CODEC-RATE.
    """
    known = kept.figures(plan.name, recipe(plan))
    if known is not None:
        return known
    size = reference.shape[1], reference.shape[0]
    points = measure_points(reference, plan)
    features = {"original": frechet.patch_features(reference)}
    files: dict[str, bytes] = {}
    equal: dict[str, dict[str, Any]] = {}
    for rate in plan.equal_rates:
        equal[str(rate)] = {}
        for codec in SHRINKING:
            found = equal_file(plan.of(codec), rate, reference, points)
            if found is None:
                continue
            setting = next(s for s in plan.of(codec) if s is found.setting)
            name = f"{codec}-{rate}"
            file = f"{name.replace(' ', '-').lower()}.{setting.format.lower()}"
            files[file] = found.data
            picture = setting.decode(found.data, size)
            features[name] = frechet.patch_features(picture)
            entry = {"setting": setting.name, "quality": found.quality, "bytes": len(found.data), "file": file}
            equal[str(rate)][codec] = entry | artefacts(picture, reference)
    measured = {"points": points, "equal": equal}
    kept.keep(plan.name, recipe(plan), measured, features, files)
    return measured
