"""One photo of a site: a source file in, its `.sdz`, fallback, comparison picture and measurements out.

Runs in worker processes, in steps that each take what the last one gave: prepare, encode, decode and measure, compare with AVIF, write.
Everything about a photo depends on its bytes, the options and the pack, which together make its key: a photo whose key stands in the
previous manifest, with its files intact, is taken over unchanged.
"""

from __future__ import annotations

import io
import json
import time
import unicodedata
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from PIL import Image

from ...runtime.decode import decode
from ...runtime.encode import encode
from ...runtime.errors import CorruptPackError, SdzError
from ...runtime.files import readable
from ...runtime.format.container import parse
from ...runtime.lossless.writing import with_tail
from ...runtime.options import DEFAULT_TUNE, HEAD_BYTES, Subject, TuneChoice
from ...runtime.pack import Pack, default_pack, load_pack
from ...runtime.photo import PreparedPhoto, read_photo
from ...runtime.pictures.written import on_white
from ...runtime.regions.written import Box
from ...runtime.session import Session
from ..metrics.pictures import avif_bytes
from .assets import Asset, digest, hashed_name, write_asset
from .metadata import read_facts
from .originals import published
from .parts.exact import tail_ladder
from .parts.measures import Decoded, Original, decode_stages, measured, rgba_digest
from .parts.protected import closer, floors_of, inside, outline, scaled
from .parts.standins import FALLBACK_AVIF_SPEED, fallback_bytes, head_of, in_base64, placeholder_colors
from .report import Exact, Photo, Protection, Size

RECIPE = 11
"""Raised when this module would make other files or figures of the same photo, pack and encoder; part of every key."""

RENDERED_QUALITY = 90
"""JPEG quality of the decoded picture, for those who download it and for previews on other sites."""

SIZES = (320, 480, 960, 1920)
"""Longer sides of a photo's files, pixels: a small photo on a wall, a phone's third of a screen, a phone's whole screen, a desk's."""

WORTHWHILE = 0.625
"""Of the next file's longer side: a size above that would spare a reader too little to be worth its file."""


@dataclass(frozen=True)
class PhotoOptions:
    """What decides about a photo's bytes and figures; at most one of the three rates is set. `auto` keeps an AVIF instead where that is as
    near in no more bytes. `ms_ssim` asks for a figure that only torch can measure, which takes longer to load than a photo to make.
    `lossless` publishes an `.sdz` beside them that ends in the photo's exact pixels, in full size. `originals` publishes the files
    themselves, and of a photo with regions a file of as many bytes without, for comparison. `head` is how many bytes of each picture stand
    in its page, `keep_metadata` what files say of place and owner, in them and in the `.sdz`. `sizes` are the longer sides of the files of
    each photo, in pixels; None for `SIZES` as far as they are worthwhile. The largest is `max_side` where that is given, and no photo is
    made larger. `protect` and `worst` are `encode`'s, `regions` boxes with octaves, in pixels of the whole photo."""

    quality: float | None = None
    bpp: float | None = None
    target_size: int | None = None
    tune: TuneChoice = DEFAULT_TUNE
    max_side: int | None = None
    fallback: str = "avif"
    auto: bool = False
    ms_ssim: bool = True
    originals: bool = False
    keep_metadata: bool = False
    effort: int | None = None
    sizes: tuple[int, ...] | None = None
    lossless: bool = False
    head: int = HEAD_BYTES
    protect: tuple[Subject, ...] = ()
    worst: float | None = None
    regions: tuple[tuple[Box, int], ...] = ()

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
    asks for ST-LPIPS and its AVIF, and `known` is the key of what stands in the site already, whole, "" where nothing does."""

    source: Path
    inside: str
    name: str
    judged: bool
    site: Path
    pack: Path | None
    pack_id: bytes
    options: PhotoOptions
    known: str = ""


@dataclass(frozen=True)
class PhotoResult:
    """A photo, or the line that says why there is none; neither when nothing had to be made, `reused`, as what made it is not sent to and
    fro between processes."""

    source: Path
    photo: Photo | None
    reused: bool = False
    problem: str | None = None

    @property
    def line(self) -> str:
        """What became of the photo, in a line."""
        made = "unchanged" if self.reused else "left out" if self.photo is None else f"{self.photo.shown.bytes:,} bytes"
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
        if key == job.known:
            return PhotoResult(job.source, None, reused=True)
        source = _Source(data, read_photo(data, job.options.longest))
        return PhotoResult(job.source, _make(job, key, source, open_session(job.pack)))
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
    parts = [RECIPE, digest(data), asdict(options), pack.id.hex(), pack.encoder]
    return digest(json.dumps(parts, sort_keys=True).encode())


def known_key(photo: Photo | None, site: Path, name: str, judged: bool, auto: bool) -> str:
    """The key of a photo of an earlier build that will do under this name, if its source is as it was: "" where it lacks figures, or
    files."""
    if photo is None or photo.name != name or (judged and not auto and photo.st_lpips is None):
        return ""
    return photo.key if all(asset.intact(site) for asset in photo.assets()) else ""


@dataclass(frozen=True)
class _Encoded:
    """The photo's `.sdz`, and what encoding it took."""

    data: bytes
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


@dataclass(frozen=True)
class _Source:
    """A photo: the file's bytes, and what it is published as, no larger than the options say."""

    data: bytes
    photo: PreparedPhoto


def _make(job: PhotoJob, key: str, source: _Source, session: Session) -> Photo:
    picture, options = source.photo.to_pil(), job.options
    original = Original(source.data, picture, np.asarray(on_white(picture)))
    encoded = _encode(source, options, session)
    head = head_of(encoded.data, options.head)
    decoded = decode_stages(encoded.data, original, len(head), options.ms_ssim, session)
    judged = _judge(job, original, encoded, decoded)
    sizes = [_smaller(job, source, size, judged, session) for size in options.below(max(picture.size))]
    made = _write(job, key, original, encoded, decoded, judged, sizes, in_base64(head))
    if made.avif is None:
        made = replace(made, protection=_protection(job, source, original, encoded, decoded, session))
    return _with_exact(job, made, source, original, encoded, decoded, session) if options.lossless else made


def _encode(source: _Source, options: PhotoOptions, session: Session, *, plain: int | None = None) -> _Encoded:
    """The photo's file; with `plain`, one of so many bytes that has no regions."""
    start = time.perf_counter()
    given = plain is None
    data = encode(
        source.photo,
        quality=options.quality if given else None,
        bpp=options.bpp if given else None,
        target_size=options.target_size if given else plain,
        tune=options.tune,
        effort=options.effort,
        regions=_regions(source, options) if given else None,
        protect=options.protect if given else (),
        worst=options.worst if given else None,
        session=session,
        keep_metadata=options.keep_metadata,
    )
    return _Encoded(data, 1000.0 * (time.perf_counter() - start))


def _regions(source: _Source, options: PhotoOptions) -> tuple[tuple[Box, int], ...] | None:
    """The boxes that were asked for, in the pixels of what is published."""
    if not options.regions:
        return None
    return scaled(options.regions, source.photo.whole, (source.photo.width, source.photo.height))


def _protection(
    job: PhotoJob, source: _Source, original: Original, encoded: _Encoded, decoded: Decoded, session: Session
) -> Protection | None:
    """What the page shows of the file's regions; None without any."""
    patch, size = session.pack.patch, original.picture.size
    floors = floors_of(parse(encoded.data), patch)
    if floors is None:
        return None
    drawn = Protection(outline(floors, patch, *size), closer(floors, patch, *size))
    if not job.options.originals:
        return drawn
    plain = _encode(source, job.options, session, plain=len(encoded.data)).data
    shown = np.asarray(on_white(decode(plain, session=session).to_pil()))
    near = tuple(round(inside(floors, patch, pixels, original.shown), 2) for pixels in (decoded.shown, shown))
    return replace(drawn, plain=_written(job, plain, ".sdz"), inside=(near[0], near[1]))


def _with_exact(
    job: PhotoJob, made: Photo, source: _Source, original: Original, encoded: _Encoded, decoded: Decoded, session: Session
) -> Photo:
    """With the file that ends in the photo's exact pixels, which no page loads by itself: as large as the photo is, made of its picture's
    file where that is as large. A photo that is too large for one is published without, and says so."""
    photo, data = source.photo, encoded.data
    if photo.made_of is not None:
        try:
            photo = read_photo(source.data)
            data = _encode(replace(source, photo=photo), job.options, session).data
        except SdzError as error:
            return replace(made, not_exact=str(error))
    whole = with_tail(data, photo, session.pack)
    file = _written(job, whole, ".sdz")
    made = replace(made, exact=Exact(file, photo.width, photo.height, rgba_digest(photo.to_pil())))
    if made.itself is None or not made.ladder:
        return made
    return replace(made, ladder=[*made.ladder, *tail_ladder(whole, decoded.shown, original.shown)])


def _judge(job: PhotoJob, original: Original, encoded: _Encoded, decoded: Decoded) -> _Judged:
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


def _smaller(job: PhotoJob, source: _Source, longest: int, judged: _Judged, session: Session) -> Size:
    """Makes a smaller file of a photo, as its largest was made and in proportion as large."""
    options = job.options
    photo = replace(source, photo=source.photo.shrunk(longest))
    picture = photo.photo.to_pil()
    if judged.avif:
        avif = _written(job, avif_bytes(picture, judged.quality, FALLBACK_AVIF_SPEED), ".avif")
        return Size(picture.width, picture.height, avif, None)
    if options.target_size is not None:
        options = replace(options, target_size=None, bpp=8.0 * options.target_size / (source.photo.width * source.photo.height))
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
    original: Original,
    encoded: _Encoded,
    decoded: Decoded,
    judged: _Judged,
    sizes: list[Size],
    head: str,
) -> Photo:
    """Writes the photo's files, and says what the manifest keeps of it."""
    written = partial(_written, job)
    sdz = Asset(hashed_name(job.name.rpartition("/")[2], encoded.data, ".sdz"), len(encoded.data), digest(encoded.data))
    avif = fallback = None
    stages, ladder, shown = decoded.stages, decoded.ladder, decoded.shown
    if judged.avif:
        avif = written(judged.avif, ".avif")
        with Image.open(io.BytesIO(judged.avif)) as opened:
            found, shown = measured("avif", np.asarray(opened), original, job.options.ms_ssim)
            stages, ladder = [found], []
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
        step_index=decoded.header.step_index,
        realism=decoded.header.realism,
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
        head=head,
    )


def title_of(source: Path) -> str:
    """A file's name as a person would write it: `motorcycle_left.png` is "Motorcycle left"."""
    stem = unicodedata.normalize("NFC", readable(source.stem))
    words = " ".join(stem.replace("_", " ").replace("-", " ").split()) or stem
    return words[:1].upper() + words[1:]
