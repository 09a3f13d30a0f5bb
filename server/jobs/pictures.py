"""The two jobs on pictures: decode an .sdz for a client that cannot, and encode an uploaded image. Both run in a child process only.

Each takes a job and bytes, and returns fields of the answer and bytes. The libraries that they need are imported when the first job does:
the server itself reads only the limits below.
"""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...runtime.errors import LimitError
from .messages import Message

if TYPE_CHECKING:
    from PIL import Image

    from ...runtime.engines.installed import Networks
    from ...runtime.options import TuneChoice
    from ...runtime.session import Session

SAVE_OPTIONS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "image/webp": ("WEBP", {"quality": 85, "method": 3}),
    "image/avif": ("AVIF", {"quality": 70, "speed": 8}),
    "image/jpeg": ("JPEG", {"quality": 88}),
}
"""Pillow's format and options by media type: no visible loss beyond the .sdz's own, fast enough for a client that waits."""

MAX_PIXELS: Final = 50_000_000
"""Most pixels of an upload (current cameras have fewer), and of a picture that is decoded in full; of a larger one a preview is made."""

PREVIEW_PIXELS: Final = 12_500_000
"""Most pixels of a preview, more than a screen has. A preview is the linear stage at reduced size, which runs no network."""

AUTO_PIXELS: Final = 6_000_000
"""Most pixels of an upload whose picture is looked at before its tuning is chosen (`refining.specks`); larger ones are natural."""

LARGEST_SIDE: Final = {"image/webp": 16_383, "image/avif": 65_536, "image/jpeg": 65_535}
"""Most pixels on a side, by the formats' own rules."""

UPLOAD_FORMATS: Final = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""Pillow's names of what may be uploaded: what cameras and browsers write. Each further parser would be one more to trust."""


@cache
def _networks(pack_id: bytes) -> Networks:
    from ...runtime.engines import networks_of
    from ...runtime.pack import find_pack

    return networks_of(find_pack(pack_id))


@cache
def _encoding_session() -> Session:
    from ...runtime.pack import default_pack
    from ...runtime.session import Session

    return Session(default_pack())


def decode_picture(job: Message, data: bytes) -> tuple[Message, bytes]:
    """The first `job["size"]` bytes of the .sdz `job["path"]` as a picture of the media type `job["media"]`; a preview of it where it is
    over MAX_PIXELS, or where its bytes say next to nothing of its pixels. `data` is not read."""
    from ...runtime.decode import decode
    from ...runtime.format.container import LATENTS, PALETTE_LATENTS, parse
    from ...runtime.format.linear import reductions
    from ...runtime.format.sparse import affordable, is_sparse, reduction_for
    from ...runtime.pack import find_pack
    from ...runtime.pictures.written import on_white

    with Path(job["path"]).open("rb") as file:
        data = file.read(job["size"])
    container = parse(data)
    header, pixels = container.header, container.header.width * container.header.height
    # not the file's bytes, which an attacker can fill up
    told = max((len(chunk.payload) for chunk in container.chunks if chunk.tag in (LATENTS, PALETTE_LATENTS)), default=0)
    sparse = is_sparse(header.width, header.height, told)
    if sparse or pixels > MAX_PIXELS:
        pack = find_pack(header.pack_id)
        most = min(PREVIEW_PIXELS, affordable(told)) if sparse else PREVIEW_PIXELS
        decoded = decode(data, stage="linear", reduce=reduction_for(pixels, most, reductions(pack.patch)), pack=pack)
    else:
        decoded = decode(data, session=_networks(header.pack_id))
    picture = decoded.to_pil()
    if job["media"] == "image/jpeg" and picture.mode in ("LA", "RGBA"):
        # white is what most pages are
        picture = on_white(picture)
    name, options = SAVE_OPTIONS[job["media"]]
    out = io.BytesIO()
    picture.save(out, name, **options)
    return {"stage": decoded.stage}, out.getvalue()


def encode_upload(job: Message, data: bytes) -> tuple[Message, bytes]:
    """The image file `job["path"]` as an .sdz without metadata. `job` has `quality` and `alt`, each may be None, and
    `lossless`; `data` is not read."""
    from ...runtime.encode import encode
    from ...runtime.format.container import parse
    from ...runtime.photo import open_image

    with open_image(Path(job["path"]), UPLOAD_FORMATS) as image:
        _check_size(image, job["max_pixels"], " without loss" if job["lossless"] else "")
        # somebody waits, and the largest picture has to be done within the time of an upload: "auto" takes up to three times as long
        tune: TuneChoice = "auto" if image.width * image.height <= AUTO_PIXELS else "natural"
        out = encode(
            image,
            quality=job["quality"],
            tune=tune,
            effort=0,
            alt=job["alt"],
            lossless=job["lossless"],
            session=_encoding_session(),
        )
    header = parse(out).header
    return {"width": header.width, "height": header.height, "pack": header.pack_id.hex()}, out


def _check_size(image: Image.Image, most: int, how: str) -> None:
    width, height = image.size
    if width * height > most:
        raise LimitError(f"{width}x{height} pixels, this server encodes at most {most}{how}", None, "width x height")
