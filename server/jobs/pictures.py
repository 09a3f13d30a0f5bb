"""The child process that touches pictures: `python -m server.worker MEMORY_LIMIT`, jobs on standard input, results on standard output.

A message is a line of JSON and then as many bytes as its field `bytes` says. Each job ends in one message: a result, or an error's name
and text. Decoders of images run only here, under a memory limit, where the parent may kill them; the child ends when its input does.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from ..runtime.errors import LimitError, SdzError

if TYPE_CHECKING:
    from PIL import Image

    from ..runtime.session import Session

Message = dict[str, Any]

SAVE_OPTIONS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "image/webp": ("WEBP", {"quality": 85, "method": 3}),
    "image/avif": ("AVIF", {"quality": 70, "speed": 8}),
    "image/jpeg": ("JPEG", {"quality": 88}),
}
"""Pillow's format and options by media type: no visible loss beyond the .sdz's own, at the speed that a waiting client wants."""

MAX_PIXELS: Final = 50_000_000
"""Pixels of an upload, the larger of current cameras, and of a picture that is decoded here in full; of a larger one a preview is made."""

PREVIEW_PIXELS: Final = 12_500_000
"""Pixels of a preview, more than a screen has: the linear stage, for which no network runs, its sides divided."""

LARGEST_SIDE: Final = {"image/webp": 16_383, "image/avif": 65_536, "image/jpeg": 65_535}
"""Pixels, by the formats' own rules."""

JPEG_BACKGROUND: Final = "white"
"""JPEG has no transparency; white is what most pages are."""

UPLOAD_FORMATS: Final = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""Pillow's names of what may be uploaded: what cameras and browsers make. Every further parser would be one more to trust."""


@cache
def _session(pack_id: bytes) -> Session:
    from ..runtime.pack import find_pack
    from ..runtime.session import Session

    return Session(find_pack(pack_id))


@cache
def _encoding_session() -> Session:
    from ..runtime.pack import default_pack
    from ..runtime.session import Session

    return Session(default_pack())


def decode_picture(job: Message, data: bytes) -> tuple[Message, bytes]:
    """The .sdz `data` as a picture of the media type `job["media"]`, or a preview of it where it is over MAX_PIXELS."""
    from PIL import Image

    from ..runtime.decode import decode
    from ..runtime.format.container import parse
    from ..runtime.format.linear import reductions
    from ..runtime.pack import find_pack

    header = parse(data).header
    pixels = header.width * header.height
    if pixels > MAX_PIXELS:
        pack = find_pack(header.pack_id)
        possible = reductions(pack.patch)
        reduce = next((factor for factor in possible if pixels <= factor**2 * PREVIEW_PIXELS), possible[-1])
        decoded = decode(data, stage="linear", reduce=reduce, pack=pack)
    else:
        decoded = decode(data, session=_session(header.pack_id))
    picture = decoded.to_pil()
    if job["media"] == "image/jpeg" and picture.mode in ("LA", "RGBA"):
        ground = Image.new("RGBA", picture.size, JPEG_BACKGROUND)
        picture = Image.alpha_composite(ground, picture.convert("RGBA")).convert("RGB")
    name, options = SAVE_OPTIONS[job["media"]]
    out = io.BytesIO()
    picture.save(out, name, **options)
    return {"stage": decoded.stage}, out.getvalue()


def encode_upload(job: Message, data: bytes) -> tuple[Message, bytes]:
    """The image file `job["path"]` as an .sdz without metadata; `job` may have `quality` and `alt`. `data` is not looked at."""
    from ..runtime.encode import encode, open_image
    from ..runtime.format.container import parse

    with open_image(Path(job["path"]), UPLOAD_FORMATS) as image:
        _check_size(image, job["max_pixels"])
        out = encode(image, quality=job["quality"], alt=job["alt"], session=_encoding_session())
    header = parse(out).header
    return {"width": header.width, "height": header.height, "pack": header.pack_id.hex()}, out


def _check_size(image: Image.Image, most: int) -> None:
    width, height = image.size
    if width * height > most:
        raise LimitError(f"{width}x{height} pixels, this server encodes at most {most}", None, "width x height")


KINDS: Final[dict[str, Callable[[Message, bytes], tuple[Message, bytes]]]] = {"decode": decode_picture, "encode": encode_upload}


def perform(job: Message, data: bytes) -> tuple[Message, bytes]:
    """One job to its answer; whatever a parser raises becomes an error's name and text."""
    try:
        result, out = KINDS[job["kind"]](job, data)
        return {"ok": True, **result}, out
    except SdzError as error:
        return {"ok": False, "code": error.code, "message": str(error)}, b""
    except MemoryError:
        return {"ok": False, "code": "LimitError", "message": "the picture needs more memory than this server gives one"}, b""
    except Exception as error:  # onnxruntime's and Pillow's own kinds
        return {"ok": False, "code": "InternalError", "message": f"{type(error).__name__}: {error}"}, b""


def send(stream: BinaryIO, message: Message, data: bytes = b"") -> None:
    """Writes one message. Raises OSError when nobody reads."""
    stream.write(json.dumps({**message, "bytes": len(data)}).encode() + b"\n")
    stream.write(data)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[Message, bytes] | None:
    """Reads one message; None where the stream ends, within a message too."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    message: Message = json.loads(line)
    data = stream.read(message["bytes"])
    return (message, data) if len(data) == message["bytes"] else None


def main() -> None:
    """Performs jobs until standard input ends."""
    limit = int(sys.argv[1])
    # private writable memory: what a picture can make grow; address space alone would count onnxruntime's reserved ranges
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # whatever a library prints must not stand between two messages
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while (message := receive(sys.stdin.buffer)) is not None:
        send(output, *perform(*message))


if __name__ == "__main__":
    main()
