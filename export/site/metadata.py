"""What a photo's file says of itself: title, caption and alternative text, when it was taken and how.

Takes the bytes of an image file, hands on text. Read are EXIF, IPTC and XMP; nothing of where a photo was taken, by whom or with which
serial number is, so that none of it can reach a page. A block that is damaged says nothing.
"""

from __future__ import annotations

import io
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

from PIL import ExifTags, Image, IptcImagePlugin

from ...runtime.errors import SdzError
from ...runtime.photo import open_image

MAX_TEXT = 4000
"""Characters of a text that are kept."""

ALL_LANGUAGES = "x-default"

_XMP = {
    "rdf": "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}",
    "dc": "{http://purl.org/dc/elements/1.1/}",
    "iptc": "{http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/}",
    "photoshop": "{http://ns.adobe.com/photoshop/1.0/}",
    "xml": "{http://www.w3.org/XML/1998/namespace}",
}

_DATE = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d))?)?")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a file says. `taken` is a local time, `YYYY-MM-DDTHH:MM:SS`, or a day; `capture` are names and values for people."""

    title: str | None = None
    caption: str | None = None
    alt: str | None = None
    taken: str | None = None
    capture: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def from_json(entry: dict[str, Any]) -> Facts:
        """The inverse of `dataclasses.asdict`; raises TypeError or KeyError for anything else."""
        return Facts(**{**entry, "capture": tuple((str(name), str(value)) for name, value in entry["capture"])})


def read_facts(data: bytes) -> Facts:
    """The facts of an image file; of XMP, IPTC and EXIF the first that has a text gives it. An unreadable file has none."""
    try:
        with open_image(io.BytesIO(data), large=True) as image:
            exif, iptc, xmp = _exif(image), _iptc(image), _xmp(image)
    except SdzError:
        return Facts()
    main, camera = exif

    def first(*texts: str | None) -> str | None:
        return next((text for text in texts if text), None)

    return Facts(
        title=first(xmp.get("title"), xmp.get("headline"), iptc.get((2, 5)), iptc.get((2, 105)), _wide(main.get(0x9C9B))),
        caption=first(xmp.get("caption"), iptc.get((2, 120)), _text(main.get(ExifTags.Base.ImageDescription)), _wide(main.get(0x9C9C))),
        alt=first(xmp.get("alt")),
        taken=first(*(day_of(_text(value) or "") for value in (camera.get(0x9003), camera.get(0x9004), main.get(0x0132)))),
        capture=_capture(main, camera),
    )


def day_of(text: str) -> str | None:
    """A date, with its time where there is one, as ISO 8601 has it; None for what is no date."""
    found = _DATE.match(text.strip())
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
    try:
        moment = datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None
    return moment.isoformat() if found[4] else moment.date().isoformat()


def _exif(image: Image.Image) -> tuple[dict[int, Any], dict[int, Any]]:
    """The main and the camera's directory."""
    with suppress(Exception):  # Pillow's parser raises whatever a damaged block makes it
        exif = image.getexif()
        return dict(exif), dict(exif.get_ifd(ExifTags.IFD.Exif))
    return {}, {}


def _iptc(image: Image.Image) -> dict[tuple[int, int], str]:
    with suppress(Exception):  # as above
        found = IptcImagePlugin.getiptcinfo(image) or {}  # type: ignore[arg-type]
        texts = {key: value[0] if isinstance(value, list) else value for key, value in found.items()}
        return {key: text for key, value in texts.items() if (text := _text(value)) is not None}
    return {}


def _xmp(image: Image.Image) -> dict[str, str]:
    """Title, caption, alternative text and headline of an XMP packet."""
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    packet = packet.encode() if isinstance(packet, str) else packet
    # no entities: a packet needs none, and they can be made to grow
    if not isinstance(packet, bytes) or b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:
        return {}
    try:
        root = ElementTree.fromstring(packet.rstrip(b"\0"))
    except (ElementTree.ParseError, ValueError):
        return {}
    out: dict[str, str] = {}
    for name, tag in (("title", "dc title"), ("caption", "dc description"), ("alt", "iptc AltTextAccessibility")):
        space, _, local = tag.partition(" ")
        for element in root.iter(f"{_XMP[space]}{local}"):
            texts = [(item.get(f"{_XMP['xml']}lang"), _text(item.text)) for item in element.iter(f"{_XMP['rdf']}li")]
            texts.sort(key=lambda text: text[0] != ALL_LANGUAGES)
            found = next((text for _, text in texts if text), _text(element.text))
            if found:
                out.setdefault(name, found)
    for description in root.iter(f"{_XMP['rdf']}Description"):
        headline = description.get(f"{_XMP['photoshop']}Headline") or description.findtext(f"{_XMP['photoshop']}Headline")
        if text := _text(headline):
            out.setdefault("headline", text)
    return out


def _capture(main: dict[int, Any], camera: dict[int, Any]) -> tuple[tuple[str, str], ...]:
    make, model = _text(main.get(ExifTags.Base.Make)) or "", _text(main.get(ExifTags.Base.Model)) or ""
    name = model if model.lower().startswith(make.lower().partition(" ")[0]) else f"{make} {model}".strip()
    exposure, aperture = _number(camera.get(ExifTags.Base.ExposureTime)), _number(camera.get(ExifTags.Base.FNumber))
    focal, speed = _number(camera.get(ExifTags.Base.FocalLength)), camera.get(ExifTags.Base.ISOSpeedRatings)
    speed = _number(speed[0] if isinstance(speed, tuple) and speed else speed)
    found = (
        ("Camera", name),
        ("Lens", _text(camera.get(ExifTags.Base.LensModel)) or ""),
        ("Exposure", (f"{exposure:.3g} s" if exposure >= 0.3 else f"1/{1 / exposure:.0f} s") if exposure else ""),
        ("Aperture", f"f/{aperture:.3g}" if aperture else ""),
        ("ISO", f"{speed:.0f}" if speed else ""),
        ("Focal length", f"{focal:.3g} mm" if focal else ""),
    )
    return tuple((label, value) for label, value in found if value)


def _number(value: Any) -> float:
    """A positive number, or 0."""
    with suppress(TypeError, ValueError, ZeroDivisionError):
        number = float(value)
        return number if 0 < number < 1e6 else 0.0
    return 0.0


def _wide(value: Any) -> str | None:
    """A text of Windows, UTF-16 in bytes."""
    return _text(value.decode("utf-16-le", "ignore")) if isinstance(value, bytes) else None


def _text(value: Any) -> str | None:
    """A text without its padding, at most `MAX_TEXT` characters of it; None for what is none. Bytes are UTF-8, or else Latin-1."""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            value = value.decode("latin-1")
    if not isinstance(value, str):
        return None
    text = "".join(c for c in value if c.isprintable() or c in "\n\t").strip()
    return text[:MAX_TEXT] or None
