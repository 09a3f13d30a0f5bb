"""One photo of a site: a source file in, its `.sdz`, fallback, comparison picture and measurements out.

Runs in worker processes, in steps that each take what the last one gave: prepare, encode, decode and measure, compare with AVIF, write.
Everything about a photo depends on its bytes, the options and the pack, which together make its key: a photo whose key stands in the
previous manifest, with its files intact, is taken over unchanged.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import time
import unicodedata
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...runtime.decode import Opened, decode, open_latents
from ...runtime.encode import encode
from ...runtime.errors import CorruptPackError, SdzError
from ...runtime.files import readable
from ...runtime.format.container import ALPHA, LATENTS, REGIONS, Chunk, parse, serialize
from ...runtime.options import DEFAULT_EFFORT, DEFAULT_TUNE, HEAD_BYTES, STAGES, Subject, Tune
from ...runtime.pack import Pack, default_pack, load_pack
from ...runtime.photo import PreparedPhoto, read_photo
from ...runtime.pictures.written import on_white
from ...runtime.session import Session
from ..metrics.pictures import avif_bytes, psnr
from .assets import Asset, digest, hashed_name, write_asset
from .metadata import read_facts
from .originals import published
from .report import Measured, Photo, Size

RECIPE = 6
"""Raised when this module would make other files or figures of the same photo; part of every key."""

FALLBACK_QUALITY = {"avif": 50, "webp": 75, "jpeg": 80}
"""What visitors without JavaScript see: the formats' customary quality for the web, no more."""

FALLBACK_AVIF_SPEED = 6
"""Of libaom: a fifth of the time of the comparisons' speed 4, for files some 3 % larger."""

RENDERED_QUALITY = 90
"""JPEG quality of the decoded picture, for those who download it and for previews on other sites."""

SIZES = (320, 480, 960, 1920)
"""Longer sides of a photo's files, pixels: a small photo on a wall, a phone's third of a screen, a phone's whole screen, a desk's."""

WORTHWHILE = 0.625
"""Of the next file's longer side: a size above that would spare a reader too little to be worth its file."""

LADDER_RUNGS = 6
"""Cuts of each file at which PSNR is measured, for the curve beside the byte slider."""

LADDER_PIXELS = 1 << 22
"""Photos over four megapixels go without the curve: so many more decodes would double the time they take."""


@dataclass(frozen=True)
class PhotoOptions:
    """What decides about a photo's bytes and figures; at most one of the three rates is set. `auto` keeps an AVIF instead where that is as
    near in no more bytes. `ms_ssim` asks for a figure that only torch can measure, which takes longer to load than a photo to make.
    `lossless` publishes an `.sdz` beside them that ends in the photo's exact pixels, in full size. `originals` publishes the files
    themselves, `head` is how many bytes of each picture stand in its page, `keep_metadata` what files say of place and owner, in them and
    in the `.sdz`. `sizes` are the longer sides of the files of each photo, in pixels; None for `SIZES` as far as they are worthwhile. The
    largest is `max_side` where that is given, and no photo is made larger. `protect` and `worst` are `encode`'s."""

    quality: float | None = None
    bpp: float | None = None
    target_size: int | None = None
    tune: Tune = DEFAULT_TUNE
    max_side: int | None = None
    fallback: str = "avif"
    auto: bool = False
    ms_ssim: bool = True
    originals: bool = False
    keep_metadata: bool = False
    effort: int = DEFAULT_EFFORT
    sizes: tuple[int, ...] | None = None
    lossless: bool = False
    head: int = HEAD_BYTES
    protect: tuple[Subject, ...] = ()
    worst: float | None = None

    @property
    def longest(self) -> int:
        """The longer side that no file exceeds."""
        return self.max_side or max(self.sizes or SIZES)

    def below(self, longest: int) -> list[int]:
        """The sizes below that of the largest file, whose longer side is `longest`; the smallest first."""
        if self.sizes is not None:
            return sorted({size for size in self.sizes if size < longest})
        found: list[int] = []
        for size in reversed(SIZES):
            if size <= WORTHWHILE * (found[0] if found else longest):
                found.insert(0, size)
        return found


@dataclass(frozen=True)
class PhotoJob:
    """One photo to make: `inside` is its source's path as the manifest has it, `name` is unique on the site and fit for addresses; `judged`
    asks for ST-LPIPS and its AVIF."""

    source: Path
    inside: str
    name: str
    judged: bool
    site: Path
    pack: Path | None
    pack_id: bytes
    options: PhotoOptions
    previous: Photo | None


@dataclass(frozen=True)
class PhotoResult:
    """A photo, or the line that says why there is none; `reused` when nothing had to be made."""

    source: Path
    photo: Photo | None
    reused: bool = False
    problem: str | None = None

    @property
    def line(self) -> str:
        """What became of the photo, in a line."""
        made = "left out" if self.photo is None else "unchanged" if self.reused else f"{self.photo.shown.bytes:,} bytes"
        return f"{self.source}: {made}"


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
        photo = read_photo(data, job.options.longest)
        return PhotoResult(job.source, _make(job, key, data, photo, open_session(job.pack)))
    except SdzError as error:
        return PhotoResult(job.source, None, problem=f"{job.source}: {error}")
    except OSError as error:
        if error.filename is None or Path(error.filename) != job.source:
            raise
        return PhotoResult(job.source, None, problem=f"{job.source}: {error.strerror}")


@cache
def open_pack(path: Path | None) -> Pack:
    """The pack at `path`, or the default one; once per process."""
    return default_pack() if path is None else load_pack(path)


@cache
def open_session(path: Path | None) -> Session:
    """What encodes and decodes with the pack at `path`, or the default one; once per process."""
    session = Session(open_pack(path))
    # the first run builds the graphs: the times of the report are those of a warm encoder and decoder
    decode(encode(Image.new("RGB", (16, 16)), session=session), session=session)
    return session


def _key(data: bytes, options: PhotoOptions, pack: Pack) -> str:
    parts = [RECIPE, digest(data), asdict(options), pack.id.hex()]
    return digest(json.dumps(parts, sort_keys=True).encode())


def _known(job: PhotoJob, key: str) -> Photo | None:
    """The photo of the previous build, if it is the same in every respect and its files are there."""
    photo = job.previous
    if photo is None or photo.key != key or photo.name != job.name:
        return None
    if job.judged and not job.options.auto and photo.st_lpips is None:
        return None
    return photo if all(asset.intact(job.site) for asset in photo.assets()) else None


@dataclass(frozen=True)
class _Original:
    """A photo: its file's bytes; prepared for Pillow, and as a page shows it, uint8 (H, W, 3), transparency on white."""

    data: bytes
    picture: Image.Image
    shown: NDArray[np.uint8]


@dataclass(frozen=True)
class _Encoded:
    """The photo's `.sdz`, and what encoding it took."""

    data: bytes
    milliseconds: float


@dataclass(frozen=True)
class _Decoded:
    """What the file decodes to: the figures of each stage, the pixels of the last one on white, PSNR at some cuts of the file."""

    step_index: int
    stages: list[Measured]
    shown: NDArray[np.uint8]
    ladder: list[tuple[int, float]]
    milliseconds: float


@dataclass(frozen=True)
class _Judged:
    """How the file compares with AVIF of equal ST-LPIPS, where that was asked for; `avif` is the AVIF's bytes where it is kept instead."""

    st_lpips: float | None = None
    avif_equal: int | None = None
    avif_bound: str | None = None
    choice: str | None = None
    compared: int | None = None
    avif: bytes = b""
    quality: int = 0
    """Of that AVIF."""


def _make(job: PhotoJob, key: str, data: bytes, source: PreparedPhoto, session: Session) -> Photo:
    picture = source.to_pil()
    original = _Original(data, picture, np.asarray(on_white(picture)))
    encoded = _encode(source, job.options, session)
    decoded = _decode(encoded.data, original, job.options, session)
    judged = _judge(job, original, encoded, decoded)
    sizes = [_smaller(job, source, size, judged, session) for size in job.options.below(max(source.width, source.height))]
    exact = _exact(job, data, session) if job.options.lossless else None
    return _write(job, key, original, encoded, decoded, judged, sizes, exact)


def _exact(job: PhotoJob, data: bytes, session: Session) -> Asset:
    """The file that ends in the photo's exact pixels, which no page shows: as large as the photo is."""
    return _written(job, _encode(read_photo(data), job.options, session, lossless=True).data, ".sdz")


def _encode(source: PreparedPhoto, options: PhotoOptions, session: Session, *, lossless: bool = False) -> _Encoded:
    start = time.perf_counter()
    data = encode(
        source,
        quality=options.quality,
        bpp=options.bpp,
        target_size=options.target_size,
        tune=options.tune,
        effort=options.effort,
        protect=options.protect,
        worst=options.worst,
        session=session,
        keep_metadata=options.keep_metadata,
        lossless=lossless,
    )
    return _Encoded(data, 1000.0 * (time.perf_counter() - start))


def _decode(data: bytes, original: _Original, options: PhotoOptions, session: Session) -> _Decoded:
    """Decodes the latents once and every stage from them."""
    start = time.perf_counter()
    opened = open_latents(data, pack=session.pack)
    alpha = opened.alpha()[:, :, None] if opened.has_alpha else None
    opening = time.perf_counter() - start
    stages = []
    for stage in STAGES:
        if opened.reached(stage) != stage:
            continue
        start = time.perf_counter()
        pixels = opened.paint(stage, session)
        painting = time.perf_counter() - start
        measured, shown = _measured(stage, pixels if alpha is None else np.concatenate([pixels, alpha], axis=2), original, options)
        stages.append(measured)
    ladder = _ladder(data, opened, stages[-1], original, session)
    return _Decoded(opened.header.step_index, stages, shown, ladder, 1000.0 * (opening + painting))


def _measured(stage: str, pixels: NDArray[np.uint8], original: _Original, options: PhotoOptions) -> tuple[Measured, NDArray[np.uint8]]:
    """The figures of decoded pixels, uint8 (H, W, 1 to 4), and the pixels as a page shows them."""
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    shown = np.asarray(on_white(picture))
    error = psnr(shown, original.shown)
    structure = None
    if options.ms_ssim:
        from ..metrics import similarity  # torch takes seconds to load: not in a process that finds nothing to do

        structure = similarity.structural_similarity(shown, original.shown)
    rgba = hashlib.sha256(picture.convert("RGBA").tobytes()).hexdigest()
    return Measured(stage, error if math.isfinite(error) else None, structure, rgba), shown


def _ladder(data: bytes, opened: Opened, best: Measured, original: _Original, session: Session) -> list[tuple[int, float]]:
    """PSNR at some cuts of the file, the whole of it last; nothing for a large photo."""
    if opened.header.width * opened.header.height > LADDER_PIXELS:
        return []
    ladder = []
    for cut in _cuts(len(data)):
        if cut == len(data):
            level = math.inf if best.psnr is None else best.psnr
        else:
            level = psnr(np.asarray(on_white(decode(data, session=session, max_bytes=cut).to_pil())), original.shown)
        ladder.append((cut, round(level, 3)))
    return ladder


def _judge(job: PhotoJob, original: _Original, encoded: _Encoded, decoded: _Decoded) -> _Judged:
    """Compares the file with AVIF and, where the build may choose, chooses."""
    auto = job.options.auto
    if not (job.judged or auto):
        return _Judged()
    from ..metrics import similarity  # as above

    if min(original.picture.size) < similarity.JUDGED_MINIMUM:
        return _Judged(choice="sdz: too small a picture to compare with AVIF" if auto else None)
    distance = similarity.perceptual_distance(decoded.shown, original.shown)
    equal = similarity.avif_at_distance(original.picture, distance)
    if not auto:
        return _Judged(distance, equal.size, equal.bound)
    kept = equal.data if len(equal.data) <= len(encoded.data) else b""
    said = _choice(len(encoded.data), len(equal.data), bool(kept))
    return _Judged(distance, equal.size, equal.bound, said, len(equal.data), kept, equal.quality)


def _choice(sdz: int, avif: int, kept: bool) -> str:
    """What was kept of two files of these bytes, and why; `avif` is 0 where none is as near."""
    if kept:
        return f"AVIF: {avif:,} bytes against {sdz:,} at the same ST-LPIPS"
    return f"sdz: {sdz:,} bytes against {avif:,} at the same ST-LPIPS" if avif else f"sdz: {sdz:,} bytes, no AVIF is as near by ST-LPIPS"


def _smaller(job: PhotoJob, source: PreparedPhoto, longest: int, judged: _Judged, session: Session) -> Size:
    """Makes a smaller file of a photo, as its largest was made and in proportion as large."""
    options = job.options
    photo = source.shrunk(longest)
    picture = photo.to_pil()
    if judged.avif:
        avif = _written(job, avif_bytes(picture, judged.quality, FALLBACK_AVIF_SPEED), ".avif")
        return Size(picture.width, picture.height, avif, None)
    if options.target_size is not None:
        options = replace(options, target_size=None, bpp=8.0 * options.target_size / (source.width * source.height))
    shown = _written(job, _encode(photo, options, session).data, ".sdz")
    fallback = None
    if options.fallback != "none":
        fallback = _written(job, fallback_bytes(picture, options.fallback), f".{options.fallback}")
    return Size(picture.width, picture.height, shown, fallback)


def _written(job: PhotoJob, data: bytes, suffix: str) -> Asset:
    return write_asset(job.site, hashed_name(job.name.rpartition("/")[2], data, suffix), data)


def _write(
    job: PhotoJob,
    key: str,
    original: _Original,
    encoded: _Encoded,
    decoded: _Decoded,
    judged: _Judged,
    sizes: list[Size],
    exact: Asset | None,
) -> Photo:
    """Writes the photo's files, and says what the manifest keeps of it."""
    written = partial(_written, job)
    sdz = Asset(hashed_name(job.name.rpartition("/")[2], encoded.data, ".sdz"), len(encoded.data), digest(encoded.data))
    avif = fallback = None
    stages, ladder, shown = decoded.stages, decoded.ladder, decoded.shown
    if judged.avif:
        avif = written(judged.avif, ".avif")
        with Image.open(io.BytesIO(judged.avif)) as opened:
            measured, shown = _measured("avif", np.asarray(opened), original, job.options)
            stages, ladder = [measured], []
    else:
        sdz = written(encoded.data, ".sdz")
        if job.options.fallback != "none":
            fallback = written(fallback_bytes(original.picture, job.options.fallback), f".{job.options.fallback}")
    rendered = io.BytesIO()
    Image.fromarray(shown).save(rendered, "JPEG", quality=RENDERED_QUALITY, optimize=True, progressive=True)
    title = title_of(job.source)
    return Photo(
        key=key,
        name=job.name,
        title=title,
        source=job.inside,
        width=original.picture.width,
        height=original.picture.height,
        step_index=decoded.step_index,
        sdz=sdz,
        fallback=fallback,
        sizes=sizes,
        rendered=written(rendered.getvalue(), ".jpg"),
        original=written(*published(original.data, original.picture, job.options.keep_metadata)) if job.options.originals else None,
        stages=stages,
        ladder=ladder,
        encode_ms=round(encoded.milliseconds, 1),
        decode_ms=round(decoded.milliseconds, 1),
        st_lpips=judged.st_lpips,
        avif_equal=judged.avif_equal,
        avif_bound=judged.avif_bound,
        avif=avif,
        choice=judged.choice,
        compared=judged.compared,
        facts=read_facts(original.data),
        file_title=title,
        colors=placeholder_colors(original.picture),
        head=head_of(encoded.data, job.options.head),
        exact=exact,
    )


def title_of(source: Path) -> str:
    """A file's name as a person would write it: `motorcycle_left.png` is "Motorcycle left"."""
    stem = unicodedata.normalize("NFC", readable(source.stem))
    words = " ".join(stem.replace("_", " ").replace("-", " ").split()) or stem
    return words[:1].upper() + words[1:]


def head_of(data: bytes, size: int) -> str:
    """The first `size` bytes that a file would have without texts, and those of its map of regions more, in base64; none of a picture with
    transparency, whose alpha comes first, or of one without embedded latents."""
    container = parse(data)
    latents = container.find(LATENTS)
    if not size or latents is None or container.find(ALPHA) is not None:
        return ""
    regions = container.find(REGIONS)
    chunks = [Chunk(chunk.tag, chunk.payload) for chunk in (regions, latents) if chunk is not None]
    file = serialize(container.header, chunks)
    more = len(file) - len(serialize(container.header, chunks[-1:]))
    return base64.b64encode(file[: size + more]).decode()


def placeholder_colors(picture: Image.Image) -> str:
    """The means of the upper, middle and lower third as CSS colours; none of a picture with transparency, which would show them."""
    if picture.mode in ("LA", "RGBA"):
        return ""
    small = picture.convert("RGB").resize((1, 3), Image.Resampling.BOX)
    return " ".join(f"#{bytes(small.getpixel((0, y))).hex()}" for y in range(3))  # type: ignore[arg-type] # three integers


def fallback_bytes(picture: Image.Image, kind: str) -> bytes:
    """The picture as `avif`, `webp` or `jpeg` for visitors without JavaScript; JPEG lays transparency on white."""
    target = io.BytesIO()
    quality = FALLBACK_QUALITY[kind]
    if kind == "avif":
        return avif_bytes(picture, quality, FALLBACK_AVIF_SPEED)
    if kind == "webp":
        picture.save(target, "WEBP", quality=quality, method=6)
    else:
        on_white(picture).save(target, "JPEG", quality=quality, optimize=True, progressive=True)
    return target.getvalue()


def _cuts(size: int) -> list[int]:
    """Byte counts up to `size`, each a constant factor above the one before, from 1/64 of the file on."""
    rungs: NDArray[np.float64] = np.geomspace(max(24, size / 64), size, LADDER_RUNGS)
    return sorted({min(size, round(n)) for n in rungs.tolist()})
