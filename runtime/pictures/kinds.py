"""Which files are pictures: the suffixes that are read, and in words why another file, which a person would call one, is not.

Takes paths and first bytes. HEIC and JPEG XL are read where their plugin for Pillow is installed; nothing else here is optional.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ..errors import MissingExtraError


@dataclass(frozen=True)
class Plugin:
    """What reads a format besides Pillow: the module, Pillow's name of the format then, the package, and the extra that brings it."""

    module: str
    format: str
    package: str
    extra: str


PLUGINS: Final = {
    "HEIC": Plugin("pillow_heif", "HEIF", "pillow-heif", "heif"),
    "JPEG XL": Plugin("pillow_jxl", "JXL", "pillow-jxl-plugin", "bench"),
}

SUFFIXES: Final = {**dict.fromkeys((".heic", ".heics", ".heif", ".heifs", ".hif"), "HEIC"), ".jxl": "JPEG XL"}
"""Of the files that only a plugin reads."""

_OTHERS = {
    "a camera's raw data: develop it to JPEG or TIFF first": """.3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .iiq .k25 .kdc .mef .mos .mrw
        .nef .nrw .orf .pef .raf .raw .rw2 .rwl .sr2 .srf .srw .x3f""",
    "a video": ".3g2 .3gp .avi .flv .insv .lrv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .vob .webm .wmv",
    "a drawing: publish it as SVG, or save it as PNG": ".ai .cdr .emf .eps .svg .svgz .wmf",
    "an editor's project: export it as PNG or TIFF": ".afphoto .clip .kra .pdn .xcf",
}

NO_PHOTOS: Final = {suffix: reason for reason, suffixes in _OTHERS.items() for suffix in suffixes.split()}
"""Suffixes of files that a person would expect in an album, and why they are not. Some raw files are TIFF files in which Pillow finds a
thumbnail at best, and it knows of some videos and drawings what they are, not what they show."""

HEAD_BYTES: Final = 16
"""What `kind_of_bytes` looks at."""

HEADS: Final = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF8": "GIF", b"II*\0": "TIFF", b"MM\0*": "TIFF"}
"""How files begin that are pictures whatever they are called."""

BRANDS: Final = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
}
"""Major brands of ISO base media files (ISO/IEC 23008-12, 10.2; AV1 Image File Format, 6)."""


@functools.cache
def image_suffixes() -> frozenset[str]:
    """The suffixes, lower case with the dot, of the files that are read as pictures. The first call loads Pillow's plugins."""
    from PIL import Image

    load_plugins()
    readable = (suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN)
    return frozenset(readable) - NO_PHOTOS.keys()


@functools.cache
def load_plugins() -> None:
    """Makes Pillow read what its installed plugins read."""
    if find_spec("pillow_heif") is not None:
        import_module("pillow_heif").register_heif_opener()
    if find_spec("pillow_jxl") is not None:
        import_module("pillow_jxl")


def left_out(path: Path) -> str | None:
    """Why a file that `image_suffixes` does not name is no picture for us; None for one that nobody would take for a picture.

    Reads its first bytes where the name says nothing.
    """
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return str(_lacking(SUFFIXES[suffix]))
    if suffix in NO_PHOTOS:
        return NO_PHOTOS[suffix]
    try:
        with path.open("rb") as file:
            name = kind_of_bytes(file.read(HEAD_BYTES))
    except OSError:
        return None
    return None if name is None else f"holds a picture, {name}, but is not called one: give it the suffix"


def kind_of_bytes(head: bytes) -> str | None:
    """What a file that begins so is: JPEG, PNG, GIF, TIFF, WebP, AVIF, HEIC, JPEG XL, or None."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        return BRANDS.get(head[8:12])
    if head[:2] == b"\xff\x0a" or head[4:12] == b"JXL \r\n\x87\n":
        return "JPEG XL"
    return next((name for start, name in HEADS.items() if head.startswith(start)), None)


def plugin_format(head: bytes) -> str | None:
    """Pillow's name of the format of a file that begins so, where a plugin reads it, which Pillow knows from then on; None for others.

    Raises MissingExtraError where the plugin is not installed.
    """
    name = kind_of_bytes(head)
    if name not in PLUGINS:
        return None
    if find_spec(PLUGINS[name].module) is None:
        raise _lacking(name)
    load_plugins()
    return PLUGINS[name].format


def _lacking(name: str) -> MissingExtraError:
    return MissingExtraError(name, PLUGINS[name].package, PLUGINS[name].extra)
