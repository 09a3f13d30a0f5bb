"""One photo of a site: a source file in, its `.sdz`, fallback, comparison picture and measurements out.

Runs in worker processes. Everything about a photo depends on its bytes, the options and the pack, which together make its
key: a photo whose key stands in the previous manifest, with its files intact, is taken over unchanged.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...runtime.decode import decode
from ...runtime.encode import encode
from ...runtime.errors import CorruptPackError, SdzError
from ...runtime.format.container import parse
from ...runtime.options import DEFAULT_TUNE, STAGES, Tune
from ...runtime.pack import Pack, default_pack, load_pack
from ...runtime.photo import PreparedPhoto, on_white, read_photo
from ...runtime.session import Session
from .assets import Asset, digest, hashed_name, write_asset

RECIPE = 3
"""Raised when this module would make other files or figures of the same photo; part of every key."""

FALLBACK_QUALITY = {"avif": 50, "webp": 75, "jpeg": 80}
"""What visitors without JavaScript see: the formats' customary quality for the web, no more."""

COMPARED_QUALITY = 95
"""JPEG quality, without chroma subsampling, of the original in the comparison: no visible loss, and every browser shows it.
Figures are measured against the original's own pixels."""

LADDER_RUNGS = 10
"""Cuts of each file at which PSNR is measured, for the curve beside the byte slider."""

LADDER_PIXELS = 1 << 22
"""Photos over four megapixels go without the curve: ten more decodes would double the time they take."""


@dataclass(frozen=True)
class PhotoOptions:
    """What decides about a photo's bytes; at most one of the three rates is set. `auto` keeps an AVIF instead where that is as near in no
    more bytes."""

    quality: float | None = None
    bpp: float | None = None
    target_size: int | None = None
    tune: Tune = DEFAULT_TUNE
    max_side: int | None = None
    fallback: str = "avif"
    auto: bool = False


@dataclass(frozen=True)
class PhotoJob:
    """One photo to make: `name` is unique on the site and fit for addresses; `judged` asks for ST-LPIPS and its AVIF."""

    source: Path
    name: str
    judged: bool
    site: Path
    pack: Path | None
    pack_id: bytes
    options: PhotoOptions
    previous: dict[str, Any] | None


@dataclass(frozen=True)
class Measured:
    """A stage of the decoded photo, or "avif": PSNR in dB (None when equal), MS-SSIM, and the SHA-256 of its RGBA bytes, row by row."""

    stage: str
    psnr: float | None
    ms_ssim: float | None
    sha256: str


@dataclass(frozen=True)
class Photo:
    """What the manifest says of a photo; files are paths relative to the site.

    `choice` says in words, where the build chose, what was kept and why. Where `avif` was, there is no file `sdz`, only its record, and
    no fallback: the AVIF needs none.
    """

    key: str
    name: str
    title: str
    source: str
    width: int
    height: int
    step_index: int
    sdz: Asset
    fallback: Asset | None
    original: Asset
    stages: list[Measured]
    ladder: list[tuple[int, float]]
    encode_ms: float
    decode_ms: float
    st_lpips: float | None = None
    avif_equal: int | None = None
    avif_bound: str | None = None
    avif: Asset | None = None
    choice: str | None = None

    @property
    def shown(self) -> Asset:
        """The file that a visitor with JavaScript sees."""
        return self.sdz if self.avif is None else self.avif

    @property
    def bpp(self) -> float:
        """Bits per pixel of the file that is shown."""
        return 8.0 * self.shown.bytes / (self.width * self.height)

    @property
    def best(self) -> Measured:
        """The last stage."""
        return self.stages[-1]

    def assets(self) -> list[Asset]:
        """All files of the photo."""
        return [self.shown, self.original] + ([self.fallback] if self.fallback else [])

    @staticmethod
    def from_json(entry: dict[str, Any]) -> Photo:
        """The inverse of `dataclasses.asdict`; raises KeyError or TypeError for anything else."""
        assets = {k: Asset(**entry[k]) if entry[k] is not None else None for k in ("sdz", "fallback", "original", "avif")}
        stages = [Measured(**stage) for stage in entry["stages"]]
        return Photo(**{**entry, **assets, "stages": stages, "ladder": [(int(n), float(p)) for n, p in entry["ladder"]]})


@dataclass(frozen=True)
class PhotoResult:
    """A photo, or the line that says why there is none; `reused` when nothing had to be made."""

    source: Path
    photo: Photo | None
    reused: bool = False
    problem: str | None = None


def make_photo(job: PhotoJob) -> PhotoResult:
    """Read, encode, decode, measure and write one photo.

    Raises OSError when the site cannot be written, CorruptPackError when the pack is not the one the build began with.
    """
    pack = open_pack(job.pack)
    if pack.id != job.pack_id:
        raise CorruptPackError(f"{pack.directory}: the pack was exchanged while the site was built; build again")
    try:
        data = job.source.read_bytes()
        key = _key(data, job.options, pack)
        known = _known(job, key)
        if known is not None:
            return PhotoResult(job.source, known, reused=True)
        picture = read_picture(data, job.options.max_side)
        return PhotoResult(job.source, _make(job, key, picture, _session(job.pack)))
    except SdzError as error:
        return PhotoResult(job.source, None, problem=f"{job.source}: {error}")
    except OSError as error:
        if error.filename is None or Path(error.filename) != job.source:
            raise
        return PhotoResult(job.source, None, problem=f"{job.source}: {error.strerror}")


def read_picture(data: bytes, max_side: int | None) -> PreparedPhoto:
    """A file's first frame, upright, in 8-bit sRGB, its longer side at most `max_side`; raises SdzError."""
    photo = read_photo(data)
    return photo if max_side is None else photo.shrunk(max_side)


@cache
def open_pack(path: Path | None) -> Pack:
    """The pack at `path`, or the default one; once per process."""
    return default_pack() if path is None else load_pack(path)


@cache
def _session(path: Path | None) -> Session:
    session = Session(open_pack(path))
    # the first run builds the graphs; the encode times of the report are those of a warm encoder
    encode(Image.new("RGB", (16, 16)), session=session)
    return session


def _key(data: bytes, options: PhotoOptions, pack: Pack) -> str:
    parts = [RECIPE, digest(data), asdict(options), pack.id.hex()]
    return digest(json.dumps(parts, sort_keys=True).encode())


def _known(job: PhotoJob, key: str) -> Photo | None:
    """The photo of the previous build, if it is the same in every respect and its files are there."""
    if job.previous is None or job.previous.get("key") != key or job.previous.get("name") != job.name:
        return None
    photo = Photo.from_json(job.previous)
    if job.judged and not job.options.auto and photo.st_lpips is None:
        return None
    return photo if all(asset.intact(job.site) for asset in photo.assets()) else None


def _make(job: PhotoJob, key: str, prepared: PreparedPhoto, session: Session) -> Photo:
    from ..metrics import similarity  # torch takes seconds to load: not in a process that finds nothing to do

    options, picture = job.options, prepared.to_pil()
    start = time.perf_counter()
    data = encode(prepared, quality=options.quality, bpp=options.bpp, target_size=options.target_size, tune=options.tune, session=session)
    encode_ms = 1000.0 * (time.perf_counter() - start)
    pixels = np.asarray(on_white(picture))
    stages = []
    decode_ms = 0.0
    result = pixels
    for stage in STAGES if session.pack.denoiser_min_step_index is not None else STAGES[:-1]:
        start = time.perf_counter()
        decoded = decode(data, stage=stage, session=session)
        decode_ms = 1000.0 * (time.perf_counter() - start)
        if decoded.stage != stage:
            continue
        rgba = decoded.to_pil().convert("RGBA")
        result = np.asarray(on_white(rgba))
        stages.append(_measured(stage, rgba, result, pixels))
    ladder = []
    for cut in _cuts(len(data)) if picture.width * picture.height <= LADDER_PIXELS else []:
        partial = np.asarray(on_white(decode(data, session=session, max_bytes=cut).to_pil()))
        ladder.append((cut, round(similarity.psnr(partial, pixels), 3)))
    judgement: dict[str, Any] = {}
    kept = b""
    if (job.judged or options.auto) and min(picture.size) >= similarity.JUDGED_MINIMUM:
        distance = similarity.perceptual_distance(result, pixels)
        equal = similarity.avif_at_distance(picture, distance)
        judgement = {"st_lpips": distance, "avif_equal": equal.size, "avif_bound": equal.bound}
        if options.auto:
            kept = equal.data if len(equal.data) <= len(data) else b""
            judgement["choice"] = _choice(len(data), len(equal.data), bool(kept))
    elif options.auto:
        judgement["choice"] = "sdz: too small a picture to compare with AVIF"
    sdz = Asset(hashed_name(job.name, data, ".sdz"), len(data), digest(data))
    fallback = None
    if kept:
        judgement["avif"] = _write(job, kept, ".avif")
        with Image.open(io.BytesIO(kept)) as opened:
            rgba = opened.convert("RGBA")
        stages, ladder = [_measured("avif", rgba, np.asarray(on_white(rgba)), pixels)], []
    else:
        sdz = _write(job, data, ".sdz")
        if options.fallback != "none":
            fallback = _write(job, fallback_bytes(picture, options.fallback), f".{options.fallback}")
    return Photo(
        key=key,
        name=job.name,
        title=title_of(job.source),
        source=job.source.name,
        width=picture.width,
        height=picture.height,
        step_index=parse(data).header.step_index,
        sdz=sdz,
        fallback=fallback,
        original=_write(job, *_compared(picture)),
        stages=stages,
        ladder=ladder,
        encode_ms=round(encode_ms, 1),
        decode_ms=round(decode_ms, 1),
        **judgement,
    )


def _measured(stage: str, rgba: Image.Image, result: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> Measured:
    """A stage's `rgba`, and `result`, the same laid on white, beside the photo's `pixels`."""
    from ..metrics import similarity  # as above

    figures = _finite(similarity.psnr(result, pixels)), similarity.structural_similarity(result, pixels)
    return Measured(stage, *figures, hashlib.sha256(rgba.tobytes()).hexdigest())


def _choice(sdz: int, avif: int, kept: bool) -> str:
    """What was kept of two files of these bytes, and why; `avif` is 0 where none is as near."""
    if kept:
        return f"AVIF: {avif:,} bytes against {sdz:,} at the same ST-LPIPS"
    return f"sdz: {sdz:,} bytes against {avif:,} at the same ST-LPIPS" if avif else f"sdz: {sdz:,} bytes, no AVIF is as near by ST-LPIPS"


def title_of(source: Path) -> str:
    """A file's name as a person would write it: `motorcycle_left.png` is "Motorcycle left"."""
    words = " ".join(source.stem.replace("_", " ").replace("-", " ").split()) or source.stem
    return words[:1].upper() + words[1:]


def fallback_bytes(picture: Image.Image, kind: str) -> bytes:
    """The picture as `avif`, `webp` or `jpeg` for visitors without JavaScript; JPEG lays transparency on white."""
    target = io.BytesIO()
    quality = FALLBACK_QUALITY[kind]
    if kind == "avif":
        picture.save(target, "AVIF", quality=quality, speed=4)
    elif kind == "webp":
        picture.save(target, "WEBP", quality=quality, method=6)
    else:
        on_white(picture).save(target, "JPEG", quality=quality, optimize=True, progressive=True)
    return target.getvalue()


def _compared(picture: Image.Image) -> tuple[bytes, str]:
    target = io.BytesIO()
    if picture.has_transparency_data:
        picture.save(target, "PNG", optimize=True)
        return target.getvalue(), ".png"
    picture.save(target, "JPEG", quality=COMPARED_QUALITY, subsampling=0, optimize=True, progressive=True)
    return target.getvalue(), ".jpg"


def _write(job: PhotoJob, data: bytes, suffix: str) -> Asset:
    return write_asset(job.site, hashed_name(job.name, data, suffix), data)


def _cuts(size: int) -> list[int]:
    """Byte counts up to `size`, each a constant factor above the one before, from 1/64 of the file on."""
    rungs: NDArray[np.float64] = np.geomspace(max(24, size / 64), size, LADDER_RUNGS)
    return sorted({min(size, round(n)) for n in rungs.tolist()})


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
